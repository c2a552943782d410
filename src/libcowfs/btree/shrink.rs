// SPDX-License-Identifier: GPL-2.0

//! What becomes of nodes that lost records.
//!
//! A node that falls below half its capacity is merged with a neighbour below the
//! same parent, if both fit in one node and the neighbour is not shared. An empty node goes away.
//! A root with a single child gives its place to that child.

use super::super::block::Block;
use super::super::error::{Error, Result};
use super::super::store::Transaction;
use super::cursor::{check_range, Step};
use super::node::{self, Branch};
use super::{Array, Cursor, Layout, Owner, Root, Tree};

impl<T: Tree, B: Block + Clone> Cursor<T, B> {
    /// Takes the path's node at `level`, above which nothing is shared, out of the tree with all
    /// that is below it. It is not freed: the reference to it is the caller's now. The cursor is
    /// nowhere after that.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`: the transaction is lost.
    pub fn detach<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        level: usize,
    ) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let done = if level + 1 >= self.height {
            *root = Root::EMPTY;
            Ok(())
        } else {
            self.child_index(level + 1)
                .and_then(|index| self.remove_child(tx, level + 1, index))
                .and_then(|()| self.shrink(tx, owner, root, level + 1))
        };
        self.clear();
        done
    }

    /// After records were removed: drops empty nodes and merges sparse ones, from level `from` up.
    pub(super) fn shrink<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        from: usize,
    ) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let top = self.height.saturating_sub(1);
        for level in from..top {
            let node = self.node(level)?;
            if node::count(node) == 0 {
                let block = node::address(node);
                let index = self.child_index(level + 1)?;
                self.remove_child(tx, level + 1, index)?;
                owner.free(tx, block)?;
                continue;
            }
            let sparse = match level {
                0 => T::Leaf::sparse(node),
                _ => Array::<Branch>::sparse(node),
            };
            if !sparse || !self.merge(tx, owner, level)? {
                break;
            }
        }
        if node::count(self.node(top)?) == 0 {
            owner.free(tx, root.block)?;
            *root = Root::EMPTY;
            return Ok(());
        }
        // A root with a single child is no use. Below it the path still holds, unless that child
        // is another one than ours.
        for level in (1..self.height).rev() {
            let node = self.node(level)?;
            if node::address(node) != root.block || node::count(node) > 1 {
                break;
            }
            let child = node::child(node, 0);
            owner.free(tx, root.block)?;
            *root = Root {
                block: child,
                height: level as u8,
            };
        }
        Ok(())
    }

    /// Merges the path's node at `level` with the one to its left or right, if that can be done.
    fn merge<X, O>(&mut self, tx: &mut X, owner: &mut O, level: usize) -> Result<bool>
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let index = self.child_index(level + 1)?;
        if let Some(before) = index.checked_sub(1) {
            if let Some(left) = self.mergeable(tx, owner, level, before, true)? {
                let node = self.node(level)?;
                tx.modify(&left)?;
                let from = Array::<Branch>::key(self.node(level + 1)?, index);
                merge_nodes::<T::Leaf, B>(&left, node, level, from);
                let block = node::address(node);
                self.remove_child(tx, level + 1, index)?;
                owner.free(tx, block)?;
                self.set_step(level, left, 0);
                self.set_index(level + 1, before);
                return Ok(true);
            }
        }
        let after = index + 1;
        if after < node::count(self.node(level + 1)?) {
            if let Some(right) = self.mergeable(tx, owner, level, after, false)? {
                let node = self.node(level)?;
                tx.modify(node)?;
                let from = Array::<Branch>::key(self.node(level + 1)?, after);
                merge_nodes::<T::Leaf, B>(node, &right, level, from);
                self.remove_child(tx, level + 1, after)?;
                owner.free(tx, node::address(&right))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The neighbour of the path's node at `level`, its parent's child `index`, if the two can be
    /// merged.
    fn mergeable<X, O>(
        &self,
        tx: &mut X,
        owner: &mut O,
        level: usize,
        index: usize,
        is_left: bool,
    ) -> Result<Option<B>>
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let at = node::child(self.node(level + 1)?, index);
        let other = tx.read(at, T::KIND)?;
        if node::level(&other) != level {
            return Err(Error::Corrupt(at, "tree node of wrong level"));
        }
        let (from, to) = self.range_of_child(level + 1, index)?;
        match level {
            0 => check_range::<T::Leaf, B>(&other, at, from, to)?,
            _ => check_range::<Array<Branch>, B>(&other, at, from, to)?,
        }
        let node = self.node(level)?;
        let (left, right) = if is_left {
            (&other, node)
        } else {
            (node, &other)
        };
        let fit = match level {
            0 => T::Leaf::mergeable(left, right),
            _ => Array::<Branch>::mergeable(left, right),
        };
        Ok((fit && !owner.is_shared(tx, at)?).then_some(other))
    }

    /// Removes child `index` of the path's node at `level`. The range of keys it had goes to the
    /// child before it; that of the first child to the second, whose separator then means nothing.
    fn remove_child<X>(&self, tx: &mut X, level: usize, index: usize) -> Result
    where
        X: Transaction<Buf = B>,
    {
        let node = self.node(level)?;
        tx.modify(node)?;
        Array::<Branch>::splice(node, index, 1, &[]);
        Ok(())
    }

    fn child_index(&self, level: usize) -> Result<usize> {
        match self.path.get(level) {
            Some(Some(step)) => Ok(step.index),
            _ => Err(Error::Invalid),
        }
    }

    fn set_index(&mut self, level: usize, index: usize) {
        if let Some(Some(step)) = self.path.get_mut(level) {
            step.index = index;
        }
    }

    fn set_step(&mut self, level: usize, buf: B, index: usize) {
        if let Some(step) = self.path.get_mut(level) {
            *step = Some(Step { buf, index });
        }
    }
}

/// Appends the records of `right`, whose range of keys begins at `from`, to `left`.
fn merge_nodes<L: Layout, B: Block>(left: &B, right: &B, level: usize, from: u64) {
    if level == 0 {
        return L::merge(left, right);
    }
    let middle = node::count(left);
    Array::<Branch>::merge(left, right);
    left.set_u64(Array::<Branch>::place(left, middle), from);
}
