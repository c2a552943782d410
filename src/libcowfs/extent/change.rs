// SPDX-License-Identifier: GPL-2.0

//! Mapping and unmapping ranges of a file, one bounded step at a time.
//!
//! A step first changes the list of extents, which may fail for lack of space, and then takes a
//! reference from each block that lost its place, which cannot.

use super::super::block::Block;
use super::super::btree::{Array, Cursor, Layout, Owner, Root};
use super::super::error::{Error, Result};
use super::super::ondisk::inode::INLINE_EXTENTS;
use super::super::ondisk::{header, Kind};
use super::super::space::credits;
use super::super::store::Transaction;
use super::super::units::{FileBlock, FsBlock, Ino};
use super::adopt::Levels;
use super::cost::{self, Counting, AT_ONCE, CALLER};
use super::edit::Edit;
use super::lookup::{end_in_leaf, leaf};
use super::nodes::{release, share, Nodes};
use super::record::{Extent, Extents};
use super::{Fork, Map};
use core::iter::once;

/// What a range is to be mapped to.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// Nothing.
    Hole,
    /// Blocks that were allocated for it.
    New(FsBlock, bool),
    /// Blocks that are mapped elsewhere and get one more reference.
    Shared(FsBlock),
    /// The blocks that are there already, which are written now.
    Written(FsBlock),
}

/// Map this range to that.
#[derive(Clone, Copy)]
struct Wish {
    from: FileBlock,
    end: FileBlock,
    target: Target,
}

impl Target {
    fn blocks(self) -> Option<(FsBlock, bool)> {
        match self {
            Target::Hole => None,
            Target::New(disk, unwritten) => Some((disk, unwritten)),
            Target::Shared(disk) | Target::Written(disk) => Some((disk, false)),
        }
    }
}

impl Fork {
    /// Maps the blocks from `file` on to the `len` written blocks at `disk`, and takes a reference
    /// from each block that was mapped there. Returns for how many of them that is done, which is
    /// at least one.
    ///
    /// # Errors
    ///
    /// `NeedCredits` or `NoSpace`, with nothing changed; `Corrupt` or `Io`: the transaction is
    /// lost.
    pub fn replace<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        file: FileBlock,
        disk: FsBlock,
        len: u32,
    ) -> Result<u32> {
        let end = file.add(u64::from(len));
        let done = self.map(tx, ino, file, end, Target::New(disk, false))?;
        Ok(done as u32)
    }

    /// Maps the blocks from `file` on, a hole, to the `len` blocks at `disk`, to which nothing was
    /// written. Returns for how many of them that is done, which is at least one.
    ///
    /// # Errors
    ///
    /// `Exists` if `file` is no hole; else as [`Fork::replace`].
    pub fn insert_unwritten<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        file: FileBlock,
        disk: FsBlock,
        len: u32,
    ) -> Result<u32> {
        let hole = self.lookup(tx, file, u64::from(len))?;
        if hole.extent.is_some() {
            return Err(Error::Exists);
        }
        let end = file.add(hole.len);
        let done = self.map(tx, ino, file, end, Target::New(disk, true))?;
        Ok(done as u32)
    }

    /// Makes the preallocated ones of the blocks from `file` on written ones. Returns how many of
    /// `len` blocks are done, which is at least one.
    ///
    /// # Errors
    ///
    /// As [`Fork::replace`].
    pub fn convert<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        file: FileBlock,
        len: u64,
    ) -> Result<u64> {
        let found = self.lookup(tx, file, len)?;
        match found.extent {
            Some(extent) if extent.unwritten => {
                let target = Target::Written(extent.disk);
                self.map(tx, ino, file, extent.end(), target)
            }
            _ => Ok(found.len),
        }
    }

    /// Makes a hole of the `len` blocks from `file` on, and takes a reference from each block that
    /// was mapped there. Returns how many of them are done, which is at least one.
    ///
    /// # Errors
    ///
    /// As [`Fork::replace`].
    pub fn unmap<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        file: FileBlock,
        len: u64,
    ) -> Result<u64> {
        self.map(tx, ino, file, file.add(len), Target::Hole)
    }

    /// Maps `[from, end)`, or as much of it as one step gets done; returns how much that is.
    pub(super) fn map<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        from: FileBlock,
        end: FileBlock,
        target: Target,
    ) -> Result<u64> {
        if from >= end {
            return Err(Error::Invalid);
        }
        let mut edit = Edit::new();
        let wish = Wish { from, end, target };
        loop {
            match self.map {
                Map::Inline(..) => self.map_inline(tx, ino, wish, &mut edit)?,
                Map::Tree(root) => {
                    if !self.map_tree(tx, ino, root, wish, &mut edit)? {
                        edit = Edit::new();
                        continue;
                    }
                }
            }
            break;
        }
        let done = edit.end.since(from);
        if edit.is_nothing() {
            return Ok(done);
        }
        self.changed = true;
        match target {
            // The same blocks as before.
            Target::Written(_) => return Ok(done),
            Target::Hole => {}
            Target::New(..) | Target::Shared(_) => self.blocks = self.blocks.saturating_add(done),
        }
        for &(disk, len) in edit.old() {
            self.blocks = self.blocks.saturating_sub(u64::from(len));
            release(tx, self.shared, disk, len)?;
        }
        Ok(done)
    }

    /// Returns whether it is done: else a node was copied, and the rest is to be planned anew.
    // Not inlined, as is the next: together they would take too much of the kernel's stack.
    #[inline(never)]
    fn map_tree<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        mut root: Root,
        wish: Wish,
        edit: &mut Edit,
    ) -> Result<bool> {
        let Wish { from, end, target } = wish;
        let mut cursor = Cursor::<Extents, T::Buf>::new();
        cursor.seek(tx, root, from.0)?;
        let end = end_in_leaf(&cursor, from, end.since(from));
        leaf(tx.geometry(), &cursor)?.plan(edit, from, end, target.blocks())?;
        if edit.is_nothing() {
            return Ok(true);
        }
        let levels = match self.shared {
            true => Levels::look(tx, &cursor, self.epoch)?,
            false => Levels::default(),
        };
        let shared = levels.shared;
        let tree = cost::splice(tx, &cursor, edit, levels)?;
        if shared > 1 && tree.total(tx.geometry()) > AT_ONCE {
            // From the top, so that what is asked for is never more than copying one node takes.
            self.shadow(tx, ino, root, &mut cursor, shared)?;
            return Ok(false);
        }
        let counts = self.cost(tx, edit, wish)?;
        tx.need(CALLER + tree.counting(counts).total(tx.geometry()))?;
        levels.adopt(tx, &cursor, self.epoch)?;
        let mut nodes = Nodes {
            ino,
            epoch: self.epoch,
            blocks: &mut self.blocks,
            shared: self.shared,
        };
        referred(tx, edit, wish, |tx| {
            cursor.set_shared(shared);
            cursor.splice(tx, &mut nodes, &mut root, edit.at, edit.remove, edit.add())
        })?;
        self.set_root(root);
        Ok(true)
    }

    #[inline(never)]
    fn map_inline<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        wish: Wish,
        edit: &mut Edit,
    ) -> Result {
        let Wish { from, end, target } = wish;
        let list = self.list(tx.geometry(), from);
        list.plan(edit, from, end, target.blocks())?;
        drop(list);
        if edit.is_nothing() {
            return Ok(());
        }
        let mut new = [Extent::NONE; INLINE_EXTENTS + 2];
        let before = self.inline().get(..edit.at).unwrap_or_default();
        let after = self
            .inline()
            .get(edit.at + edit.remove..)
            .unwrap_or_default();
        let mut count = 0;
        for (to, from) in new
            .iter_mut()
            .zip(before.iter().chain(edit.add()).chain(after))
        {
            *to = *from;
            count += 1;
        }
        let used = new.get(..count).unwrap_or_default();
        let mut extents = [Extent::NONE; INLINE_EXTENTS];
        if let Some(to) = extents.get_mut(..count) {
            tx.need(CALLER + self.cost(tx, edit, wish)?)?;
            referred(tx, edit, wish, |_| Ok(()))?;
            to.copy_from_slice(used);
            self.map = Map::Inline(count, extents);
            return Ok(());
        }
        tx.need(CALLER + self.cost(tx, edit, wish)? + credits::COMMIT + 1)?;
        let mut nodes = Nodes {
            ino,
            epoch: self.epoch,
            blocks: &mut self.blocks,
            shared: self.shared,
        };
        let block = referred(tx, edit, wish, |tx| nodes.alloc(tx, FsBlock::NULL))?;
        let leaf = tx.create(block, Kind::Extent, ino.0)?;
        leaf.set_u64(header::EPOCH, self.epoch);
        Array::<Extent>::splice(&leaf, 0, 0, used);
        self.map = Map::Tree(Root { block, height: 1 });
        Ok(())
    }

    /// What counting takes in a step, besides the copying of nodes.
    fn cost<T: Transaction>(&self, tx: &T, edit: &Edit, wish: Wish) -> Result<u32> {
        let len = edit.end.since(wish.from) as u32;
        let new = match wish.target {
            Target::Shared(disk) => cost::count(tx, once((disk, len)), Counting::Try)?,
            Target::Written(_) => return Ok(0),
            Target::New(..) | Target::Hole => 0,
        };
        let how = match self.shared {
            true => Counting::Release,
            false => Counting::Free,
        };
        Ok(new + cost::count(tx, edit.old().iter().copied(), how)?)
    }
}

/// Does `change`, before which blocks that are mapped elsewhere too get one more reference. They
/// do not keep it if that fails.
fn referred<T: Transaction, V>(
    tx: &mut T,
    edit: &Edit,
    wish: Wish,
    change: impl FnOnce(&mut T) -> Result<V>,
) -> Result<V> {
    let Target::Shared(disk) = wish.target else {
        return change(tx);
    };
    let len = edit.end.since(wish.from) as u32;
    share(tx, disk, len)?;
    match change(tx) {
        Err(error) if error.is_refusal() => {
            release(tx, true, disk, len)?;
            Err(error)
        }
        done => done,
    }
}
