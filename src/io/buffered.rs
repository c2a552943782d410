// SPDX-License-Identifier: GPL-2.0

//! Writes to the page cache: step 1 of the protocol, reserve.
//!
//! What is not to be written in place gets a reservation in the CoW fork; blocks are found when the pages are
//! written back.

use crate::cow::{self, Target};
use crate::error;
use crate::inode::Map;
use crate::io::Mapper;
use crate::libcowfs::cow::{FileRange, State};
use crate::libcowfs::error::{Error as CoreError, Result as CoreResult};
use crate::libcowfs::store::Reader;
use crate::libcowfs::units::FileBlock;
use crate::linux::iomap::{buffered, Flags, Iomap, MapFlags, MapType, Operations};
use crate::room::{self, Effort};
use crate::super_block::Cowfs;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Most blocks reserved at a time.
const MOST: u64 = 4096;

/// Maps for writes to the page cache.
pub(crate) struct Write;

/// Whether this is about zeros or sharing: what is not there already is left alone then, and no folio is locked while
/// it is looked for.
fn writes_nothing(flags: Flags) -> bool {
    flags.intersects(Flags::ZERO | Flags::UNSHARE)
}

fn map_write(
    view: &View<'_>,
    inode: &Inode,
    locked: &mut Map,
    range: FileRange,
    flags: Flags,
    map: &mut Iomap,
    src: &mut Iomap,
) -> CoreResult {
    let file = locked.file_ref().map_err(|_| CoreError::Invalid)?;
    let (len, source) = match cow::target(view, file, range)? {
        Target::InPlace {
            disk,
            len,
            unwritten,
        } => {
            let range = FileRange::new(range.start, len);
            if unwritten {
                if !writes_nothing(flags) {
                    cow::may_convert(view)?;
                    if view.volume().space.is_low() && !flags.contains(Flags::FAULT) {
                        // It is to be written out at once.
                        if flags.contains(Flags::NOWAIT) {
                            return Err(CoreError::NoSpace);
                        }
                        inode.data().note_conversion();
                    }
                }
                Mapper::new(view, map).unwritten(range, disk);
            } else {
                Mapper::new(view, map).mapped(range, disk);
            }
            map.set_cookie(cookie(locked));
            return Ok(());
        }
        Target::Cow { len, source } => (len, source),
    };
    let (state, run) = file.cow.lookup(range.start, len.min(range.len));
    let mut range = FileRange::new(range.start, run);
    let mut new = false;
    match state {
        None if source.is_none() && writes_nothing(flags) => {
            // Zeros already, and shared with nobody.
            Mapper::new(view, map).hole(range);
            map.set_cookie(cookie(locked));
            return Ok(());
        }
        None => {
            range.len = range.len.min(MOST);
            cow::reserve(view, inode, locked, range)?;
            Mapper::new(view, map).delalloc(range);
            new = true;
        }
        Some(state) => {
            if matches!(state, State::Unwritten(_)) {
                cow::cover(view, locked)?;
            }
            match state.disk() {
                // Dirty pages may be over it, which iomap looks for before it takes it for zeros.
                Some(disk) if source.is_none() && !state.is_real() => {
                    Mapper::new(view, map).unwritten(range, disk);
                }
                _ => Mapper::new(view, map).delalloc(range),
            }
        }
    }
    if new {
        map.add_flags(MapFlags::NEW);
    }
    if let Some(extent) = source {
        Mapper::new(view, src).extent(range.start, Some(extent), range.len);
        map.add_flags(MapFlags::SHARED);
    }
    map.set_cookie(cookie(locked));
    Ok(())
}

/// A number that differs whenever a mapping may have become wrong.
pub(crate) fn cookie(map: &Map) -> u64 {
    map.file_ref().map_or(0, |file| {
        u64::from(map.sequence) << 32 | u64::from(file.cow.sequence())
    })
}

#[vtable]
impl Operations for Write {
    type FileSystem = Cowfs;

    fn begin(
        inode: &Inode,
        pos: i64,
        len: i64,
        flags: Flags,
        map: &mut Iomap,
        src: &mut Iomap,
    ) -> Result {
        let sb = inode.sb();
        let view = View::new(sb);
        view.volume().check_writable()?;
        let data = inode.data();
        let range = cow::blocks(&view, pos, len.max(1) as u64);
        let mut locked = if flags.contains(Flags::NOWAIT) {
            data.try_map_mut().ok_or(EAGAIN)?
        } else {
            data.map_mut()
        };
        let first = map_write(&view, inode, &mut locked, range, flags, map, src);
        drop(locked);
        let done = match first {
            // Whoever may wait makes room.
            Err(CoreError::NoSpace) if flags.contains(Flags::NOWAIT) => return Err(EAGAIN),
            Err(CoreError::NoSpace) => {
                let effort = match writes_nothing(flags) {
                    true => Effort::WriteBack,
                    false => Effort::Metadata,
                };
                room::make(sb, effort);
                map_write(&view, inode, &mut data.map_mut(), range, flags, map, src)
            }
            first => first,
        };
        done.map_err(|e| error::report(sb, e))
    }

    fn end(
        inode: &Inode,
        pos: i64,
        len: i64,
        written: usize,
        flags: Flags,
        map: &mut Iomap,
    ) -> Result {
        let new = map.flags().contains(MapFlags::NEW);
        // A fault has its page locked, and may try again.
        let new = new && !flags.contains(Flags::FAULT);
        if !new || map.map_type() != Some(MapType::Delalloc) || written as u64 >= len as u64 {
            return Ok(());
        }
        // A reservation made for this write, not used to its end: drop what no page rests on.
        let view = View::new(inode.sb());
        let (pos, offset) = (pos.max(0) as u64, map.offset().max(0) as u64);
        let start = match written {
            0 => FileBlock(pos >> view.geometry().block_shift),
            _ => FileBlock(view.volume().blocks_up(pos.saturating_add(written as u64))),
        };
        // What lies beyond the largest offset cannot be said.
        let start = cow::offset(&view, start);
        let end = i64::try_from(offset.saturating_add(map.length())).unwrap_or(i64::MAX);
        if start < end {
            // Who zeroes or unshares has it locked.
            let held = writes_nothing(flags);
            let _lock = (!held).then(|| inode.invalidate_lock());
            buffered::delalloc_release::<Self>(inode, start, end, flags, map);
        }
        Ok(())
    }

    fn is_valid(inode: &Inode, map: &Iomap) -> bool {
        cookie(&inode.data().map()) == map.cookie()
    }

    fn punch(inode: &Inode, pos: i64, len: i64, _map: &mut Iomap) {
        let view = View::new(inode.sb());
        // Within a block it begins only behind the end of the file, in a block whose page is dirty: that keeps it.
        let (pos, len) = (pos.max(0) as u64, len.max(0) as u64);
        let start = FileBlock(view.volume().blocks_up(pos));
        let end = view.volume().blocks_up(pos.saturating_add(len));
        if start.0 >= end {
            return;
        }
        let range = FileRange::new(start, end.saturating_sub(start.0));
        let mut locked = inode.data().map_mut();
        if let Ok(file) = locked.file() {
            // Without memory to split a piece the reservation stays until the inode leaves memory.
            let _ = file.cow.cancel_delalloc(range);
        }
        cow::settle(inode, &mut locked);
    }
}
