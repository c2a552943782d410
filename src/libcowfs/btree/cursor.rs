// SPDX-License-Identifier: GPL-2.0

//! Finding records: the path from a tree's root to a place in one of its leaves.

use super::super::block::Block;
use super::super::error::{Error, Result};
use super::super::store::Reader;
use super::super::units::FsBlock;
use super::node::{self, Branch};
use super::{Array, Fixed, Layout, Root, Tree, MAX_HEIGHT};
use core::marker::PhantomData;

/// One node on the path.
pub(super) struct Step<B> {
    pub(super) buf: B,
    /// Interior: the child the path goes through. Leaf: records before the cursor.
    pub(super) index: usize,
}

/// A place in a tree: between two records of a leaf, the left of which is *the current record*.
///
/// ```text
///      seek(35):     10   20   30 | 40   50        current record: 30; index() = 3
///      next():       10   20   30   40 | 50        current record: 40; index() = 4
///      seek(5):    | 10   20   30   40   50        no current record;  index() = 0
/// ```
///
/// It stays good as long as the tree does not change; after a change made through it, it is to be
/// sent to a place again.
pub struct Cursor<T: Tree, B> {
    pub(super) path: [Option<Step<B>>; MAX_HEIGHT],
    pub(super) height: usize,
    /// The lowest nodes of the path, this many, are shared with other trees.
    pub(super) shared: usize,
    tree: PhantomData<T>,
}

impl<T: Tree, B: Block + Clone> Default for Cursor<T, B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Tree, B: Block + Clone> Cursor<T, B> {
    /// A cursor that is nowhere yet.
    pub const fn new() -> Self {
        Self {
            path: [const { None }; MAX_HEIGHT],
            height: 0,
            shared: 0,
            tree: PhantomData,
        }
    }

    /// Goes to the leaf whose range holds `key`, behind the last record with a key of at most
    /// `key`.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub fn seek<R: Reader<Buf = B>>(&mut self, reader: &R, root: Root, key: u64) -> Result {
        self.clear();
        self.height = usize::from(root.height);
        if self.height > MAX_HEIGHT {
            return Err(Error::Corrupt(root.block, "tree too high"));
        }
        self.descend(reader, root.block, self.height, key, 0, None)
    }

    /// As [`Cursor::seek`], but starts from the leaf where the cursor is if `key` belongs there.
    ///
    /// The tree may have been changed through this cursor since it was sent there, but not
    /// otherwise.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub fn seek_on<R: Reader<Buf = B>>(&mut self, reader: &R, root: Root, key: u64) -> Result {
        let (from, to) = self.bounds();
        let here = key >= from && to.is_none_or(|to| key < to);
        match self.path.first_mut() {
            Some(Some(leaf)) if here => leaf.index = node::up_to::<T::Leaf, B>(&leaf.buf, key),
            _ => return self.seek(reader, root, key),
        }
        Ok(())
    }

    /// Goes before the first record with a key of at least `key`: [`Cursor::next`] then makes it
    /// the current one.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub fn seek_before<R: Reader<Buf = B>>(&mut self, reader: &R, root: Root, key: u64) -> Result {
        self.seek(reader, root, key)?;
        if self.key() == Some(key) {
            if let Some(Some(leaf)) = self.path.first_mut() {
                leaf.index -= 1;
            }
        }
        Ok(())
    }

    /// Makes the record after the current one the current one; `false` if there is none.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`; the cursor is nowhere then.
    pub fn next<R: Reader<Buf = B>>(&mut self, reader: &R) -> Result<bool> {
        for level in 0..self.height {
            let Some(Some(step)) = self.path.get_mut(level) else {
                return Ok(false);
            };
            let count = node::count(&step.buf);
            if level == 0 {
                if step.index < count {
                    step.index += 1;
                    return Ok(true);
                }
            } else if step.index + 1 < count {
                step.index += 1;
                let from = Array::<Branch>::get(&step.buf, step.index);
                let (_, to) = self.range(level);
                self.descend(reader, from.child, level, from.key, from.key, to)
                    .inspect_err(|_| self.clear())?;
                if let Some(Some(leaf)) = self.path.first_mut() {
                    leaf.index = 1;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Fills the path below level `below`, from node `at`, whose range of keys is `[from, to)`.
    fn descend<R: Reader<Buf = B>>(
        &mut self,
        reader: &R,
        mut at: FsBlock,
        below: usize,
        key: u64,
        mut from: u64,
        mut to: Option<u64>,
    ) -> Result {
        let path = self.path.get_mut(..below).unwrap_or_default();
        for (level, step) in path.iter_mut().enumerate().rev() {
            let buf = reader.read(at, T::KIND)?;
            if node::level(&buf) != level {
                return Err(Error::Corrupt(at, "tree node of wrong level"));
            }
            let index = if level == 0 {
                check_range::<T::Leaf, B>(&buf, at, from, to)?;
                node::up_to::<T::Leaf, B>(&buf, key)
            } else {
                check_range::<Array<Branch>, B>(&buf, at, from, to)?;
                let index = node::up_to::<Array<Branch>, B>(&buf, key).saturating_sub(1);
                let branch = Array::<Branch>::get(&buf, index);
                at = branch.child;
                if index > 0 {
                    from = branch.key;
                }
                if index + 1 < node::count(&buf) {
                    to = Some(Array::<Branch>::key(&buf, index + 1));
                }
                index
            };
            *step = Some(Step { buf, index });
        }
        Ok(())
    }

    /// The range of keys `[from, to)` that belong below the child that the path takes at `level`.
    pub fn range(&self, level: usize) -> (u64, Option<u64>) {
        let above = || self.path.iter().skip(level).flatten();
        let from = above()
            .find(|step| step.index > 0)
            .map_or(0, |step| Array::<Branch>::key(&step.buf, step.index));
        let to = above()
            .find(|step| step.index + 1 < node::count(&step.buf))
            .map(|step| Array::<Branch>::key(&step.buf, step.index + 1));
        (from, to)
    }

    /// The range of keys that belong below child `index` of the path's node at `level`.
    pub(super) fn range_of_child(&self, level: usize, index: usize) -> Result<(u64, Option<u64>)> {
        let node = self.node(level)?;
        let (mut from, mut to) = self.range(level + 1);
        if index > 0 {
            from = Array::<Branch>::key(node, index);
        }
        if index + 1 < node::count(node) {
            to = Some(Array::<Branch>::key(node, index + 1));
        }
        Ok((from, to))
    }

    /// The range of keys that belong into the cursor's leaf: from the first, up to but without
    /// the second, or to the end of the tree.
    pub fn bounds(&self) -> (u64, Option<u64>) {
        self.range(1)
    }

    /// Number of records of the cursor's leaf; 0 in an empty tree.
    pub fn count(&self) -> usize {
        self.leaf().map_or(0, |leaf| node::count(&leaf.buf))
    }

    /// Number of records of the leaf that are before the cursor: one more than the current
    /// record's position.
    pub fn index(&self) -> usize {
        self.leaf().map_or(0, |leaf| leaf.index)
    }

    /// The current record's block and its byte offset there.
    pub fn place(&self) -> Option<(&B, usize)> {
        let leaf = self.leaf()?;
        let index = leaf.index.checked_sub(1)?;
        Some((&leaf.buf, T::Leaf::place(&leaf.buf, index)))
    }

    /// The current record's key.
    pub fn key(&self) -> Option<u64> {
        self.place().map(|(buf, at)| buf.u64(at))
    }

    /// The cursor's leaf.
    pub fn block(&self) -> Option<&B> {
        self.leaf().map(|leaf| &leaf.buf)
    }

    /// The nodes from the leaf up to the root.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &B> {
        self.path.iter().flatten().map(|step| &step.buf)
    }

    /// Lets go of all blocks.
    pub fn clear(&mut self) {
        for step in self.path.iter_mut().take(self.height) {
            *step = None;
        }
        self.height = 0;
        self.shared = 0;
    }

    fn leaf(&self) -> Option<&Step<B>> {
        self.path.first().and_then(Option::as_ref)
    }
}

impl<T, V, B> Cursor<T, B>
where
    T: Tree<Leaf = Array<V>>,
    V: Fixed,
    B: Block + Clone,
{
    /// The current record.
    #[inline]
    pub fn get(&self) -> Option<V> {
        let (buf, at) = self.place()?;
        Some(V::load(buf, at))
    }

    /// Record `index` of the cursor's leaf.
    #[inline]
    pub fn record(&self, index: usize) -> Option<V> {
        let leaf = self.block()?;
        (index < node::count(leaf)).then(|| Array::<V>::get(leaf, index))
    }
}

/// Checks that the node's keys are in `[from, to)`.
#[inline]
pub(super) fn check_range<L: Layout, B: Block>(
    buf: &B,
    at: FsBlock,
    from: u64,
    to: Option<u64>,
) -> Result {
    let last = node::count(buf).saturating_sub(1);
    if L::key(buf, 0) < from || to.is_some_and(|to| L::key(buf, last) >= to) {
        return Err(Error::Corrupt(at, "tree node with keys of its neighbour"));
    }
    Ok(())
}
