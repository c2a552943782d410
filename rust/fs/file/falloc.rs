// SPDX-License-Identifier: GPL-2.0

//! Modes of [`FileOperations::fallocate`].
//!
//! C header: [`include/uapi/linux/falloc.h`](srctree/include/uapi/linux/falloc.h)
//!
//! [`FileOperations::fallocate`]: super::operations::FileOperations::fallocate

use crate::linux::bindings;

/// The file does not grow.
pub const KEEP_SIZE: u32 = bindings::FALLOC_FL_KEEP_SIZE;
/// Free the space in the range. Comes with [`KEEP_SIZE`].
pub const PUNCH_HOLE: u32 = bindings::FALLOC_FL_PUNCH_HOLE;
/// Take the range out of the file, and what follows with it.
pub const COLLAPSE_RANGE: u32 = bindings::FALLOC_FL_COLLAPSE_RANGE;
/// Make the range read as zeroes.
pub const ZERO_RANGE: u32 = bindings::FALLOC_FL_ZERO_RANGE;
/// Insert a hole into the file.
pub const INSERT_RANGE: u32 = bindings::FALLOC_FL_INSERT_RANGE;
/// Give the range blocks that are shared with no other file.
pub const UNSHARE_RANGE: u32 = bindings::FALLOC_FL_UNSHARE_RANGE;
