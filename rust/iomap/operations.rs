// SPDX-License-Identifier: GPL-2.0

//! What iomap asks a file system.

use core::{ffi::c_uint, marker::PhantomData};
use kernel::{error::VTABLE_DEFAULT_ERROR, ffi::c_int, prelude::*};

use super::{Flags, Iomap};
use crate::linux::{
    bindings,
    fs::{FileSystem, Inode},
};

/// How a file system maps files for one purpose.
#[vtable]
pub trait Operations: 'static {
    /// The file system.
    type FileSystem: FileSystem;

    /// Maps, and for a write allocates or reserves, what there is at `pos`; at most `len` bytes are of
    /// interest.
    ///
    /// `map` must be set to an extent that contains `pos`, else the operation fails with `EIO`. `src`
    /// must be set only for a write to `map` that leaves some of its blocks' content as it was
    /// elsewhere, which is there, or for `EIO` again if it does not contain `pos`.
    fn begin(
        inode: &Inode<Self::FileSystem>,
        pos: i64,
        len: i64,
        flags: Flags,
        map: &mut Iomap,
        src: &mut Iomap,
    ) -> Result;

    /// Ends what [`Operations::begin`] began: of `len` bytes at `pos`, the first `written` were done.
    ///
    /// An error is only reported if that is none.
    fn end(
        _inode: &Inode<Self::FileSystem>,
        _pos: i64,
        _len: i64,
        _written: usize,
        _flags: Flags,
        _map: &mut Iomap,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Whether `map`, of some time ago, still is right. If not, it is asked for again.
    ///
    /// Called by buffered writes with the page locked. Without it, mappings stay valid while iomap
    /// uses them.
    fn is_valid(_inode: &Inode<Self::FileSystem>, _map: &Iomap) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Drops what was reserved for a write to `len` bytes at `pos`, which did not take place. For
    /// [`delalloc_release`](super::buffered::delalloc_release), which needs it.
    fn punch(_inode: &Inode<Self::FileSystem>, _pos: i64, _len: i64, _map: &mut Iomap) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The C tables of an implementation.
pub(super) struct Table<O>(PhantomData<O>);

impl<O: Operations> Table<O> {
    pub(super) const OPS: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: Some(Self::begin),
        iomap_end: if O::HAS_END { Some(Self::end) } else { None },
        iomap_next: None,
    };

    pub(super) const WRITE_OPS: &'static bindings::iomap_write_ops = &bindings::iomap_write_ops {
        get_folio: None,
        put_folio: None,
        iomap_valid: if O::HAS_IS_VALID {
            Some(Self::is_valid)
        } else {
            None
        },
        read_folio_range: None,
    };

    /// # Safety
    ///
    /// To be called by iomap only, for an inode of `O::FileSystem` and with mappings cleared.
    pub(super) unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        pos: i64,
        len: i64,
        flags: c_uint,
        map: *mut bindings::iomap,
        src: *mut bindings::iomap,
    ) -> c_int {
        // SAFETY: An inode's super block stays as long as it, and so does that one's device.
        let bdev = unsafe { (*(*inode).i_sb).s_bdev };
        if bdev.is_null() {
            return ENODEV.to_errno();
        }
        // SAFETY: iomap has prepared both mappings, and uses them no more during the call.
        let (map, src) = unsafe {
            (*map).bdev = bdev;
            (*src).bdev = bdev;
            (Iomap::from_raw(map), Iomap::from_raw(src))
        };
        // SAFETY: By this function's safety requirement.
        let inode = unsafe { Inode::<O::FileSystem>::from_raw(inode) };
        match O::begin(inode, pos, len, Flags::from_raw(flags), map, src) {
            Err(error) => error.to_errno(),
            Ok(()) if map.is_sane(pos) && (src.is_unset() || src.is_sane(pos)) => 0,
            // iomap would compute nonsense.
            Ok(()) => EIO.to_errno(),
        }
    }

    /// # Safety
    ///
    /// To be called by iomap only, for an inode of `O::FileSystem`.
    unsafe extern "C" fn end(
        inode: *mut bindings::inode,
        pos: i64,
        len: i64,
        written: isize,
        flags: c_uint,
        map: *mut bindings::iomap,
    ) -> c_int {
        // SAFETY: By this function's safety requirement.
        let inode = unsafe { Inode::<O::FileSystem>::from_raw(inode) };
        // SAFETY: iomap uses the mapping no more during the call.
        let map = unsafe { Iomap::from_raw(map) };
        let written = usize::try_from(written).unwrap_or(0);
        match O::end(inode, pos, len, written, Flags::from_raw(flags), map) {
            Err(error) => error.to_errno(),
            Ok(()) => 0,
        }
    }

    /// # Safety
    ///
    /// To be called by iomap only, for an inode of `O::FileSystem`.
    unsafe extern "C" fn is_valid(
        inode: *mut bindings::inode,
        map: *const bindings::iomap,
    ) -> bool {
        // SAFETY: By this function's safety requirement.
        let inode = unsafe { Inode::<O::FileSystem>::from_raw(inode) };
        // SAFETY: iomap does not change the mapping during the call.
        O::is_valid(inode, unsafe { Iomap::from_raw_ref(map) })
    }

    /// # Safety
    ///
    /// To be called by iomap only, for an inode of `O::FileSystem`.
    pub(super) unsafe extern "C" fn punch(
        inode: *mut bindings::inode,
        pos: i64,
        len: i64,
        map: *mut bindings::iomap,
    ) {
        // SAFETY: By this function's safety requirement.
        let inode = unsafe { Inode::<O::FileSystem>::from_raw(inode) };
        // SAFETY: The caller of `delalloc_release` gave the mapping away for the time.
        O::punch(inode, pos, len, unsafe { Iomap::from_raw(map) });
    }
}
