// SPDX-License-Identifier: GPL-2.0

//! The root of a tree as it is stored in a group's header and in the volume block:
//! u64 address of the root node (0: empty tree), u32 height, u32 zero.

use super::super::block::Block;
use super::super::btree::Root;
use super::super::units::FsBlock;

/// Byte offset of the height from the root's start.
const HEIGHT: usize = 8;

/// Loads the root at byte `at`.
pub(super) fn get(buf: &impl Block, at: usize) -> Root {
    let height = buf.u32(at + HEIGHT);
    Root {
        block: FsBlock(buf.u64(at)),
        // A height no tree can have stays one, and is found when the tree is used.
        height: u8::try_from(height).unwrap_or(u8::MAX),
    }
}

/// Stores `root` at byte `at`.
pub(super) fn put(buf: &impl Block, at: usize, root: Root) {
    buf.set_u64(at, root.block.0);
    buf.set_u32(at + HEIGHT, u32::from(root.height));
}
