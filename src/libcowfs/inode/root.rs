// SPDX-License-Identifier: GPL-2.0

//! Where an inode keeps the root of its tree, and how many blocks it has.

use super::super::block::Block;
use super::super::btree::{Root, MAX_HEIGHT};
use super::super::error::{Error, Result};
use super::super::ondisk::inode::{Format, BLOCKS, FORMAT, HEIGHT, ROOT};
use super::super::units::FsBlock;

/// The root of the tree of the inode in the slot at byte `at` of `buf`, which was read from
/// `block`.
///
/// # Errors
///
/// `Corrupt` if there can be no such tree.
pub fn load_root(buf: &impl Block, at: usize, block: FsBlock) -> Result<Root> {
    let root = Root {
        block: FsBlock(buf.u64(at + ROOT)),
        height: buf.u8(at + HEIGHT),
    };
    if usize::from(root.height) > MAX_HEIGHT || root.block.is_null() != root.is_empty() {
        return Err(Error::Corrupt(block, "inode with an impossible tree root"));
    }
    Ok(root)
}

/// Stores the root, and the format that goes with it, in a slot that is part of the transaction.
pub fn store_root(buf: &impl Block, at: usize, format: Format, root: Root) {
    buf.set_u64(at + ROOT, root.block.0);
    buf.set_u8(at + HEIGHT, root.height);
    buf.set_u8(at + FORMAT, format as u8);
}

/// Adds to the inode's count of blocks, in a slot that is part of the transaction.
pub fn add_blocks(buf: &impl Block, at: usize, more: i64) {
    let blocks = buf.u64(at + BLOCKS).saturating_add_signed(more);
    buf.set_u64(at + BLOCKS, blocks);
}
