// SPDX-License-Identifier: GPL-2.0

//! How many blocks of a group are set aside for the group's own trees.
//!
//! A reference count must be changeable on a full volume: dropping a clone changes counts, and so
//! does overwriting a shared block. Changing one may split nodes of the group's reference count
//! tree; freeing an inode may split nodes of its free inode tree. So each group sets aside what
//! its trees can need at the worst, and nothing else may take that.
//!
//! The worst: of `n` blocks, `i` hold inodes (at most [`inode_block_limit`]) and are in both inode
//! trees, and each of the others has a record of its own in the reference count tree. A node that
//! falls below half is merged with a neighbour under the same parent where both fit in one (see
//! `btree/`), so of two neighbours one is at least half full. With `c` records to a node, `k`
//! nodes under one parent hold at least `k/2 - 1/2` times `c/2`, and all `m` nodes of a level
//! at least `(m - parents) c/4`: `m <= 4 n / c + parents`. As `parents` is about `4 m / c` and `c` is 60
//! at the least, an eighth more than `4 n / c`, and two for what is rounded, is enough.

use super::super::ondisk::superblock::has_backup;
use super::super::ondisk::{header, Geometry};
use super::super::units::AgNumber;

/// Size of a record of a group tree, in leaves and in interior nodes.
const RECORD: u32 = 16;

/// The part of a node that is filled on average at the least.
const LEAST_FILL: u32 = 4;

/// Most nodes a tree of `records` records can have, and most levels.
fn worst(records: u32, block_size: usize) -> (u32, u32) {
    let capacity = (block_size.saturating_sub(header::SIZE)) as u32 / RECORD;
    let least = (capacity / LEAST_FILL).max(2);
    let (mut total, mut levels, mut nodes) = (0u32, 0, records);
    loop {
        nodes = nodes.div_ceil(least);
        levels += 1;
        if nodes <= 1 {
            return (total + 1, levels);
        }
        nodes += nodes / 8 + 2;
        total += nodes;
    }
}

/// Most inode blocks a group of `len` blocks may have. Four in a group of them is far more than
/// files need, and bounds the inode trees.
pub const fn inode_block_limit(len: u32) -> u32 {
    let quarter = len / 4;
    if quarter == 0 {
        1
    } else {
        quarter
    }
}

fn of_len(len: u32, block_size: usize) -> u32 {
    let blocks = len.saturating_sub(1);
    let inodes = inode_block_limit(len);
    let only_counts = worst(blocks, block_size).0 + 2;
    let both = worst(blocks.saturating_sub(inodes), block_size).0 + 2 * worst(inodes, block_size).0;
    only_counts.max(both)
}

/// Most levels a tree of one group can have.
pub fn tree_levels(geometry: &Geometry) -> u32 {
    worst(geometry.ag_blocks, geometry.block_size()).1
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
