// SPDX-License-Identifier: GPL-2.0

//! What is where in a file.

use kernel::{error::to_result, prelude::*};

use super::{operations::Table, to_offset, Operations};
use crate::linux::{
    bindings,
    fs::{AddressSpace, Fiemap, Inode},
};

/// Reports extents to the user.
pub fn fiemap<O: Operations>(inode: &Inode<O::FileSystem>, request: &mut Fiemap<'_>) -> Result {
    let (start, len) = (request.start(), request.len());
    // SAFETY: Inode and request are valid, and the operations are for inodes of this type.
    to_result(unsafe {
        bindings::iomap_fiemap(
            inode.as_raw(),
            request.as_raw(),
            start,
            len,
            Table::<O>::OPS,
        )
    })
}

/// The first hole at `pos` or after it. Fails with `ENXIO` beyond the end of the file.
pub fn seek_hole<O: Operations>(inode: &Inode<O::FileSystem>, pos: i64) -> Result<i64> {
    // SAFETY: The inode is valid, and the operations are for inodes of this type.
    to_offset(unsafe { bindings::iomap_seek_hole(inode.as_raw(), pos, Table::<O>::OPS) })
}

/// The first data at `pos` or after it. Fails with `ENXIO` if there are none.
pub fn seek_data<O: Operations>(inode: &Inode<O::FileSystem>, pos: i64) -> Result<i64> {
    // SAFETY: The inode is valid, and the operations are for inodes of this type.
    to_offset(unsafe { bindings::iomap_seek_data(inode.as_raw(), pos, Table::<O>::OPS) })
}

/// The block of the device where `block` of the file is, or zero.
pub fn bmap<O: Operations>(mapping: &AddressSpace<O::FileSystem>, block: u64) -> u64 {
    // SAFETY: The mapping is valid, and the operations are for inodes of this type.
    unsafe { bindings::iomap_bmap(mapping.as_raw(), block, Table::<O>::OPS) }
}
