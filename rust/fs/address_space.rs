// SPDX-License-Identifier: GPL-2.0

//! The page cache's side of a file: its mapping, folios, and what the kernel asks about them.
//!
//! How pages are read and written is the business of the `iomap` module, to which a file system
//! passes on what it is given here. What it need not decide (dirtying, releasing, migrating
//! folios) goes to the functions for iomap's page cache by itself.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use super::{File, FileSystem, Inode};
use crate::linux::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    error::{from_result, VTABLE_DEFAULT_ERROR},
    ffi::c_int,
    prelude::*,
    types::Opaque,
};

/// The pages of an inode, `struct address_space`.
///
/// # Invariants
///
/// The mapping is valid and its host is an inode of `F`.
#[repr(transparent)]
pub struct AddressSpace<F: FileSystem> {
    mapping: Opaque<bindings::address_space>,
    _file_system: PhantomData<F>,
}

impl<F: FileSystem> AddressSpace<F> {
    /// # Safety
    ///
    /// `ptr` must point to a mapping whose host is an inode of `F`, both valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::address_space) -> &'a Self {
        // SAFETY: As promised by the caller; `Self` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// The C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::address_space {
        self.mapping.get()
    }

    /// The inode whose pages these are.
    pub fn host(&self) -> &Inode<F> {
        // SAFETY: By the type invariants, the host is an inode of `F`, and it holds the mapping.
        unsafe { Inode::from_raw((*self.as_raw()).host) }
    }
}

/// A folio of the page cache of a file.
///
/// # Invariants
///
/// The folio is valid. While it is locked, its mapping is that of an inode of `F`.
#[repr(transparent)]
pub struct Folio<F: FileSystem> {
    folio: Opaque<bindings::folio>,
    _file_system: PhantomData<F>,
}

impl<F: FileSystem> Folio<F> {
    /// # Safety
    ///
    /// `ptr` must point to a folio of an inode of `F`, that the caller keeps from being freed for
    /// `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::folio) -> &'a Self {
        // SAFETY: As promised by the caller; `Self` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// The C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::folio {
        self.folio.get()
    }

    /// Where in the file it begins, in bytes.
    pub fn pos(&self) -> i64 {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { bindings::folio_pos(self.as_raw()) }
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { bindings::folio_size(self.as_raw()) }
    }
}

/// A locked folio, to be filled and unlocked.
///
/// # Invariants
///
/// The folio is locked, and `self` is to unlock it.
pub struct LockedFolio<'a, F: FileSystem>(&'a Folio<F>);

impl<F: FileSystem> LockedFolio<'_, F> {
    /// Gives up the folio to what will unlock it when it is filled.
    pub(crate) fn into_raw(self) -> *mut bindings::folio {
        core::mem::ManuallyDrop::new(self).0.as_raw()
    }

    /// The inode to whose contents it belongs.
    pub fn host(&self) -> &Inode<F> {
        // SAFETY: While the folio is locked, it stays in its mapping, which is of `F` by the type
        // invariants of `Folio`.
        unsafe { AddressSpace::from_raw(bindings::folio_mapping_raw(self.0.as_raw())).host() }
    }
}

impl<F: FileSystem> core::ops::Deref for LockedFolio<'_, F> {
    type Target = Folio<F>;

    fn deref(&self) -> &Folio<F> {
        self.0
    }
}

impl<F: FileSystem> Drop for LockedFolio<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the folio is locked, and ours to unlock.
        unsafe { bindings::folio_unlock(self.0.as_raw()) };
    }
}

/// Pages to be read ahead, `struct readahead_control`.
///
/// # Invariants
///
/// The control is valid, used by nobody else, and for the mapping of an inode of `F`.
pub struct ReadaheadControl<'a, F: FileSystem> {
    control: NonNull<bindings::readahead_control>,
    _mapping: PhantomData<&'a mut AddressSpace<F>>,
}

impl<F: FileSystem> ReadaheadControl<'_, F> {
    /// The C object.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::readahead_control {
        self.control.as_ptr()
    }

    /// The inode to be read.
    pub fn host(&self) -> &Inode<F> {
        // SAFETY: By the type invariants, the mapping is of an inode of `F`.
        unsafe { AddressSpace::from_raw((*self.control.as_ptr()).mapping).host() }
    }
}

/// What of a file to write and how, `struct writeback_control`.
///
/// # Invariants
///
/// The control is valid, and used by the current task only.
#[repr(transparent)]
pub struct WritebackControl<F: FileSystem> {
    control: Opaque<bindings::writeback_control>,
    _file_system: PhantomData<F>,
}

impl<F: FileSystem> WritebackControl<F> {
    /// # Safety
    ///
    /// `ptr` must point to a control that is valid for `'a`, and that only the current task uses.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::writeback_control) -> &'a Self {
        // SAFETY: As promised by the caller; `Self` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// The C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::writeback_control {
        self.control.get()
    }

    /// Whether somebody waits for everything in range to be on disk (`WB_SYNC_ALL`).
    pub fn is_sync(&self) -> bool {
        // SAFETY: The control is valid by the type invariants.
        unsafe { (*self.as_raw()).sync_mode == bindings::writeback_sync_modes_WB_SYNC_ALL }
    }
}

/// What the kernel asks about the pages of a file, `struct address_space_operations`.
#[vtable]
pub trait AddressSpaceOperations {
    /// The file system whose files these are.
    type FileSystem: FileSystem;

    /// Fill a folio and unlock it; dropping it unlocks it, and then it counts as not filled.
    fn read_folio(
        _file: Option<&File<Self::FileSystem>>,
        _folio: LockedFolio<'_, Self::FileSystem>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Begin to read pages that will probably be needed.
    fn readahead(_control: ReadaheadControl<'_, Self::FileSystem>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Write dirty pages.
    fn writepages(
        _mapping: &AddressSpace<Self::FileSystem>,
        _control: &WritebackControl<Self::FileSystem>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The `struct address_space_operations` of `T`.
pub(in crate::linux::fs) struct Table<T>(PhantomData<T>);

impl<T: AddressSpaceOperations> Table<T> {
    pub(in crate::linux::fs) fn get() -> *const bindings::address_space_operations {
        &Self::TABLE
    }

    const TABLE: bindings::address_space_operations = bindings::address_space_operations {
        read_folio: if T::HAS_READ_FOLIO {
            Some(Self::read_folio)
        } else {
            None
        },
        readahead: if T::HAS_READAHEAD {
            Some(Self::readahead)
        } else {
            None
        },
        writepages: if T::HAS_WRITEPAGES {
            Some(Self::writepages)
        } else {
            None
        },
        dirty_folio: Some(bindings::iomap_dirty_folio),
        release_folio: Some(bindings::iomap_release_folio),
        invalidate_folio: Some(bindings::iomap_invalidate_folio),
        is_partially_uptodate: Some(bindings::iomap_is_partially_uptodate),
        migrate_folio: Some(bindings::filemap_migrate_folio),
        error_remove_folio: Some(bindings::generic_error_remove_folio),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the page cache for a locked folio of an inode of `T::FileSystem`, and with a
    /// file of that or null.
    unsafe extern "C" fn read_folio(
        file: *mut bindings::file,
        folio: *mut bindings::folio,
    ) -> c_int {
        // SAFETY: As promised by the caller; file and folio outlive the call.
        // INVARIANT: The folio is locked and ours to unlock.
        from_result(|| unsafe {
            let file = (!file.is_null()).then(|| File::from_raw(file));
            T::read_folio(file, LockedFolio(Folio::from_raw(folio)))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the page cache for an inode of `T::FileSystem`.
    unsafe extern "C" fn readahead(control: *mut bindings::readahead_control) {
        // SAFETY: The page cache passes no null pointer.
        let control = unsafe { NonNull::new_unchecked(control) };
        // INVARIANT: As promised by the caller.
        T::readahead(ReadaheadControl {
            control,
            _mapping: PhantomData,
        });
    }

    /// # Safety
    ///
    /// Called by writeback for an inode of `T::FileSystem`.
    unsafe extern "C" fn writepages(
        mapping: *mut bindings::address_space,
        control: *mut bindings::writeback_control,
    ) -> c_int {
        // SAFETY: As promised by the caller; the control is used by this task only.
        from_result(|| unsafe {
            T::writepages(
                AddressSpace::from_raw(mapping),
                WritebackControl::from_raw(control),
            )?;
            Ok(0)
        })
    }
}
