// SPDX-License-Identifier: GPL-2.0

//! How many blocks each step may make part of a transaction. Callers ask
//! [`Transaction::need`](super::super::store::Transaction::need) for the sum of what their step
//! consists of, before its first change.

use super::super::btree::Root;
use super::super::ondisk::Geometry;
use super::super::units::{AgNumber, FsBlock};
use super::reserve::{reserve, touched_by_range, tree_levels};

/// The volume's counters, settled at the end of a transaction.
pub const SETTLE: u32 = 1;

/// [`commit_staged`](super::commit_staged), [`alloc`](super::alloc()) or [`free`](super::free):
/// the group's header and its summary block.
pub const COMMIT: u32 = 2;

/// Nodes of a tree with so many levels that one change may touch.
const fn nodes(levels: u32) -> u32 {
    let height = if levels > 255 { 255 } else { levels as u8 };
    let block = FsBlock::NULL;
    Root { block, height }.credits()
}

/// One [`refcount::share`](super::refcount::share): the group's tree, and its header if nodes come or
/// go.
pub fn share(geometry: &Geometry) -> u32 {
    nodes(tree_levels(geometry)) + 1
}

/// Any number of [`refcount::share`](super::refcount::share), or of
/// [`refcount::release`](super::refcount::release), over a run of `len` blocks that follow one another.
pub fn run(geometry: &Geometry, len: u32) -> u32 {
    match len {
        0 | 1 => release(geometry),
        _ => touched_by_range(len, tree_levels(geometry), geometry.block_size()) + COMMIT,
    }
}

/// Any number of them in one group of `len` blocks: its trees use no more blocks than are set aside
/// for them, since what they give up they take again first.
pub fn group(geometry: &Geometry, ag: AgNumber) -> u32 {
    reserve(geometry, ag).saturating_add(COMMIT)
}

/// One [`refcount::release`](super::refcount::release): the group's tree; or header and summary.
pub fn release(geometry: &Geometry) -> u32 {
    share(geometry).max(COMMIT)
}

/// [`inodes::alloc`](super::inodes::alloc) or [`inodes::free`](super::inodes::free): the inode
/// block, the group's header and summary block, both inode trees, the counters.
pub fn inode(geometry: &Geometry) -> u32 {
    1 + COMMIT + 2 * nodes(tree_levels(geometry)) + SETTLE
}

/// Most levels of the tree of orphans: with four it holds millions.
pub const ORPHAN_LEVELS: u32 = 4;

/// [`orphans::add`](super::orphans::add) or [`orphans::remove`](super::orphans::remove): the tree's
/// nodes, the volume block, and the header and summary block of two groups for its nodes' blocks.
pub const ORPHAN: u32 = nodes(ORPHAN_LEVELS) + SETTLE + 2 * COMMIT;
