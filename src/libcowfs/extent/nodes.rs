// SPDX-License-Identifier: GPL-2.0

//! The nodes of a file's tree: their blocks, and what copying a shared one means.

use super::super::block::Block;
use super::super::btree::{node, Owner};
use super::super::error::Result;
use super::super::space::refcount::{self, When};
use super::super::space::{self, Purpose};
use super::super::store::Transaction;
use super::super::units::{div, FsBlock, Ino};
use super::cost::child;

/// The holder of a file's tree.
pub(super) struct Nodes<'a> {
    pub(super) ino: Ino,
    /// The epoch of the file's tree.
    pub(super) epoch: u64,
    /// The file's count of blocks.
    pub(super) blocks: &'a mut u64,
    /// Nodes may have more than one reference.
    pub(super) shared: bool,
}

impl<T: Transaction> Owner<T> for Nodes<'_> {
    fn id(&self) -> u64 {
        self.ino.0
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn alloc(&mut self, tx: &mut T, near: FsBlock) -> Result<FsBlock> {
        let goal = match near.is_null() {
            true => FsBlock(div(self.ino.0, tx.geometry().inode_slots())),
            false => near,
        };
        let (at, _) = space::alloc(tx, goal, 1, Purpose::Tree)?;
        *self.blocks = self.blocks.saturating_add(1);
        Ok(at)
    }

    fn free(&mut self, tx: &mut T, at: FsBlock) -> Result {
        *self.blocks = self.blocks.saturating_sub(1);
        space::free(tx, at, 1)?;
        tx.forget(at)
    }

    fn is_shared(&mut self, tx: &mut T, at: FsBlock) -> Result<bool> {
        Ok(self.shared && refcount::lookup(tx, at, 1, When::AfterCrash)?.0 > 1)
    }

    fn shadow(&mut self, tx: &mut T, node: &T::Buf) -> Result {
        refcount::share_all(tx, runs(node))?;
        *self.blocks = self.blocks.saturating_sub(1);
        let at = node::address(node);
        if !refcount::release(tx, at, 1)?.freed {
            return Ok(());
        }
        // Whoever shared it has just left it to us. Its children have their reference from the
        // copy.
        for (at, len) in runs(node) {
            release(tx, true, at, len)?;
        }
        tx.forget(at)
    }
}

/// All blocks a node refers to, as few runs as it takes to go through them in order: children
/// allocated one after another are one.
pub(super) fn runs<B: Block>(node: &B) -> impl Iterator<Item = (FsBlock, u32)> + '_ {
    let mut children = (0..node::count(node))
        .map(|index| child(node, index))
        .peekable();
    core::iter::from_fn(move || {
        let (first, mut total) = children.next()?;
        while let Some((_, len)) = children.next_if(|&(at, _)| at == first.add(u64::from(total))) {
            total = total.saturating_add(len);
        }
        Some((first, total))
    })
}

/// Adds a reference to each block of a run, or to none.
pub(super) fn share<T: Transaction>(tx: &mut T, at: FsBlock, len: u32) -> Result {
    let mut done = 0;
    while done < len {
        match refcount::share(tx, at.add(u64::from(done)), len - done) {
            Ok(more) => done += more,
            Err(error) if error.is_refusal() => {
                release(tx, true, at, done)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes a reference from each block of a run of data; those that had only one are freed. All
/// had only one if they were never `shared`.
pub(super) fn release<T: Transaction>(tx: &mut T, shared: bool, at: FsBlock, len: u32) -> Result {
    if !shared {
        return space::free(tx, at, len);
    }
    let mut done = 0;
    while done < len {
        done += refcount::release(tx, at.add(u64::from(done)), len - done)?.done;
    }
    Ok(())
}
