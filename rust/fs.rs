// SPDX-License-Identifier: GPL-2.0

//! The virtual file system, as seen by a file system.
//!
//! A file system is a type that implements [`FileSystem`]: its name, its mount options, the
//! data it keeps per super block and per inode, and how to fill a super block. All other
//! types here carry it as parameter, so that an inode of one file system cannot be taken for
//! one of another, and [`Inode::data`] and [`SuperBlock::info`] need no check at run time.
//!
//! What the kernel calls goes through traits marked `#[vtable]`, one per C operations table:
//! [`SuperOperations`], [`InodeOperations`], [`FileOperations`], [`AddressSpaceOperations`]
//! and [`MappingOperations`]. An inode gets its tables while it is still a [`NewInode`] that
//! nobody else can use.
//!
//! ```text
//!   Registration<F>       file_system_type, the inode cache     module load … unload
//!     └─ SuperBlock<F>    super_block, F::Info                  mount … last unmount
//!          └─ Inode<F>    inode, F::Inode                       first use … eviction
//!               ├─ Dentry<F>   only inside directory operations
//!               └─ File<F>     open … release
//! ```
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h) and those it splits into.

use crate::linux::bindings;
use kernel::{prelude::*, sync::aref::ARef};

mod address_space;
mod attr;
mod context;
mod dentry;
mod file;
mod idmap;
mod inode;
mod inode_operations;
mod mode;
mod parameter;
mod registration;
mod super_block;
mod time;

pub use address_space::{
    AddressSpace, AddressSpaceOperations, Folio, LockedFolio, ReadaheadControl, WritebackControl,
};
pub use attr::{Attr, KStat, StatMask};
pub use context::{MountOptions, Reconfigure};
pub use dentry::Dentry;
pub use file::{
    dir::{DirContext, DirEntryType},
    falloc,
    iov_iter::IovIter,
    kiocb::{Kiocb, WriteChecked},
    mapping::{MappingArea, MappingOperations, VmFault, VmFaultResult},
    operations::{FileOperations, FileOperationsFlags},
    remap::{RemapFlags, RemapGuard, RemapRange},
    File, OpeningFile, SeekFrom,
};
pub use idmap::MntIdmap;
pub use inode::{
    lock::{
        InvalidateGuard, InvalidateSharedGuard, InvalidateTwoGuard, Locked, ReadGuard, TwoGuard,
        WriteGuard,
    },
    new::{Iget, NewInode},
    Inode, InodeFlags,
};
pub use inode_operations::{Fiemap, InodeOperations, RenameFlags};
pub use mode::{DeviceNumber, FileType, Mode};
pub use parameter::{Parameter, ParameterType, Value};
pub use registration::Registration;
pub use super_block::{
    freeze::{FreezeGuard, FreezeLevel},
    new::NewSuperBlock,
    operations::{InodeDirtied, StatFs, SuperOperations},
    SuperBlock,
};
pub use time::Timespec;

/// A file system type.
///
/// One implementation per file system; [`Registration`] makes it known to the kernel.
pub trait FileSystem: Sized + 'static {
    /// The name by which it is mounted.
    const NAME: &'static CStr;

    /// Whether it lives on a block device.
    const REQUIRES_DEV: bool = true;

    /// Whether it maps user and group ids of idmapped mounts.
    ///
    /// All abstractions here pass the [`MntIdmap`] along, so that a file system that only uses
    /// [`NewInode::init_owner`] and [`Attr`] for ownership may say yes.
    const ALLOW_IDMAP: bool = false;

    /// Whether mounts from within a user namespace are allowed.
    const USERNS_MOUNT: bool = false;

    /// Whether change times are as fine as needed to tell changes apart that somebody looked at,
    /// rather than those of the last clock tick.
    const MULTIGRAIN_TIMES: bool = false;

    /// The mount options.
    type Options: MountOptions;

    /// What it keeps per super block.
    ///
    /// Lives from [`NewSuperBlock::set_info`] until the super block has let go of its last
    /// inode, and is dropped while the block device is still open.
    type Info: Send + Sync + 'static;

    /// What it keeps per inode, in the same allocation as the kernel's `struct inode`.
    ///
    /// Made by [`FileSystem::init_inode`] when the inode is allocated, and dropped when the
    /// inode is destroyed, in a context that may sleep. Its memory is reused only after an RCU
    /// grace period.
    type Inode: Send + Sync + 'static;

    /// The super block operations.
    type SuperOps: SuperOperations<FileSystem = Self>;

    /// The initial state of the per-inode data, before anything is known of the inode.
    fn init_inode() -> impl PinInit<Self::Inode>;

    /// Reads the volume and returns its root directory.
    ///
    /// On failure after [`NewSuperBlock::set_info`], [`SuperOperations::put_super`] is called and
    /// the data is dropped, as on unmount.
    fn fill_super(sb: NewSuperBlock<'_, Self>, options: Self::Options)
        -> Result<ARef<Inode<Self>>>;

    /// Applies options on a remount, which may change between read-only and read-write.
    ///
    /// The file system has been synced; before it becomes read-only, writers have been waited for
    /// first. Without an implementation, options of a remount are checked and then ignored.
    fn reconfigure(
        _sb: &SuperBlock<Self>,
        _options: Self::Options,
        _change: Reconfigure,
    ) -> Result {
        Ok(())
    }
}

/// Reads a field that other threads may write, once.
macro_rules! read_once {
    ($place:expr) => {
        core::ptr::read_volatile(&raw const $place)
    };
}
use read_once;

/// The longest name of a directory entry, `NAME_MAX`.
pub const NAME_MAX: usize = bindings::NAME_MAX as usize;

/// The largest size a file can have, `MAX_LFS_FILESIZE`.
pub const MAX_FILE_SIZE: i64 = bindings::MAX_LFS_FILESIZE;
