// SPDX-License-Identifier: GPL-2.0

//! What the kernel asks of a mounted file system.
//!
//! Unmounting goes in this order, and the data of the super block can be relied upon up to and
//! including `put_super`:
//!
//! ```text
//!   dentries dropped ─► sync_fs ─► evict_inode for all ─► put_super ─► F::Info dropped ─► device
//!                                                                                         closed
//! ```
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use super::{new::clean_up, SuperBlock};
use crate::linux::{
    bindings,
    fs::{inode::cache::InodeCache, FileSystem, Inode, WritebackControl},
};
use core::marker::PhantomData;
use kernel::{
    error::{from_result, VTABLE_DEFAULT_ERROR},
    ffi::{c_int, c_long},
    prelude::*,
    seq_file::SeqFile,
};

/// What became dirty of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeDirtied(u32);

impl InodeDirtied {
    /// Only time stamps, which may stay in memory for a while (`lazytime`).
    pub fn is_time_only(self) -> bool {
        self.0 == bindings::inode_state_flags_enum_I_DIRTY_TIME
    }

    /// Something that `fdatasync` needs.
    pub fn is_datasync(self) -> bool {
        self.0 & bindings::inode_state_flags_enum_I_DIRTY_DATASYNC != 0
    }
}

/// What `statfs` reports, `struct kstatfs`.
#[repr(transparent)]
pub struct StatFs(bindings::kstatfs);

impl StatFs {
    /// Sets the number that tells file system types apart.
    pub fn set_magic(&mut self, magic: u32) -> &mut Self {
        self.0.f_type = magic as c_long;
        self
    }

    /// Sets the size of a block, in bytes.
    pub fn set_block_size(&mut self, bytes: u32) -> &mut Self {
        self.0.f_bsize = bytes as c_long;
        self.0.f_frsize = bytes as c_long;
        self
    }

    /// Sets the number of blocks: all, free, and free for users without privilege.
    pub fn set_blocks(&mut self, total: u64, free: u64, available: u64) -> &mut Self {
        self.0.f_blocks = total;
        self.0.f_bfree = free;
        self.0.f_bavail = available;
        self
    }

    /// Sets the number of inodes: all and free.
    pub fn set_inodes(&mut self, total: u64, free: u64) -> &mut Self {
        self.0.f_files = total;
        self.0.f_ffree = free;
        self
    }

    /// Sets the longest name.
    pub fn set_name_max(&mut self, bytes: u32) -> &mut Self {
        self.0.f_namelen = bytes as c_long;
        self
    }

    /// Sets the identifier of the volume, by folding its UUID as other file systems do.
    pub fn set_fsid(&mut self, uuid: &[u8; 16]) -> &mut Self {
        let uuid = u128::from_le_bytes(*uuid);
        let id = uuid as u64 ^ (uuid >> 64) as u64;
        self.0.f_fsid.val = [id as i32, (id >> 32) as i32];
        self
    }
}

/// The operations of a super block, `struct super_operations`.
///
/// Those that are not implemented do nothing or what the kernel does without them.
#[vtable]
pub trait SuperOperations {
    /// The file system whose super blocks these are.
    type FileSystem: FileSystem;

    /// An inode leaves memory, and nobody can find it any more: release what belongs to it, and
    /// delete it on disk if [`Inode::is_deleted`].
    ///
    /// Its pages are gone already. Not called for inodes that are [`Inode::is_bad`].
    fn evict_inode(_inode: &Inode<Self::FileSystem>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Write an inode that was marked dirty; if the control says so, until it is on disk.
    fn write_inode(
        _inode: &Inode<Self::FileSystem>,
        _control: &WritebackControl<Self::FileSystem>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// An inode is being marked dirty.
    fn dirty_inode(_inode: &Inode<Self::FileSystem>, _dirtied: InodeDirtied) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Write what is dirty of the file system itself; wait for it if `wait`.
    fn sync_fs(_sb: &SuperBlock<Self::FileSystem>, _wait: bool) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The file system is being unmounted, or could not be mounted after
    /// [`NewSuperBlock::set_info`].
    ///
    /// Inodes without references are gone. What holds references to inodes must let go of them
    /// here, and workers must be stopped. Afterwards the data of the super block is dropped.
    ///
    /// [`NewSuperBlock::set_info`]: super::new::NewSuperBlock::set_info
    fn put_super(_sb: &SuperBlock<Self::FileSystem>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Do now what was put off: see
    /// [`SuperBlock::schedule_background`](super::SuperBlock::schedule_background).
    ///
    /// Runs in a task of its own, at most once at a time, and never after [`Self::put_super`] began.
    /// Whether changes are allowed is for it to find out ([`SuperBlock::try_start_write`]): it is not
    /// stopped by freezing.
    fn background(_sb: &SuperBlock<Self::FileSystem>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Report sizes and free space.
    fn statfs(_sb: &SuperBlock<Self::FileSystem>, _stat: &mut StatFs) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Make the volume consistent: nothing changes it until [`Self::unfreeze_fs`].
    fn freeze_fs(_sb: &SuperBlock<Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The file system may change the volume again.
    fn unfreeze_fs(_sb: &SuperBlock<Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Print the mount options that differ from the default, each as `,name=value`.
    fn show_options(_seq: &SeqFile, _sb: &SuperBlock<Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Print statistics, for `/proc/self/mountstats`.
    fn show_stats(_seq: &SeqFile, _sb: &SuperBlock<Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The device is gone: let nothing wait for it any more.
    fn shutdown(_sb: &SuperBlock<Self::FileSystem>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// How many objects of its own the file system could free under memory pressure, besides
    /// inodes. Must not sleep.
    fn nr_cached_objects(_sb: &SuperBlock<Self::FileSystem>) -> usize {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Free about this many such objects, and return how many were freed.
    ///
    /// May be called while file systems must not be entered again to allocate memory.
    fn free_cached_objects(_sb: &SuperBlock<Self::FileSystem>, _count: usize) -> usize {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The `struct super_operations` of `T`.
pub(in crate::linux::fs) struct Table<T>(PhantomData<T>);

impl<T: SuperOperations> Table<T> {
    pub(in crate::linux::fs) fn get() -> *const bindings::super_operations {
        &Self::TABLE
    }

    const TABLE: bindings::super_operations = bindings::super_operations {
        alloc_inode: Some(InodeCache::<T::FileSystem>::alloc_inode),
        destroy_inode: Some(InodeCache::<T::FileSystem>::destroy_inode),
        free_inode: Some(InodeCache::<T::FileSystem>::free_inode),
        evict_inode: Some(Self::evict_inode),
        write_inode: if T::HAS_WRITE_INODE {
            Some(Self::write_inode)
        } else {
            None
        },
        dirty_inode: if T::HAS_DIRTY_INODE {
            Some(Self::dirty_inode)
        } else {
            None
        },
        sync_fs: if T::HAS_SYNC_FS {
            Some(Self::sync_fs)
        } else {
            None
        },
        put_super: Some(Self::put_super),
        statfs: if T::HAS_STATFS {
            Some(Self::statfs)
        } else {
            Some(bindings::simple_statfs)
        },
        freeze_fs: if T::HAS_FREEZE_FS {
            Some(Self::freeze_fs)
        } else {
            None
        },
        unfreeze_fs: if T::HAS_UNFREEZE_FS {
            Some(Self::unfreeze_fs)
        } else {
            None
        },
        show_options: if T::HAS_SHOW_OPTIONS {
            Some(Self::show_options)
        } else {
            None
        },
        show_stats: if T::HAS_SHOW_STATS {
            Some(Self::show_stats)
        } else {
            None
        },
        shutdown: if T::HAS_SHUTDOWN {
            Some(Self::shutdown)
        } else {
            None
        },
        nr_cached_objects: if T::HAS_NR_CACHED_OBJECTS {
            Some(Self::nr_cached_objects)
        } else {
            None
        },
        free_cached_objects: if T::HAS_FREE_CACHED_OBJECTS {
            Some(Self::free_cached_objects)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS for an inode of `T::FileSystem` that is being freed.
    unsafe extern "C" fn evict_inode(inode: *mut bindings::inode) {
        // SAFETY: The VFS calls this before `destroy_inode`, and the inode has no other user.
        unsafe {
            bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
            if T::HAS_EVICT_INODE && !bindings::is_bad_inode(inode) {
                T::evict_inode(Inode::from_raw(inode));
            }
            bindings::clear_inode(inode);
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for an inode of `T::FileSystem`.
    unsafe extern "C" fn write_inode(
        inode: *mut bindings::inode,
        control: *mut bindings::writeback_control,
    ) -> c_int {
        // SAFETY: As promised by the caller; the control lives as long as the call.
        from_result(|| unsafe {
            T::write_inode(Inode::from_raw(inode), WritebackControl::from_raw(control))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for an inode of `T::FileSystem`.
    unsafe extern "C" fn dirty_inode(inode: *mut bindings::inode, flags: c_int) {
        // SAFETY: As promised by the caller.
        let inode = unsafe { Inode::from_raw(inode) };
        T::dirty_inode(inode, InodeDirtied(flags as u32));
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of `T::FileSystem` that was filled.
    unsafe extern "C" fn sync_fs(sb: *mut bindings::super_block, wait: c_int) -> c_int {
        // SAFETY: As promised by the caller; a filled super block has its data.
        from_result(|| unsafe {
            T::sync_fs(SuperBlock::from_raw(sb), wait != 0)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of `T::FileSystem` that was filled, when it is being
    /// shut down and its unused inodes are gone.
    unsafe extern "C" fn put_super(sb: *mut bindings::super_block) {
        // If inodes are in use, which is a bug that the VFS reports next, the data stays.
        // SAFETY: As promised by the caller; users other than inodes are gone.
        unsafe { clean_up::<T::FileSystem>(sb) };
    }

    /// # Safety
    ///
    /// Called by the VFS for an entry of a super block of `T::FileSystem` that was filled.
    unsafe extern "C" fn statfs(
        dentry: *mut bindings::dentry,
        stat: *mut kernel::bindings::kstatfs,
    ) -> c_int {
        // SAFETY: As promised by the caller; `stat` is valid and exclusive for the call, and
        // `StatFs` is transparent.
        from_result(|| unsafe {
            T::statfs(
                SuperBlock::from_raw((*dentry).d_sb),
                &mut *stat.cast::<StatFs>(),
            )?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of `T::FileSystem` that was filled.
    unsafe extern "C" fn freeze_fs(sb: *mut bindings::super_block) -> c_int {
        // SAFETY: As promised by the caller; a filled super block has its data.
        from_result(|| unsafe {
            T::freeze_fs(SuperBlock::from_raw(sb))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of `T::FileSystem` that was filled.
    unsafe extern "C" fn unfreeze_fs(sb: *mut bindings::super_block) -> c_int {
        // SAFETY: As promised by the caller; a filled super block has its data.
        from_result(|| unsafe {
            T::unfreeze_fs(SuperBlock::from_raw(sb))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for an entry of a super block of `T::FileSystem` that was filled.
    unsafe extern "C" fn show_options(
        seq: *mut bindings::seq_file,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: As promised by the caller; `seq` is valid and exclusive for the call.
        from_result(|| unsafe {
            T::show_options(SeqFile::from_raw(seq), SuperBlock::from_raw((*dentry).d_sb))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for an entry of a super block of `T::FileSystem` that was filled.
    unsafe extern "C" fn show_stats(
        seq: *mut bindings::seq_file,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: As promised by the caller; `seq` is valid and exclusive for the call.
        from_result(|| unsafe {
            T::show_stats(SeqFile::from_raw(seq), SuperBlock::from_raw((*dentry).d_sb))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of `T::FileSystem` that was filled.
    unsafe extern "C" fn shutdown(sb: *mut bindings::super_block) {
        // SAFETY: As promised by the caller; a filled super block has its data.
        T::shutdown(unsafe { SuperBlock::from_raw(sb) });
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of `T::FileSystem` that was filled. The shrinker is
    /// gone before it is shut down.
    unsafe extern "C" fn nr_cached_objects(
        sb: *mut bindings::super_block,
        _control: *mut bindings::shrink_control,
    ) -> c_long {
        // SAFETY: As promised by the caller; a filled super block has its data.
        let count = T::nr_cached_objects(unsafe { SuperBlock::from_raw(sb) });
        c_long::try_from(count).unwrap_or(c_long::MAX)
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of `T::FileSystem` that was filled.
    unsafe extern "C" fn free_cached_objects(
        sb: *mut bindings::super_block,
        control: *mut bindings::shrink_control,
    ) -> c_long {
        // SAFETY: As promised by the caller; a filled super block has its data.
        let freed =
            unsafe { T::free_cached_objects(SuperBlock::from_raw(sb), (*control).nr_to_scan) };
        c_long::try_from(freed).unwrap_or(c_long::MAX)
    }
}
