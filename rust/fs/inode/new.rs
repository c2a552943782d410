// SPDX-License-Identifier: GPL-2.0

//! Making inodes: new ones, and those read from disk.
//!
//! Both come as a [`NewInode`], which nobody else can use before [`NewInode::finish`]. A
//! `NewInode` that is dropped undoes what there is to undo:
//!
//! ```text
//!   SuperBlock::new_inode ─► Fresh ─ insert ─► Created ─ finish ─► ARef<Inode>
//!                              │ drop             │ drop
//!                              ▼                  ▼
//!                             iput         discard_new_inode: whoever waited looks again
//!
//!   SuperBlock::iget ──────► Loading ───────────────── finish ───► ARef<Inode>
//!                              │ drop
//!                              ▼
//!                          iget_failed: whoever waited gets EIO
//! ```
//!
//! An inode dropped in one of the first two stages is evicted at once. A file system that has
//! put something of it on disk clears its link count first, so that eviction deletes that.

use super::{super::SuperBlock, lock::Locked, DeviceNumber, FileType, Inode, InodeFlags, Mode};
use crate::linux::{
    bindings,
    fs::{
        address_space::Table as MappingTable, file::operations::Table as FileTable,
        inode_operations::table::Table, AddressSpaceOperations, FileOperations, FileSystem,
        InodeOperations, MntIdmap,
    },
};
use core::{mem::ManuallyDrop, ops::Deref, ptr::NonNull};
use kernel::{alloc::KVec, error::to_result, prelude::*, sync::aref::ARef};

/// How far a new inode has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not in the inode hash table.
    Fresh,
    /// Newly created and in the hash table; others that look for it wait.
    Created,
    /// Being read from disk and in the hash table; others that look for it wait.
    Loading,
}

/// An inode that is being set up.
///
/// # Invariants
///
/// The inode is valid, and `self` owns a reference to it. It is in the stage `stage` says, so
/// that nobody but the owner of `self` uses it.
pub struct NewInode<F: FileSystem> {
    inode: NonNull<Inode<F>>,
    stage: Stage,
}

// SAFETY: An inode may be set up, and its reference dropped, from any thread.
unsafe impl<F: FileSystem> Send for NewInode<F> {}

/// What [`SuperBlock::iget`] found.
pub enum Iget<F: FileSystem> {
    /// The inode is in use or was cached.
    Existing(ARef<Inode<F>>),
    /// It is new in memory: read it, and [`NewInode::finish`].
    New(NewInode<F>),
}

impl<F: FileSystem> SuperBlock<F> {
    /// Finds the inode with this number, or makes one to be read from disk.
    ///
    /// Waits while somebody else reads it; fails if they did.
    pub fn iget(&self, ino: u64) -> Result<Iget<F>> {
        // SAFETY: The super block is valid.
        let inode = unsafe { bindings::iget_locked(self.as_raw(), ino) };
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: `iget_locked` returns an inode of this super block.
        if unsafe { Inode::<F>::from_raw(inode.as_ptr()) }.is_new() {
            // INVARIANT: `iget_locked` returned it to us, alone, to be read, with a reference.
            return Ok(Iget::New(NewInode {
                inode: inode.cast(),
                stage: Stage::Loading,
            }));
        }
        // SAFETY: `iget_locked` returned an inode of this super block with a reference.
        let inode = unsafe { Inode::from_raw_owned(inode) };
        if inode.is_bad() {
            return Err(EIO);
        }
        Ok(Iget::Existing(inode))
    }

    /// The inode with this number, if it is in memory.
    pub fn ilookup(&self, ino: u64) -> Option<ARef<Inode<F>>> {
        // SAFETY: The super block is valid.
        let inode = NonNull::new(unsafe { bindings::ilookup(self.as_raw(), ino) })?;
        // SAFETY: `ilookup` returned an inode of this super block with a reference.
        let inode = unsafe { Inode::from_raw_owned(inode) };
        (!inode.is_bad()).then_some(inode)
    }

    /// An inode for a new file, not yet in the hash table and without a number.
    ///
    /// Its link count is 1: an inode that is dropped before it has anything on disk is
    /// released without asking the file system to delete it.
    pub fn new_inode(&self) -> Result<NewInode<F>> {
        // SAFETY: The super block is valid.
        let inode = NonNull::new(unsafe { bindings::new_inode(self.as_raw()) }).ok_or(ENOMEM)?;
        // INVARIANT: Just made, with one reference, and hashed nowhere.
        Ok(NewInode {
            inode: inode.cast(),
            stage: Stage::Fresh,
        })
    }
}

impl<F: FileSystem> Deref for NewInode<F> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        // SAFETY: The inode is valid by the type invariants.
        unsafe { self.inode.as_ref() }
    }
}

impl<F: FileSystem> NewInode<F> {
    /// The inode as if locked, since nobody else uses it.
    pub fn locked(&self) -> Locked<'_, F> {
        // SAFETY: The inode is valid, and nobody else sees it, by the type invariants.
        unsafe { Locked::from_raw(self.as_raw()) }
    }

    /// Gives it its number and enters it into the hash table; `EEXIST` if the number is in use.
    pub fn insert(mut self, ino: u64) -> Result<Self> {
        if self.stage != Stage::Fresh {
            return Err(EEXIST);
        }
        // SAFETY: The inode is valid, has a super block, and is not in the hash table.
        to_result(unsafe {
            (*self.as_raw()).i_ino = ino;
            bindings::insert_inode_locked(self.as_raw())
        })
        .map_err(|_| EEXIST)?;
        // INVARIANT: It is hashed, and marked as being created.
        self.stage = Stage::Created;
        Ok(self)
    }

    /// Makes the inode usable by others.
    pub fn finish(self) -> ARef<Inode<F>> {
        let stage = self.stage;
        let inode = self.into_inner();
        if stage != Stage::Fresh {
            // SAFETY: It is in the hash table and marked as new, by the type invariants.
            unsafe { bindings::unlock_new_inode(inode.as_ptr().cast()) };
        }
        // SAFETY: `self` owned a reference.
        unsafe { ARef::from_raw(inode) }
    }

    /// Gives up the inode and its reference, without letting others use it.
    fn into_inner(self) -> NonNull<Inode<F>> {
        ManuallyDrop::new(self).inode
    }

    /// Makes `dentry` name the inode, and the inode usable by others; `EXDEV` if it is of
    /// another super block.
    ///
    /// # Safety
    ///
    /// `dentry` must be a negative entry whose directory is locked, or that nobody else uses.
    pub(in crate::linux::fs) unsafe fn instantiate(self, dentry: *mut bindings::dentry) -> Result {
        // SAFETY: The entry is valid.
        if self.sb().as_raw() != unsafe { (*dentry).d_sb } {
            return Err(EXDEV);
        }
        let stage = self.stage;
        let inode = self.into_inner().as_ptr().cast();
        // SAFETY: `self` owned a reference, which the entry takes. The inode is marked as new in
        // the stages that the type invariants say, and the caller promises the rest.
        unsafe {
            if stage == Stage::Fresh {
                bindings::d_instantiate(dentry, inode);
            } else {
                bindings::d_instantiate_new(dentry, inode);
            }
        }
        Ok(())
    }

    /// Checks that the inode has no type yet, or that of `mode`: what goes with a type is not to be taken back.
    fn check_type(&self, mode: Mode) -> Result {
        match self.mode().file_type() {
            Some(it) if mode.file_type() != Some(it) => Err(EINVAL),
            _ => Ok(()),
        }
    }

    /// Sets type and permissions. Fails with `EINVAL` if it has another type already.
    pub fn set_mode(&mut self, mode: Mode) -> Result<&mut Self> {
        self.check_type(mode)?;
        // SAFETY: The inode is valid, and nobody else uses it.
        unsafe { (*self.as_raw()).i_mode = mode.bits() };
        Ok(self)
    }

    /// Sets owner and group, given in the file system's user namespace.
    pub fn set_owner(&mut self, uid: u32, gid: u32) -> &mut Self {
        // SAFETY: The inode is valid, and nobody else uses it.
        unsafe {
            bindings::i_uid_write(self.as_raw(), uid);
            bindings::i_gid_write(self.as_raw(), gid);
        }
        self
    }

    /// Sets type, permissions, owner and group as those of a file the current task creates in
    /// `dir`. Fails with `EINVAL` if it has another type already.
    pub fn init_owner(
        &mut self,
        idmap: &MntIdmap,
        dir: &Inode<F>,
        mode: Mode,
    ) -> Result<&mut Self> {
        self.check_type(mode)?;
        // SAFETY: Both inodes are valid, and nobody else uses this one.
        unsafe {
            bindings::inode_init_owner(idmap.as_raw(), self.as_raw(), dir.as_raw(), mode.bits())
        };
        Ok(self)
    }

    /// Sets the size.
    pub fn set_size(&mut self, size: i64) -> &mut Self {
        self.locked().set_size(size);
        self
    }

    /// Sets the generation.
    pub fn set_generation(&mut self, generation: u32) -> &mut Self {
        // SAFETY: The inode is valid, and nobody else uses it.
        unsafe { (*self.as_raw()).i_generation = generation };
        self
    }

    /// Sets flags.
    pub fn add_flags(&mut self, flags: InodeFlags) -> &mut Self {
        self.set_flags(flags, flags);
        self
    }

    /// Sets the inode operations.
    pub fn set_inode_operations<T: InodeOperations<FileSystem = F>>(&mut self) -> &mut Self {
        // SAFETY: The inode is valid, nobody else uses it, and the table is for inodes of `F`.
        unsafe { (*self.as_raw()).i_op = Table::<T>::get() };
        self
    }

    /// Sets the file operations.
    pub fn set_file_operations<T: FileOperations<FileSystem = F>>(&mut self) -> &mut Self {
        // SAFETY: The inode is valid, nobody else uses it, and the table is for files of `F`.
        unsafe { (*self.as_raw()).__bindgen_anon_3.i_fop = FileTable::<T>::get() };
        self
    }

    /// Sets the operations on its pages.
    pub fn set_mapping_operations<T: AddressSpaceOperations<FileSystem = F>>(
        &mut self,
    ) -> &mut Self {
        // SAFETY: The inode is valid, nobody else uses it, and the table is for inodes of `F`.
        unsafe { (*self.mapping_raw()).a_ops = MappingTable::<T>::get() };
        self
    }

    /// Lets the page cache use folios larger than a page.
    pub fn use_large_folios(&mut self) -> &mut Self {
        // SAFETY: The inode is valid, and nobody else uses it.
        unsafe { bindings::mapping_set_large_folios(self.mapping_raw()) };
        self
    }

    /// Makes it a device node, named pipe or socket: `EINVAL` for another type.
    ///
    /// Inode operations are set separately.
    pub fn set_special(&mut self, mode: Mode, rdev: DeviceNumber) -> Result<&mut Self> {
        match mode.file_type() {
            Some(
                FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket,
            ) => {
                self.check_type(mode)?;
                // SAFETY: The inode is valid, and nobody else uses it.
                unsafe {
                    (*self.as_raw()).i_mode = mode.bits();
                    bindings::init_special_inode(self.as_raw(), mode.bits(), rdev.as_raw());
                }
                Ok(self)
            }
            _ => Err(EINVAL),
        }
    }

    /// Makes it a symbolic link whose target is kept in memory, where path lookup finds it
    /// without asking the file system.
    ///
    /// The other inode operations are those of `T`. `EINVAL` if the mode does not say it is a
    /// symbolic link, or if it has a target already.
    pub fn set_symlink<T: InodeOperations<FileSystem = F>>(
        &mut self,
        target: &CStr,
    ) -> Result<&mut Self> {
        // SAFETY: Nobody else uses the inode.
        let has_target = unsafe { !(*self.link.get()).is_null() };
        if !self.is_symlink() || has_target {
            return Err(EINVAL);
        }
        let target = target.to_bytes_with_nul();
        let mut text = KVec::with_capacity(target.len(), GFP_KERNEL)?;
        text.extend_from_slice(target, GFP_KERNEL)?;
        let (text, _, _) = text.into_raw_parts();
        // SAFETY: The inode is valid, and nobody else uses it.
        // INVARIANT: The target is in memory from `kmalloc`, that is given up here.
        unsafe {
            *self.link.get() = text;
            (*self.as_raw()).__bindgen_anon_5.i_link = text.cast();
            (*self.as_raw()).i_op = Table::<T>::with_target();
        }
        Ok(self)
    }
}

impl<F: FileSystem> Drop for NewInode<F> {
    fn drop(&mut self) {
        let inode = self.as_raw();
        // SAFETY: By the type invariants, `self` owns a reference to the inode, which is in the
        // stage it says.
        unsafe {
            match self.stage {
                Stage::Fresh => bindings::iput(inode),
                Stage::Created => {
                    // Not cached, whatever its link count.
                    bindings::__remove_inode_hash(inode);
                    bindings::discard_new_inode(inode);
                }
                Stage::Loading => bindings::iget_failed(inode),
            }
        }
    }
}
