// SPDX-License-Identifier: GPL-2.0

//! What the kernel asks of inodes: directories, attributes, links.
//!
//! Operations on a directory get it as [`Locked`], and its entries as [`Dentry`], because the
//! VFS holds its `i_rwsem`; `lookup` is the exception, which holds it shared. An operation that
//! makes a file returns it as a [`NewInode`], and the entry is made to name it when the
//! operation has succeeded.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    attr::StatMask, Attr, Dentry, DeviceNumber, FileSystem, Inode, KStat, Locked, MntIdmap, Mode,
    NewInode,
};
use crate::linux::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{alloc::KVec, error::VTABLE_DEFAULT_ERROR, prelude::*, sync::aref::ARef};

pub(super) mod table;

/// How to rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenameFlags(u32);

impl RenameFlags {
    /// Fail if the new name exists. The VFS has seen to it that it does not.
    pub const NOREPLACE: Self = Self(bindings::RENAME_NOREPLACE);
    /// Exchange the two names, which both exist.
    pub const EXCHANGE: Self = Self(bindings::RENAME_EXCHANGE);
    /// Leave a whiteout at the old name.
    pub const WHITEOUT: Self = Self(bindings::RENAME_WHITEOUT);

    /// Whether all flags of `other` are given.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag but [`Self::NOREPLACE`] and [`Self::EXCHANGE`] is given.
    pub const fn has_others(self) -> bool {
        self.0 & !(Self::NOREPLACE.0 | Self::EXCHANGE.0) != 0
    }
}

/// A request for the extents of a file, `struct fiemap_extent_info`.
///
/// # Invariants
///
/// The pointer is valid and used by nobody else, for `'a`.
pub struct Fiemap<'a> {
    info: NonNull<bindings::fiemap_extent_info>,
    /// Where to begin, in bytes.
    start: u64,
    /// How much to report, in bytes.
    len: u64,
    _lifetime: PhantomData<&'a mut bindings::fiemap_extent_info>,
}

impl Fiemap<'_> {
    /// # Safety
    ///
    /// `info` must not be null, and satisfy the type invariants.
    unsafe fn from_raw(info: *mut bindings::fiemap_extent_info, start: u64, len: u64) -> Self {
        // INVARIANT: As promised by the caller.
        Self {
            // SAFETY: As promised by the caller.
            info: unsafe { NonNull::new_unchecked(info) },
            start,
            len,
            _lifetime: PhantomData,
        }
    }

    /// The C object.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::fiemap_extent_info {
        self.info.as_ptr()
    }

    /// Where to begin, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// How much to report, in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether extended attributes are asked for instead of contents.
    pub fn wants_xattrs(&self) -> bool {
        // SAFETY: The pointer is valid by the type invariants.
        unsafe { (*self.info.as_ptr()).fi_flags & bindings::FIEMAP_FLAG_XATTR != 0 }
    }
}

/// The operations of an inode, `struct inode_operations`.
///
/// Those that are not implemented fail or do what the kernel does without them.
#[vtable]
pub trait InodeOperations {
    /// The file system whose inodes these are.
    type FileSystem: FileSystem;

    /// Find the inode that this name names in `dir`, which is locked shared.
    fn lookup(
        _dir: &Inode<Self::FileSystem>,
        _entry: &Dentry<Self::FileSystem>,
    ) -> Result<Option<ARef<Inode<Self::FileSystem>>>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Make a regular file.
    fn create(
        _idmap: &MntIdmap,
        _dir: Locked<'_, Self::FileSystem>,
        _entry: &Dentry<Self::FileSystem>,
        _mode: Mode,
    ) -> Result<NewInode<Self::FileSystem>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Make a directory.
    fn mkdir(
        _idmap: &MntIdmap,
        _dir: Locked<'_, Self::FileSystem>,
        _entry: &Dentry<Self::FileSystem>,
        _mode: Mode,
    ) -> Result<NewInode<Self::FileSystem>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Make a device node, named pipe or socket.
    fn mknod(
        _idmap: &MntIdmap,
        _dir: Locked<'_, Self::FileSystem>,
        _entry: &Dentry<Self::FileSystem>,
        _mode: Mode,
        _device: DeviceNumber,
    ) -> Result<NewInode<Self::FileSystem>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Make a symbolic link.
    fn symlink(
        _idmap: &MntIdmap,
        _dir: Locked<'_, Self::FileSystem>,
        _entry: &Dentry<Self::FileSystem>,
        _target: &CStr,
    ) -> Result<NewInode<Self::FileSystem>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Make a file without a name, with a link count of 0.
    fn tmpfile(
        _idmap: &MntIdmap,
        _dir: &Inode<Self::FileSystem>,
        _mode: Mode,
    ) -> Result<NewInode<Self::FileSystem>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Give `inode`, which is no directory and is locked too, another name.
    fn link(
        _inode: Locked<'_, Self::FileSystem>,
        _dir: Locked<'_, Self::FileSystem>,
        _entry: &Dentry<Self::FileSystem>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Remove the name of `inode`, which is no directory and is locked too.
    fn unlink(
        _dir: Locked<'_, Self::FileSystem>,
        _entry: &Dentry<Self::FileSystem>,
        _inode: Locked<'_, Self::FileSystem>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Remove the directory `inode`, which is locked too, if it is empty.
    fn rmdir(
        _dir: Locked<'_, Self::FileSystem>,
        _entry: &Dentry<Self::FileSystem>,
        _inode: Locked<'_, Self::FileSystem>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Rename the old entry, which has an inode, to the new one, which may have.
    ///
    /// Inodes named by the entries that are no directories are locked too, and directories if
    /// their parent changes.
    fn rename(
        _idmap: &MntIdmap,
        _old_dir: Locked<'_, Self::FileSystem>,
        _old: &Dentry<Self::FileSystem>,
        _new_dir: Locked<'_, Self::FileSystem>,
        _new: &Dentry<Self::FileSystem>,
        _flags: RenameFlags,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Read the target of a symbolic link whose inode does not hold it.
    fn get_link(_inode: &Inode<Self::FileSystem>) -> Result<KVec<u8>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Change attributes.
    fn setattr(_attr: &mut Attr<'_, Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Add to what the inode in memory knows, which is filled in already.
    fn getattr(_inode: &Inode<Self::FileSystem>, _wanted: StatMask, _stat: &mut KStat) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Report extents of the file.
    fn fiemap(_inode: &Inode<Self::FileSystem>, _request: &mut Fiemap<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
