// SPDX-License-Identifier: GPL-2.0

//! Sharing ranges between files: clone and deduplication.
//!
//! The order of a remap, as all file systems that share blocks do it:
//!
//! ```text
//!   RemapGuard::lock     i_rwsem of both files, then invalidate_lock of both: no write, no fault
//!   RemapGuard::prepare  waits for direct I/O, writes dirty pages, compares for deduplication,
//!                        cuts the length; drops set-user-id bits
//!   share the blocks     the file system
//!   punch_pages          what the target's page cache still holds of the range
//!   update the target    size and times
//! ```
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{File, FileSystem};
use crate::linux::{
    bindings,
    fs::{Inode, InvalidateTwoGuard, Locked, TwoGuard},
};
use kernel::{error::to_result, prelude::*};

/// How to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemapFlags(u32);

impl RemapFlags {
    /// Only if both ranges have the same contents.
    pub const DEDUP: Self = Self(bindings::REMAP_FILE_DEDUP);
    /// The range may be shortened, rather than fail.
    pub const CAN_SHORTEN: Self = Self(bindings::REMAP_FILE_CAN_SHORTEN);

    pub(super) const fn from_raw(flags: u32) -> Self {
        Self(flags)
    }

    /// Whether all flags of `other` are given.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether flags are given that file systems do not know.
    pub const fn has_unknown(self) -> bool {
        self.0 & !(Self::DEDUP.0 | bindings::REMAP_FILE_ADVISORY) != 0
    }
}

/// A request to share a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemapRange {
    /// Where in the source, in bytes.
    pub pos_in: i64,
    /// Where in the target, in bytes.
    pub pos_out: i64,
    /// How many bytes; 0 means up to the end of the source.
    pub len: i64,
    /// How.
    pub flags: RemapFlags,
}

/// Two files locked against writes, faults and truncation, to share blocks between them.
pub struct RemapGuard<'a, F: FileSystem> {
    // Dropped first: taken last.
    _invalidate: InvalidateTwoGuard<'a, F>,
    inodes: TwoGuard<'a, F>,
    source: &'a File<F>,
    target: &'a File<F>,
}

impl<'a, F: FileSystem> RemapGuard<'a, F> {
    /// Locks both files, which may be the same.
    pub fn lock(source: &'a File<F>, target: &'a File<F>) -> Result<Self> {
        let inodes = Inode::lock_two(source.inode(), target.inode())?;
        Ok(Self {
            _invalidate: Inode::invalidate_lock_two(source.inode(), target.inode()),
            inodes,
            source,
            target,
        })
    }

    /// The source, locked.
    pub fn source(&self) -> Locked<'_, F> {
        self.inodes.first()
    }

    /// The target, locked.
    pub fn target(&self) -> Locked<'_, F> {
        self.inodes.second()
    }

    /// Checks the request and makes both files ready. The length is cut to what can be shared;
    /// `None` if there is nothing to do.
    pub fn prepare(&self, range: RemapRange) -> Result<Option<RemapRange>> {
        let mut len = range.len;
        // SAFETY: Both files are valid, and locked as this function demands.
        to_result(unsafe {
            bindings::generic_remap_file_range_prep(
                self.source.as_raw(),
                range.pos_in,
                self.target.as_raw(),
                range.pos_out,
                &mut len,
                range.flags.0,
            )
        })?;
        Ok((len > 0).then_some(RemapRange { len, ..range }))
    }
}
