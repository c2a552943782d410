// SPDX-License-Identifier: GPL-2.0

//! Time stamps of inodes.
//!
//! The VFS knows access, modification and change time. A birth time is the file system's own
//! affair, which it reports in [`InodeOperations::getattr`].
//!
//! [`InodeOperations::getattr`]: crate::linux::fs::InodeOperations::getattr

use super::{Inode, Timespec};
use crate::linux::{bindings, fs::FileSystem};

impl<F: FileSystem> Inode<F> {
    /// When it was last read.
    pub fn atime(&self) -> Timespec {
        // SAFETY: The inode is valid by the type invariants.
        Timespec::from_raw(unsafe { bindings::inode_get_atime(self.as_raw()) })
    }

    /// When its contents last changed.
    pub fn mtime(&self) -> Timespec {
        // SAFETY: The inode is valid by the type invariants.
        Timespec::from_raw(unsafe { bindings::inode_get_mtime(self.as_raw()) })
    }

    /// When anything of it last changed.
    pub fn ctime(&self) -> Timespec {
        // SAFETY: The inode is valid by the type invariants.
        Timespec::from_raw(unsafe { bindings::inode_get_ctime(self.as_raw()) })
    }

    /// Sets the access time.
    pub fn set_atime(&self, time: Timespec) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_set_atime_to_ts(self.as_raw(), time.into_raw()) };
    }

    /// Sets the modification time.
    pub fn set_mtime(&self, time: Timespec) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_set_mtime_to_ts(self.as_raw(), time.into_raw()) };
    }

    /// Sets the change time.
    pub fn set_ctime(&self, time: Timespec) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_set_ctime_to_ts(self.as_raw(), time.into_raw()) };
    }

    /// Sets the change time to now, and returns it.
    pub fn touch_ctime(&self) -> Timespec {
        // SAFETY: The inode is valid by the type invariants.
        Timespec::from_raw(unsafe { bindings::inode_set_ctime_current(self.as_raw()) })
    }

    /// Sets change and modification time to now, as after a change of a directory.
    pub fn touch_mtime(&self) {
        let now = self.touch_ctime();
        self.set_mtime(now);
    }

    /// Sets all three to now, as for a file just created, and returns it.
    pub fn touch_all_now(&self) -> Timespec {
        let now = self.touch_ctime();
        self.set_mtime(now);
        self.set_atime(now);
        now
    }
}
