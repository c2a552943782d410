// SPDX-License-Identifier: GPL-2.0

//! Allocation and release of inodes.
//!
//! Memory comes from a slab cache of the [`Registration`]. The slab's constructor runs once for
//! each object, when its page is allocated, and sets up what survives reuse (locks and list
//! heads of `struct inode`); the file system's data is made anew by each allocation.
//!
//! An inode goes in two steps. `destroy_inode` runs when nobody can find the inode any more, in
//! a context that may sleep, and drops the file system's data. Path lookup may still look at
//! `struct inode` under RCU, for instance at an inline link target, so that target and the
//! memory itself go in `free_inode`, after a grace period.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use super::Inode;
use crate::linux::{
    bindings,
    fs::{FileSystem, Registration, SuperBlock},
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::{align_of, size_of},
    ptr::{self, NonNull},
};
use kernel::{ffi::c_void, prelude::*};

/// The slab cache from which the inodes of `F` come.
///
/// # Invariants
///
/// `cache` is a slab cache for objects with size and alignment of `Inode<F>`, constructed by
/// [`InodeCache::construct`].
pub(in crate::linux::fs) struct InodeCache<F: FileSystem> {
    cache: NonNull<bindings::kmem_cache>,
    _inodes: PhantomData<Inode<F>>,
}

// SAFETY: A slab cache may be used and destroyed from any thread.
unsafe impl<F: FileSystem> Send for InodeCache<F> {}

// SAFETY: Slab caches do their own locking.
unsafe impl<F: FileSystem> Sync for InodeCache<F> {}

impl<F: FileSystem> InodeCache<F> {
    pub(in crate::linux::fs) fn new() -> Result<Self> {
        // SAFETY: The name is NUL-terminated and static. The constructor is given objects of
        // the size and alignment stated here.
        let cache = unsafe {
            bindings::inode_cache_create(
                F::NAME.as_char_ptr(),
                u32::try_from(size_of::<Inode<F>>())?,
                align_of::<Inode<F>>() as u32,
                Some(Self::construct),
            )
        };
        Ok(Self {
            // INVARIANT: Just created so.
            cache: NonNull::new(cache).ok_or(ENOMEM)?,
            _inodes: PhantomData,
        })
    }

    /// # Safety
    ///
    /// `object` must point to a free object of an `InodeCache<F>`.
    unsafe extern "C" fn construct(object: *mut c_void) {
        // SAFETY: An object begins with a `struct inode`.
        unsafe { bindings::inode_init_once(object.cast()) };
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block whose type is that of a [`Registration<F>`], and that
    /// has its data.
    pub(in crate::linux::fs) unsafe extern "C" fn alloc_inode(
        sb: *mut bindings::super_block,
    ) -> *mut bindings::inode {
        // SAFETY: The type of a super block outlives it, and the caller promises whose it is.
        let registration = unsafe { Registration::<F>::from_raw((*sb).s_type) };
        let cache = registration.inode_cache().cache.as_ptr();
        // SAFETY: `sb` and `cache` are valid.
        let object: *mut Inode<F> = unsafe { bindings::alloc_inode_sb(sb, cache) }.cast();
        if object.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: The object is ours alone, and of the right size and alignment. It was
        // constructed by `construct`. Slab objects do not move. The mode is what the VFS leaves
        // to us to reset.
        unsafe {
            (*object.cast::<bindings::inode>()).i_mode = 0;
            (&raw mut (*object).link).write(UnsafeCell::new(ptr::null_mut()));
            let (data, init) = (&raw mut (*object).data, F::init_inode());
            #[cfg(linux_7_2)]
            let Ok(()) = pin_init::PinInit::__pinned_init(init, data);
            #[cfg(not(linux_7_2))]
            pin_init::raw_init(data, init);
            SuperBlock::<F>::from_raw(sb).private().inode_added();
        }
        object.cast()
    }

    /// # Safety
    ///
    /// Called by the VFS, once, for an inode from [`Self::alloc_inode`] that has no user left.
    pub(in crate::linux::fs) unsafe extern "C" fn destroy_inode(inode: *mut bindings::inode) {
        let object: *mut Inode<F> = inode.cast();
        // SAFETY: `data` was initialised by `alloc_inode`, and there are no references left. The
        // super block keeps its data for the inodes that were added to it.
        unsafe {
            ptr::drop_in_place(&raw mut (*object).data);
            SuperBlock::<F>::from_raw((*inode).i_sb)
                .private()
                .inode_gone();
        }
    }

    /// # Safety
    ///
    /// Called by the VFS, once, for an inode for which [`Self::destroy_inode`] was called, after
    /// an RCU grace period.
    pub(in crate::linux::fs) unsafe extern "C" fn free_inode(inode: *mut bindings::inode) {
        let object: *mut Inode<F> = inode.cast();
        // SAFETY: By the type invariants of `Inode`, the link target is null or from `kmalloc`;
        // nobody looks at it any more. The super block may already be gone, so the cache is
        // found by `kfree`, which also takes objects of slab caches.
        unsafe {
            bindings::kfree((*(*object).link.get()).cast());
            bindings::kfree(object.cast());
        }
    }
}

impl<F: FileSystem> Drop for InodeCache<F> {
    fn drop(&mut self) {
        // SAFETY: All super blocks are gone, so all inodes were given to `call_rcu`, and have
        // been freed when `rcu_barrier` returns. Nobody uses the cache any more.
        unsafe {
            bindings::rcu_barrier();
            bindings::kmem_cache_destroy(self.cache.as_ptr());
        }
    }
}
