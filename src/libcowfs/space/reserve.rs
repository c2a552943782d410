// SPDX-License-Identifier: GPL-2.0

//! How many blocks of a group are set aside for the group's own trees.
//!
//! A reference count must be changeable on a full volume: dropping a clone changes counts, and so
//! does overwriting a shared block. Changing one may split nodes of the group's reference count
//! tree; freeing an inode may split nodes of its free inode tree. So each group sets aside what
//! its trees can need at the worst, and nothing else may take that.
//!
//! The worst, with `c` records to a node (leaves and interior nodes of these trees alike):
//!
//! * *Reference counts* ([`most_by_range`]). Each leaf owns a range of blocks. A node is made by a split,
//!   which leaves both halves with about `c/2` records or more, so with ranges of as many blocks;
//!   merging only widens ranges. The exception is a split at the tree's right edge, whose right
//!   half may be small: one node a level. So `n` blocks make at most `n / (c/2) + 1` leaves,
//!   however few records they hold, and likewise up the levels.
//! * *Inodes* ([`most_by_fill`]). Only [`inode_block_limit`] blocks hold inodes, wherever they are. A
//!   node that falls below half is merged with a neighbour under the same parent where both fit in
//!   one (see `btree/`), so of two neighbours one is at least half full: `m` nodes of a level
//!   hold at least `(m - parents) c/4` records. `parents` is about `4 m / c`, and `c` at least 60: an
//!   eighth more than `4 n / c`, and two for what is rounded, is enough.
//!
//! With blocks of 4 KiB this is 1.3 % of the volume.

use super::super::ondisk::superblock::has_backup;
use super::super::ondisk::{header, Geometry};
use super::super::units::{div, div_up, AgNumber};

/// Size of a record of a group tree, in leaves and in interior nodes.
const RECORD: u32 = 16;

/// A split happens when one splice would leave more than `c` records; it adds up to two more than it
/// removes, up to three, and does not cut between those. So this much may be missing to a half.
const UNEVEN: u32 = 4;

/// Most records of a node.
const fn capacity(block_size: usize) -> u32 {
    block_size.saturating_sub(header::SIZE) as u32 / RECORD
}

/// Most nodes a tree whose keys are `blocks` different ones can have, and most levels.
fn most_by_range(blocks: u32, block_size: usize) -> (u32, u32) {
    let least = (capacity(block_size) / 2).saturating_sub(UNEVEN).max(2);
    let (mut total, mut levels, mut nodes) = (0u32, 0, blocks);
    loop {
        nodes = match div(u64::from(nodes), u64::from(least)) as u32 {
            0 => 1,
            full => full + 1,
        };
        total = total.saturating_add(nodes);
        levels += 1;
        if nodes == 1 {
            return (total, levels);
        }
    }
}

/// Most nodes of a tree that a change of the keys `[a, a + len)` makes part of a transaction, before
/// and after taken together: those whose ranges hold any of them, on each level one more at either end
/// for a split or merge there, and one for the tree's right edge.
pub(super) fn touched_by_range(len: u32, levels: u32, block_size: usize) -> u32 {
    let least = (capacity(block_size) / 2).saturating_sub(UNEVEN).max(2);
    let (mut total, mut nodes) = (0u32, len);
    for _ in 0..levels {
        nodes = div(u64::from(nodes), u64::from(least)) as u32 + 5;
        total = total.saturating_add(nodes);
    }
    total
}

/// Most nodes a tree of `records` records can have.
fn most_by_fill(records: u32, block_size: usize) -> u32 {
    let least = (capacity(block_size) / 4).max(2);
    let (mut total, mut nodes) = (0u32, records);
    loop {
        nodes = div_up(u64::from(nodes), u64::from(least)) as u32;
        if nodes <= 1 {
            return total.saturating_add(1);
        }
        nodes += nodes / 8 + 2;
        total = total.saturating_add(nodes);
    }
}

/// Most inode blocks a group of `len` blocks may have. An eighth of them is more than files need:
/// with blocks of 4 KiB two inodes a block; and it bounds the inode trees.
pub const fn inode_block_limit(len: u32) -> u32 {
    let part = len / 8;
    if part == 0 {
        1
    } else {
        part
    }
}

fn of_len(len: u32, block_size: usize) -> u32 {
    let counts = most_by_range(len, block_size).0;
    let inodes = most_by_fill(inode_block_limit(len), block_size);
    counts.saturating_add(inodes.saturating_mul(2))
}

/// Most levels a tree of one group can have.
pub fn tree_levels(geometry: &Geometry) -> u32 {
    most_by_range(geometry.ag_blocks, geometry.block_size()).1
}

/// The blocks set aside in group `ag` for its own trees, those they use already among them.
pub fn reserve(geometry: &Geometry, ag: AgNumber) -> u32 {
    of_len(geometry.group_len(ag), geometry.block_size())
}

/// The sum of [`reserve`] over all groups, which are alike but for the last.
pub fn total_reserve(geometry: &Geometry) -> u64 {
    let last = AgNumber(geometry.ag_count.saturating_sub(1));
    let full = of_len(geometry.ag_blocks, geometry.block_size());
    u64::from(full) * u64::from(last.0) + u64::from(reserve(geometry, last))
}

/// Blocks of a never used group that are free: all but the header and a superblock's backup.
pub fn usable(geometry: &Geometry, ag: AgNumber) -> u32 {
    let taken = 1 + u32::from(has_backup(ag));
    geometry.group_len(ag).saturating_sub(taken)
}

/// The room of a group for anything but its own trees, which its summary byte tells: its free
/// blocks without the part of the reserve that the trees do not use yet.
pub fn room(geometry: &Geometry, ag: AgNumber, free: u32, tree_blocks: u32) -> u32 {
    free.saturating_sub(reserve(geometry, ag).saturating_sub(tree_blocks))
}
