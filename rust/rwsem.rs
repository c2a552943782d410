// SPDX-License-Identifier: GPL-2.0

//! Reader/writer semaphores: many readers or one writer, all of which may sleep.
//!
//! The [`Lock`](kernel::sync::lock::Lock) of the `kernel` crate promises exclusion, which a reader does
//! not have; so the guards are our own.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
};
use kernel::{
    prelude::*,
    sync::LockClassKey,
    types::{NotThreadSafe, Opaque},
};
use pin_init::Wrapper;

use super::bindings;

/// Creates an initialiser of an [`RwSemaphore`] with the given content, an optional name, and a lock
/// class of its own.
#[macro_export]
macro_rules! new_rwsem {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::linux::rwsem::RwSemaphore::new(
            $inner, ::kernel::optional_name!($($name)?), ::kernel::static_lock_class!())
    };
}
pub use new_rwsem;

/// Content that many may read or one may change.
///
/// Readers may not lock again what they have locked: a writer that came in between would wait for
/// them, and they for it.
///
/// To be made with [`new_rwsem!`] and pin-initialised.
#[repr(C)]
#[pin_data]
pub struct RwSemaphore<T: ?Sized> {
    #[pin]
    semaphore: Opaque<bindings::rw_semaphore>,
    /// The list of waiters points back.
    #[pin]
    _pin: PhantomPinned,
    #[pin]
    data: UnsafeCell<T>,
}

// SAFETY: The semaphore may move to another task with the data, if that may.
unsafe impl<T: ?Sized + Send> Send for RwSemaphore<T> {}

// SAFETY: A writer on another task has the data to itself, which needs `Send`; readers share it,
// which needs `Sync`.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwSemaphore<T> {}

impl<T> RwSemaphore<T> {
    /// An initialiser of a semaphore around `data`.
    pub fn new(
        data: impl PinInit<T>,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            data <- UnsafeCell::pin_init(data),
            _pin: PhantomPinned,
            // SAFETY: `slot` is valid for writes, name and key live for ever.
            semaphore <- Opaque::ffi_init(|slot| unsafe {
                bindings::init_rwsem(slot, name.as_char_ptr(), key.as_ptr())
            }),
        })
    }
}

impl<T: ?Sized> RwSemaphore<T> {
    /// Locks for reading. Sleeps.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: Initialised, since the only constructor does that.
        unsafe { bindings::down_read(self.semaphore.get()) };
        // INVARIANT: Locked just now.
        ReadGuard {
            semaphore: self,
            _task: NotThreadSafe,
        }
    }

    /// Locks for writing. Sleeps.
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: Initialised, since the only constructor does that.
        unsafe { bindings::down_write(self.semaphore.get()) };
        // INVARIANT: Locked just now.
        WriteGuard {
            semaphore: self,
            _task: NotThreadSafe,
        }
    }

    /// Locks for writing while another lock of the same class is held, `subclass` telling lockdep the
    /// order between them. Sleeps.
    #[inline]
    pub fn write_nested(&self, subclass: u8) -> WriteGuard<'_, T> {
        #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
        // SAFETY: Initialised, since the only constructor does that.
        unsafe {
            bindings::down_write_nested(self.semaphore.get(), subclass.into())
        };
        #[cfg(not(CONFIG_DEBUG_LOCK_ALLOC))]
        // SAFETY: Initialised, since the only constructor does that.
        unsafe {
            let _ = subclass;
            bindings::down_write(self.semaphore.get());
        }
        // INVARIANT: Locked just now.
        WriteGuard {
            semaphore: self,
            _task: NotThreadSafe,
        }
    }

    /// Locks for reading if that is possible at once.
    #[inline]
    #[must_use = "if unused, the lock will be immediately unlocked"]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        // SAFETY: Initialised, since the only constructor does that.
        let locked = unsafe { bindings::down_read_trylock(self.semaphore.get()) } != 0;
        // INVARIANT: Locked just now, if so.
        locked.then(|| ReadGuard {
            semaphore: self,
            _task: NotThreadSafe,
        })
    }

    /// Locks for writing if that is possible at once.
    #[inline]
    #[must_use = "if unused, the lock will be immediately unlocked"]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: Initialised, since the only constructor does that.
        let locked = unsafe { bindings::down_write_trylock(self.semaphore.get()) } != 0;
        // INVARIANT: Locked just now, if so.
        locked.then(|| WriteGuard {
            semaphore: self,
            _task: NotThreadSafe,
        })
    }

    /// The content, without locking: exclusive access shows that nobody has it locked.
    #[inline]
    pub fn get_mut(self: Pin<&mut Self>) -> &mut T
    where
        T: Unpin,
    {
        // SAFETY: Nothing is moved out of the pinned reference, and `T` may be moved.
        unsafe { self.get_unchecked_mut() }.data.get_mut()
    }
}

/// Shared access to an [`RwSemaphore`]'s content.
///
/// # Invariants
///
/// The semaphore is locked for reading by this task.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct ReadGuard<'a, T: ?Sized> {
    semaphore: &'a RwSemaphore<T>,
    _task: NotThreadSafe,
}

// SAFETY: Others may share what the guard gives shared access to, if that may be shared.
unsafe impl<T: ?Sized + Sync> Sync for ReadGuard<'_, T> {}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant, there are no writers.
        unsafe { &*self.semaphore.data.get() }
    }
}

impl<T: ?Sized> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::up_read(self.semaphore.semaphore.get()) };
    }
}

/// Exclusive access to an [`RwSemaphore`]'s content.
///
/// # Invariants
///
/// The semaphore is locked for writing by this task.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct WriteGuard<'a, T: ?Sized> {
    semaphore: &'a RwSemaphore<T>,
    _task: NotThreadSafe,
}

// SAFETY: Others may share what the guard can give shared access to, if that may be shared.
unsafe impl<T: ?Sized + Sync> Sync for WriteGuard<'_, T> {}

impl<'a, T: ?Sized> WriteGuard<'a, T> {
    /// Turns the lock into one for reading, without letting another writer in between.
    pub fn downgrade(self) -> ReadGuard<'a, T> {
        let this = ManuallyDrop::new(self);
        let semaphore = this.semaphore;
        // SAFETY: By the type invariant.
        unsafe { bindings::downgrade_write(semaphore.semaphore.get()) };
        // INVARIANT: Now locked for reading.
        ReadGuard {
            semaphore,
            _task: NotThreadSafe,
        }
    }

    /// The content, pinned.
    pub fn as_mut(&mut self) -> Pin<&mut T> {
        // SAFETY: By the type invariant access is exclusive; the content is structurally pinned.
        unsafe { Pin::new_unchecked(&mut *self.semaphore.data.get()) }
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { &*self.semaphore.data.get() }
    }
}

impl<T: ?Sized + Unpin> DerefMut for WriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariant.
        unsafe { &mut *self.semaphore.data.get() }
    }
}

impl<T: ?Sized> Drop for WriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::up_write(self.semaphore.semaphore.get()) };
    }
}
