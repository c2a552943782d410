// SPDX-License-Identifier: GPL-2.0

//! Nodes that another file has just left to us.
//!
//! Until the other's change is on disk, a crash brings it back, with all that was below the node. The mark that
//! says so ([`lingering`](super::super::space)) is the node's alone: whoever comes by the node on the way to a block knows
//! that it must not be written in place. So before the node is changed, its children get the mark in its stead:
//! records may go from it to a node that it splits off, to a neighbour, to the root, and then nobody comes by it any
//! more. (Copying a shared node does the same: it counts the children.)
//!
//! ```text
//!       r *             the other gave up r
//!      / \
//!     x   y             x is to be changed: first its path is adopted
//!    / \ / \
//!
//!       r               r and x bear the file's epoch now: they are its own
//!      / \
//!     x   y *
//!    * * / \
//! ```
//!
//! Without the node's mark, a block that is mapped below it meanwhile is the file's own at once. So it must be: other
//! writes to the block may be under way still, which go on in place.

use super::super::block::Block;
use super::super::btree::{node, Cursor};
use super::super::error::Result;
use super::super::ondisk::header;
use super::super::space::refcount::{self, When};
use super::super::store::{Reader, Transaction};
use super::lookup::shared_levels;
use super::nodes::runs;
use super::record::Extents;

/// What is not the file's own of a path, counted from the leaf up.
#[derive(Clone, Copy, Default)]
pub(super) struct Levels {
    /// Those below or at a shared node.
    pub(super) shared: usize,
    /// Those above them that are below or at one which was shared until just now.
    pub(super) left: usize,
}

impl Levels {
    /// Looks at the cursor's path.
    pub(super) fn look<R: Reader>(
        reader: &R,
        cursor: &Cursor<Extents, R::Buf>,
        epoch: u64,
    ) -> Result<Self> {
        let shared = shared_levels(reader, cursor, epoch, When::Now)?;
        // Nobody else had what is of the file's epoch: most often that is all.
        let mut above = cursor.nodes().skip(shared);
        if above.all(|node| node::epoch(node) == epoch) {
            return Ok(Self { shared, left: 0 });
        }
        let both = shared_levels(reader, cursor, epoch, When::AfterCrash)?;
        Ok(Self {
            shared,
            left: both.saturating_sub(shared),
        })
    }

    /// Makes the nodes that were left to the file its own. Changes as many blocks as there are.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub(super) fn adopt<T: Transaction>(
        self,
        tx: &mut T,
        cursor: &Cursor<Extents, T::Buf>,
        epoch: u64,
    ) -> Result {
        for level in (self.shared..self.shared + self.left).rev() {
            let node = cursor.nodes().nth(level);
            let Some(node) = node.filter(|node| node::epoch(*node) != epoch) else {
                continue;
            };
            if refcount::lookup(tx, node::address(node), 1, When::AfterCrash)?.0 > 1 {
                refcount::linger(tx, runs(node))?;
            }
            tx.modify(node)?;
            node.set_u64(header::EPOCH, epoch);
        }
        Ok(())
    }
}
