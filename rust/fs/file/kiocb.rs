// SPDX-License-Identifier: GPL-2.0

//! Reads and writes in progress.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{iov_iter::IovIter, to_count, File, FileSystem};
use crate::linux::{
    bindings,
    error::EIOCBQUEUED,
    fs::{Inode, Locked},
};
use core::mem::MaybeUninit;
use kernel::{error::to_result, prelude::*};

/// A read or write, `struct kiocb`.
///
/// # Invariants
///
/// - The block is valid, of `file`, and used by nobody else, for `'a`, which is up to the return of
///   `read_iter` or `write_iter`. It is the caller's, until the I/O is queued; then that one may be
///   gone as soon as the I/O is complete, and `spare` is in its place.
/// - Whoever asks for I/O keeps the file until those return.
pub struct Kiocb<'a, F: FileSystem> {
    iocb: *mut bindings::kiocb,
    file: &'a File<F>,
    spare: &'a mut MaybeUninit<bindings::kiocb>,
    /// Whether `spare` is in the block's place.
    queued: bool,
}

/// Proof that [`Kiocb::check_write`] found something to write.
#[derive(Clone, Copy, Debug)]
pub struct WriteChecked {
    count: usize,
}

impl WriteChecked {
    /// How many bytes to write, as far as limits allow.
    pub fn count(self) -> usize {
        self.count
    }
}

impl<'a, F: FileSystem> Kiocb<'a, F> {
    /// # Safety
    ///
    /// `iocb` must satisfy the type invariants, for `'a`, with a file of `F`.
    pub(super) unsafe fn from_raw(
        iocb: *mut bindings::kiocb,
        spare: &'a mut MaybeUninit<bindings::kiocb>,
    ) -> Self {
        // SAFETY: As promised by the caller.
        let file = unsafe { File::from_raw((*iocb).ki_filp) };
        // INVARIANT: As promised by the caller.
        Self {
            iocb,
            file,
            spare,
            queued: false,
        }
    }

    /// What came of I/O, as Rust has it. If it is queued, and will be completed by somebody else, the block is
    /// given away.
    pub(crate) fn outcome(&mut self, ret: isize) -> Result<usize> {
        let result = to_count(ret);
        if result == Err(EIOCBQUEUED) {
            // INVARIANT: A block that nobody else knows.
            self.iocb = self.spare.write(bindings::kiocb {
                ki_filp: self.file.as_raw(),
                ..Default::default()
            });
            self.queued = true;
        }
        result
    }

    /// What C code is told of a request of `most` bytes that was answered with `count`: that it is queued if and only
    /// if it is, and not of more than was asked for.
    pub(super) fn answer(&self, count: Result<usize>, most: usize) -> isize {
        let error = match count {
            _ if self.queued => EIOCBQUEUED,
            Ok(count) if count <= most => match isize::try_from(count) {
                Ok(count) => return count,
                Err(_) => EIO,
            },
            Ok(_) | Err(EIOCBQUEUED) => EIO,
            Err(error) => error,
        };
        error.to_errno() as isize
    }

    /// The C object.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::kiocb {
        self.iocb
    }

    /// The file.
    pub fn file(&self) -> &'a File<F> {
        self.file
    }

    /// Where in the file, in bytes.
    pub fn pos(&self) -> i64 {
        // SAFETY: The block is valid by the type invariants.
        unsafe { (*self.iocb).ki_pos }
    }

    /// Sets where in the file, in bytes.
    pub fn set_pos(&mut self, pos: i64) {
        // SAFETY: The block is valid, and ours, by the type invariants.
        unsafe { (*self.iocb).ki_pos = pos };
    }

    fn has(&self, flag: i32) -> bool {
        // SAFETY: The block is valid by the type invariants.
        unsafe { (*self.iocb).ki_flags & flag != 0 }
    }

    /// Whether it is direct I/O.
    pub fn is_direct(&self) -> bool {
        self.has(bindings::IOCB_DIRECT as i32)
    }

    /// Makes it buffered I/O.
    pub fn clear_direct(&mut self) {
        // SAFETY: The block is valid, and ours, by the type invariants.
        unsafe { (*self.iocb).ki_flags &= !(bindings::IOCB_DIRECT as i32) };
    }

    /// Whether it must fail with `EAGAIN` rather than block.
    pub fn is_nowait(&self) -> bool {
        self.has(bindings::IOCB_NOWAIT)
    }

    /// Whether it must reach the disk before it is complete.
    pub fn is_dsync(&self) -> bool {
        self.has(bindings::IOCB_DSYNC) || self.file().inode().is_sync()
    }

    /// Whether it goes to the end of the file.
    pub fn is_append(&self) -> bool {
        self.has(bindings::IOCB_APPEND)
    }

    /// Whether it must be on disk all or not at all.
    pub fn is_atomic(&self) -> bool {
        self.has(bindings::IOCB_ATOMIC)
    }

    /// Whether the caller waits for it, so that it is complete on return.
    pub fn is_sync(&self) -> bool {
        // SAFETY: The block is valid by the type invariants.
        unsafe { (*self.iocb).ki_complete.is_none() }
    }

    /// Whether the task may write here and so much: cuts the iterator to what limits allow, and
    /// sets the position to the end of a file that is appended to. `None` if nothing is to be
    /// written.
    pub fn check_write(
        &mut self,
        _inode: &Inode<F>,
        iter: &mut IovIter,
    ) -> Result<Option<WriteChecked>> {
        // SAFETY: Block and iterator are valid by their type invariants.
        let count = to_count(unsafe { bindings::generic_write_checks(self.iocb, iter.as_raw()) })?;
        Ok((count != 0).then_some(WriteChecked { count }))
    }

    /// Does what every write entails: drops set-user-id bits and updates times. `EAGAIN` if that
    /// would block and must not.
    pub fn modified(&mut self) -> Result {
        // SAFETY: The block is valid by the type invariants.
        to_result(unsafe { bindings::kiocb_modified(self.iocb) })
    }

    /// Ends a write of `count` bytes that was done when it returned: syncs them if that was
    /// asked for. To be called without the inode locked.
    pub fn write_sync(&mut self, count: usize) -> Result<usize> {
        let count = isize::try_from(count)?;
        // SAFETY: The block is valid by the type invariants.
        to_count(unsafe { bindings::generic_write_sync(self.iocb, count) })
    }

    /// Reads through the page cache.
    pub fn read_buffered(&mut self, iter: &mut IovIter) -> Result<usize> {
        // SAFETY: Block and iterator are valid by their type invariants.
        let ret = unsafe { bindings::filemap_read(self.iocb, iter.as_raw(), 0) };
        self.outcome(ret)
    }

    /// Writes and then drops the pages that direct I/O of `count` bytes here will go past.
    pub fn invalidate_pages(&mut self, count: usize) -> Result {
        // SAFETY: The block is valid by the type invariants.
        to_result(unsafe { bindings::kiocb_invalidate_pages(self.iocb, count) })
    }

    /// A write of `count` bytes at `pos` by `RWF_ATOMIC` must be aligned to its length, which is
    /// a power of two. `EINVAL` if it is not.
    pub fn check_atomic(&mut self, iter: &mut IovIter) -> Result {
        // SAFETY: Block and iterator are valid by their type invariants.
        to_result(unsafe { bindings::generic_atomic_write_valid(self.iocb, iter.as_raw()) })
    }

    /// Whether the inode of the file is the one that is locked.
    pub fn is_on(&self, inode: Locked<'_, F>) -> bool {
        core::ptr::eq(self.file().inode(), inode.inode())
    }
}
