// SPDX-License-Identifier: GPL-2.0

//! Memory of a read or write.
//!
//! C header: [`include/linux/uio.h`](srctree/include/linux/uio.h)

use crate::linux::bindings;
use core::marker::PhantomData;
use kernel::types::{NotThreadSafe, Opaque};

/// The memory to or from which data goes, `struct iov_iter`.
///
/// # Invariants
///
/// The iterator is valid and used by the current task only.
#[repr(transparent)]
pub struct IovIter {
    iter: Opaque<bindings::iov_iter>,
    _not_send: PhantomData<NotThreadSafe>,
}

impl IovIter {
    /// # Safety
    ///
    /// `ptr` must point to an iterator that is valid, and used by nobody else, for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::iov_iter) -> &'a mut Self {
        // SAFETY: As promised by the caller; `Self` is transparent.
        unsafe { &mut *ptr.cast() }
    }

    /// The C object.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::iov_iter {
        self.iter.get()
    }

    /// The number of bytes left.
    pub fn count(&self) -> usize {
        // SAFETY: The iterator is valid by the type invariants.
        unsafe { bindings::iov_iter_count(self.iter.get()) }
    }

    /// Whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The bits that are set in any address or length of it, below which it is not aligned.
    pub fn alignment(&self) -> usize {
        // SAFETY: The iterator is valid by the type invariants.
        unsafe { bindings::iov_iter_alignment(self.iter.get()) }
    }

    /// Runs `f` with the iterator cut to at most `count` bytes; what is cut off is there again
    /// afterwards.
    pub fn with_limit<R>(&mut self, count: usize, f: impl FnOnce(&mut Self) -> R) -> R {
        let cut = self.count().saturating_sub(count);
        // SAFETY: The iterator is valid by the type invariants.
        unsafe { bindings::iov_iter_truncate(self.iter.get(), count as u64) };
        let result = f(self);
        let left = self.count().saturating_add(cut);
        // SAFETY: The iterator is valid, and was as much longer before it was cut.
        unsafe { bindings::iov_iter_reexpand(self.iter.get(), left) };
        result
    }
}
