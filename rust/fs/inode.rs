// SPDX-License-Identifier: GPL-2.0

//! Inodes.
//!
//! An [`Inode`] is the kernel's `struct inode` with the file system's own data behind it, in
//! one object of the file system's inode cache:
//!
//! ```text
//!   +--------------------+-------------+------------------+
//!   |    struct inode    | link target |     F::Inode     |   one Inode<F>, an object of the
//!   +--------------------+-------------+------------------+   cache of Registration<F>
//! ```
//!
//! It lives through these stations:
//!
//! ```text
//!   SuperBlock::new_inode, iget      NewInode: only its maker can change it
//!        │ finish
//!   ARef<Inode>, &Inode              in use; cached when the last reference is gone
//!        │ memory pressure, unmount, or last reference gone and no link left
//!   SuperOperations::evict_inode     nobody can find it any more
//!        │ F::Inode is dropped
//!   free                             after an RCU grace period
//! ```
//!
//! While an inode is being evicted, no reference to it can be taken: [`Inode::grab`] says so,
//! and making an [`ARef`] of it is a bug on which the kernel stops. References must not outlive
//! the mount either. A file system that holds some lets go of them in
//! [`SuperOperations::put_super`]; if it does not, the VFS reports busy inodes, and the data of
//! the super block is kept for them.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)
//!
//! [`SuperOperations::put_super`]: super::SuperOperations::put_super

use super::{
    read_once, AddressSpace, DeviceNumber, FileSystem, FileType, Mode, SuperBlock, Timespec,
};
use crate::linux::bindings;
use core::{cell::UnsafeCell, marker::PhantomData, ptr::NonNull};
use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*,
    sync::aref::{ARef, AlwaysRefCounted},
    types::Opaque,
};

pub(super) mod cache;
pub(super) mod lock;
pub(super) mod new;
mod pages;
mod times;

/// An inode of file system `F`.
///
/// # Invariants
///
/// - `inode` is an initialised `struct inode`, whose super block belongs to `F`.
/// - `link` is null or owns memory from `kmalloc`, until the kernel calls `free_inode`.
/// - `data` is initialised, until the kernel calls `destroy_inode`.
/// - The object was allocated from the inode cache of `F`, and every `struct inode` whose super
///   block belongs to `F` is the first field of such an object.
#[repr(C)]
pub struct Inode<F: FileSystem> {
    inode: Opaque<bindings::inode>,
    link: UnsafeCell<*mut u8>,
    data: F::Inode,
    _file_system: PhantomData<F>,
}

// SAFETY: `struct inode` may be used, and its reference dropped, from any thread, and so may
// `F::Inode`, which is `Send`.
unsafe impl<F: FileSystem> Send for Inode<F> {}

// SAFETY: `struct inode` does its own locking, methods that need a lock held ask for proof of
// it, and `F::Inode` is `Sync`.
unsafe impl<F: FileSystem> Sync for Inode<F> {}

// SAFETY: A reference keeps an inode alive until the matching `iput`, and every `Inode` is a
// `struct inode` with such a count. The count may be zero while the inode is cached or being
// written back; then `inode_get` takes it out of the cache, and if it is being evicted, so that
// nothing could keep it, does not return.
unsafe impl<F: FileSystem> AlwaysRefCounted for Inode<F> {
    fn inc_ref(&self) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_get(self.as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller owns a count and gives it up. `Self` begins with the inode.
        unsafe { bindings::iput(obj.as_ptr().cast()) };
    }
}

impl<F: FileSystem> PartialEq for Inode<F> {
    /// Whether both are the same object.
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl<F: FileSystem> Eq for Inode<F> {}

impl<F: FileSystem> Inode<F> {
    /// # Safety
    ///
    /// `ptr` must point to an inode of a super block of `F`, whose data is initialised, and
    /// that stays allocated and undestroyed for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the type invariants, an inode of `F` is the first field of an `Inode<F>`,
        // valid as the caller promises.
        unsafe { &*ptr.cast() }
    }

    /// Takes over a reference that `ptr` carries.
    ///
    /// # Safety
    ///
    /// `ptr` must point to an inode of a super block of `F` and carry one reference, which the
    /// caller gives up.
    pub(crate) unsafe fn from_raw_owned(ptr: NonNull<bindings::inode>) -> ARef<Self> {
        // SAFETY: As promised by the caller; an inode of `F` is the first field of `Self`.
        unsafe { ARef::from_raw(ptr.cast()) }
    }

    /// The C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::inode {
        self.inode.get()
    }

    /// The file system's own data.
    pub fn data(&self) -> &F::Inode {
        &self.data
    }

    /// The super block it belongs to.
    pub fn sb(&self) -> &SuperBlock<F> {
        // SAFETY: An inode's super block outlives it and belongs to `F`. Inodes exist only
        // after `NewSuperBlock::set_info`.
        unsafe { SuperBlock::from_raw((*self.as_raw()).i_sb) }
    }

    /// Its number.
    pub fn ino(&self) -> u64 {
        // SAFETY: The number is set before anybody else sees the inode.
        unsafe { (*self.as_raw()).i_ino }
    }

    /// Type and permissions.
    pub fn mode(&self) -> Mode {
        // SAFETY: The inode is valid by the type invariants.
        Mode::from_bits(unsafe { read_once!((*self.as_raw()).i_mode) })
    }

    /// Its type; `None` only for an inode that never was filled in.
    pub fn file_type(&self) -> Option<FileType> {
        self.mode().file_type()
    }

    /// Whether it is a regular file.
    pub fn is_regular(&self) -> bool {
        self.file_type() == Some(FileType::Regular)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == Some(FileType::Directory)
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type() == Some(FileType::Symlink)
    }

    /// The owner, in the file system's user namespace.
    pub fn uid(&self) -> u32 {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::i_uid_read(self.as_raw()) }
    }

    /// The group, in the file system's user namespace.
    pub fn gid(&self) -> u32 {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::i_gid_read(self.as_raw()) }
    }

    /// The device a special file stands for.
    pub fn rdev(&self) -> DeviceNumber {
        // SAFETY: The inode is valid by the type invariants.
        DeviceNumber::from_raw(unsafe { read_once!((*self.as_raw()).i_rdev) })
    }

    /// The generation, that tells successive users of an inode number apart.
    pub fn generation(&self) -> u32 {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { read_once!((*self.as_raw()).i_generation) }
    }

    /// The number of directory entries that name it.
    pub fn nlink(&self) -> u32 {
        // SAFETY: The inode is valid by the type invariants; both union fields are one integer.
        unsafe { read_once!((*self.as_raw()).__bindgen_anon_1.__i_nlink) }
    }

    /// Sets the number of links, as when reading an inode from disk.
    ///
    /// As for the other methods that change it, callers serialise them, usually by holding the
    /// inode's lock exclusively as directory operations do.
    pub fn set_nlink(&self, links: u32) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::set_nlink(self.as_raw(), links) };
    }

    /// Counts one more link, up to the largest number there is.
    pub fn inc_nlink(&self) {
        // `inc_nlink` complains about an inode that had none, which is legitimate for a temporary
        // file and for one on a damaged volume.
        self.set_nlink(self.nlink().saturating_add(1));
    }

    /// Counts one link less. Does nothing if none is left, as only a damaged volume could ask.
    pub fn drop_nlink(&self) {
        if self.nlink() != 0 {
            // SAFETY: The inode is valid by the type invariants.
            unsafe { bindings::drop_nlink(self.as_raw()) };
        }
    }

    /// Counts no link any more.
    pub fn clear_nlink(&self) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::clear_nlink(self.as_raw()) };
    }

    /// Whether no directory entry names it, so that it goes with its last user.
    pub fn is_deleted(&self) -> bool {
        self.nlink() == 0
    }

    /// Whether it could not be read, and answers everything with `EIO`.
    pub fn is_bad(&self) -> bool {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::is_bad_inode(self.as_raw()) }
    }

    /// Whether it is still being set up by whoever made it.
    pub fn is_new(&self) -> bool {
        self.state() & bindings::inode_state_flags_enum_I_NEW != 0
    }

    fn state(&self) -> u32 {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_state_read_once(self.as_raw()) }
    }

    /// The size in bytes.
    pub fn size(&self) -> i64 {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::i_size_read(self.as_raw()) }
    }

    /// Raises the size to `end` if it is smaller, and tells whether it was.
    ///
    /// Completions of direct I/O use it, which run without the inode's lock. Whoever holds the
    /// lock exclusively uses [`Locked::set_size`](lock::Locked::set_size), and must have waited
    /// for such completions first ([`Inode::dio_wait`]).
    pub fn extend_size(&self, end: i64) -> bool {
        // SAFETY: The inode is valid by the type invariants; the helper serialises its callers.
        unsafe { bindings::i_size_extend(self.as_raw(), end) }
    }

    /// The space it takes, in units of 512 bytes.
    pub fn sectors(&self) -> u64 {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { read_once!((*self.as_raw()).i_blocks) }
    }

    /// Counts `bytes` more of space it takes.
    pub fn add_bytes(&self, bytes: i64) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_add_bytes(self.as_raw(), bytes) };
    }

    /// Counts `bytes` less of space it takes.
    pub fn sub_bytes(&self, bytes: i64) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_sub_bytes(self.as_raw(), bytes) };
    }

    /// Sets the space it takes.
    pub fn set_bytes(&self, bytes: i64) {
        // SAFETY: The inode is valid by the type invariants. `inode_set_bytes` does not lock,
        // and two callers at once leave one value or the other.
        unsafe { bindings::inode_set_bytes(self.as_raw(), bytes) };
    }

    /// The flags.
    pub fn flags(&self) -> InodeFlags {
        // SAFETY: The inode is valid by the type invariants.
        InodeFlags(unsafe { read_once!((*self.as_raw()).i_flags) })
    }

    /// Sets those flags of `mask` that `flags` contains and clears the others of `mask`.
    pub fn set_flags(&self, flags: InodeFlags, mask: InodeFlags) {
        // SAFETY: The inode is valid by the type invariants; the change is atomic.
        unsafe { bindings::inode_set_flags(self.as_raw(), flags.0 & mask.0, mask.0) };
    }

    /// Whether writes must reach the disk before they return, by the mount or by a flag.
    pub fn is_sync(&self) -> bool {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::is_sync(self.as_raw()) }
    }

    /// Whether changes of this directory must reach the disk before they return.
    pub fn is_dirsync(&self) -> bool {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::is_dirsync(self.as_raw()) }
    }

    /// Whether somebody has it open for writing.
    pub fn is_open_for_write(&self) -> bool {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_is_open_for_write(self.as_raw()) }
    }

    /// How many have it open for writing; negative if writing is denied.
    pub fn writers(&self) -> i32 {
        // SAFETY: The inode is valid by the type invariants; an `atomic_t` is one integer.
        unsafe { read_once!((*self.as_raw()).i_writecount.counter) }
    }

    /// Marks it dirty, to be written by [`SuperOperations::write_inode`].
    ///
    /// [`SuperOperations::write_inode`]: super::SuperOperations::write_inode
    pub fn mark_dirty(&self) {
        const I_DIRTY: u32 = bindings::inode_state_flags_enum_I_DIRTY_SYNC
            | bindings::inode_state_flags_enum_I_DIRTY_DATASYNC
            | bindings::inode_state_flags_enum_I_DIRTY_PAGES;
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::__mark_inode_dirty(self.as_raw(), I_DIRTY as c_int) };
    }

    /// Marks it dirty in something that `fdatasync` may leave out, such as a time stamp.
    pub fn mark_dirty_sync(&self) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe {
            bindings::__mark_inode_dirty(
                self.as_raw(),
                bindings::inode_state_flags_enum_I_DIRTY_SYNC as c_int,
            )
        };
    }

    /// Marks it dirty in something that `fdatasync` needs, such as the size.
    pub fn mark_dirty_datasync(&self) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe {
            bindings::__mark_inode_dirty(
                self.as_raw(),
                bindings::inode_state_flags_enum_I_DIRTY_DATASYNC as c_int,
            )
        };
    }

    /// Whether it was marked dirty and not written since.
    pub fn is_dirty(&self) -> bool {
        self.state()
            & (bindings::inode_state_flags_enum_I_DIRTY_SYNC
                | bindings::inode_state_flags_enum_I_DIRTY_DATASYNC)
            != 0
    }

    /// Whether it was marked dirty, and not written since, in something `fdatasync` needs.
    pub fn is_dirty_datasync(&self) -> bool {
        self.state() & bindings::inode_state_flags_enum_I_DIRTY_DATASYNC != 0
    }

    /// Writes the inode, without its pages, now.
    pub fn sync_metadata(&self, wait: bool) -> Result {
        // SAFETY: The inode is valid by the type invariants.
        to_result(unsafe { bindings::sync_inode_metadata(self.as_raw(), wait.into()) })
    }

    /// Writes the inode and its pages now.
    pub fn write_now(&self, sync: bool) -> Result {
        // SAFETY: The inode is valid by the type invariants.
        to_result(unsafe { bindings::write_inode_now(self.as_raw(), sync.into()) })
    }

    /// Takes another reference, unless the inode is already on its way out.
    pub fn grab(&self) -> Option<ARef<Self>> {
        // SAFETY: The inode is valid by the type invariants.
        let inode = NonNull::new(unsafe { bindings::igrab(self.as_raw()) })?;
        // SAFETY: `igrab` returned this inode with one more reference.
        Some(unsafe { Self::from_raw_owned(inode) })
    }

    /// The pages of its contents.
    pub fn mapping(&self) -> &AddressSpace<F> {
        // SAFETY: The embedded mapping lives as long as the inode, its host.
        unsafe { AddressSpace::from_raw(&raw mut (*self.as_raw()).i_data) }
    }

    /// The current time in the granularity of the file system.
    pub fn current_time(&self) -> Timespec {
        // SAFETY: The inode is valid by the type invariants.
        Timespec::from_raw(unsafe { bindings::current_time(self.as_raw()) })
    }

    /// Waits until no direct I/O is in flight.
    ///
    /// No new one may begin meanwhile: the caller holds the lock that direct I/O takes.
    pub fn dio_wait(&self) {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { bindings::inode_dio_wait(self.as_raw()) };
    }
}

/// Flags of an inode, `S_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InodeFlags(u32);

impl InodeFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Writes are synchronous.
    pub const SYNC: Self = Self(bindings::S_SYNC);
    /// Access times are not recorded.
    pub const NOATIME: Self = Self(bindings::S_NOATIME);
    /// Can only be appended to.
    pub const APPEND: Self = Self(bindings::S_APPEND);
    /// Cannot be changed.
    pub const IMMUTABLE: Self = Self(bindings::S_IMMUTABLE);
    /// Changes of the directory are synchronous.
    pub const DIRSYNC: Self = Self(bindings::S_DIRSYNC);
    /// Internal to the file system.
    pub const PRIVATE: Self = Self(bindings::S_PRIVATE);
    /// Known to have nothing that a write would have to take away, such as a set-user-id bit.
    pub const NOSEC: Self = Self(bindings::S_NOSEC);

    /// The raw bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl core::ops::BitOr for InodeFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
