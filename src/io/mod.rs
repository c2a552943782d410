// SPDX-License-Identifier: GPL-2.0

//! What iomap asks: one file for each purpose.
//!
//! ```text
//!   read.rs       where data is: reads, readahead
//!   direct.rs     direct writes: stage, and map when done
//!   buffered.rs   writes to the page cache: reserve
//!   writeback.rs  from the page cache to the device: stage, and map when done
//!   report.rs     FIEMAP, SEEK_HOLE, SEEK_DATA
//! ```

pub(crate) mod buffered;
pub(crate) mod direct;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod writeback;

use crate::libcowfs::cow::FileRange;
use crate::libcowfs::extent::Extent;
use crate::libcowfs::store::Reader;
use crate::libcowfs::units::{FileBlock, FsBlock};
use crate::linux::iomap::Iomap;
use crate::view::View;

/// Turns runs of blocks into what iomap wants.
pub(crate) struct Mapper<'a> {
    shift: u8,
    map: &'a mut Iomap,
}

impl<'a> Mapper<'a> {
    /// Fills `map`.
    pub(crate) fn new(view: &View<'_>, map: &'a mut Iomap) -> Self {
        Self {
            shift: view.geometry().block_shift,
            map,
        }
    }

    fn bytes(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(1 << self.shift)
    }

    /// Offset and length in bytes. The last block that a file can have ends one byte beyond the
    /// largest offset.
    fn place(&self, at: FileBlock, len: u64) -> (i64, u64) {
        let offset = self.bytes(at.0).min(i64::MAX as u64);
        let len = self.bytes(len).min((1 << 63) - offset);
        (offset as i64, len)
    }

    /// A hole.
    pub(crate) fn hole(&mut self, range: FileRange) {
        let (offset, len) = self.place(range.start, range.len);
        self.map.set_hole(offset, len);
    }

    /// Reserved, but no blocks yet.
    pub(crate) fn delalloc(&mut self, range: FileRange) {
        let (offset, len) = self.place(range.start, range.len);
        self.map.set_delalloc(offset, len);
    }

    /// Blocks with data.
    pub(crate) fn mapped(&mut self, range: FileRange, disk: FsBlock) {
        let (offset, len) = self.place(range.start, range.len);
        let disk = self.bytes(disk.0);
        self.map.set_mapped(offset, len, disk);
    }

    /// Blocks that read as zeros.
    pub(crate) fn unwritten(&mut self, range: FileRange, disk: FsBlock) {
        let (offset, len) = self.place(range.start, range.len);
        let disk = self.bytes(disk.0);
        self.map.set_unwritten(offset, len, disk);
    }

    /// What the data fork has at `at`: an extent, or `len` blocks of hole.
    pub(crate) fn extent(&mut self, at: FileBlock, extent: Option<Extent>, len: u64) {
        let range = FileRange::new(at, len);
        match extent {
            Some(e) if e.unwritten => self.unwritten(range, e.disk),
            Some(e) => self.mapped(range, e.disk),
            None => self.hole(range),
        }
    }
}
