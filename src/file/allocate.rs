// SPDX-License-Identifier: GPL-2.0

//! fallocate(2): preallocate, punch holes, zero, unshare.

use crate::cow;
use crate::error;
use crate::inode::log;
use crate::io::buffered::Write;
use crate::libcowfs::cow::FileRange;
use crate::libcowfs::error::{Error, Result as CoreResult};
use crate::libcowfs::space;
use crate::libcowfs::store::Reader;
use crate::libcowfs::units::{FileBlock, Ino};
use crate::linux::error::EOPNOTSUPP;
use crate::linux::fs::{falloc, File, Locked};
use crate::linux::iomap::buffered;
use crate::space::Promise;
use crate::super_block::Cowfs;
use crate::transaction::Tx;
use crate::truncate;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Most blocks allocated in one transaction.
const STEP: u64 = 2048;
/// Credits for mapping one extent.
const CREDITS: u32 = 32;

/// Does what `mode` says to the bytes `[offset, offset + len)`, both positive.
pub(crate) fn fallocate(file: &File<Cowfs>, mode: u32, offset: i64, len: i64) -> Result {
    let known = falloc::KEEP_SIZE | falloc::PUNCH_HOLE | falloc::ZERO_RANGE | falloc::UNSHARE_RANGE;
    if mode & !known != 0 {
        return Err(EOPNOTSUPP);
    }
    let inode = file.inode();
    if !inode.is_regular() {
        return Err(EOPNOTSUPP);
    }
    inode.sb().info().check_writable()?;
    {
        let lock = inode.lock();
        let locked = lock.locked();
        inode.dio_wait();
        let _pages = inode.invalidate_lock();
        let end = offset.checked_add(len).ok_or(EFBIG)?;
        let grows = mode & falloc::KEEP_SIZE == 0 && end > inode.size();
        if grows {
            locked.check_new_size(end)?;
        }
        file.modified(locked)?;
        if grows {
            truncate::uncover(locked, end)?;
        }
        if mode & falloc::PUNCH_HOLE != 0 {
            punch(inode, offset, end)?;
        } else {
            if mode & falloc::ZERO_RANGE != 0 {
                punch(inode, offset, end)?;
            }
            if mode & falloc::UNSHARE_RANGE != 0 {
                let end = end.min(inode.size());
                if end > offset {
                    buffered::unshare::<Write>(inode, offset, end - offset)?;
                    inode.write_and_wait_range(offset, end - 1)?;
                }
            }
            preallocate(inode, offset, end)?;
        }
        if grows {
            grow(locked, end)?;
        }
    }
    if file.is_sync() {
        crate::file::sync::metadata(inode, true)?;
    }
    Ok(())
}

/// Makes the file longer; what is between its old end and the new reads as zeros.
fn grow(locked: Locked<'_, Cowfs>, end: i64) -> Result {
    let inode = locked.inode();
    let sb = inode.sb();
    let old = inode.size();
    let zeroed = end > old && buffered::zero_range::<Write>(inode, old, end - old)?;
    truncate::write_end(inode, end, zeroed || old as u64 > inode.data().disk_size())?;
    let _block = log::hold(&View::new(sb), inode).map_err(|e| error::report(sb, e))?;
    locked.truncate_setsize(end);
    truncate::log_size(inode, end).map_err(|e| error::report(sb, e))
}

/// Takes the data of the bytes `[start, end)` out of the file.
fn punch(inode: &Inode, start: i64, end: i64) -> Result {
    let sb = inode.sb();
    let view = View::new(sb);
    let block = view.geometry().block_size() as i64;
    inode.write_and_wait_range(start, end.saturating_sub(1))?;
    let size = inode.size();
    // The parts of blocks at both ends are zeroed, the whole blocks between taken out.
    let first = cow::offset(
        &view,
        FileBlock(view.volume().blocks_up(start.max(0) as u64)),
    );
    let last = end & !(block - 1);
    if first > last {
        let end = end.min(size);
        if end > start {
            buffered::zero_range::<Write>(inode, start, end - start)?;
        }
        return Ok(());
    }
    let head = first.min(size);
    if head > start {
        buffered::zero_range::<Write>(inode, start, head - start)?;
    }
    let tail = end.min(size);
    if tail > last {
        buffered::zero_range::<Write>(inode, last, tail - last)?;
    }
    if first == last {
        return Ok(());
    }
    inode.punch_pages(first, last - 1);
    let range = cow::blocks(&view, first, (last - first) as u64);
    let cancelled = cow::cancel(inode, &mut inode.data().map_mut(), range);
    cancelled
        .and_then(|()| truncate::punch(inode, range))
        .map_err(|e| error::report(sb, e))
}

/// Gives every hole in the bytes `[start, end)` blocks that read as zeros.
fn preallocate(inode: &Inode, start: i64, end: i64) -> Result {
    let sb = inode.sb();
    let view = View::new(sb);
    inode.write_and_wait_range(start, end.saturating_sub(1))?;
    let len = u64::try_from(end.saturating_sub(start)).unwrap_or(0);
    let mut rest = cow::blocks(&view, start, len);
    cow::cancel(inode, &mut inode.data().map_mut(), rest).map_err(|e| error::report(sb, e))?;
    while rest.len > 0 {
        let (found, shared, height) = {
            let map = inode.data().map();
            let fork = &map.file_ref()?.fork;
            let (found, shared) = fork
                .lookup_shared(&view, rest.start, rest.len)
                .map_err(|e| error::report(sb, e))?;
            (found, shared, fork.height())
        };
        let mut done = found.len;
        if shared && found.extent.is_some_and(|extent| extent.unwritten) {
            // What another file may write to is no promise for this one.
            let range = FileRange::new(rest.start, found.len);
            truncate::punch(inode, range).map_err(|e| error::report(sb, e))?;
            continue;
        }
        if found.extent.is_none() {
            let hole = FileRange::new(rest.start, found.len.min(STEP));
            done = fill(view, inode, hole, u64::from(height))?;
        }
        rest.skip_to(rest.start.add(done));
    }
    Ok(())
}

/// Gives the beginning of a hole blocks, and returns how many.
fn fill(view: View<'_>, inode: &Inode, hole: FileRange, height: u64) -> Result<u64> {
    let sb = inode.sb();
    let nodes = 2 * (height + 2);
    let mut credits = CREDITS;
    loop {
        let promise = view.volume().promise(sb, hole.len.saturating_add(nodes))?;
        let filled = fill_once(view, inode, hole, promise, &mut credits);
        if let Some(done) = filled.map_err(|e| error::report(sb, e))? {
            return Ok(done);
        }
    }
}

/// Tries that in one transaction; `None` if it takes one of more `credits`. What it changed before it was refused,
/// nodes that were copied, stays.
fn fill_once(
    view: View<'_>,
    inode: &Inode,
    hole: FileRange,
    promise: Promise<'_>,
    credits: &mut u32,
) -> CoreResult<Option<u64>> {
    let _block = log::hold(&view, inode)?;
    let mut tx = Tx::start(view, *credits, promise)?;
    let mut map = inode.data().map_mut();
    map.changing();
    let goal = cow::near(&view, inode);
    let (disk, len) = space::stage(&view, goal, u32::try_from(hole.len).unwrap_or(u32::MAX))?;
    let fork = &mut map.file().map_err(|_| Error::Invalid)?.fork;
    let mapped = fork.insert_unwritten(&mut tx, Ino(inode.ino()), hole.start, disk, len);
    let done = *mapped.as_ref().unwrap_or(&0);
    let changed = fork.changed();
    if changed {
        tx.rely();
    }
    if done > 0 {
        space::commit_staged(&mut tx, disk, done)?;
    }
    if done < len {
        space::unstage(&view, disk.add(u64::from(done)), len - done)?;
    }
    match mapped {
        Err(e) if !e.is_refusal() => return Err(e),
        _ => {}
    }
    if changed {
        log::log(&mut tx, inode, &mut map, true)?;
    }
    drop(map);
    *credits = tx.wanted().max(CREDITS);
    tx.finish()?;
    match mapped {
        Ok(done) => Ok(Some(u64::from(done))),
        Err(Error::NeedCredits) => Ok(None),
        Err(e) => Err(e),
    }
}
