// SPDX-License-Identifier: GPL-2.0

//! Changing a file's size, and taking blocks out of files, in bounded transactions.
//!
//! ```text
//!   set_size:  pages, tail of the last block -> size (and orphan record) -> blocks, step by step -> record gone
//!   uncover:   before a file grows over them, blocks that such a cut left beyond its end
//! ```

use crate::cow;
use crate::error;
use crate::inode::{lock_both, log, File, Map};
use crate::io::buffered::Write;
use crate::libcowfs::cow::FileRange;
use crate::libcowfs::error::{Error, Result as CoreResult};
use crate::libcowfs::space::credits;
use crate::libcowfs::units::{FileBlock, Ino};
use crate::linux::fs::Locked;
use crate::linux::iomap::buffered;
use crate::orphan;
use crate::space::Promise;
use crate::super_block::Cowfs;
use crate::transaction::Tx;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Credits a step that cuts a tree asks for at first.
const CREDITS: u32 = 32;

/// Sets the size of a regular file. Pages, reservations and blocks beyond it go.
pub(crate) fn set_size(inode: Locked<'_, Cowfs>, size: i64) -> Result {
    let locked = inode;
    let inode = inode.inode();
    let sb = inode.sb();
    // Direct writes under way may move the end.
    inode.dio_wait();
    let old = inode.size();
    if size == old && inode.data().disk_size() == old as u64 {
        let map = inode.data().map();
        let file = map.file_ref()?;
        if !has_beyond(&View::new(sb), file, size).map_err(|e| error::report(sb, e))? {
            return Ok(());
        }
    }
    locked.check_new_size(size)?;
    let _nodes = Nodes::to_cut(inode, size)?;
    let _pages = inode.invalidate_lock();
    let zeroed = if size > old {
        uncover(locked, size)?;
        buffered::zero_range::<Write>(inode, old, size - old)?
    } else {
        buffered::truncate_page::<Write>(inode, size)?
    };
    write_end(inode, size, zeroed || old as u64 > inode.data().disk_size())?;
    let _block = log::hold(&View::new(sb), inode).map_err(|e| error::report(sb, e))?;
    locked.truncate_setsize(size);
    if size > old {
        // Blocks that were preallocated beyond the end stay, wherever that is now.
        inode.touch_mtime();
        return log_size(inode, size).map_err(|e| error::report(sb, e));
    }
    cut(inode, size).map_err(|e| {
        inode.data().set_reaches_beyond(true);
        inode.touch_mtime();
        log_later(inode, size);
        error::report(sb, e)
    })?;
    if zeroed && size < old {
        // What was cut off must not be back when the file has grown again and the zeros, which are in memory, are lost.
        // The file is cut all the same if they cannot be written; that is told by fsync.
        let _ = inode.write_and_wait_range(size - 1, size - 1);
    }
    Ok(())
}

/// Before the disk is told that the file reaches up to byte `end`: has what was zeroed or appended since the end it
/// knows (`dirty`) written, which would be lost behind the new one.
pub(crate) fn write_end(inode: &Inode, end: i64, dirty: bool) -> Result {
    let disk = inode.data().disk_size().min(i64::MAX as u64) as i64;
    if dirty && end > disk {
        inode.write_and_wait_range(disk, end.saturating_sub(1))?;
    }
    Ok(())
}

/// Takes the written blocks out that lie beyond the end of the file, which is about to grow up to byte `end`:
/// a crash between the steps of a truncation leaves them there, or one (or an error) in the middle of cloning a
/// range. No direct write may be under way.
///
/// To zero them in the page cache would not do: pages beyond the end are never written back.
pub(crate) fn uncover(inode: Locked<'_, Cowfs>, end: i64) -> Result {
    let inode = inode.inode();
    let sb = inode.sb();
    let view = View::new(sb);
    let up = |bytes: i64| FileBlock(view.volume().blocks_up(u64::try_from(bytes).unwrap_or(0)));
    let from = up(inode.size());
    let mut rest = FileRange::new(from, up(end).since(from));
    while rest.len > 0 {
        let found = {
            let map = inode.data().map();
            let fork = &map.file_ref()?.fork;
            fork.lookup(&view, rest.start, rest.len)
                .map_err(|e| error::report(sb, e))?
        };
        if found.extent.is_some_and(|extent| !extent.unwritten) {
            punch(inode, FileRange::new(rest.start, found.len))
                .map_err(|e| error::report(sb, e))?;
        }
        rest.skip_to(rest.start.add(found.len));
    }
    Ok(())
}

/// Whether blocks are mapped, or staged, beyond byte `size`.
fn has_beyond(view: &View<'_>, file: &File, size: i64) -> CoreResult<bool> {
    let from = FileBlock(view.volume().blocks_up(u64::try_from(size).unwrap_or(0)));
    let rest = u64::MAX - from.0;
    let found = file.fork.lookup(view, from, rest)?;
    Ok(file.cow.next(from).is_some() || found.extent.is_some() || found.len < rest)
}

/// The file ends at byte `size` in memory, with its pages cut or zeroed, but the disk could not be told: that is left to
/// when the inode is next written.
fn log_later(inode: &Inode, size: i64) {
    let data = inode.data();
    data.set_disk_size(&mut data.map_mut(), size.max(0) as u64);
    data.set_unlogged(true);
    inode.mark_dirty_datasync();
}

/// Logs that the file ends at byte `size`, which is no less than before, as it does in memory.
pub(crate) fn log_size(inode: &Inode, size: i64) -> CoreResult {
    try_log_size(inode, size).inspect_err(|_| log_later(inode, size))
}

fn try_log_size(inode: &Inode, size: i64) -> CoreResult {
    let view = View::new(inode.sb());
    let _block = log::hold(&view, inode)?;
    let mut tx = Tx::start(view, log::CREDITS, view.volume().space.kept(0))?;
    let mut map = inode.data().map_mut();
    inode.data().set_disk_size(&mut map, size.max(0) as u64);
    let done = log::log(&mut tx, inode, &mut map, true);
    drop(map);
    done?;
    tx.finish().map(|_| ())
}

/// Cuts what is beyond `size`, in memory and on disk, and logs the size.
fn cut(inode: &Inode, size: i64) -> CoreResult {
    let view = View::new(inode.sb());
    let size = u64::try_from(size).unwrap_or(0);
    let from = FileBlock(view.volume().blocks_up(size));
    let long = {
        let mut map = inode.data().map_mut();
        let beyond = FileRange::new(from, u64::MAX - from.0);
        cow::cancel(inode, &mut map, beyond)?;
        let file = map.file_ref().map_err(|_| Error::Invalid)?;
        // After an earlier attempt the disk may have the size already, or is to be told it later.
        let data = inode.data();
        (size < data.disk_size() || data.may_reach_beyond())
            && has_beyond(&view, file, size as i64)?
    };
    {
        let _block = log::hold(&view, inode)?;
        let promise = view.volume().space.kept(0);
        let mut tx = Tx::start(view, credits::ORPHAN + log::CREDITS, promise)?;
        if long {
            if let Err(e) = orphan::enter(&mut tx, Ino(inode.ino())) {
                if e.is_refusal() {
                    tx.finish()?;
                }
                return Err(e);
            }
        }
        let mut map = inode.data().map_mut();
        inode.data().set_disk_size(&mut map, size);
        inode.touch_mtime();
        let done = log::log(&mut tx, inode, &mut map, true);
        drop(map);
        done?;
        tx.finish()?;
    }
    blocks(inode, from)?;
    if long {
        orphan::done(inode)?;
    }
    Ok(())
}

/// Unmaps all blocks from `from` on.
pub(crate) fn blocks(inode: &Inode, from: FileBlock) -> CoreResult {
    // Who cuts a tree that is shared has it promised before; who goes on with it after a crash cannot refuse.
    steps(inode, Nodes::FromSlack, |tx, inode, map| {
        let ino = Ino(inode.ino());
        map.file()
            .map_err(|_| Error::Invalid)?
            .fork
            .truncate(tx, ino, from)
    })
}

/// Unmaps the blocks of `range`.
pub(crate) fn punch(inode: &Inode, range: FileRange) -> CoreResult {
    let mut rest = range;
    steps(inode, Nodes::Promised, |tx, inode, map| {
        let ino = Ino(inode.ino());
        let fork = &mut map.file().map_err(|_| Error::Invalid)?.fork;
        let done = fork.unmap(tx, ino, rest.start, rest.len)?;
        rest.skip_to(rest.start.add(done));
        Ok(rest.len == 0)
    })
}

/// What pays for nodes that a step adds to the file's tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// What is held back for what must not fail.
    FromSlack,
    /// A promise for each step.
    Promised,
}

impl Nodes {
    /// What cutting the file down to `size` takes until it is over, if that is any: of a tree that others share it
    /// frees nothing, but copies a path.
    ///
    /// # Errors
    ///
    /// `ENOSPC`.
    fn to_cut(inode: &Inode, size: i64) -> Result<Option<Promise<'_>>> {
        let height = {
            let map = inode.data().map();
            let fork = &map.file_ref()?.fork;
            match fork.is_flagged_shared() && size > 0 && size < inode.size() {
                true => u64::from(fork.height()),
                false => 0,
            }
        };
        if height == 0 {
            return Ok(None);
        }
        let sb = inode.sb();
        sb.info().promise(sb, 2 * (height + 1)).map(Some)
    }

    fn promise<'a>(self, view: View<'a>, inode: &Inode) -> CoreResult<Promise<'a>> {
        if self == Nodes::FromSlack {
            let volume = view.volume();
            if volume.space.is_overdrawn() {
                // What the steps before gave up makes up for what they took.
                if let Some(journal) = volume.journal() {
                    volume.space.reap(journal);
                }
            }
            return Ok(volume.space.kept(0));
        }
        let height = {
            let map = inode.data().map();
            u64::from(map.file_ref().map_err(|_| Error::Invalid)?.fork.height())
        };
        view.volume()
            .promise(view.sb(), nodes_of_a_step(height))
            .map_err(|_| Error::NoSpace)
    }

    /// Whether another step may run in this transaction: not at the cost of what others were promised. If not, it may
    /// in the next one.
    fn suffice(self, tx: &mut Tx<'_>, map: &Map) -> bool {
        let space = &tx.view().volume().space;
        if self == Nodes::FromSlack {
            return !space.is_overdrawn();
        }
        let height = map
            .file_ref()
            .map_or(0, |file| u64::from(file.fork.height()));
        let wanted = nodes_of_a_step(height);
        let left = tx.promise().left();
        if left >= wanted {
            return true;
        }
        match space.promise(wanted - left) {
            Some(more) => {
                tx.promise().join(more);
                true
            }
            None => false,
        }
    }
}

/// The most nodes that a step adds to a tree of this height: copies of a path, and those it splits into.
const fn nodes_of_a_step(height: u64) -> u64 {
    2 * (height + 2)
}

/// Runs `step` in transactions until it says it is finished, with the map locked in each. If it is
/// [refused](Error::is_refusal), what was done before stays.
pub(crate) fn steps(
    inode: &Inode,
    nodes: Nodes,
    mut step: impl FnMut(&mut Tx<'_>, &Inode, &mut Map) -> CoreResult<bool>,
) -> CoreResult {
    steps_beside(inode, None, nodes, |tx, inode, map, _| step(tx, inode, map))
}

/// The same with the map of another inode locked beside it, which stays as it is.
pub(crate) fn steps_beside(
    inode: &Inode,
    other: Option<&Inode>,
    nodes: Nodes,
    mut step: impl FnMut(&mut Tx<'_>, &Inode, &mut Map, Option<&Map>) -> CoreResult<bool>,
) -> CoreResult {
    let view = View::new(inode.sb());
    let _block = log::hold(&view, inode)?;
    let mut size = CREDITS;
    loop {
        let mut tx = Tx::start(view, size, nodes.promise(view, inode)?)?;
        let (other, mut map) = match other {
            Some(other) => {
                let (other, map) = lock_both(other, inode);
                (Some(other), map)
            }
            None => (None, inode.data().map_mut()),
        };
        map.changing();
        let ended = loop {
            match step(&mut tx, inode, &mut map, other.as_deref()) {
                Ok(false) if nodes.suffice(&mut tx, &map) => {}
                Ok(false) => break None,
                Ok(true) => break Some(Ok(())),
                Err(Error::NeedCredits) => break None,
                Err(e) if e.is_refusal() => break Some(Err(e)),
                Err(e) => {
                    if map.file().is_ok_and(|file| file.fork.changed()) {
                        tx.rely();
                    }
                    drop((map, other));
                    return Err(e);
                }
            }
        };
        drop(other);
        let changed = match map.file() {
            Ok(file) => file.fork.changed(),
            Err(_) => false,
        };
        if changed {
            log::log(&mut tx, inode, &mut map, true)?;
        }
        drop(map);
        size = tx.wanted().max(CREDITS);
        tx.finish()?;
        if let Some(result) = ended {
            return result;
        }
    }
}

/// Goes on with a truncation that a crash interrupted.
pub(crate) fn resume(inode: &Inode) -> Result {
    let sb = inode.sb();
    let view = View::new(sb);
    let run = || -> CoreResult {
        if inode.is_regular() {
            let size = inode.data().disk_size();
            blocks(inode, FileBlock(view.volume().blocks_up(size)))?;
        }
        orphan::done(inode)
    };
    run().map_err(|e| error::report(sb, e))
}
