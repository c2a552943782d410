// SPDX-License-Identifier: GPL-2.0

//! How many tree nodes it may take to map what is staged for a file.
//!
//! What was accepted must find room when it is mapped, however late, in however many steps and in whatever
//! order. So the nodes are promised together with the blocks, as for the worst case.
//!
//! ```text
//!   staged      ^^^^^^^                ^           two runs
//!   leaves    [ | | | | ][ | | | ][ | | | | ]      three are touched: those at both ends of a run, and what
//!                                                  is between, of which each maps half a leaf of blocks at least
//! ```
//!
//! Each leaf touched is copied, if it is shared, and splits once for what it gets. A run may also be staged block
//! by block, all over the disk, and then fills leaves of its own. The nodes above are fewer: as many
//! paths as there are nodes right above the leaves, but for what is new, of which sixteen leaves have one.
//! (XFS's `xfs_bmap_worst_indlen()` is the like.) A tree that is worse than that takes what is held back for it.

use super::super::btree::Array;
use super::super::ondisk::Geometry;
use super::record::Extent;
use super::Fork;

/// New leaves that share a path.
const TOGETHER: u64 = 16;

impl Fork {
    /// The most tree nodes that mapping `blocks` blocks takes, which are in `runs` runs.
    pub fn nodes_to_map(&self, geometry: &Geometry, blocks: u64, runs: u64) -> u64 {
        if blocks == 0 {
            return 0;
        }
        let half = Array::<Extent>::capacity(geometry.block_size()) as u64 / 2;
        let full = blocks.checked_div(half).unwrap_or(blocks);
        let ends = runs.saturating_mul(2).min(blocks);
        let touched = ends.saturating_add(full);
        let levels = u64::from(self.height().max(1));
        let above = match self.height() {
            0..=2 => 1,
            // Of two neighbours one is at least half full.
            _ => {
                let below = half.saturating_mul(half) / 4;
                let nodes = self.blocks.checked_div(below).unwrap_or(self.blocks);
                nodes.saturating_add(1)
            }
        };
        let paths = touched.min(above).max(touched / TOGETHER).saturating_add(1);
        touched
            .saturating_mul(2)
            .saturating_add(full)
            .saturating_add(paths.saturating_mul(2 * levels))
    }
}
