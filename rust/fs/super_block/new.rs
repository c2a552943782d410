// SPDX-License-Identifier: GPL-2.0

//! Super blocks under construction.
//!
//! A volume must be read before there can be data to keep about it, and inodes need that data.
//! So [`FileSystem::fill_super`] starts with a [`NewSuperBlock`], which knows the device but no
//! inodes, and turns it into a [`SuperBlock`] by handing in the data.

use super::{background::Background, operations::SuperOperations, Private, SuperBlock};
use crate::linux::{
    bindings,
    fs::{FileSystem, Timespec},
};
use core::marker::PhantomData;
use kernel::{ffi::c_ulong, prelude::*, types::Opaque};

/// A super block that has no data of its file system yet.
///
/// # Invariants
///
/// The super block is valid, of type `F`, being filled by the current task, and its `s_fs_info`
/// is null.
pub struct NewSuperBlock<'a, F: FileSystem> {
    sb: *mut bindings::super_block,
    _lifetime: PhantomData<&'a SuperBlock<F>>,
}

impl<'a, F: FileSystem> NewSuperBlock<'a, F> {
    /// # Safety
    ///
    /// `sb` must satisfy the type invariants, for `'a`.
    pub(in crate::linux::fs) unsafe fn from_raw(sb: *mut bindings::super_block) -> Self {
        // INVARIANT: As promised by the caller.
        Self {
            sb,
            _lifetime: PhantomData,
        }
    }

    /// The C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::super_block {
        self.sb
    }

    /// The name for messages: that of the block device.
    pub fn name(&self) -> &CStr {
        // SAFETY: The name is NUL-terminated, and changes only before the file system is used.
        unsafe { CStr::from_char_ptr((&raw const (*self.sb).s_id).cast()) }
    }

    /// Whether it is being mounted read-only.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: The super block is valid by the type invariants.
        unsafe { (*self.sb).s_flags & bindings::SB_RDONLY != 0 }
    }

    /// Mounts it read-only, whatever was asked for.
    pub fn set_read_only(&mut self) -> &mut Self {
        // SAFETY: The super block is valid, and nobody else uses it.
        unsafe { (*self.sb).s_flags |= bindings::SB_RDONLY };
        self
    }

    /// Sets the block size, which must be a power of two between the device's and the largest
    /// the page cache can do.
    pub fn set_block_size(&mut self, size: u32) -> Result<&mut Self> {
        const { assert!(F::REQUIRES_DEV, "needs a block device") };
        // SAFETY: The super block is valid, and nobody else uses it.
        let set = unsafe { bindings::sb_set_blocksize(self.sb, i32::try_from(size)?) };
        if set == 0 {
            return Err(EINVAL);
        }
        Ok(self)
    }

    /// Sets the block size to `size`, or the device's if that is larger, and returns it.
    pub fn set_min_block_size(&mut self, size: u32) -> Result<u32> {
        const { assert!(F::REQUIRES_DEV, "needs a block device") };
        // SAFETY: The super block is valid, and nobody else uses it.
        let set = unsafe { bindings::sb_min_blocksize(self.sb, i32::try_from(size)?) };
        match u32::try_from(set) {
            Ok(0) | Err(_) => Err(EINVAL),
            Ok(set) => Ok(set),
        }
    }

    /// The block size that is set.
    pub fn block_size(&self) -> u32 {
        // SAFETY: The super block is valid by the type invariants.
        unsafe { (*self.sb).s_blocksize as u32 }
    }

    /// Sets the number by which `statfs` tells file system types apart.
    pub fn set_magic(&mut self, magic: u32) -> &mut Self {
        // SAFETY: The super block is valid, and nobody else uses it.
        unsafe { (*self.sb).s_magic = magic as c_ulong };
        self
    }

    /// Sets the largest size of a file: less if the page cache has no number for so many pages.
    pub fn set_max_file_size(&mut self, bytes: i64) -> &mut Self {
        let bytes = bytes.clamp(0, bindings::MAX_LFS_FILESIZE);
        // SAFETY: The super block is valid, and nobody else uses it.
        unsafe { (*self.sb).s_maxbytes = bytes };
        self
    }

    /// Sets the largest number of links of an inode.
    pub fn set_max_links(&mut self, links: u32) -> &mut Self {
        // SAFETY: The super block is valid, and nobody else uses it.
        unsafe { (*self.sb).s_max_links = links };
        self
    }

    /// Sets granularity, first and last second of time stamps.
    pub fn set_time_range(&mut self, granularity_ns: u32, min: i64, max: i64) -> Result<&mut Self> {
        if granularity_ns == 0 || granularity_ns > Timespec::NSEC_PER_SEC {
            return Err(EINVAL);
        }
        // SAFETY: The super block is valid, and nobody else uses it.
        unsafe {
            (*self.sb).s_time_gran = granularity_ns;
            (*self.sb).s_time_min = min;
            (*self.sb).s_time_max = max;
        }
        Ok(self)
    }

    /// Sets the UUID of the volume.
    pub fn set_uuid(&mut self, uuid: &[u8; 16]) -> &mut Self {
        // SAFETY: The super block is valid, and nobody else uses it; the length is that of the
        // array, and of what the super block has room for.
        unsafe { bindings::super_set_uuid(self.sb, uuid.as_ptr(), 16) };
        self
    }

    /// Hands in the data to keep, from which on there can be inodes.
    ///
    /// The data is dropped after the last inode is gone, while the device is still open.
    pub fn set_info<E>(self, info: impl PinInit<F::Info, E>) -> Result<&'a SuperBlock<F>>
    where
        Error: From<E>,
    {
        // SAFETY: What is made here becomes the data of the super block, which only `clean_up` drops
        // again, having stopped the work.
        let background = unsafe { Background::new(self.sb) };
        let private = try_pin_init!(Private::<F> {
            inodes: Opaque::zeroed(),
            background <- background,
            info <- info,
        }? Error);
        let private: Result<Pin<KBox<Private<F>>>> = KBox::try_pin_init(private, GFP_KERNEL);
        // SAFETY: The box is only taken back by `drop_private`, so that the data stays pinned.
        let private = KBox::into_raw(unsafe { Pin::into_inner_unchecked(private?) });
        // SAFETY: The super block is valid, and nobody else uses it. With the data set, the
        // invariants of `SuperBlock` hold, for as long as there are inodes.
        unsafe {
            (*self.sb).s_fs_info = private.cast();
            Ok(SuperBlock::from_raw(self.sb))
        }
    }
}

/// Lets the file system clean up, and takes back what [`NewSuperBlock::set_info`] handed in.
///
/// Returns whether that was possible: if there are inodes in use, they may still need it.
///
/// # Safety
///
/// `sb` must be a super block of `F`, that has no other users any more but inodes.
pub(in crate::linux::fs) unsafe fn clean_up<F: FileSystem>(sb: *mut bindings::super_block) -> bool {
    // SAFETY: `sb` is valid.
    if unsafe { (*sb).s_fs_info.is_null() } {
        return true;
    }
    {
        // SAFETY: Its data is set.
        let sb = unsafe { SuperBlock::<F>::from_raw(sb) };
        sb.private().background.stop();
        if F::SuperOps::HAS_PUT_SUPER {
            F::SuperOps::put_super(sb);
        }
        // SAFETY: `sb` is valid.
        if unsafe { bindings::sb_has_inodes(sb.as_raw()) } {
            return false;
        }
        sb.private().wait_for_inodes();
    }
    // SAFETY: `sb` is valid, and the caller is its only user.
    let private = unsafe { core::mem::replace(&mut (*sb).s_fs_info, core::ptr::null_mut()) };
    // SAFETY: It came from `KBox::into_raw`, in `set_info`, and this is the only place that takes
    // it back. There are no inodes, so nobody refers to it. It is dropped in place, as pinned data
    // must.
    drop(unsafe { Pin::new_unchecked(KBox::<Private<F>>::from_raw(private.cast())) });
    true
}
