// SPDX-License-Identifier: GPL-2.0

//! Attributes of inodes, as set by `chmod`, `truncate` and the like, and as told by `statx`.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/stat.h`](srctree/include/linux/stat.h)

use super::{FileSystem, Inode, Locked, MntIdmap, Timespec};
use crate::linux::bindings;
use core::marker::PhantomData;
use kernel::{error::to_result, prelude::*};

/// A request to change attributes, `struct iattr` with what belongs to it.
///
/// # Invariants
///
/// The pointers are valid for `'a`. `dentry` is positive, its inode is locked exclusively, and
/// `attr` is used by the current task only.
pub struct Attr<'a, F: FileSystem> {
    idmap: &'a MntIdmap,
    dentry: *mut bindings::dentry,
    attr: *mut bindings::iattr,
    _inode: PhantomData<Locked<'a, F>>,
}

impl<'a, F: FileSystem> Attr<'a, F> {
    /// # Safety
    ///
    /// `idmap`, `dentry` and `attr` must satisfy the type invariants.
    pub(in crate::linux::fs) unsafe fn from_raw(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> Self {
        // INVARIANT: As promised by the caller.
        Self {
            // SAFETY: As promised by the caller.
            idmap: unsafe { MntIdmap::from_raw(idmap) },
            dentry,
            attr,
            _inode: PhantomData,
        }
    }

    fn has(&self, flag: u32) -> bool {
        // SAFETY: The request is valid by the type invariants.
        unsafe { (*self.attr).ia_valid & flag != 0 }
    }

    /// The inode to be changed.
    pub fn inode(&self) -> Locked<'a, F> {
        // SAFETY: By the type invariants, the entry has an inode, which is locked.
        unsafe { Locked::from_raw((*self.dentry).d_inode) }
    }

    /// Whether the current task may make the change; must be asked before anything is changed.
    ///
    /// May drop set-user-id bits from the request or add their removal to it.
    pub fn prepare(&mut self) -> Result {
        // SAFETY: By the type invariants, all is valid and the inode locked.
        to_result(unsafe { bindings::setattr_prepare(self.idmap.as_raw(), self.dentry, self.attr) })
    }

    /// Copies all but the size to the inode in memory.
    pub fn copy(&self) {
        // SAFETY: By the type invariants, all is valid and the inode locked.
        unsafe { bindings::setattr_copy(self.idmap.as_raw(), self.inode().as_raw(), self.attr) };
    }

    /// The size to set, if it is to be set.
    pub fn size(&self) -> Option<i64> {
        self.has(bindings::ATTR_SIZE)
            // SAFETY: The request is valid by the type invariants.
            .then(|| unsafe { (*self.attr).ia_size })
    }

    /// Whether the permissions are to be set.
    pub fn sets_mode(&self) -> bool {
        self.has(bindings::ATTR_MODE)
    }

    /// Whether owner or group are to be set.
    pub fn sets_owner(&self) -> bool {
        self.has(bindings::ATTR_UID | bindings::ATTR_GID)
    }

    /// Whether any time is to be set.
    pub fn sets_times(&self) -> bool {
        self.has(bindings::ATTR_ATIME | bindings::ATTR_MTIME | bindings::ATTR_CTIME)
    }

    /// Whether it comes from `open` with `O_TRUNC`.
    pub fn is_open_truncate(&self) -> bool {
        self.has(bindings::ATTR_OPEN)
    }

    /// Makes [`Self::copy`] set modification and change time to now, unless they are to be set
    /// anyway, as a truncation does that changes the size.
    pub fn add_mtime_now(&mut self) {
        let inode = self.inode();
        let now = inode.current_time().into_raw();
        // SAFETY: The request is valid by the type invariants, and used by this task only.
        unsafe {
            let attr = &mut *self.attr;
            if attr.ia_valid & bindings::ATTR_MTIME == 0 {
                attr.ia_mtime = now;
            }
            if attr.ia_valid & bindings::ATTR_CTIME == 0 {
                attr.ia_ctime = now;
            }
            attr.ia_valid |= bindings::ATTR_MTIME | bindings::ATTR_CTIME;
        }
    }
}

/// What `statx` reports of an inode, `struct kstat`.
#[repr(transparent)]
pub struct KStat(bindings::kstat);

/// Which fields somebody asks for, `STATX_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatMask(u32);

impl StatMask {
    /// The birth time.
    pub const BTIME: Self = Self(bindings::STATX_BTIME);
    /// Alignment needed for direct I/O.
    pub const DIO_ALIGN: Self = Self(bindings::STATX_DIOALIGN);
    /// Untorn writes.
    pub const WRITE_ATOMIC: Self = Self(bindings::STATX_WRITE_ATOMIC);

    pub(in crate::linux::fs) const fn from_raw(mask: u32) -> Self {
        Self(mask)
    }

    /// Whether all of `other` is asked for.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl KStat {
    /// # Safety
    ///
    /// `ptr` must point to a `struct kstat` that nobody else uses for `'a`.
    pub(in crate::linux::fs) unsafe fn from_raw<'a>(ptr: *mut bindings::kstat) -> &'a mut Self {
        // SAFETY: As promised by the caller; `Self` is transparent.
        unsafe { &mut *ptr.cast() }
    }

    /// Fills in what the inode in memory knows.
    pub(in crate::linux::fs) fn fill<F: FileSystem>(
        &mut self,
        idmap: &MntIdmap,
        mask: StatMask,
        inode: &Inode<F>,
    ) {
        // SAFETY: All are valid, and nobody else uses `self`.
        unsafe { bindings::generic_fillattr(idmap.as_raw(), mask.0, inode.as_raw(), &mut self.0) };
    }

    /// Sets the birth time.
    pub fn set_btime(&mut self, time: Timespec) -> &mut Self {
        self.0.btime = time.into_raw();
        self.0.result_mask |= bindings::STATX_BTIME;
        self
    }

    /// Sets the size for efficient I/O.
    pub fn set_block_size(&mut self, bytes: u32) -> &mut Self {
        self.0.blksize = bytes;
        self
    }

    /// Sets the space it takes, in units of 512 bytes.
    pub fn set_sectors(&mut self, sectors: u64) -> &mut Self {
        self.0.blocks = sectors;
        self
    }

    /// The space it takes, in units of 512 bytes.
    pub fn sectors(&self) -> u64 {
        self.0.blocks
    }

    /// Sets the alignment that direct I/O needs: of memory, of offsets, and of offsets in reads.
    pub fn set_dio_align(&mut self, memory: u32, offset: u32, read_offset: u32) -> &mut Self {
        self.0.dio_mem_align = memory;
        self.0.dio_offset_align = offset;
        self.0.dio_read_offset_align = read_offset;
        self.0.result_mask |= bindings::STATX_DIOALIGN | bindings::STATX_DIO_READ_ALIGN;
        self
    }

    /// Sets the sizes of untorn writes: smallest, largest, and largest that is fast.
    pub fn set_atomic_write(&mut self, min: u32, max: u32, max_fast: u32) -> &mut Self {
        // SAFETY: `self` is valid and used by nobody else.
        unsafe { bindings::generic_fill_statx_atomic_writes(&mut self.0, min, max, max_fast) };
        self
    }

    fn set_attribute(&mut self, attribute: u32, set: bool) -> &mut Self {
        if set {
            self.0.attributes |= u64::from(attribute);
        }
        self.0.attributes_mask |= u64::from(attribute);
        self
    }

    /// Says whether the file cannot be changed.
    pub fn set_immutable(&mut self, set: bool) -> &mut Self {
        self.set_attribute(bindings::STATX_ATTR_IMMUTABLE, set)
    }

    /// Says whether the file can only be appended to.
    pub fn set_append(&mut self, set: bool) -> &mut Self {
        self.set_attribute(bindings::STATX_ATTR_APPEND, set)
    }
}
