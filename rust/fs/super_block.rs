// SPDX-License-Identifier: GPL-2.0

//! Super blocks: mounted file systems.
//!
//! C header: [`include/linux/fs/super.h`](srctree/include/linux/fs/super.h)

use super::{read_once, FileSystem};
use crate::linux::bindings;
use background::Background;
use core::marker::PhantomData;
use kernel::{error::to_result, prelude::*, types::Opaque};

pub(super) mod background;
pub(super) mod freeze;
pub(super) mod new;
pub(super) mod operations;

/// A mounted file system of type `F`.
///
/// # Invariants
///
/// - The super block is valid and of the type that a `Registration<F>` registered.
/// - `s_fs_info` points to a `Private<F>`, in a box that the super block owns.
#[repr(transparent)]
pub struct SuperBlock<F: FileSystem> {
    sb: Opaque<bindings::super_block>,
    _file_system: PhantomData<F>,
}

// SAFETY: A super block may be used from any thread, and so may `F::Info`.
unsafe impl<F: FileSystem> Send for SuperBlock<F> {}

// SAFETY: `struct super_block` does its own locking, and `F::Info` is `Sync`.
unsafe impl<F: FileSystem> Sync for SuperBlock<F> {}

/// What a super block has of its file system.
///
/// Inodes use it as long as they exist, which may be a little longer than the VFS counts them: it
/// takes an inode off its list before it is evicted, perhaps by another task.
#[pin_data]
pub(super) struct Private<F: FileSystem> {
    /// How many inodes are allocated.
    inodes: Opaque<bindings::atomic_long_t>,
    #[pin]
    background: Background<F>,
    #[pin]
    info: F::Info,
}

impl<F: FileSystem> Private<F> {
    pub(super) fn inode_added(&self) {
        // SAFETY: The counter is initialised.
        unsafe { bindings::inodes_inc(self.inodes.get()) };
    }

    pub(super) fn inode_gone(&self) {
        // SAFETY: The counter is initialised.
        unsafe { bindings::inodes_dec(self.inodes.get()) };
    }

    /// Waits until all inodes that are being evicted are gone.
    fn wait_for_inodes(&self) {
        // SAFETY: The counter is initialised.
        unsafe { bindings::inodes_wait(self.inodes.get()) };
    }
}

impl<F: FileSystem> SuperBlock<F> {
    /// # Safety
    ///
    /// `ptr` must point to a super block of `F` that stays valid for `'a`, and whose
    /// `s_fs_info` is set and stays so for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::super_block) -> &'a Self {
        // SAFETY: As promised by the caller; `Self` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// The C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::super_block {
        self.sb.get()
    }

    pub(super) fn private(&self) -> &Private<F> {
        // SAFETY: By the type invariants, it is set and lives as long as the super block.
        unsafe { &*(*self.as_raw()).s_fs_info.cast() }
    }

    /// The file system's own data.
    pub fn info(&self) -> &F::Info {
        &self.private().info
    }

    /// The name for messages: that of the block device.
    pub fn name(&self) -> &CStr {
        // SAFETY: The name is NUL-terminated, and changes only before the file system is used.
        unsafe { CStr::from_char_ptr((&raw const (*self.as_raw()).s_id).cast()) }
    }

    /// The block size.
    pub fn block_size(&self) -> usize {
        // SAFETY: The super block is valid by the type invariants.
        unsafe { (*self.as_raw()).s_blocksize }
    }

    /// The logarithm of the block size.
    pub fn block_bits(&self) -> u8 {
        // SAFETY: The super block is valid by the type invariants.
        unsafe { (*self.as_raw()).s_blocksize_bits }
    }

    /// Whether it is mounted read-only.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: The super block is valid by the type invariants.
        let flags = unsafe { read_once!((*self.as_raw()).s_flags) };
        flags & bindings::SB_RDONLY != 0
    }

    /// Whether it is in use: not being mounted or unmounted.
    pub fn is_active(&self) -> bool {
        // SAFETY: The super block is valid by the type invariants.
        let flags = unsafe { read_once!((*self.as_raw()).s_flags) };
        flags & bindings::SB_ACTIVE != 0
    }

    /// Writes all dirty data and metadata and waits for them.
    ///
    /// The caller keeps the file system from being unmounted and remounted: it runs in one of
    /// its operations that are called with the super block locked, such as `reconfigure`.
    pub fn sync_locked(&self) -> Result {
        // SAFETY: The super block is valid by the type invariants.
        to_result(unsafe { bindings::sync_filesystem(self.as_raw()) })
    }
}
