// SPDX-License-Identifier: GPL-2.0

//! Directory entries, as given to directory operations.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use super::{FileSystem, Inode};
use crate::linux::bindings;
use core::marker::PhantomData;
use kernel::types::Opaque;

/// An entry of a directory that is locked, so that its name and inode stay what they are.
///
/// # Invariants
///
/// The entry is valid and of a super block of `F`. Its name, and the inode it names, if any,
/// do not change while the reference lives.
#[repr(transparent)]
pub struct Dentry<F: FileSystem> {
    dentry: Opaque<bindings::dentry>,
    _file_system: PhantomData<F>,
}

impl<F: FileSystem> Dentry<F> {
    /// # Safety
    ///
    /// `ptr` must point to an entry that satisfies the type invariants for `'a`.
    pub(in crate::linux::fs) unsafe fn from_raw<'a>(ptr: *mut bindings::dentry) -> &'a Self {
        // SAFETY: As promised by the caller; `Self` is transparent.
        unsafe { &*ptr.cast() }
    }

    fn as_raw(&self) -> *mut bindings::dentry {
        self.dentry.get()
    }

    /// The name: neither empty nor containing `/` or NUL.
    pub fn name(&self) -> &[u8] {
        // SAFETY: By the type invariants, the entry is valid and its name stable; the name is
        // `len` bytes long.
        unsafe {
            let name = &(*self.as_raw()).__bindgen_anon_1.d_name;
            let len = name.__bindgen_anon_1.__bindgen_anon_1.len;
            core::slice::from_raw_parts(name.name, len as usize)
        }
    }

    /// The inode it names, if it names one.
    pub fn inode(&self) -> Option<&Inode<F>> {
        // SAFETY: By the type invariants, the entry is valid, and its inode stable and of `F`.
        unsafe {
            let inode = (*self.as_raw()).d_inode;
            (!inode.is_null()).then(|| Inode::from_raw(inode))
        }
    }
}
