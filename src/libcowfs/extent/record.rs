// SPDX-License-Identifier: GPL-2.0

//! One extent, in memory and as a record: u64 file block, u64 disk block with bit 63 set if it is
//! unwritten, u32 length, u32 zero.

use super::super::block::Block;
use super::super::btree::{Array, Fixed, Record, Tree};
use super::super::error::{Error, Result};
use super::super::ondisk::{Geometry, Kind};
use super::super::units::{FileBlock, FsBlock};

/// Most blocks of one extent. It bounds how many records of a reference count tree one extent can
/// be about, and with that what copying a leaf of extents costs.
pub const MAX_LEN: u32 = 2048;

/// Bit of the disk address that says that the blocks are preallocated and hold nothing.
const UNWRITTEN: u64 = 1 << 63;

/// A run of blocks of a file, and the blocks of the volume that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First block of the file.
    pub file: FileBlock,
    /// First block of the volume.
    pub disk: FsBlock,
    /// Number of blocks.
    pub len: u32,
    /// Preallocated: reads as zeroes.
    pub unwritten: bool,
}

impl Extent {
    pub(super) const NONE: Extent = Extent {
        file: FileBlock(0),
        disk: FsBlock::NULL,
        len: 0,
        unwritten: false,
    };

    /// The blocks on disk of the extent stored at byte `at`.
    #[inline]
    pub(super) fn blocks<B: Block>(buf: &B, at: usize) -> (FsBlock, u32) {
        (FsBlock(buf.u64(at + 8) & !UNWRITTEN), buf.u32(at + 16))
    }

    /// The block of the file after the extent.
    #[inline]
    pub const fn end(&self) -> FileBlock {
        self.file.add(self.len as u64)
    }

    /// The part of the extent in `[from, to)`, in which at least one of its blocks lies.
    #[inline]
    pub(super) fn part(&self, from: FileBlock, to: FileBlock) -> Extent {
        let file = from.max(self.file);
        let end = to.min(self.end());
        Extent {
            file,
            disk: self.disk.add(file.since(self.file)),
            len: end.since(file) as u32,
            unwritten: self.unwritten,
        }
    }

    /// Whether `next` continues this extent, in the file and on disk, so that both can be one.
    #[inline]
    pub(super) fn joins(&self, next: &Extent) -> bool {
        self.end() == next.file
            && self.disk.add(u64::from(self.len)) == next.disk
            && self.unwritten == next.unwritten
            && self.len.saturating_add(next.len) <= MAX_LEN
    }

    /// Checks an extent found in block `at`.
    ///
    /// # Errors
    ///
    /// `Corrupt` if there can be no such extent.
    pub fn check(&self, geometry: &Geometry, at: FsBlock) -> Result {
        // A file's size in bytes is below 2^63.
        let last = FileBlock(i64::MAX as u64 >> geometry.block_shift);
        if self.len > MAX_LEN || self.end().0 > last.0.saturating_add(1) {
            return Err(Error::Corrupt(at, "extent too long"));
        }
        if !geometry.in_one_group(self.disk, self.len) {
            return Err(Error::Corrupt(at, "extent outside the groups"));
        }
        Ok(())
    }
}

impl Record for Extent {
    #[inline]
    fn key(&self) -> u64 {
        self.file.0
    }

    #[inline]
    fn size(&self) -> usize {
        Self::SIZE
    }

    #[inline]
    fn store<B: Block>(&self, buf: &B, at: usize) {
        let flag = if self.unwritten { UNWRITTEN } else { 0 };
        buf.set_u64(at, self.file.0);
        buf.set_u64(at + 8, self.disk.0 | flag);
        buf.set_u32(at + 16, self.len);
        buf.set_u32(at + 20, 0);
    }
}

impl Fixed for Extent {
    const SIZE: usize = 24;

    #[inline]
    fn load<B: Block>(buf: &B, at: usize) -> Self {
        let disk = buf.u64(at + 8);
        Extent {
            file: FileBlock(buf.u64(at)),
            disk: FsBlock(disk & !UNWRITTEN),
            len: buf.u32(at + 16),
            unwritten: disk & UNWRITTEN != 0,
        }
    }
}

/// The tree of a file's extents.
pub struct Extents;

impl Tree for Extents {
    const KIND: Kind = Kind::Extent;
    type Leaf = Array<Extent>;
}
