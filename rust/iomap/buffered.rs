// SPDX-License-Identifier: GPL-2.0

//! Reads and writes through the page cache.

use core::ptr::null_mut;
use kernel::{error::to_result, prelude::*};

use super::{operations::Table, to_count, Flags, Iomap, Operations};
use crate::linux::{
    bindings,
    fs::{Inode, IovIter, Kiocb, LockedFolio, ReadaheadControl, VmFault, VmFaultResult},
};

/// Copies what is to be written into the page cache, dirties it, and makes the file longer if needed.
///
/// The inode must be locked. Returns the number of bytes that went in.
pub fn write<O: Operations>(
    iocb: &mut Kiocb<'_, O::FileSystem>,
    from: &mut IovIter,
) -> Result<usize> {
    // SAFETY: Both arguments are valid, and the operations are for inodes of this type.
    to_count(unsafe {
        bindings::iomap_file_buffered_write(
            iocb.as_raw(),
            from.as_raw(),
            Table::<O>::OPS,
            Table::<O>::WRITE_OPS,
            null_mut(),
        )
    })
}

/// Reads a folio, which is unlocked when its content is there or reading it has failed.
pub fn read_folio<O: Operations>(folio: LockedFolio<'_, O::FileSystem>) {
    // SAFETY: The folio is locked, and the function's to unlock from now on; the operations are for
    // inodes of this type.
    unsafe { bindings::iomap_bio_read_folio(folio.into_raw(), Table::<O>::OPS) };
}

/// Starts reading folios.
pub fn readahead<O: Operations>(mut control: ReadaheadControl<'_, O::FileSystem>) {
    // SAFETY: The argument is valid, and the operations are for inodes of this type.
    unsafe { bindings::iomap_bio_readahead(control.as_raw(), Table::<O>::OPS) };
}

/// Zeroes `len` bytes at `pos`, unless they are zero already. Returns whether there was anything to do.
///
/// Holes and unwritten extents are left as they are. The inode must be locked.
pub fn zero_range<O: Operations>(inode: &Inode<O::FileSystem>, pos: i64, len: i64) -> Result<bool> {
    let mut did_zero = false;
    // SAFETY: The inode is valid, and the operations are for inodes of this type.
    to_result(unsafe {
        bindings::iomap_zero_range(
            inode.as_raw(),
            pos,
            len,
            &mut did_zero,
            Table::<O>::OPS,
            Table::<O>::WRITE_OPS,
            null_mut(),
        )
    })?;
    Ok(did_zero)
}

/// Zeroes what follows `pos` in its block, before the file is cut there. Returns whether there was
/// anything to do. The inode must be locked.
pub fn truncate_page<O: Operations>(inode: &Inode<O::FileSystem>, pos: i64) -> Result<bool> {
    let mut did_zero = false;
    // SAFETY: The inode is valid, and the operations are for inodes of this type.
    to_result(unsafe {
        bindings::iomap_truncate_page(
            inode.as_raw(),
            pos,
            &mut did_zero,
            Table::<O>::OPS,
            Table::<O>::WRITE_OPS,
            null_mut(),
        )
    })?;
    Ok(did_zero)
}

/// Dirties what is shared in the `len` bytes at `pos`, so that writeback gives it blocks of its own.
/// The inode must be locked.
pub fn unshare<O: Operations>(inode: &Inode<O::FileSystem>, pos: i64, len: i64) -> Result {
    // SAFETY: The inode is valid, and the operations are for inodes of this type.
    to_result(unsafe {
        bindings::iomap_file_unshare(
            inode.as_raw(),
            pos,
            len,
            Table::<O>::OPS,
            Table::<O>::WRITE_OPS,
        )
    })
}

/// Prepares a page of a shared mapping for being written.
///
/// To be called with the mapping's invalidate lock held shared.
pub fn page_mkwrite<'a, O: Operations>(
    fault: &mut VmFault<'a, O::FileSystem>,
) -> VmFaultResult<'a> {
    // SAFETY: The fault is valid, and the operations are for inodes of this type.
    VmFaultResult::from_raw(unsafe {
        bindings::iomap_page_mkwrite(fault.as_raw(), Table::<O>::OPS, null_mut())
    })
}

/// Calls [`Operations::punch`] for all parts of the bytes from `start` to `end` that are not dirty in the
/// page cache, to drop what a write that failed had reserved.
///
/// Nothing is done where the last folio ends that a file can have: iomap looks for the next one from where one
/// ends, which for that one is no offset.
///
/// For [`Operations::end`], with its `flags` and `map`, the inode's invalidate lock being held
/// exclusively.
pub fn delalloc_release<O: Operations>(
    inode: &Inode<O::FileSystem>,
    start: i64,
    end: i64,
    flags: Flags,
    map: &mut Iomap,
) {
    // CAST: Far below the largest offset.
    let end = end.min(i64::MAX & !(inode.max_folio_size() as i64 - 1));
    if !O::HAS_PUNCH || start < 0 || start >= end {
        return;
    }
    // SAFETY: The inode is valid, and the operations are for inodes of this type. The mapping is only
    // passed on.
    unsafe {
        bindings::iomap_write_delalloc_release(
            inode.as_raw(),
            start,
            end,
            flags.into_raw(),
            map.as_raw(),
            Some(Table::<O>::punch),
        );
    }
}
