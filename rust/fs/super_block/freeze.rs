// SPDX-License-Identifier: GPL-2.0

//! Protection against freezing.
//!
//! Freezing a file system stops, in this order, what changes it: system calls, page faults, and
//! what the file system does on its own account. Each declares itself before it takes any other
//! lock, by a [`FreezeGuard`] of its level; system calls are declared by the VFS.

use super::SuperBlock;
use crate::linux::{bindings, fs::FileSystem};
use kernel::types::NotThreadSafe;

/// What a freeze waits for, from the outermost to the innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeLevel {
    /// A system call that writes.
    Write,
    /// A page fault that makes a page writable.
    PageFault,
    /// Something of the file system's own, such as eviction of an inode or a worker.
    Internal,
}

/// Keeps the file system from being frozen.
///
/// # Invariants
///
/// The freeze protection of `level` is held on `sb`.
#[must_use = "protection ends immediately when the guard is unused"]
pub struct FreezeGuard<'a, F: FileSystem> {
    sb: &'a SuperBlock<F>,
    level: FreezeLevel,
    _not_send: NotThreadSafe,
}

impl<F: FileSystem> SuperBlock<F> {
    /// Keeps the file system from being frozen; waits if it is.
    pub fn start_write(&self, level: FreezeLevel) -> FreezeGuard<'_, F> {
        // SAFETY: The super block is valid by its type invariants.
        unsafe {
            match level {
                FreezeLevel::Write => bindings::sb_start_write(self.as_raw()),
                FreezeLevel::PageFault => bindings::sb_start_pagefault(self.as_raw()),
                FreezeLevel::Internal => bindings::sb_start_intwrite(self.as_raw()),
            }
        }
        // INVARIANT: Just taken.
        FreezeGuard {
            sb: self,
            level,
            _not_send: NotThreadSafe,
        }
    }

    /// As [`Self::start_write`] of [`FreezeLevel::Write`], unless the file system is frozen or
    /// somebody is about to freeze it.
    ///
    /// For workers: what they do may in turn wait for protection of the inner levels.
    pub fn try_start_write(&self) -> Option<FreezeGuard<'_, F>> {
        // SAFETY: The super block is valid by its type invariants.
        let taken = unsafe { bindings::sb_start_write_trylock(self.as_raw()) };
        // INVARIANT: Just taken, if so.
        taken.then(|| FreezeGuard {
            sb: self,
            level: FreezeLevel::Write,
            _not_send: NotThreadSafe,
        })
    }
}

impl<F: FileSystem> Drop for FreezeGuard<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the protection is held.
        unsafe {
            match self.level {
                FreezeLevel::Write => bindings::sb_end_write(self.sb.as_raw()),
                FreezeLevel::PageFault => bindings::sb_end_pagefault(self.sb.as_raw()),
                FreezeLevel::Internal => bindings::sb_end_intwrite(self.sb.as_raw()),
            }
        }
    }
}
