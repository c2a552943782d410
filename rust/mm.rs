// SPDX-License-Identifier: GPL-2.0

//! Memory management: what allocations may do, and giving memory back.
//!
//! C headers: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h),
//! [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use core::{marker::PhantomData, ptr::NonNull};
use kernel::{ffi::c_ulong, prelude::*, sync::Arc, types::NotThreadSafe};

use super::bindings;

/// A time in which this task's allocations do not enter file systems, as if made with `GFP_NOFS`.
///
/// To be entered where locks are held, or transactions open, that reclaim would need. Scopes may be
/// nested if they end in reverse order, which is what dropping does.
#[must_use = "the scope ends when the guard is dropped"]
pub struct NofsScope {
    flags: u32,
    _task: NotThreadSafe,
}

impl NofsScope {
    /// Enters the scope.
    #[inline]
    pub fn enter() -> Self {
        Self {
            // SAFETY: Always callable in a task's context.
            flags: unsafe { bindings::memalloc_nofs_save() },
            _task: NotThreadSafe,
        }
    }
}

impl Drop for NofsScope {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The flags were saved by the same task, as the type is not `Send`.
        unsafe { bindings::memalloc_nofs_restore(self.flags) };
    }
}

/// Runs `allocate` until it does not fail, and waits for memory in between: for what has no way
/// back, and allocates through interfaces that know no `__GFP_NOFAIL`. What is allocated must be small.
///
/// May sleep.
pub fn retry<T, E>(mut allocate: impl FnMut() -> Result<T, E>) -> T {
    loop {
        if let Ok(done) = allocate() {
            return done;
        }
        // SAFETY: The caller's context may sleep.
        unsafe { bindings::memalloc_retry_wait(bindings::GFP_KERNEL) };
    }
}

/// A cache that can be asked to give memory back.
pub trait Shrink: Send + Sync + 'static {
    /// How many objects could be freed, roughly. Called often: must be fast and must not sleep long.
    fn count(&self) -> usize;

    /// Frees up to `scan.objects` objects and returns how many it freed.
    ///
    /// [`None`] says that nothing can be done now, for instance because a lock is taken, and that it is
    /// of no use to ask again soon.
    fn scan(&self, scan: Scan) -> Option<usize>;
}

/// What is asked of [`Shrink::scan`].
#[derive(Clone, Copy)]
pub struct Scan {
    /// How many objects to look at.
    pub objects: usize,
    /// Whether locks may be taken that are also held around allocations which may enter file systems.
    pub may_enter_fs: bool,
}

/// A registered [`Shrink`].
///
/// # Invariants
///
/// `shrinker` is registered and ours; its private data is an [`Arc<S>`] reference of ours.
pub struct Shrinker<S: Shrink> {
    shrinker: NonNull<bindings::shrinker>,
    _cache: PhantomData<Arc<S>>,
}

// SAFETY: A shrinker may be unregistered by any task, and `Arc<S>` be dropped, `S` being `Send` and
// `Sync`.
unsafe impl<S: Shrink> Send for Shrinker<S> {}

// SAFETY: There is nothing to do with a shared reference.
unsafe impl<S: Shrink> Sync for Shrinker<S> {}

impl<S: Shrink> Shrinker<S> {
    /// Registers `cache` under a name for debugging.
    pub fn register(name: &CStr, cache: Arc<S>) -> Result<Self> {
        // SAFETY: The format asks for one string, which is copied.
        let shrinker =
            unsafe { bindings::shrinker_alloc(0, c"%s".as_char_ptr(), name.as_char_ptr()) };
        let shrinker = NonNull::new(shrinker).ok_or(ENOMEM)?;
        // SAFETY: Not registered yet, the shrinker is ours alone.
        unsafe {
            let shrinker = shrinker.as_ptr();
            (*shrinker).count_objects = Some(Self::count);
            (*shrinker).scan_objects = Some(Self::scan);
            (*shrinker).private_data = Arc::into_raw(cache).cast_mut().cast();
            bindings::shrinker_register(shrinker);
        }
        // INVARIANT: Registered just now.
        Ok(Self {
            shrinker,
            _cache: PhantomData,
        })
    }

    /// # Safety
    ///
    /// Only to be called by a shrinker whose private data is an `Arc<S>`.
    unsafe extern "C" fn count(
        shrinker: *mut bindings::shrinker,
        _control: *mut bindings::shrink_control,
    ) -> c_ulong {
        // SAFETY: By the safety requirement; it stays valid until the shrinker has been freed.
        let cache = unsafe { &*(*shrinker).private_data.cast::<S>() };
        match cache.count() {
            0 => c_ulong::MAX - 1, // SHRINK_EMPTY
            // Not to be taken for a special value.
            count => count.min(isize::MAX as usize),
        }
    }

    /// # Safety
    ///
    /// Only to be called by a shrinker whose private data is an `Arc<S>`.
    unsafe extern "C" fn scan(
        shrinker: *mut bindings::shrinker,
        control: *mut bindings::shrink_control,
    ) -> c_ulong {
        // SAFETY: By the safety requirement; it stays valid until the shrinker has been freed.
        let cache = unsafe { &*(*shrinker).private_data.cast::<S>() };
        // SAFETY: `control` is valid during the call.
        let scan = unsafe {
            Scan {
                objects: (*control).nr_to_scan,
                may_enter_fs: (*control).gfp_mask & bindings::__GFP_FS != 0,
            }
        };
        match cache.scan(scan) {
            Some(freed) => freed.min(isize::MAX as usize),
            None => c_ulong::MAX, // SHRINK_STOP
        }
    }
}

impl<S: Shrink> Drop for Shrinker<S> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Freeing waits for callbacks that are running, so that the
        // reference can be dropped afterwards.
        unsafe {
            let cache = (*self.shrinker.as_ptr()).private_data.cast::<S>();
            bindings::shrinker_free(self.shrinker.as_ptr());
            drop(Arc::from_raw(cache));
        }
    }
}
