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

    /// Whether data goes to the memory, as for a read.
    pub fn is_destination(&self) -> bool {
        // SAFETY: The iterator is valid by the type invariants.
        unsafe { !(*self.iter.get()).data_source }
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
}
