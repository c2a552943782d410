// SPDX-License-Identifier: GPL-2.0

//! Open files.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{read_once, FileSystem, Inode, Locked};
use crate::linux::bindings;
use core::{marker::PhantomData, ops::Deref};
use kernel::{error::to_result, prelude::*, types::Opaque};

pub(super) mod dir;
pub mod falloc;
pub(super) mod iov_iter;
pub(super) mod kiocb;
pub(super) mod mapping;
pub(super) mod operations;
pub(super) mod remap;

/// An open file of file system `F`.
///
/// It cannot be kept beyond the operation it is given to: in [`FileOperations::release`], its last
/// reference is gone already.
///
/// [`FileOperations::release`]: operations::FileOperations::release
///
/// # Invariants
///
/// The file is valid, and its inode is one of `F`.
#[repr(transparent)]
pub struct File<F: FileSystem> {
    file: Opaque<bindings::file>,
    _file_system: PhantomData<F>,
}

// SAFETY: What methods here use of a file may be used from any thread.
unsafe impl<F: FileSystem> Send for File<F> {}

// SAFETY: What methods here use of a file may be used from any thread.
unsafe impl<F: FileSystem> Sync for File<F> {}

impl<F: FileSystem> File<F> {
    /// # Safety
    ///
    /// `ptr` must point to a file whose inode is one of `F`, valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::file) -> &'a Self {
        // SAFETY: As promised by the caller; `Self` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// The C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::file {
        self.file.get()
    }

    /// Its inode.
    pub fn inode(&self) -> &Inode<F> {
        // SAFETY: By the type invariants, the inode is one of `F`; the file holds it.
        unsafe { Inode::from_raw((*self.as_raw()).f_inode) }
    }

    /// The flags it was opened with, as in [`kernel::fs::file::flags`].
    pub fn flags(&self) -> u32 {
        // SAFETY: The file is valid by the type invariants.
        unsafe { read_once!((*self.as_raw()).f_flags) }
    }

    fn mode(&self) -> u32 {
        // SAFETY: The file is valid by the type invariants.
        unsafe { read_once!((*self.as_raw()).f_mode) }
    }

    /// Whether it is open for reading.
    pub fn is_readable(&self) -> bool {
        self.mode() & bindings::FMODE_READ != 0
    }

    /// Whether it is open for writing.
    pub fn is_writable(&self) -> bool {
        self.mode() & bindings::FMODE_WRITE != 0
    }

    /// Whether writes must reach the disk before they return (`O_SYNC`, `O_DSYNC`, or the
    /// inode's or the mount's being so).
    pub fn is_sync(&self) -> bool {
        self.flags() & bindings::O_DSYNC != 0 || self.inode().is_sync()
    }

    /// Records that the file was read, in the access time, as the mount's options say.
    pub fn accessed(&self) {
        // SAFETY: The file is valid by the type invariants.
        unsafe { bindings::file_accessed(self.as_raw()) };
    }

    /// Sets modification and change time to now, as before a write.
    pub fn update_time(&self) -> Result {
        // SAFETY: The file is valid by the type invariants.
        to_result(unsafe { bindings::file_update_time(self.as_raw()) })
    }

    /// Does what every change of contents entails: drops set-user-id bits and updates times.
    pub fn modified(&self, _inode: Locked<'_, F>) -> Result {
        // SAFETY: The file is valid by the type invariants, and its inode locked.
        to_result(unsafe { bindings::file_modified(self.as_raw()) })
    }

    /// Writes dirty pages of the range, waits for them, and reports errors of earlier writes
    /// that this file has not been told of. The first half of `fsync`.
    pub fn write_and_wait_range(&self, start: i64, last: i64) -> Result {
        // SAFETY: The file is valid by the type invariants.
        to_result(unsafe { bindings::file_write_and_wait_range(self.as_raw(), start, last) })
    }

    /// Reports errors of earlier writes that this file has not been told of.
    pub fn check_write_error(&self) -> Result {
        // SAFETY: The file is valid by the type invariants.
        to_result(unsafe { bindings::file_check_and_advance_wb_err(self.as_raw()) })
    }

    /// `lseek` for a file whose end is at `size`, with offsets up to `max`, and without holes; the
    /// result becomes the file position.
    pub fn seek(&self, offset: i64, whence: SeekFrom, max: i64, size: i64) -> Result<i64> {
        // SAFETY: The file is valid by the type invariants.
        to_offset(unsafe {
            bindings::generic_file_llseek_size(self.as_raw(), offset, whence as i32, max, size)
        })
    }

    /// Makes `offset` the file position, if it is within `max`.
    pub fn set_pos(&self, offset: i64, max: i64) -> Result<i64> {
        // SAFETY: The file is valid by the type invariants.
        to_offset(unsafe { bindings::vfs_setpos(self.as_raw(), offset, max) })
    }
}

/// An offset returned by C, or the error it stands for.
pub(super) fn to_offset(value: i64) -> Result<i64> {
    if value < 0 {
        return Err(match i32::try_from(value) {
            Ok(errno) => Error::from_errno(errno),
            Err(_) => EINVAL,
        });
    }
    Ok(value)
}

/// A byte count returned by C, or the error it stands for.
pub(super) fn to_count(value: isize) -> Result<usize> {
    // CAST: `isize` has 64 bits at most.
    to_offset(value as i64).map(|value| value as usize)
}

/// From where `lseek` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SeekFrom {
    /// The beginning of the file.
    Start = bindings::SEEK_SET as i32,
    /// The file position.
    Current = bindings::SEEK_CUR as i32,
    /// The end of the file.
    End = bindings::SEEK_END as i32,
    /// The next data at or after the offset.
    Data = bindings::SEEK_DATA as i32,
    /// The next hole at or after the offset.
    Hole = bindings::SEEK_HOLE as i32,
}

impl SeekFrom {
    fn from_raw(whence: i32) -> Result<Self> {
        Ok(match whence as u32 {
            bindings::SEEK_SET => Self::Start,
            bindings::SEEK_CUR => Self::Current,
            bindings::SEEK_END => Self::End,
            bindings::SEEK_DATA => Self::Data,
            bindings::SEEK_HOLE => Self::Hole,
            _ => return Err(EINVAL),
        })
    }
}

/// A file that is being opened, so that its capabilities can be set.
///
/// # Invariants
///
/// Nobody else uses the file.
#[repr(transparent)]
pub struct OpeningFile<'a, F: FileSystem>(&'a File<F>);

impl<F: FileSystem> Deref for OpeningFile<'_, F> {
    type Target = File<F>;

    fn deref(&self) -> &File<F> {
        self.0
    }
}

impl<F: FileSystem> OpeningFile<'_, F> {
    fn add_mode(&mut self, mode: u32) -> &mut Self {
        // SAFETY: The file is valid, and by the type invariants nobody else uses it.
        unsafe { (*self.0.as_raw()).f_mode |= mode };
        self
    }

    /// Reads and writes can be asked not to block.
    pub fn set_nowait(&mut self) -> &mut Self {
        self.add_mode(bindings::FMODE_NOWAIT)
    }

    /// It can be read and written directly, although its mapping has no `direct_IO`.
    pub fn set_direct_io(&mut self) -> &mut Self {
        self.add_mode(bindings::FMODE_CAN_ODIRECT)
    }

    /// It can be written untorn.
    pub fn set_atomic_writes(&mut self) -> &mut Self {
        self.add_mode(bindings::FMODE_CAN_ATOMIC_WRITE)
    }

    /// Fails with `EOVERFLOW` if the file is too large for how it is being opened.
    pub fn check_size(&self) -> Result {
        // SAFETY: File and inode are valid by the type invariants.
        to_result(unsafe { bindings::generic_file_open(self.0.inode().as_raw(), self.0.as_raw()) })
    }
}
