// SPDX-License-Identifier: GPL-2.0

//! Which way a write goes.
//!
//! ```text
//!   direct, whole blocks        i_rwsem shared (exclusive to extend, until checked)    io/direct.rs
//!   direct, parts of blocks     in place under i_rwsem shared; else through the page cache, since a part of a
//!                               block cannot be copied on write by the device
//!   buffered                    i_rwsem exclusive                                      io/buffered.rs
//! ```

use crate::io::buffered::Write as BufferedWrite;
use crate::io::direct::{Done, Write as DirectWrite};
use crate::libcowfs::store::Reader;
use crate::linux::error::ENOTBLK;
use crate::linux::fs::{InodeFlags, IovIter, Kiocb, Locked, ReadGuard};
use crate::linux::iomap::{buffered, dio};
use crate::room::{self, Effort};
use crate::super_block::Cowfs;
use crate::truncate;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Writes.
pub(crate) fn write(iocb: &mut Kiocb<'_, Cowfs>, iter: &mut IovIter) -> Result<usize> {
    let inode = iocb.file().inode();
    inode.sb().info().check_writable()?;
    if iter.is_empty() {
        return Ok(0);
    }
    if iocb.is_direct() {
        match direct(iocb, iter, inode) {
            Err(e) if e == ENOTBLK => {}
            done => return done,
        }
    }
    through_cache(iocb, iter, inode)
}

/// Before a write up to byte `end`: takes out what is mapped beyond the end of the file, and zeroes what is between that
/// end and the write, in its block.
fn zero_gap(locked: Locked<'_, Cowfs>, pos: i64, end: i64) -> Result {
    let inode = locked.inode();
    let size = inode.size();
    if end > size && inode.data().may_reach_beyond() {
        inode.dio_wait();
        let _pages = inode.invalidate_lock();
        truncate::uncover(locked, i64::MAX)?;
        inode.data().set_reaches_beyond(false);
    }
    if pos > size {
        // Direct writes under way may move the end.
        inode.dio_wait();
        let size = inode.size();
        if pos > size {
            let zeroed = {
                let _pages = inode.invalidate_lock();
                truncate::uncover(locked, pos)?;
                buffered::zero_range::<BufferedWrite>(inode, size, pos - size)?
            };
            truncate::write_end(inode, pos, zeroed)?;
        }
    }
    Ok(())
}

fn through_cache(iocb: &mut Kiocb<'_, Cowfs>, iter: &mut IovIter, inode: &Inode) -> Result<usize> {
    let mut tried = false;
    let (written, converts) = loop {
        let (done, converts) = {
            let lock = if iocb.is_nowait() {
                inode.try_lock().ok_or(EAGAIN)?
            } else {
                inode.lock()
            };
            if iocb.check_write(inode, iter)?.is_none() {
                return Ok(0);
            }
            let end = iocb.pos().saturating_add_unsigned(iter.count() as u64);
            // Direct writes under way may move the end, which iomap does without looking. And a part of a block that
            // is written directly would be lost, were the rest of the block read before it is there.
            if end > inode.size() || iocb.is_direct() {
                if iocb.is_nowait() {
                    return Err(EAGAIN);
                }
                inode.dio_wait();
                if iocb.is_append() && iocb.check_write(inode, iter)?.is_none() {
                    return Ok(0);
                }
            }
            let done = zero_gap(lock.locked(), iocb.pos(), end)
                .and_then(|()| iocb.modified())
                .and_then(|()| buffered::write::<BufferedWrite>(iocb, iter));
            (done, inode.data().take_conversion())
        };
        match done {
            Err(e) if e == ENOSPC && !tried && !iocb.is_nowait() => {
                tried = true;
                room::make(inode.sb(), Effort::WriteBack);
            }
            done => break (done?, converts),
        }
    };
    if converts && written > 0 {
        // Errors are told by fsync, as if it had been written out later.
        let end = iocb.pos();
        let start = end.saturating_sub_unsigned(written as u64);
        let _ = inode.write_and_wait_range(start, end - 1);
    }
    iocb.write_sync(written)
}

fn direct(iocb: &mut Kiocb<'_, Cowfs>, iter: &mut IovIter, inode: &Inode) -> Result<usize> {
    let view = View::new(inode.sb());
    let block = view.geometry().block_size() as u64;
    let sector = u64::from(view.volume().device.logical_block_size());
    let bits = iocb.pos() as u64 | iter.count() as u64;
    if bits & (sector - 1) != 0 {
        return Err(EINVAL);
    }
    if bits & (block - 1) != 0 {
        return direct_part(iocb, iter, inode);
    }
    let nowait = iocb.is_nowait();
    let end = iocb.pos().saturating_add_unsigned(iter.count() as u64);
    // To extend, and to drop set-user-id bits, nobody else may write. With the lock held that stays as it is.
    let shares = || end <= inode.size() && inode.flags().contains(InodeFlags::NOSEC);
    if !iocb.is_append() && shares() {
        let _lock = share(inode, nowait)?;
        if shares() {
            if iocb.check_write(inode, iter)?.is_none() {
                return Ok(0);
            }
            check_whole(iocb, iter, block)?;
            iocb.modified()?;
            return dio::rw::<DirectWrite, Done>(iocb, iter, dio::Flags::FSBLOCK_ALIGNED, 0);
        }
    }
    let lock = if nowait {
        inode.try_lock().ok_or(EAGAIN)?
    } else {
        inode.lock()
    };
    if iocb.is_append() {
        // Direct writes under way may move the end.
        if nowait {
            return Err(EAGAIN);
        }
        inode.dio_wait();
    }
    if iocb.check_write(inode, iter)?.is_none() {
        return Ok(0);
    }
    check_whole(iocb, iter, block)?;
    if nowait && iocb.pos() > inode.size() {
        return Err(EAGAIN);
    }
    let end = iocb.pos().saturating_add_unsigned(iter.count() as u64);
    if nowait && end > inode.size() && inode.data().may_reach_beyond() {
        return Err(EAGAIN);
    }
    zero_gap(lock.locked(), iocb.pos(), end)?;
    iocb.modified()?;
    if iocb.is_append() {
        // The next one to append must find this one's end.
        return dio::rw::<DirectWrite, Done>(
            iocb,
            iter,
            dio::Flags::FSBLOCK_ALIGNED | dio::Flags::FORCE_WAIT,
            0,
        );
    }
    let _lock = lock.downgrade();
    dio::rw::<DirectWrite, Done>(iocb, iter, dio::Flags::FSBLOCK_ALIGNED, 0)
}

/// Checks that a write is one of whole blocks, or sectors, still: appending moved it to the end of the file, and a limit
/// may have cut it. Fails with `ENOTBLK` if not, or with `EAGAIN` if that would block and must not.
fn check_whole(iocb: &Kiocb<'_, Cowfs>, iter: &IovIter, block: u64) -> Result {
    let bits = iocb.pos() as u64 | iter.count() as u64;
    match bits & (block - 1) {
        0 => Ok(()),
        _ if iocb.is_nowait() => Err(EAGAIN),
        _ => Err(ENOTBLK),
    }
}

/// Locks the inode for a write beside others. A clone under way lets readers share the lock, but not us.
fn share(inode: &Inode, nowait: bool) -> Result<ReadGuard<'_, Cowfs>> {
    let lock = if nowait {
        inode.try_lock_shared().ok_or(EAGAIN)?
    } else {
        inode.lock_shared()
    };
    if !inode.data().is_cloned_from() {
        return Ok(lock);
    }
    drop(lock);
    if nowait {
        return Err(EAGAIN);
    }
    Ok(inode.lock().downgrade())
}

/// A direct write that begins or ends inside a block.
fn direct_part(iocb: &mut Kiocb<'_, Cowfs>, iter: &mut IovIter, inode: &Inode) -> Result<usize> {
    let nowait = iocb.is_nowait();
    let end = iocb.pos().saturating_add_unsigned(iter.count() as u64);
    let shares = || end < inode.size() && inode.flags().contains(InodeFlags::NOSEC);
    let other = if nowait { EAGAIN } else { ENOTBLK };
    if iocb.is_append() || !shares() {
        return Err(other);
    }
    let _lock = share(inode, nowait)?;
    if !shares() {
        return Err(other);
    }
    if iocb.check_write(inode, iter)?.is_none() {
        return Ok(0);
    }
    let sector = View::new(inode.sb()).volume().device.logical_block_size();
    check_whole(iocb, iter, sector.into())?;
    iocb.modified()?;
    match dio::rw::<DirectWrite, Done>(iocb, iter, dio::Flags::OVERWRITE_ONLY, 0) {
        Err(e) if e == EAGAIN && !nowait => Err(ENOTBLK),
        done => done,
    }
}
