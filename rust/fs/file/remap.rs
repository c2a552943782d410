// SPDX-License-Identifier: GPL-2.0

//! Sharing ranges between files: clone and deduplication.
//!
//! The order of a remap, as all file systems that share blocks do it:
//!
//! ```text
//!   RemapGuard::lock     i_rwsem of both files, then invalidate_lock of both: no write, no fault
//!   RemapGuard::prepare  waits for direct I/O, writes dirty pages, compares for deduplication,
//!                        cuts the length; drops set-user-id bits
//!   admit_readers        of the source: both its locks are held shared from here on. Writers that
//!                        take them shared too are for the file system to keep out
//!   share the blocks     the file system
//!   punch_pages          what the target's page cache still holds of the range
//!   update the target    size and times
//! ```
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{File, FileSystem};
use crate::linux::{
    bindings,
    fs::{
        Inode, InvalidateGuard, InvalidateSharedGuard, InvalidateTwoGuard, Locked, ReadGuard,
        TwoGuard, WriteGuard,
    },
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

/// Locks of source and target.
enum Pair<Two, Readable> {
    /// Both are held exclusively.
    Exclusive(Two),
    /// That of the source is held shared.
    Readable(Readable),
}

/// Two files locked against writes, faults and truncation, to share blocks between them.
pub struct RemapGuard<'a, F: FileSystem> {
    // Dropped first: taken last.
    invalidate:
        Pair<InvalidateTwoGuard<'a, F>, (InvalidateSharedGuard<'a, F>, InvalidateGuard<'a, F>)>,
    inodes: Pair<TwoGuard<'a, F>, (ReadGuard<'a, F>, WriteGuard<'a, F>)>,
    source: &'a File<F>,
    target: &'a File<F>,
}

impl<'a, F: FileSystem> RemapGuard<'a, F> {
    /// Locks both files, which may be the same.
    pub fn lock(source: &'a File<F>, target: &'a File<F>) -> Result<Self> {
        let inodes = Inode::lock_two(source.inode(), target.inode())?;
        let invalidate = Inode::invalidate_lock_two(source.inode(), target.inode());
        Ok(Self {
            invalidate: Pair::Exclusive(invalidate),
            inodes: Pair::Exclusive(inodes),
            source,
            target,
        })
    }

    /// Lets others read the source, and fill pages of it, while its blocks are being shared. If source
    /// and target are the same file nothing changes.
    ///
    /// Those who write with the locks held shared get in as well: the file system must have let them
    /// know before, by a mark of its own, to take the locks exclusively instead, and thereby to wait.
    pub fn admit_readers(self) -> Self {
        let invalidate = match self.invalidate {
            Pair::Exclusive(two) => match two.downgrade_first() {
                Ok(readable) => Pair::Readable(readable),
                Err(two) => Pair::Exclusive(two),
            },
            readable => readable,
        };
        let inodes = match self.inodes {
            Pair::Exclusive(two) => match two.downgrade_first() {
                Ok(readable) => Pair::Readable(readable),
                Err(two) => Pair::Exclusive(two),
            },
            readable => readable,
        };
        Self {
            invalidate,
            inodes,
            ..self
        }
    }

    /// The target, locked.
    pub fn target(&self) -> Locked<'_, F> {
        match &self.inodes {
            Pair::Exclusive(two) => two.second(),
            Pair::Readable((_, target)) => target.locked(),
        }
    }

    /// Checks the request and makes both files ready. The length is cut to what can be shared;
    /// `None` if there is nothing to do. `EINVAL` once readers are admitted.
    pub fn prepare(&self, range: RemapRange) -> Result<Option<RemapRange>> {
        if !matches!(self.inodes, Pair::Exclusive(_)) {
            return Err(EINVAL);
        }
        let mut len = range.len;
        // SAFETY: Both files are valid, and locked exclusively, as the function demands.
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
