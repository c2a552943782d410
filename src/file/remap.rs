// SPDX-License-Identifier: GPL-2.0

//! Sharing blocks between files: clone, dedupe, and copy where it can be one of them.
//!
//! A whole file is cloned by one reference to the root of its extent tree, in one transaction; what the target
//! had before is handed to an inode without a name, and dropped with it at leisure. A range is shared extent by
//! extent, each at once in the place of what was there, in transactions of bounded size.

use crate::error;
use crate::inode::{lock_both, log};
use crate::io::buffered::Write;
use crate::libcowfs::cow::FileRange;
use crate::libcowfs::error::{Error, Result as CoreResult};
use crate::libcowfs::extent::Fork;
use crate::libcowfs::units::Ino;
use crate::linux::fs::{File, NewInode, RemapFlags, RemapGuard, RemapRange};
use crate::linux::iomap::buffered;
use crate::super_block::Cowfs;
use crate::transaction::Tx;
use crate::truncate::Nodes;
use crate::view::View;
use crate::volume::Inode;
use crate::{cow, orphan, truncate};
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// Credits a clone asks for at first.
const CREDITS: u32 = 32;
/// The bits of a file offset within a page.
const PAGE_MASK: i64 = kernel::page::PAGE_SIZE as i64 - 1;

/// Both files locked, the source in such a way that it can be read but not written.
struct Held<'a> {
    // Cleared before the locks are gone, or it might be another clone's.
    _mark: Option<Mark<'a>>,
    guard: RemapGuard<'a, Cowfs>,
}

/// The mark that keeps those from writing who do so with the locks held shared.
struct Mark<'a>(&'a Inode);

impl<'a> Held<'a> {
    fn admit_readers(guard: RemapGuard<'a, Cowfs>, from: &'a Inode, to: &Inode) -> Self {
        if from.ino() == to.ino() {
            return Self { _mark: None, guard };
        }
        from.data().set_cloned_from(true);
        Self {
            _mark: Some(Mark(from)),
            guard: guard.admit_readers(),
        }
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.data().set_cloned_from(false);
    }
}

/// Shares a range, and returns how many bytes were.
pub(crate) fn remap(source: &File<Cowfs>, target: &File<Cowfs>, range: RemapRange) -> Result<i64> {
    if range.flags.has_unknown() {
        return Err(EINVAL);
    }
    let (from, to) = (source.inode(), target.inode());
    let sb = to.sb();
    sb.info().check_writable()?;
    let guard = RemapGuard::lock(source, target)?;
    let Some(range) = guard.prepare(range)? else {
        return Ok(0);
    };
    // The range is clean in the source and no I/O to it is in flight. From here on it may be read.
    let held = Held::admit_readers(guard, from, to);
    let dedupe = range.flags.contains(RemapFlags::DEDUP);
    let end = range.pos_out.checked_add(range.len).ok_or(EFBIG)?;
    let size = to.size();
    if !dedupe {
        if range.pos_out > size {
            truncate::uncover(held.guard.target(), range.pos_out)?;
            buffered::zero_range::<Write>(to, size, range.pos_out - size)?;
        }
        if end > size {
            truncate::write_end(to, range.pos_out, true)?;
        }
        // Pages of the target show what was there. Whole pages: what is left of one would stay as it is.
        let (first, last) = (range.pos_out & !PAGE_MASK, (end - 1) | PAGE_MASK);
        to.write_and_wait_range(first, last)?;
        to.punch_pages(first, last);
    }
    let whole = !dedupe
        && from.ino() != to.ino()
        && range.pos_in == 0
        && range.pos_out == 0
        && range.len >= from.size()
        && size <= end;
    let mut cloned = false;
    let mut heir = None;
    if whole {
        cloned = match clone_whole(from, to, end) {
            Ok(inode) => {
                heir = inode;
                true
            }
            // The journal is too small to do it at once.
            Err(Error::NeedCredits) => false,
            Err(e) => return Err(error::report(sb, e)),
        };
    }
    if !cloned {
        let before = to.data().may_reach_beyond();
        to.data().set_reaches_beyond(true);
        share(from, to, &range).map_err(|e| error::report(sb, e))?;
        if !dedupe && end > size {
            extend(to, end).map_err(|e| error::report(sb, e))?;
        }
        to.data().set_reaches_beyond(before);
    }
    drop(held);
    drop(heir);
    if target.is_sync() || source.is_sync() {
        crate::file::sync::metadata(to, true)?;
    }
    Ok(range.len)
}

/// Has `to` share all that `from` has, in one transaction. What `to` had before goes with the inode
/// that is returned.
fn clone_whole(from: &Inode, to: &Inode, end: i64) -> CoreResult<Option<ARef<Inode>>> {
    let sb = to.sb();
    let view = View::new(sb);
    {
        let mut map = to.data().map_mut();
        cow::cancel(to, &mut map, FileRange::ALL)?;
    }
    let empty = {
        let map = to.data().map();
        map.file_ref().map_err(|_| Error::Invalid)?.fork.is_empty()
    };
    let _blocks = (log::hold(&view, from)?, log::hold(&view, to)?);
    let mut credits = CREDITS;
    loop {
        let mut heir = match empty {
            true => None,
            false => Some(orphan::prepare_heir(sb)?),
        };
        // What goes is more than what the heir takes.
        let promise = match &heir {
            Some(_) => view.volume().space.promise(orphan::HEIR_BLOCKS),
            None => None,
        };
        let promise = promise.unwrap_or_else(|| view.volume().space.kept(0));
        let all = match &heir {
            Some(_) => credits.saturating_add(orphan::HEIR_CREDITS),
            None => credits,
        };
        let mut tx = Tx::start(view, all, promise)?;
        if let Some(new) = heir.take() {
            match orphan::enter_heir(&mut tx, to, new) {
                Ok(new) => heir = Some(new),
                Err(e) if e.is_refusal() => {
                    tx.finish()?;
                    return Err(e);
                }
                Err(e) => return Err(e),
            }
        }
        let mut fork = Fork::new();
        let (mut source, mut target) = lock_both(from, to);
        target.changing();
        let source_fork = &mut source.file().map_err(|_| Error::Invalid)?.fork;
        let target_fork = &mut target.file().map_err(|_| Error::Invalid)?.fork;
        match Fork::clone_whole(&mut tx, source_fork, &mut fork) {
            Ok(()) => {
                core::mem::swap(&mut fork, target_fork);
                if from.data().may_reach_beyond() {
                    to.data().set_reaches_beyond(true);
                }
            }
            Err(e) if e.is_refusal() => {
                drop((source, target));
                if let Some(new) = heir {
                    orphan::take_back_heir(&mut tx, new)?;
                }
                let wanted = tx.wanted();
                tx.finish()?;
                // In a transaction of its own there may be room enough.
                if e == Error::NeedCredits && credits < wanted {
                    credits = wanted;
                    continue;
                }
                return Err(e);
            }
            Err(e) => {
                if source_fork.changed() {
                    tx.rely();
                }
                drop((source, target));
                return Err(e);
            }
        }
        to.extend_size(end);
        to.data().set_disk_size(&mut target, end.max(0) as u64);
        log::log(&mut tx, from, &mut source, true)?;
        log::log(&mut tx, to, &mut target, true)?;
        drop((source, target));
        if let Some(new) = &heir {
            orphan::bequeath(&mut tx, new, fork)?;
        }
        tx.finish()?;
        return Ok(heir.map(NewInode::finish));
    }
}

/// Has a range of `to` share what is in a range of `from`.
fn share(from: &Inode, to: &Inode, range: &RemapRange) -> CoreResult {
    let view = View::new(to.sb());
    let len = u64::try_from(range.len).unwrap_or(0);
    let mut source = cow::blocks(&view, range.pos_in, len);
    let mut target = cow::blocks(&view, range.pos_out, len);
    {
        // From now on the source's writes have to look for other owners.
        let _block = log::hold(&view, from)?;
        let mut tx = Tx::start(view, log::CREDITS, view.volume().space.kept(0))?;
        let mut map = from.data().map_mut();
        map.file().map_err(|_| Error::Invalid)?.fork.flag_shared();
        log::log(&mut tx, from, &mut map, true)?;
        drop(map);
        tx.finish()?;
    }
    let ino = Ino(to.ino());
    let other = (from.ino() != to.ino()).then_some(from);
    // The range is clean, but not the rest of the source: what is written back there changes its tree.
    truncate::steps_beside(to, other, Nodes::Promised, |tx, _, map, other| {
        if target.len == 0 {
            return Ok(true);
        }
        let fork = match other {
            Some(other) => &other.file_ref().map_err(|_| Error::Invalid)?.fork,
            None => &map.file().map_err(|_| Error::Invalid)?.fork.clone(),
        };
        let own = &mut map.file().map_err(|_| Error::Invalid)?.fork;
        let done = own.share_range(tx, ino, fork, source.start, target.start, target.len)?;
        source.skip_to(source.start.add(done));
        target.skip_to(target.start.add(done));
        Ok(target.len == 0)
    })
}

/// Makes the target as long as what was shared into it.
fn extend(to: &Inode, end: i64) -> CoreResult {
    let view = View::new(to.sb());
    let _block = log::hold(&view, to)?;
    let mut tx = Tx::start(view, log::CREDITS, view.volume().space.kept(0))?;
    let mut map = to.data().map_mut();
    to.extend_size(end);
    to.data().set_disk_size(&mut map, end.max(0) as u64);
    let done = log::log(&mut tx, to, &mut map, true);
    drop(map);
    done?;
    tx.finish().map(|_| ())
}
