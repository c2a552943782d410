// SPDX-License-Identifier: GPL-2.0

//! Files mapped into memory.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::{File, FileSystem};
use crate::linux::bindings;
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*};

/// A mapping that is being made, `struct vm_area_desc`.
///
/// # Invariants
///
/// The pointer is valid, and used by nobody else, for `'a`; its file is one of `F`.
pub struct MappingArea<'a, F: FileSystem> {
    desc: NonNull<bindings::vm_area_desc>,
    _file: PhantomData<&'a mut File<F>>,
}

impl<'a, F: FileSystem> MappingArea<'a, F> {
    /// # Safety
    ///
    /// `desc` must satisfy the type invariants, for `'a`, and not be null.
    pub(super) unsafe fn from_raw(desc: *mut bindings::vm_area_desc) -> Self {
        // INVARIANT: As promised by the caller.
        Self {
            // SAFETY: As promised by the caller.
            desc: unsafe { NonNull::new_unchecked(desc) },
            _file: PhantomData,
        }
    }

    /// The file that is being mapped.
    pub fn file(&self) -> &'a File<F> {
        // SAFETY: By the type invariants, the file is one of `F`, and the area holds it.
        unsafe { File::from_raw((*self.desc.as_ptr()).file) }
    }

    /// Sets how faults in the area are handled.
    pub fn set_operations<T: MappingOperations<FileSystem = F>>(&mut self) {
        // SAFETY: By the type invariants, the area is valid and ours; the table is for files
        // of `F`.
        unsafe { (*self.desc.as_ptr()).vm_ops = Table::<T>::get() };
    }
}

/// A page fault, `struct vm_fault`.
///
/// # Invariants
///
/// The pointer is valid, and used by nobody else, for `'a`; the area is of a file of `F`.
pub struct VmFault<'a, F: FileSystem> {
    fault: NonNull<bindings::vm_fault>,
    _file: PhantomData<&'a mut File<F>>,
}

impl<'a, F: FileSystem> VmFault<'a, F> {
    /// # Safety
    ///
    /// `fault` must satisfy the type invariants, for `'a`, and not be null.
    unsafe fn from_raw(fault: *mut bindings::vm_fault) -> Self {
        // INVARIANT: As promised by the caller.
        Self {
            // SAFETY: As promised by the caller.
            fault: unsafe { NonNull::new_unchecked(fault) },
            _file: PhantomData,
        }
    }

    /// The C object.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::vm_fault {
        self.fault.as_ptr()
    }

    /// The file that is mapped.
    pub fn file(&self) -> &'a File<F> {
        // SAFETY: By the type invariants, the fault is in an area of a file of `F`, which holds
        // it.
        unsafe { File::from_raw((*(*self.fault.as_ptr()).__bindgen_anon_1.vma).vm_file) }
    }
}

/// How a fault was handled, `vm_fault_t`: this one, since the result may say that its folio is locked.
#[derive(Debug, PartialEq, Eq)]
pub struct VmFaultResult<'a>(u32, PhantomData<&'a mut ()>);

impl VmFaultResult<'_> {
    /// What C code returned.
    pub(crate) const fn from_raw(raw: u32) -> Self {
        Self(raw, PhantomData)
    }
}

impl From<Error> for VmFaultResult<'_> {
    /// What a process is told when a fault fails so.
    fn from(error: Error) -> Self {
        Self::from_raw(if error == ENOMEM {
            bindings::vm_fault_reason_VM_FAULT_OOM
        } else if error == EAGAIN {
            bindings::vm_fault_reason_VM_FAULT_NOPAGE
        } else {
            bindings::vm_fault_reason_VM_FAULT_SIGBUS
        })
    }
}

/// How faults in a mapped file are handled, `struct vm_operations_struct`.
///
/// Faults that read are handled by the page cache.
#[vtable]
pub trait MappingOperations {
    /// The file system whose files are mapped.
    type FileSystem: FileSystem;

    /// A page of a shared mapping is about to be written.
    fn page_mkwrite<'a>(_fault: &mut VmFault<'a, Self::FileSystem>) -> VmFaultResult<'a> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The `struct vm_operations_struct` of `T`.
struct Table<T>(PhantomData<T>);

impl<T: MappingOperations> Table<T> {
    fn get() -> *const bindings::vm_operations_struct {
        ptr::from_ref(&Self::TABLE)
    }

    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(bindings::filemap_fault),
        map_pages: Some(bindings::filemap_map_pages),
        page_mkwrite: if T::HAS_PAGE_MKWRITE {
            Some(Self::page_mkwrite)
        } else {
            Some(bindings::filemap_page_mkwrite)
        },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the memory management for a fault in an area of a file of `T::FileSystem`.
    unsafe extern "C" fn page_mkwrite(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: As promised by the caller.
        T::page_mkwrite(&mut unsafe { VmFault::from_raw(fault) }).0
    }
}
