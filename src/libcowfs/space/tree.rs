// SPDX-License-Identifier: GPL-2.0

//! The blocks of a group's own trees, which live off the group's reserve.

use super::super::btree::Owner;
use super::super::error::{Error, Result};
use super::super::store::Transaction;
use super::super::units::FsBlock;
use super::group;
use super::state::GroupState;

/// The holder of a group's trees, while its lock is held.
pub(super) struct GroupTrees<'a>(pub(super) &'a mut GroupState);

impl<T: Transaction> Owner<T> for GroupTrees<'_> {
    fn id(&self) -> u64 {
        u64::from(self.0.ag.0)
    }

    fn alloc(&mut self, tx: &mut T, _near: FsBlock) -> Result<FsBlock> {
        // No refusal: what is being changed is half done.
        match group::alloc_tree_block(tx, self.0) {
            Err(Error::NoSpace) => Err(Error::Corrupt(
                self.0.start,
                "group without a block for its trees",
            )),
            done => done,
        }
    }

    fn free(&mut self, tx: &mut T, at: FsBlock) -> Result {
        group::free_tree_block(tx, self.0, at)
    }
}
