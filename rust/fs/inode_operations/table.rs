// SPDX-License-Identifier: GPL-2.0

//! The C table of [`InodeOperations`], and the functions in it.

use super::{InodeOperations, RenameFlags};
use crate::linux::{
    bindings,
    error::EUCLEAN,
    fs::{Attr, Dentry, DeviceNumber, Fiemap, Inode, KStat, Locked, MntIdmap, Mode, StatMask},
};
use core::{marker::PhantomData, ptr};
use kernel::{
    error::{from_result, to_result},
    ffi::{c_char, c_int, c_uint, c_void},
    prelude::*,
    sync::aref::ARef,
};

/// The `struct inode_operations` of `T`.
pub(in crate::linux::fs) struct Table<T>(PhantomData<T>);

/// Wraps a callback in `Some` if the trait implements it.
macro_rules! callback {
    ($has:ident, $callback:ident) => {
        if T::$has {
            Some(Self::$callback)
        } else {
            None
        }
    };
}

impl<T: InodeOperations> Table<T> {
    pub(in crate::linux::fs) fn get() -> *const bindings::inode_operations {
        &Self::TABLE
    }

    /// The table for a symbolic link whose target is in `i_link`.
    pub(in crate::linux::fs) fn with_target() -> *const bindings::inode_operations {
        &Self::SYMLINK_TABLE
    }

    const TABLE: bindings::inode_operations = bindings::inode_operations {
        lookup: callback!(HAS_LOOKUP, lookup),
        #[cfg(linux_7_2)]
        create: callback!(HAS_CREATE, create_exclusively),
        #[cfg(not(linux_7_2))]
        create: callback!(HAS_CREATE, create),
        mkdir: callback!(HAS_MKDIR, mkdir),
        mknod: callback!(HAS_MKNOD, mknod),
        symlink: callback!(HAS_SYMLINK, symlink),
        tmpfile: callback!(HAS_TMPFILE, tmpfile),
        link: callback!(HAS_LINK, link),
        unlink: callback!(HAS_UNLINK, unlink),
        rmdir: callback!(HAS_RMDIR, rmdir),
        rename: callback!(HAS_RENAME, rename),
        get_link: callback!(HAS_GET_LINK, get_link),
        setattr: callback!(HAS_SETATTR, setattr),
        getattr: callback!(HAS_GETATTR, getattr),
        fiemap: callback!(HAS_FIEMAP, fiemap),
        ..pin_init::zeroed()
    };

    const SYMLINK_TABLE: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(bindings::simple_get_link),
        ..Self::TABLE
    };

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` that is locked, and a negative entry
    /// of it that is being looked up.
    unsafe extern "C" fn lookup(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        _flags: c_uint,
    ) -> *mut bindings::dentry {
        // SAFETY: As promised by the caller.
        let found = unsafe { T::lookup(Inode::from_raw(dir), Dentry::from_raw(dentry)) };
        let found = found.and_then(|inode| match inode {
            // SAFETY: As promised by the caller.
            Some(inode) if inode.sb().as_raw() != unsafe { (*dentry).d_sb } => Err(EXDEV),
            inode => Ok(inode),
        });
        match found {
            Err(error) => error.to_ptr(),
            // SAFETY: `d_splice_alias` takes over the reference, and the entry is negative.
            Ok(inode) => unsafe {
                let inode = inode.map_or(ptr::null_mut(), |inode| ARef::into_raw(inode).as_ptr());
                bindings::d_splice_alias(inode.cast(), dentry)
            },
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` that is locked, and a negative entry
    /// of it.
    unsafe extern "C" fn create(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: As promised by the caller.
        from_result(|| unsafe {
            T::create(
                MntIdmap::from_raw(idmap),
                Locked::from_raw(dir),
                Dentry::from_raw(dentry),
                Mode::from_bits(mode),
            )?
            .instantiate(dentry)?;
            Ok(0)
        })
    }

    /// What is created is always new, as the entry is negative.
    ///
    /// # Safety
    ///
    /// As [`Self::create`].
    #[cfg(linux_7_2)]
    unsafe extern "C" fn create_exclusively(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        _exclusively: bool,
    ) -> c_int {
        // SAFETY: As promised by the caller.
        unsafe { Self::create(idmap, dir, dentry, mode) }
    }

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` that is locked, and a negative entry
    /// of it.
    unsafe extern "C" fn mkdir(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> *mut bindings::dentry {
        // SAFETY: As promised by the caller.
        let made = unsafe {
            T::mkdir(
                MntIdmap::from_raw(idmap),
                Locked::from_raw(dir),
                Dentry::from_raw(dentry),
                Mode::from_bits(mode | bindings::S_IFDIR as u16),
            )
        };
        match made {
            Err(error) => error.to_ptr(),
            // Null: the entry is the one that was given.
            // SAFETY: The entry is negative, and its directory is locked.
            Ok(inode) => match unsafe { inode.instantiate(dentry) } {
                Err(error) => error.to_ptr(),
                Ok(()) => ptr::null_mut(),
            },
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` that is locked, and a negative entry
    /// of it.
    unsafe extern "C" fn mknod(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        device: bindings::dev_t,
    ) -> c_int {
        // SAFETY: As promised by the caller.
        from_result(|| unsafe {
            T::mknod(
                MntIdmap::from_raw(idmap),
                Locked::from_raw(dir),
                Dentry::from_raw(dentry),
                Mode::from_bits(mode),
                DeviceNumber::from_raw(device),
            )?
            .instantiate(dentry)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` that is locked, a negative entry of
    /// it, and a NUL-terminated target.
    unsafe extern "C" fn symlink(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        target: *const c_char,
    ) -> c_int {
        // SAFETY: As promised by the caller.
        from_result(|| unsafe {
            T::symlink(
                MntIdmap::from_raw(idmap),
                Locked::from_raw(dir),
                Dentry::from_raw(dentry),
                CStr::from_char_ptr(target.cast()),
            )?
            .instantiate(dentry)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` and a file being opened, whose entry
    /// is negative and nobody else's.
    unsafe extern "C" fn tmpfile(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        file: *mut bindings::file,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: As promised by the caller. The entry gets the name that goes with the inode's
        // number before it names the inode.
        from_result(|| unsafe {
            let inode = T::tmpfile(
                MntIdmap::from_raw(idmap),
                Inode::from_raw(dir),
                Mode::from_bits(mode),
            )?;
            bindings::d_mark_tmpfile(file, inode.as_raw());
            inode.instantiate(bindings::file_path_dentry(file))?;
            to_result(bindings::finish_open_simple(file, 0))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for an entry whose inode is locked, a directory of `T::FileSystem` that
    /// is locked, and a negative entry of it.
    unsafe extern "C" fn link(
        old: *mut bindings::dentry,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: As promised by the caller. The new entry takes the reference.
        from_result(|| unsafe {
            let inode = (*old).d_inode;
            T::link(
                Locked::from_raw(inode),
                Locked::from_raw(dir),
                Dentry::from_raw(dentry),
            )?;
            bindings::ihold(inode);
            bindings::d_instantiate(dentry, inode);
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` that is locked, and a positive entry
    /// of it whose inode is locked.
    unsafe extern "C" fn unlink(dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        // SAFETY: As promised by the caller.
        from_result(|| unsafe {
            T::unlink(
                Locked::from_raw(dir),
                Dentry::from_raw(dentry),
                Locked::from_raw((*dentry).d_inode),
            )?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` that is locked, and a positive entry
    /// of it whose inode is locked.
    unsafe extern "C" fn rmdir(dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        // SAFETY: As promised by the caller.
        from_result(|| unsafe {
            T::rmdir(
                Locked::from_raw(dir),
                Dentry::from_raw(dentry),
                Locked::from_raw((*dentry).d_inode),
            )?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for directories of `T::FileSystem` that are locked, and entries of them.
    unsafe extern "C" fn rename(
        idmap: *mut bindings::mnt_idmap,
        old_dir: *mut bindings::inode,
        old: *mut bindings::dentry,
        new_dir: *mut bindings::inode,
        new: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: As promised by the caller.
        from_result(|| unsafe {
            T::rename(
                MntIdmap::from_raw(idmap),
                Locked::from_raw(old_dir),
                Dentry::from_raw(old),
                Locked::from_raw(new_dir),
                Dentry::from_raw(new),
                RenameFlags(flags),
            )?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for an inode of `T::FileSystem`, and a valid entry, or null during path
    /// lookup under RCU.
    unsafe extern "C" fn get_link(
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        done: *mut bindings::delayed_call,
    ) -> *const c_char {
        if dentry.is_null() {
            // Reading may sleep: ask again outside RCU.
            return ECHILD.to_ptr();
        }
        // SAFETY: Outside RCU, the inode is valid for the call.
        let target = unsafe { T::get_link(Inode::from_raw(inode)) }.and_then(|mut target| {
            if target.contains(&0) {
                return Err(EUCLEAN);
            }
            target.push(0, GFP_KERNEL)?;
            Ok(target)
        });
        match target {
            Err(error) => error.to_ptr(),
            Ok(target) => {
                let (target, _, _) = target.into_raw_parts();
                // SAFETY: `done` is valid; the VFS calls it with its argument, once it has
                // followed the link.
                unsafe {
                    (*done).fn_ = Some(Self::put_link);
                    (*done).arg = target.cast();
                }
                target.cast()
            }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with what [`Self::get_link`] handed over, once.
    unsafe extern "C" fn put_link(target: *mut c_void) {
        // SAFETY: The target came from a `KVec`, so from `kmalloc`.
        unsafe { bindings::kfree(target) };
    }

    /// # Safety
    ///
    /// Called by the VFS for a positive entry whose inode, of `T::FileSystem`, is locked.
    unsafe extern "C" fn setattr(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> c_int {
        // SAFETY: As promised by the caller; the request is for this call only.
        from_result(|| unsafe {
            T::setattr(&mut Attr::from_raw(idmap, dentry, attr))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a path to an inode of `T::FileSystem`.
    unsafe extern "C" fn getattr(
        idmap: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        mask: u32,
        _flags: c_uint,
    ) -> c_int {
        // SAFETY: As promised by the caller; `stat` is for this call only.
        from_result(|| unsafe {
            let inode = Inode::from_raw((*(*path).dentry).d_inode);
            let stat = KStat::from_raw(stat);
            let mask = StatMask::from_raw(mask);
            stat.fill(MntIdmap::from_raw(idmap), mask, inode);
            T::getattr(inode, mask, stat)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for an inode of `T::FileSystem`.
    unsafe extern "C" fn fiemap(
        inode: *mut bindings::inode,
        info: *mut kernel::bindings::fiemap_extent_info,
        start: u64,
        len: u64,
    ) -> c_int {
        // SAFETY: As promised by the caller; `info` is not null and for this call only.
        from_result(|| unsafe {
            T::fiemap(
                Inode::from_raw(inode),
                &mut Fiemap::from_raw(info.cast(), start, len),
            )?;
            Ok(0)
        })
    }
}
