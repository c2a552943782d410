// SPDX-License-Identifier: GPL-2.0

//! The root of a tree as it is stored in a group's header and in the volume block:
//! u64 address of the root node (0: empty tree), u32 height, u32 zero.

use super::super::block::Block;
use super::super::btree::Root;
use super::super::units::FsBlock;

/// Byte offset of the height from the root's start.
const HEIGHT: usize = 8;

/// Loads the root at byte `at`, if there can be such a tree: in a block that `is_home` accepts, with at
/// most `levels` levels, as many as [`credits`](super::credits) allow for.
pub(super) fn get(
    buf: &impl Block,
    at: usize,
    levels: u32,
    is_home: impl FnOnce(FsBlock) -> bool,
) -> Option<Root> {
    let (block, height) = (FsBlock(buf.u64(at)), buf.u32(at + HEIGHT));
    if height > levels || block.is_null() != (height == 0) || !(height == 0 || is_home(block)) {
        return None;
    }
    Some(Root {
        block,
        height: u8::try_from(height).ok()?,
    })
}

/// Stores `root` at byte `at`.
pub(super) fn put(buf: &impl Block, at: usize, root: Root) {
    buf.set_u64(at, root.block.0);
    buf.set_u32(at + HEIGHT, u32::from(root.height));
}
