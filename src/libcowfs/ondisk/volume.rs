// SPDX-License-Identifier: GPL-2.0

//! The volume block: what changes about the volume as a whole, kept exact by every transaction,
//! so that mounting after a crash has nothing to count.
//!
//! ```text
//!    0        common header, owner 0
//!   64  u64   blocks of all groups that are free or used by the group's own trees (of a never
//!             used group: all but the header's and that of a superblock's backup)
//!   72  u64   inodes in use
//!   80        orphan tree: u64 root block (0: empty), u32 height, u32 zero
//!   96  u64   last epoch given to a file's extent tree
//!  104        zero
//! ```

/// Byte offset of the count of blocks that are free or used by the groups' own trees.
pub const FREE: usize = 64;
/// Byte offset of the count of inodes in use.
pub const INODES: usize = 72;
/// Byte offset of the orphan tree's root.
pub const ORPHAN_ROOT: usize = 80;
/// Byte offset of the last epoch.
pub const EPOCH: usize = 96;
