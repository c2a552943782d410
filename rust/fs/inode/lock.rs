// SPDX-License-Identifier: GPL-2.0

//! The locks of an inode.
//!
//! Two locks of `struct inode` are the file system's to take, in this order:
//!
//! ```text
//!   i_rwsem            shared or exclusive    reads, writes, changes of attributes, directories
//!     mmap_lock        taken by the kernel    page faults begin here
//!       invalidate_lock  shared or exclusive  faults fill pages (shared); whoever takes pages or
//!                                             their blocks away excludes them (exclusive)
//! ```
//!
//! Directory operations and [`InodeOperations::setattr`] are called with `i_rwsem` held. The
//! proof that it is held exclusively is a [`Locked`], whichever way it came to be held.
//!
//! [`InodeOperations::setattr`]: crate::linux::fs::InodeOperations::setattr

use super::Inode;
use crate::linux::{
    bindings,
    fs::{FileSystem, SuperBlock},
};
use core::ops::Deref;
use kernel::{error::to_result, prelude::*, types::NotThreadSafe};

/// An inode whose `i_rwsem` is held exclusively on behalf of the current task.
///
/// # Invariants
///
/// The lock stays held for `'a`.
pub struct Locked<'a, F: FileSystem>(&'a Inode<F>);

impl<F: FileSystem> Clone for Locked<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: FileSystem> Copy for Locked<'_, F> {}

impl<F: FileSystem> Deref for Locked<'_, F> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        self.0
    }
}

impl<'a, F: FileSystem> Locked<'a, F> {
    /// # Safety
    ///
    /// `ptr` must satisfy what [`Inode::from_raw`] asks, and be locked exclusively for `'a`, or
    /// not be visible to anybody but the caller.
    pub(in crate::linux::fs) unsafe fn from_raw(ptr: *mut bindings::inode) -> Self {
        // SAFETY: As promised by the caller.
        // INVARIANT: As promised by the caller; what nobody else sees is as good as locked.
        Self(unsafe { Inode::from_raw(ptr) })
    }

    /// The inode, for as long as the lock is held.
    pub fn inode(self) -> &'a Inode<F> {
        self.0
    }

    /// Its super block.
    pub fn super_block(self) -> &'a SuperBlock<F> {
        self.0.sb()
    }

    /// Sets the size and nothing else: pages beyond it stay.
    pub fn set_size(self, size: i64) {
        // SAFETY: The inode is valid, and the lock serialises writers of its size.
        unsafe { bindings::i_size_write(self.0.as_raw(), size) };
    }

    /// Sets the size, and takes pages beyond it out of the page cache and of mappings.
    ///
    /// A caller that shrinks a file holds its invalidate lock too, and has written a partial
    /// last block if that must be zeroed on disk.
    pub fn truncate_setsize(self, size: i64) {
        // SAFETY: The inode is valid, and the lock serialises writers of its size.
        unsafe { bindings::truncate_setsize(self.0.as_raw(), size) };
    }

    /// Whether the current task may grow the file to `size`: limits of process and file system.
    pub fn check_new_size(self, size: i64) -> Result {
        // SAFETY: The inode is valid and locked.
        to_result(unsafe { bindings::inode_newsize_ok(self.0.as_raw(), size) })
    }
}

/// Holds an inode's `i_rwsem` exclusively; dropping it unlocks.
///
/// # Invariants
///
/// The lock is held by this guard.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct WriteGuard<'a, F: FileSystem> {
    inode: &'a Inode<F>,
    _not_send: NotThreadSafe,
}

impl<'a, F: FileSystem> WriteGuard<'a, F> {
    /// Proof that the lock is held.
    pub fn locked(&self) -> Locked<'_, F> {
        // INVARIANT: The guard holds the lock and is borrowed.
        Locked(self.inode)
    }

    /// Lets readers in, without letting another writer in between.
    pub fn downgrade(self) -> ReadGuard<'a, F> {
        let inode = self.inode;
        core::mem::forget(self);
        // SAFETY: The guard held the lock exclusively, and does not unlock it any more.
        unsafe { bindings::inode_lock_downgrade(inode.as_raw()) };
        // INVARIANT: Now it is held shared.
        ReadGuard {
            inode,
            _not_send: NotThreadSafe,
        }
    }
}

impl<F: FileSystem> Deref for WriteGuard<'_, F> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        self.inode
    }
}

impl<F: FileSystem> Drop for WriteGuard<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this guard holds the lock exclusively.
        unsafe { bindings::inode_unlock(self.inode.as_raw()) };
    }
}

/// Holds an inode's `i_rwsem` shared; dropping it unlocks.
///
/// # Invariants
///
/// The lock is held by this guard.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct ReadGuard<'a, F: FileSystem> {
    inode: &'a Inode<F>,
    _not_send: NotThreadSafe,
}

impl<F: FileSystem> Deref for ReadGuard<'_, F> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        self.inode
    }
}

impl<F: FileSystem> Drop for ReadGuard<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this guard holds the lock shared.
        unsafe { bindings::inode_unlock_shared(self.inode.as_raw()) };
    }
}

/// Holds the `i_rwsem` of two files, which may be the same, exclusively.
///
/// # Invariants
///
/// The locks of `first` and `second` are held by this guard, once if they are the same.
#[must_use = "the locks unlock immediately when the guard is unused"]
pub struct TwoGuard<'a, F: FileSystem> {
    first: &'a Inode<F>,
    second: &'a Inode<F>,
    _not_send: NotThreadSafe,
}

impl<'a, F: FileSystem> TwoGuard<'a, F> {
    /// Lets readers at the first, without letting a writer in between. If both are the same, nothing
    /// changes.
    pub fn downgrade_first(
        self,
    ) -> core::result::Result<(ReadGuard<'a, F>, WriteGuard<'a, F>), Self> {
        let (first, second) = (self.first, self.second);
        if core::ptr::eq(first, second) {
            return Err(self);
        }
        core::mem::forget(self);
        // INVARIANT: This guard held both exclusively, and does not unlock them any more.
        let first = WriteGuard {
            inode: first,
            _not_send: NotThreadSafe,
        };
        // INVARIANT: As above.
        let second = WriteGuard {
            inode: second,
            _not_send: NotThreadSafe,
        };
        Ok((first.downgrade(), second))
    }
}

impl<F: FileSystem> TwoGuard<'_, F> {
    /// Proof that the lock of the first is held.
    pub fn first(&self) -> Locked<'_, F> {
        // INVARIANT: The guard holds the lock and is borrowed.
        Locked(self.first)
    }

    /// Proof that the lock of the second is held.
    pub fn second(&self) -> Locked<'_, F> {
        // INVARIANT: The guard holds the lock and is borrowed.
        Locked(self.second)
    }
}

impl<F: FileSystem> Drop for TwoGuard<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this guard holds the locks.
        unsafe { bindings::unlock_two_nondirectories(self.first.as_raw(), self.second.as_raw()) };
    }
}

/// Holds an inode's `invalidate_lock` exclusively: no page fault fills a page meanwhile.
///
/// # Invariants
///
/// The lock is held by this guard.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct InvalidateGuard<'a, F: FileSystem> {
    inode: &'a Inode<F>,
    _not_send: NotThreadSafe,
}

impl<F: FileSystem> Drop for InvalidateGuard<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this guard holds the lock exclusively.
        unsafe { bindings::filemap_invalidate_unlock(self.inode.mapping_raw()) };
    }
}

/// Holds an inode's `invalidate_lock` shared: its pages keep their blocks meanwhile.
///
/// # Invariants
///
/// The lock is held by this guard.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct InvalidateSharedGuard<'a, F: FileSystem> {
    inode: &'a Inode<F>,
    _not_send: NotThreadSafe,
}

impl<F: FileSystem> Drop for InvalidateSharedGuard<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this guard holds the lock shared.
        unsafe { bindings::filemap_invalidate_unlock_shared(self.inode.mapping_raw()) };
    }
}

/// Holds the `invalidate_lock` of two files, which may be the same, exclusively.
///
/// # Invariants
///
/// The locks of `first` and `second` are held by this guard, once if they are the same.
#[must_use = "the locks unlock immediately when the guard is unused"]
pub struct InvalidateTwoGuard<'a, F: FileSystem> {
    first: &'a Inode<F>,
    second: &'a Inode<F>,
    _not_send: NotThreadSafe,
}

impl<'a, F: FileSystem> InvalidateTwoGuard<'a, F> {
    /// Lets faults fill pages of the first, without anybody taking pages away in between. If both
    /// are the same, nothing changes.
    pub fn downgrade_first(
        self,
    ) -> core::result::Result<(InvalidateSharedGuard<'a, F>, InvalidateGuard<'a, F>), Self> {
        let (first, second) = (self.first, self.second);
        if core::ptr::eq(first, second) {
            return Err(self);
        }
        core::mem::forget(self);
        // SAFETY: This guard held the lock exclusively, and does not unlock it any more.
        unsafe { bindings::downgrade_write(&raw mut (*first.mapping_raw()).invalidate_lock) };
        // INVARIANT: The first is now held shared, the second still exclusively.
        let first = InvalidateSharedGuard {
            inode: first,
            _not_send: NotThreadSafe,
        };
        let second = InvalidateGuard {
            inode: second,
            _not_send: NotThreadSafe,
        };
        Ok((first, second))
    }
}

impl<F: FileSystem> Drop for InvalidateTwoGuard<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this guard holds the locks.
        unsafe {
            bindings::filemap_invalidate_unlock_two(
                self.first.mapping_raw(),
                self.second.mapping_raw(),
            )
        };
    }
}

impl<F: FileSystem> Inode<F> {
    /// Takes `i_rwsem` exclusively.
    pub fn lock(&self) -> WriteGuard<'_, F> {
        // SAFETY: The inode is valid by its type invariants.
        unsafe { bindings::inode_lock(self.as_raw()) };
        // INVARIANT: Just taken.
        WriteGuard {
            inode: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes `i_rwsem` exclusively if that needs no waiting.
    pub fn try_lock(&self) -> Option<WriteGuard<'_, F>> {
        // SAFETY: The inode is valid by its type invariants.
        let taken = unsafe { bindings::inode_trylock(self.as_raw()) };
        // INVARIANT: Just taken, if so.
        taken.then(|| WriteGuard {
            inode: self,
            _not_send: NotThreadSafe,
        })
    }

    /// Takes `i_rwsem` shared.
    pub fn lock_shared(&self) -> ReadGuard<'_, F> {
        // SAFETY: The inode is valid by its type invariants.
        unsafe { bindings::inode_lock_shared(self.as_raw()) };
        // INVARIANT: Just taken.
        ReadGuard {
            inode: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes `i_rwsem` shared if that needs no waiting.
    pub fn try_lock_shared(&self) -> Option<ReadGuard<'_, F>> {
        // SAFETY: The inode is valid by its type invariants.
        let taken = unsafe { bindings::inode_trylock_shared(self.as_raw()) };
        // INVARIANT: Just taken, if so.
        taken.then(|| ReadGuard {
            inode: self,
            _not_send: NotThreadSafe,
        })
    }

    /// Takes `i_rwsem` of two files exclusively, in the order that everybody uses.
    pub fn lock_two<'a>(first: &'a Self, second: &'a Self) -> Result<TwoGuard<'a, F>> {
        if first.is_dir() || second.is_dir() {
            return Err(EISDIR);
        }
        // SAFETY: Both are valid by their type invariants, and no directories.
        unsafe { bindings::lock_two_nondirectories(first.as_raw(), second.as_raw()) };
        // INVARIANT: Just taken.
        Ok(TwoGuard {
            first,
            second,
            _not_send: NotThreadSafe,
        })
    }

    /// Takes `invalidate_lock` exclusively.
    pub fn invalidate_lock(&self) -> InvalidateGuard<'_, F> {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        unsafe { bindings::filemap_invalidate_lock(self.mapping_raw()) };
        // INVARIANT: Just taken.
        InvalidateGuard {
            inode: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes `invalidate_lock` shared.
    pub fn invalidate_lock_shared(&self) -> InvalidateSharedGuard<'_, F> {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        unsafe { bindings::filemap_invalidate_lock_shared(self.mapping_raw()) };
        // INVARIANT: Just taken.
        InvalidateSharedGuard {
            inode: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes `invalidate_lock` shared if that needs no waiting.
    pub fn try_invalidate_lock_shared(&self) -> Option<InvalidateSharedGuard<'_, F>> {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        let taken = unsafe { bindings::filemap_invalidate_trylock_shared(self.mapping_raw()) };
        // INVARIANT: Just taken, if so.
        taken.then(|| InvalidateSharedGuard {
            inode: self,
            _not_send: NotThreadSafe,
        })
    }

    /// Takes `invalidate_lock` of two files exclusively, in the order that everybody uses.
    pub fn invalidate_lock_two<'a>(first: &'a Self, second: &'a Self) -> InvalidateTwoGuard<'a, F> {
        // SAFETY: The mappings of inodes are valid as long as the inodes.
        unsafe { bindings::filemap_invalidate_lock_two(first.mapping_raw(), second.mapping_raw()) };
        // INVARIANT: Just taken.
        InvalidateTwoGuard {
            first,
            second,
            _not_send: NotThreadSafe,
        }
    }
}
