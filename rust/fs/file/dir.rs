// SPDX-License-Identifier: GPL-2.0

//! Reading directories.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{File, FileSystem};
use crate::linux::{bindings, fs::FileType};

/// The type of a directory entry, as told by `readdir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DirEntryType {
    /// Not known without reading the inode.
    Unknown = bindings::DT_UNKNOWN as u8,
    /// A named pipe.
    Fifo = bindings::DT_FIFO as u8,
    /// A character device.
    CharDevice = bindings::DT_CHR as u8,
    /// A directory.
    Directory = bindings::DT_DIR as u8,
    /// A block device.
    BlockDevice = bindings::DT_BLK as u8,
    /// A regular file.
    Regular = bindings::DT_REG as u8,
    /// A symbolic link.
    Symlink = bindings::DT_LNK as u8,
    /// A local socket.
    Socket = bindings::DT_SOCK as u8,
}

impl From<FileType> for DirEntryType {
    fn from(file_type: FileType) -> Self {
        match file_type {
            FileType::Fifo => Self::Fifo,
            FileType::CharDevice => Self::CharDevice,
            FileType::Directory => Self::Directory,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Regular => Self::Regular,
            FileType::Symlink => Self::Symlink,
            FileType::Socket => Self::Socket,
        }
    }
}

/// Where to put directory entries, `struct dir_context`.
///
/// # Invariants
///
/// The pointers are valid, and used by the current task only, for `'a`.
pub struct DirContext<'a, F: FileSystem> {
    file: &'a File<F>,
    context: &'a mut bindings::dir_context,
}

impl<'a, F: FileSystem> DirContext<'a, F> {
    /// # Safety
    ///
    /// `file` must be open on a directory of `F` that is locked, and `context` for reading that,
    /// both valid for `'a`, and `context` used by nobody else.
    pub(super) unsafe fn from_raw(
        file: *mut bindings::file,
        context: *mut bindings::dir_context,
    ) -> Self {
        // SAFETY: As promised by the caller.
        // INVARIANT: As promised by the caller.
        unsafe {
            Self {
                file: File::from_raw(file),
                context: &mut *context,
            }
        }
    }

    /// The directory being read.
    pub fn file(&self) -> &'a File<F> {
        self.file
    }

    /// The position, which is a cookie of the file system's own, beyond the first two.
    pub fn pos(&self) -> i64 {
        self.context.pos
    }

    /// Sets the position at which to go on: that of the first entry not yet emitted.
    pub fn set_pos(&mut self, pos: i64) {
        self.context.pos = pos;
    }

    /// Emits `.` and `..`, at positions 0 and 1. Returns whether there is room for more; the
    /// position is 2 then, if it was less.
    #[must_use]
    pub fn emit_dots(&mut self) -> bool {
        // SAFETY: By the type invariants, both are valid, and the file is a directory.
        unsafe { bindings::dir_emit_dots(self.file.as_raw(), self.context) }
    }

    /// Emits an entry. Returns whether there was room for it.
    ///
    /// The position must be that of this entry, and be advanced afterwards.
    #[must_use]
    pub fn emit(&mut self, name: &[u8], ino: u64, entry_type: DirEntryType) -> bool {
        let Ok(len) = i32::try_from(name.len()) else {
            return false;
        };
        // SAFETY: By the type invariants, the context is valid; the name is `len` bytes long.
        unsafe {
            bindings::dir_emit(
                self.context,
                name.as_ptr().cast(),
                len,
                ino,
                entry_type as u32,
            )
        }
    }
}
