// SPDX-License-Identifier: GPL-2.0

//! From the page cache to the device: steps 2 to 5 of the protocol for buffered writes.
//!
//! Where a page goes is decided when it is written, under its lock; nothing is allocated on disk
//! then. When the I/O is done, a work queue maps what was written.

use crate::cow::{self, Target, Written};
use crate::error;
use crate::inode::Map;
use crate::io::Mapper;
use crate::libcowfs::cow::FileRange;
use crate::libcowfs::error::{Error as CoreError, Result as CoreResult};
use crate::linux::iomap::writeback::{
    Ioend, IoendFlags, IoendList, WritebackContext, WritebackOps,
};
use crate::linux::iomap::{Iomap, MapFlags};
use crate::linux::workqueue::OwnedQueue;
use crate::super_block::Cowfs;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Writes pages of regular files back.
pub(crate) struct Pages;

/// Finds out where the first blocks of `range` go. The map is locked.
fn place(
    view: &View<'_>,
    inode: &Inode,
    locked: &mut Map,
    range: FileRange,
    map: &mut Iomap,
) -> CoreResult {
    let file = locked.file_ref().map_err(|_| CoreError::Invalid)?;
    let (len, source) = match cow::target(view, file, range)? {
        Target::InPlace {
            disk,
            len,
            unwritten,
        } => {
            let range = FileRange::new(range.start, len.min(range.len));
            if file.cow.delalloc() > 0 {
                // Reserved while the block was shared; it is not any more.
                locked
                    .file()
                    .map_err(|_| CoreError::Invalid)?
                    .cow
                    .cancel_delalloc(range)?;
                cow::settle(inode, locked);
            }
            if unwritten {
                Mapper::new(view, map).unwritten(range, disk);
            } else {
                Mapper::new(view, map).mapped(range, disk);
            }
            return Ok(());
        }
        Target::Cow { len, source } => (len.min(range.len), source),
    };
    let range = FileRange::new(range.start, len);
    let (state, run) = file.cow.lookup(range.start, range.len);
    if state.is_none() && source.is_none() {
        // Cut off or punched since it was dirtied.
        Mapper::new(view, map).hole(FileRange::new(range.start, run));
        return Ok(());
    }
    // What else is to be written is reserved already: there is nothing to speculate about.
    let staged = match cow::stage(view, inode, locked, range, 1) {
        Err(CoreError::NoSpace) if state.is_none() => {
            // A fault dirties all of a folio. It was refused for want of room for this part, which holds what the
            // block does. Unless that was dirtied past us, through a pin: it is lost then, so fsync is told of both.
            inode.set_write_error(ENOSPC);
            Mapper::new(view, map).hole(FileRange::new(range.start, run));
            return Ok(());
        }
        staged => staged?,
    };
    Mapper::new(view, map).mapped(
        FileRange::new(staged.file, u64::from(staged.len)),
        staged.disk,
    );
    map.add_flags(MapFlags::SHARED);
    Ok(())
}

fn written(view: &View<'_>, ioend: &Ioend) -> Written {
    let end = ioend.offset().saturating_add_unsigned(ioend.size() as u64);
    Written {
        range: cow::blocks(view, ioend.offset(), ioend.size() as u64),
        end: end.max(0) as u64,
        cow: ioend.flags().contains(IoendFlags::SHARED),
        unwritten: ioend.flags().contains(IoendFlags::UNWRITTEN),
        grow: false,
    }
}

#[vtable]
impl WritebackOps for Pages {
    type FileSystem = Cowfs;
    type State = ();

    fn map_range(context: &mut WritebackContext<'_, Self>, pos: u64, len: u32) -> Result {
        let inode = context.inode();
        let sb = inode.sb();
        let view = View::new(sb);
        if view.volume().is_shut_down() {
            return Err(EIO);
        }
        // Never the mapping of the last range again: each range is marked as written by itself.
        let pos = i64::try_from(pos).map_err(|_| EFBIG)?;
        let range = cow::blocks(&view, pos, u64::from(len));
        let mut locked = inode.data().map_mut();
        let done = place(&view, inode, &mut locked, range, context.map());
        drop(locked);
        done.map_err(|e| error::report(sb, e))
    }

    fn discard_range(inode: &Inode, pos: u64, len: u64) {
        let view = View::new(inode.sb());
        let Ok(pos) = i64::try_from(pos) else { return };
        let range = cow::blocks(&view, pos, len);
        let mut locked = inode.data().map_mut();
        if let Ok(file) = locked.file() {
            // Without memory to split a piece the reservation stays until the inode leaves memory.
            let _ = file.cow.cancel_delalloc(range);
        }
        cow::settle(inode, &mut locked);
    }

    fn needs_completion(inode: &Inode, ioend: &Ioend) -> bool {
        let flags = ioend.flags();
        if flags.contains(IoendFlags::SHARED) || flags.contains(IoendFlags::UNWRITTEN) {
            return true;
        }
        let end = ioend.offset().saturating_add_unsigned(ioend.size() as u64);
        // Whoever has made the size known in memory has it logged when the map is free again.
        let _map = inode.data().map();
        end.max(0) as u64 > inode.data().disk_size()
    }

    fn completion(inode: &Inode) -> (&IoendList<Self>, &OwnedQueue) {
        (inode.data().ioends(), &inode.sb().info().completions)
    }

    fn end_ioend(inode: &Inode, ioend: &Ioend, result: Result) -> Result {
        let view = View::new(inode.sb());
        let written = written(&view, ioend);
        match result {
            Ok(()) => cow::complete(inode, written),
            Err(e) => {
                if written.cow {
                    cow::fail(inode, written.range);
                }
                Err(e)
            }
        }
    }
}
