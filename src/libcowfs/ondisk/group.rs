// SPDX-License-Identifier: GPL-2.0

//! An allocation group's first block: its header and the bitmap of its blocks.
//!
//! ```text
//!    0        common header, owner = group number
//!   64  u32   blocks in this group, header block included
//!   68  u32   free blocks: clear bits of the bitmap below `blocks`
//!   72  u32   inode blocks
//!   76  u32   free inode slots in them
//!   80  u32   blocks used by the group's own trees
//!   84  u32   zero
//!   88        reference count tree:  u64 root block (0: empty), u32 height, u32 zero
//!  104        inode block tree:      same
//!  120        free inode tree:       same
//!  136        zero
//!  160        bitmap, bit n of 64-bit little-endian words: block n is used; zero beyond `blocks`
//! ```
//!
//! A group that never held anything has no header yet: its summary byte is 0, all its blocks but
//! the header (and a superblock's backup) are free, and the header is written when the group is
//! first used.

use super::super::block::Block;
use super::super::error::{Error, Result};
use super::super::units::FsBlock;
use super::superblock::has_backup;
use super::Geometry;

/// Byte offset of the group's number of blocks.
pub const BLOCKS: usize = 64;
/// Byte offset of the count of free blocks.
pub const FREE: usize = 68;
/// Byte offset of the count of inode blocks.
pub const INODE_BLOCKS: usize = 72;
/// Byte offset of the count of free inode slots.
pub const FREE_INODES: usize = 76;
/// Byte offset of the count of blocks in the group's own trees.
pub const TREE_BLOCKS: usize = 80;
/// Byte offset of the reference count tree's root.
pub const REFCOUNT_ROOT: usize = 88;
/// Byte offset of the inode block tree's root.
pub const INODE_ROOT: usize = 104;
/// Byte offset of the free inode tree's root.
pub const FREE_INODE_ROOT: usize = 120;
/// Byte offset of the bitmap, which goes to the block's end.
pub const BITMAP: usize = 160;

/// Checks the fields the allocator relies on.
///
/// # Errors
///
/// `Corrupt`, saying what is wrong.
pub fn verify(buf: &impl Block, geometry: &Geometry, at: FsBlock) -> Result {
    let bad = |what| Err(Error::Corrupt(at, what));
    let Some((ag, first)) = geometry.locate(at) else {
        return bad("group header outside the groups");
    };
    if first.0 != 0 {
        return bad("group header inside a group");
    }
    let len = geometry.group_len(ag);
    if buf.u32(BLOCKS) != len {
        return bad("wrong number of blocks in group header");
    }
    if buf.u32(FREE) >= len {
        return bad("more free blocks than the group has");
    }
    if buf.u8(BITMAP) & 1 == 0 {
        return bad("group header marked free in its own bitmap");
    }
    if has_backup(ag) && buf.u8(BITMAP) & 2 == 0 {
        return bad("superblock's backup marked free");
    }
    Ok(())
}
