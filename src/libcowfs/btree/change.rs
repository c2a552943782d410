// SPDX-License-Identifier: GPL-2.0

//! Changing a tree: records of one leaf are exchanged for others, and whatever that demands of
//! the nodes above.
//!
//! A transaction cannot be taken back, so a change must not fail half-way for lack of space. It
//! first looks how many nodes it needs and allocates them all; after that only a broken disk can
//! stop it.
//!
//! **Shadowing** (Rodeh, "B-trees, Shadowing, and Clones", 2008). Trees of clones share nodes. A
//! node is shared if it, or any node above it, has more than one holder. Before a leaf changes,
//! all nodes on its path from the topmost one with several holders down are copied:
//!
//! ```text
//!     A      B                A      B                    counts of references
//!      \    /                 |      |
//!       r 2          B        r 1    r' 1                 r loses one, its children gain one
//!      /    \      ─────►     | \   /|
//!     x 1    y 1   changes    |  \ / |
//!                  below y    x 2  y'1                    y was y 2 for a moment: copied too
//!                              \__/ y 1
//! ```
//!
//! **Splitting.** A node that overflows is split in half, except at the tree's right edge, where
//! the left part stays full: records added in ascending order leave full nodes behind.
//!
//! **Merging** nodes that lost records: `shrink.rs`.

use super::super::block::Block;
use super::super::error::{Error, Result};
use super::super::ondisk::header;
use super::super::store::Transaction;
use super::super::units::FsBlock;
use super::cursor::Step;
use super::node::{self, Branch};
use super::{Array, Cursor, Layout, Owner, Record, Root, Tree, MAX_ADD, MAX_HEIGHT};

/// Blocks allocated for a change, in the order of their use.
struct Spares {
    blocks: [FsBlock; 2 * MAX_HEIGHT + 1],
    next: usize,
}

impl Spares {
    /// Allocates `count` blocks, or none.
    fn take<X, O>(tx: &mut X, owner: &mut O, near: FsBlock, count: usize) -> Result<Self>
    where
        X: Transaction,
        O: Owner<X>,
    {
        let mut blocks = [FsBlock::NULL; 2 * MAX_HEIGHT + 1];
        for have in 0..count {
            match owner.alloc(tx, near) {
                Ok(at) => {
                    if let Some(block) = blocks.get_mut(have) {
                        *block = at;
                    }
                }
                Err(error) => {
                    for &block in blocks.iter().take(have) {
                        owner.free(tx, block)?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(Self { blocks, next: 0 })
    }

    fn next(&mut self) -> Result<FsBlock> {
        let at = self.blocks.get(self.next).copied();
        self.next += 1;
        at.filter(|at| !at.is_null()).ok_or(Error::NoSpace)
    }
}

impl<T: Tree, B: Block + Clone> Cursor<T, B> {
    /// Adds `record` at the cursor, which was sent to its key by [`Cursor::seek`].
    ///
    /// # Errors
    ///
    /// `Exists` if the current record has its key; else as [`Cursor::splice`].
    pub fn insert<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        record: <T::Leaf as Layout>::Record<'_>,
    ) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        if self.key() == Some(record.key()) {
            return Err(Error::Exists);
        }
        self.splice(tx, owner, root, self.index(), 0, &[record])
    }

    /// Removes the current record.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; else as [`Cursor::splice`].
    pub fn remove<X, O>(&mut self, tx: &mut X, owner: &mut O, root: &mut Root) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let index = self.index().checked_sub(1).ok_or(Error::NotFound)?;
        self.splice(tx, owner, root, index, 1, &[])
    }

    /// Puts `record` in the place of the current record.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; else as [`Cursor::splice`].
    pub fn update<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        record: <T::Leaf as Layout>::Record<'_>,
    ) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let index = self.index().checked_sub(1).ok_or(Error::NotFound)?;
        self.splice(tx, owner, root, index, 1, &[record])
    }

    /// Exchanges the `remove` records from position `at` of the cursor's leaf on for `add` (at most
    /// [`MAX_ADD`]), whose keys ascend, lie between those of the records beside them and in
    /// [`Cursor::bounds`]. The cursor is to be [sent](Cursor::seek_on) to a place again after that;
    /// `root` may have changed and is the caller's to store.
    ///
    /// # Errors
    ///
    /// `NoSpace` if there are not enough blocks for new nodes, `TooBig` if the tree cannot grow,
    /// `Invalid` for positions and numbers out of range; nothing is changed then. `Corrupt` or `Io`:
    /// the transaction is lost.
    pub fn splice<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        at: usize,
        remove: usize,
        add: &[<T::Leaf as Layout>::Record<'_>],
    ) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let same_nodes = match root.height {
            0 => self.plant(tx, owner, root, add).map(|()| false),
            _ => self.change(tx, owner, root, at, remove, add),
        };
        if !matches!(same_nodes, Ok(true)) {
            self.clear();
        }
        same_nodes.map(|_| ())
    }

    /// Tells that the lowest `levels` nodes of the path are shared with other trees, and those
    /// above are not: [`Cursor::splice`] copies them.
    pub fn set_shared(&mut self, levels: usize) {
        self.shared = levels.min(self.height);
    }

    /// Copies the topmost shared node of the path.
    ///
    /// # Errors
    ///
    /// `NoSpace`; nothing is changed then. `Corrupt` or `Io`: the transaction is lost.
    pub fn shadow<X, O>(&mut self, tx: &mut X, owner: &mut O, root: &mut Root) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let level = self.shared.checked_sub(1).ok_or(Error::Invalid)?;
        let near = node::address(self.node(level)?);
        let mut spares = Spares::take(tx, owner, near, 1)?;
        self.copy(tx, owner, root, level, &mut spares)
    }

    /// How many nodes a [`Cursor::splice`] with these arguments would allocate, besides copies of
    /// shared ones.
    pub fn splits(
        &self,
        at: usize,
        remove: usize,
        add: &[<T::Leaf as Layout>::Record<'_>],
    ) -> usize {
        let Some(leaf) = self.block() else {
            return 1;
        };
        if T::Leaf::fits(leaf, at, remove, add) {
            return 0;
        }
        let full = Array::<Branch>::capacity(leaf.size());
        let above = self
            .nodes()
            .skip(1)
            .take_while(|node| node::count(*node) >= full);
        // The leaf, all full nodes above it, and a new root above a full one.
        let split = 1 + above.count();
        split + usize::from(split == self.height)
    }

    /// The first records of an empty tree.
    fn plant<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        add: &[<T::Leaf as Layout>::Record<'_>],
    ) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        if add.is_empty() {
            return Ok(());
        }
        if add.len() > MAX_ADD {
            return Err(Error::Invalid);
        }
        let block = owner.alloc(tx, FsBlock::NULL)?;
        let leaf = create::<T, X, O>(tx, owner, block, 0)?;
        T::Leaf::splice(&leaf, 0, 0, add);
        *root = Root { block, height: 1 };
        Ok(())
    }

    /// [`Cursor::splice`] in a tree that is not empty. Returns whether the path still leads
    /// to the leaf.
    fn change<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        at: usize,
        remove: usize,
        add: &[<T::Leaf as Layout>::Record<'_>],
    ) -> Result<bool>
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let leaf = self.node(0)?;
        if at + remove > node::count(leaf) || add.len() > MAX_ADD {
            return Err(Error::Invalid);
        }
        if !T::Leaf::storable(leaf, add) {
            return Err(Error::TooBig);
        }
        let splits = self.splits(at, remove, add);
        if splits > self.height && self.height == MAX_HEIGHT {
            return Err(Error::TooBig);
        }
        let (near, shared) = (node::address(leaf), self.shared);
        let mut spares = Spares::take(tx, owner, near, shared + splits)?;
        for level in (0..shared).rev() {
            self.copy(tx, owner, root, level, &mut spares)?;
        }
        let leaf = self.node(0)?;
        tx.modify(leaf)?;
        if node::epoch(leaf) != owner.epoch() {
            // One that was shared once, but is no more.
            leaf.set_u64(header::EPOCH, owner.epoch());
        }
        if splits > 0 {
            let edge = self.bounds().1.is_none();
            let new = create::<T, X, O>(tx, owner, spares.next()?, 0)?;
            split_splice::<T::Leaf, B>(leaf, &new, edge, at, remove, add);
            let branch = Branch {
                key: T::Leaf::key(&new, 0),
                child: node::address(&new),
            };
            self.grow(tx, owner, root, branch, edge, &mut spares)?;
            return Ok(false);
        }
        T::Leaf::splice(leaf, at, remove, add);
        if remove > add.len() {
            self.shrink(tx, owner, root, 0)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Copies the path's node at `level`, which is shared while those above it are not: its
    /// children then have two holders.
    fn copy<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        level: usize,
        spares: &mut Spares,
    ) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        let block = spares.next()?;
        let copy = create::<T, X, O>(tx, owner, block, level)?;
        let old = self.node(level)?;
        let contents = old.size() - header::LEVEL;
        copy.copy_from(old, header::LEVEL, header::LEVEL, contents);
        owner.shadow(tx, old)?;
        match self.path.get(level + 1) {
            Some(Some(parent)) => {
                tx.modify(&parent.buf)?;
                node::set_child(&parent.buf, parent.index, block);
            }
            _ => root.block = block,
        }
        if let Some(Some(step)) = self.path.get_mut(level) {
            step.buf = copy;
        }
        self.shared = level;
        Ok(())
    }

    /// Adds `branch`, a new node, to the right of the path's node below level 1, splitting the
    /// nodes above that are full.
    fn grow<X, O>(
        &mut self,
        tx: &mut X,
        owner: &mut O,
        root: &mut Root,
        mut branch: Branch,
        edge: bool,
        spares: &mut Spares,
    ) -> Result
    where
        X: Transaction<Buf = B>,
        O: Owner<X>,
    {
        for level in 1..self.height {
            let Some(Some(Step { buf, index })) = self.path.get(level) else {
                return Err(Error::Invalid);
            };
            let (at, add) = (index + 1, [branch]);
            tx.modify(buf)?;
            if *index == 0 {
                // It may be more than keys below it. It must not be more than the new separator.
                let (from, _) = self.range(level + 1);
                buf.set_u64(Array::<Branch>::place(buf, 0), from);
            }
            if Array::<Branch>::fits(buf, at, 0, &add) {
                Array::<Branch>::splice(buf, at, 0, &add);
                return Ok(());
            }
            let new = create::<T, X, O>(tx, owner, spares.next()?, level)?;
            split_splice::<Array<Branch>, B>(buf, &new, edge, at, 0, &add);
            branch = Branch {
                key: Array::<Branch>::key(&new, 0),
                child: node::address(&new),
            };
        }
        let block = spares.next()?;
        let top = create::<T, X, O>(tx, owner, block, self.height)?;
        let old = Branch {
            key: 0,
            child: root.block,
        };
        Array::<Branch>::splice(&top, 0, 0, &[old, branch]);
        *root = Root {
            block,
            height: root.height + 1,
        };
        Ok(())
    }

    /// The path's node at `level`.
    pub(super) fn node(&self, level: usize) -> Result<&B> {
        match self.path.get(level) {
            Some(Some(step)) => Ok(&step.buf),
            _ => Err(Error::Invalid),
        }
    }
}

/// A new node.
fn create<T, X, O>(tx: &mut X, owner: &O, block: FsBlock, level: usize) -> Result<X::Buf>
where
    T: Tree,
    X: Transaction,
    O: Owner<X>,
{
    let node = tx.create(block, T::KIND, owner.id())?;
    node.set_u64(header::EPOCH, owner.epoch());
    node::set_level(&node, level);
    Ok(node)
}

/// Splits the full node `buf` into itself and `new`, and makes the change in the part it belongs
/// to.
fn split_splice<L: Layout, B: Block>(
    buf: &B,
    new: &B,
    edge: bool,
    at: usize,
    remove: usize,
    add: &[L::Record<'_>],
) {
    let append = edge && at > 0 && at + remove == node::count(buf);
    let middle = if append {
        at
    } else {
        L::middle(buf, at, remove)
    };
    L::split(buf, new, middle);
    if !append && at + remove <= middle {
        L::splice(buf, at, remove, add);
    } else {
        L::splice(new, at.saturating_sub(middle), remove, add);
    }
}
