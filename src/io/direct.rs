// SPDX-License-Identifier: GPL-2.0

//! Direct writes: steps 2 to 5 of the protocol.
//!
//! `begin` decides where the write goes and stages what it needs; `end` takes back what was staged for
//! bytes that were never submitted; `end_io` maps what was written. See `crate::cow`.
//!
//! Writes in place look with the map locked shared, so that many can go on at once; one that stages must
//! look and mark in a single hold of the exclusive lock. Which of the two a write is, is known only when
//! it has looked. It guesses that it is what the last one to the file was: a wrong guess costs a second look,
//! or that others wait for this one.

use crate::cow::{self, Target, Written};
use crate::error;
use crate::inode::Map;
use crate::io::Mapper;
use crate::libcowfs::cow::{FileRange, State};
use crate::libcowfs::error::{Error as CoreError, Result as CoreResult};
use crate::linux::iomap::dio::{DioOps, EndFlags, Ended};
use crate::linux::iomap::{Flags, Iomap, MapFlags, Operations};
use crate::room::{self, Effort};
use crate::super_block::Cowfs;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Maps for direct writes of whole blocks.
pub(crate) struct Write;

/// Fills `map` for a write in place up to byte `end`; false if it does not go in place.
///
/// # Errors
///
/// `NoSpace`: see [`cow::may_convert`].
fn in_place(
    view: &View<'_>,
    inode: &Inode,
    range: FileRange,
    end: i64,
    target: &Target,
    map: &mut Iomap,
) -> CoreResult<bool> {
    let Target::InPlace {
        disk,
        len,
        unwritten,
    } = *target
    else {
        return Ok(false);
    };
    let range = FileRange::new(range.start, len.min(range.len));
    if unwritten {
        cow::may_convert(view)?;
        Mapper::new(view, map).unwritten(range, disk);
    } else {
        Mapper::new(view, map).mapped(range, disk);
    }
    if end > inode.size() || u64::try_from(end).unwrap_or(0) > inode.data().disk_size() {
        // The disk must hear of the size it makes known, whoever set that in memory: what is written here would
        // be beyond the end after a crash. Only as a CoW write is it sure to be completed where that can be done;
        // nothing is marked for it in the CoW fork.
        map.add_flags(MapFlags::SHARED | MapFlags::DIRTY);
    } else if is_dirty(view, inode) {
        map.add_flags(MapFlags::DIRTY);
    }
    Ok(true)
}

/// Whether the mapping itself is not on disk yet, so that a write to it needs a commit to be found again.
fn is_dirty(view: &View<'_>, inode: &Inode) -> bool {
    let tid = inode.data().must_commit(true);
    view.volume()
        .journal()
        .is_some_and(|journal| !journal.is_committed(tid))
}

/// Stages blocks for the first blocks of `range` and fills `map` with them. The map is locked.
fn staged(
    view: &View<'_>,
    inode: &Inode,
    locked: &mut Map,
    range: FileRange,
    end: i64,
    map: &mut Iomap,
) -> CoreResult {
    let file = locked.file_ref().map_err(|_| CoreError::Invalid)?;
    let target = cow::target(view, file, range)?;
    inode
        .data()
        .set_copied(matches!(target, Target::Cow { .. }));
    let Target::Cow { len, .. } = target else {
        return in_place(view, inode, range, end, &target, map).map(|_| ());
    };
    let range = FileRange::new(range.start, len.min(range.len));
    if matches!(file.cow.lookup(range.start, 1).0, Some(State::Unwritten(_))) {
        cow::cover(view, locked)?;
    }
    let window = cow::window(view, locked);
    let staged = cow::stage(view, inode, locked, range, window)?;
    Mapper::new(view, map).mapped(
        FileRange::new(staged.file, u64::from(staged.len)),
        staged.disk,
    );
    map.add_flags(MapFlags::SHARED | MapFlags::DIRTY);
    Ok(())
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
        _src: &mut Iomap,
    ) -> Result {
        let sb = inode.sb();
        let view = View::new(sb);
        view.volume().check_writable()?;
        let data = inode.data();
        let nowait = flags.contains(Flags::NOWAIT);
        let only_in_place = nowait || flags.contains(Flags::OVERWRITE_ONLY);
        let range = cow::blocks(&view, pos, len.max(1) as u64);
        let end = pos.saturating_add(len);
        if only_in_place || !data.copied() {
            let locked = if nowait {
                data.try_map().ok_or(EAGAIN)?
            } else {
                data.map()
            };
            let target =
                cow::target(&view, locked.file_ref()?, range).map_err(|e| error::report(sb, e))?;
            // Whoever may not go another way must know before anything is submitted.
            let spans = matches!(target, Target::InPlace { len, .. } if len >= range.len);
            let goes = spans || !only_in_place;
            if goes && in_place(&view, inode, range, end, &target, map) == Ok(true) {
                if flags.contains(Flags::OVERWRITE_ONLY)
                    && matches!(
                        target,
                        Target::InPlace {
                            unwritten: true,
                            ..
                        }
                    )
                {
                    return Err(EAGAIN);
                }
                return Ok(());
            }
        }
        if only_in_place {
            return Err(EAGAIN);
        }
        let first = staged(&view, inode, &mut data.map_mut(), range, end, map);
        let done = match first {
            Err(CoreError::NoSpace) => {
                room::make(sb, Effort::WriteBack);
                staged(&view, inode, &mut data.map_mut(), range, end, map)
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
        _flags: Flags,
        map: &mut Iomap,
    ) -> Result {
        let len = u64::try_from(len).unwrap_or(0);
        let written = written as u64;
        if written < len && map.flags().contains(MapFlags::SHARED) {
            let view = View::new(inode.sb());
            let pos = pos.saturating_add_unsigned(written);
            cow::fail(inode, cow::blocks(&view, pos, len - written));
        }
        Ok(())
    }
}

/// What happens when a direct write is done.
pub(crate) struct Done;

#[vtable]
impl DioOps for Done {
    type FileSystem = Cowfs;

    fn end_io(io: Ended<'_, Cowfs>) -> Result {
        let end = io.pos.saturating_add_unsigned(io.size as u64);
        let cow = io.flags.contains(EndFlags::COW);
        let unwritten = io.flags.contains(EndFlags::UNWRITTEN);
        let view = View::new(io.inode.sb());
        if let Err(e) = io.result {
            if cow && io.size > 0 {
                cow::fail(io.inode, cow::blocks(&view, io.pos, io.size as u64));
            }
            return Err(e);
        }
        if io.size == 0 || (!cow && !unwritten && end <= io.inode.size()) {
            return Ok(());
        }
        let before = io.inode.size();
        cow::complete(
            io.inode,
            Written {
                range: cow::blocks(&view, io.pos, io.size as u64),
                end: end.max(0) as u64,
                cow,
                unwritten,
                grow: true,
            },
        )?;
        if before < io.pos {
            // A mapped page around the old end has no blocks behind it: storing there must fault first.
            io.inode.size_extended(before, io.pos);
        }
        Ok(())
    }
}
