// SPDX-License-Identifier: GPL-2.0

//! Mappings of user and group ids by mounts.
//!
//! C header: [`include/linux/mnt_idmapping.h`](srctree/include/linux/mnt_idmapping.h)

use crate::linux::bindings;
use kernel::types::Opaque;

/// How a mount maps user and group ids, `struct mnt_idmap`.
///
/// # Invariants
///
/// A `&MntIdmap` points to a `struct mnt_idmap` that lives as long as the reference.
#[repr(transparent)]
pub struct MntIdmap(Opaque<bindings::mnt_idmap>);

impl MntIdmap {
    /// # Safety
    ///
    /// `ptr` must point to a `struct mnt_idmap` that lives for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::mnt_idmap) -> &'a Self {
        // SAFETY: The caller promises that it lives long enough; `Self` is transparent, and the
        // contents are opaque.
        unsafe { &*ptr.cast() }
    }

    /// The C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::mnt_idmap {
        self.0.get()
    }
}
