// SPDX-License-Identifier: GPL-2.0

//! Cutting off a file's end, down to dropping all of it.
//!
//! The work is done leaf by leaf from the right end. After every step the fork is a sound one, and
//! whoever finds it after a crash just goes on. Of what is shared with other files
//! only the topmost node is touched: it loses one reference and leaves the tree with all that is
//! below it. So the clone of a file of any size goes in one step.

use super::super::btree::{node, Array, Cursor, Root};
use super::super::error::{Error, Result};
use super::super::space::credits;
use super::super::space::refcount;
use super::super::store::Transaction;
use super::super::units::{FileBlock, Ino};
use super::adopt::Levels;
use super::change::Target;
use super::cost::{self, CALLER};
use super::nodes::Nodes;
use super::record::{Extent, Extents};
use super::{Fork, Map};

impl Fork {
    /// Unmaps blocks at the end of the file, none of them before block `from`. Returns whether
    /// there are no more after that.
    ///
    /// While a file is cut down to nothing, [`Fork::blocks`] may be more than what is left.
    ///
    /// # Errors
    ///
    /// As [`Fork::replace`]; `NoSpace` only if `from` is not 0.
    pub fn truncate<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        from: FileBlock,
    ) -> Result<bool> {
        let done = match self.map {
            Map::Inline(..) => self.cut_inline(tx, ino, from)?,
            Map::Tree(root) => self.cut_tree(tx, ino, root, from)?,
        };
        if self.is_empty() {
            self.changed |= self.blocks != 0;
            self.blocks = 0;
        }
        Ok(done || self.is_empty())
    }

    fn cut_inline<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        from: FileBlock,
    ) -> Result<bool> {
        match self.inline().last() {
            Some(last) if last.end() > from => {
                let end = last.end();
                self.map(tx, ino, from, end, Target::Hole)?;
            }
            _ => {}
        }
        Ok(true)
    }

    fn cut_tree<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        root: Root,
        from: FileBlock,
    ) -> Result<bool> {
        let mut cursor = Cursor::<Extents, T::Buf>::new();
        cursor.seek(tx, root, u64::MAX)?;
        let end = cursor.get().map_or(from, |last| last.end());
        if end <= from {
            return Ok(true);
        }
        let levels = match self.shared {
            true => Levels::look(tx, &cursor, self.epoch)?,
            false => Levels::default(),
        };
        let Some(level) = levels.shared.checked_sub(1) else {
            let first = from.max(FileBlock(cursor.range(1).0));
            let before = core::mem::replace(&mut self.changed, false);
            let done = self.map(tx, ino, first, end, Target::Hole);
            let moved = self.changed;
            self.changed |= before;
            if done.is_ok() && !moved {
                // Whoever waits for an end of this would wait for ever.
                let at = cursor.block().map_or(root.block, node::address);
                return Err(Error::Corrupt(at, "extents out of order"));
            }
            return done.map(|_| false);
        };
        // What is below a node high up is not counted, and need not be if nothing stays.
        let whole = from.0 == 0 || level == 0 && cursor.range(1).0 >= from.0;
        if whole {
            self.detach(tx, ino, root, &mut cursor, levels)?;
        } else {
            self.shadow(tx, ino, root, &mut cursor, levels.shared)?;
        }
        Ok(false)
    }

    /// Takes the path's topmost shared node out of the tree.
    fn detach<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        mut root: Root,
        cursor: &mut Cursor<Extents, T::Buf>,
        levels: Levels,
    ) -> Result {
        let level = levels.shared.saturating_sub(1);
        let Some(top) = cursor.nodes().nth(level) else {
            return Ok(());
        };
        let at = node::address(top);
        let blocks: u64 = match level {
            0 => (0..node::count(top))
                .map(|index| u64::from(Array::<Extent>::get(top, index).len))
                .sum(),
            _ => 0,
        };
        let height = u32::from(root.height);
        let tree = height * (2 + credits::COMMIT) + levels.left as u32;
        tx.need(CALLER + credits::release(tx.geometry()) + tree)?;
        if !refcount::release_shared(tx, at)? {
            // The others left meanwhile.
            return Ok(());
        }
        levels.adopt(tx, cursor, self.epoch)?;
        let mut nodes = Nodes {
            ino,
            epoch: self.epoch,
            blocks: &mut self.blocks,
            shared: true,
        };
        cursor.detach(tx, &mut nodes, &mut root, level)?;
        self.blocks = self.blocks.saturating_sub(blocks + 1);
        self.set_root(root);
        self.changed = true;
        Ok(())
    }

    /// Copies the path's topmost shared node.
    pub(super) fn shadow<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        mut root: Root,
        cursor: &mut Cursor<Extents, T::Buf>,
        shared: usize,
    ) -> Result {
        let cost = match cursor.nodes().nth(shared.saturating_sub(1)) {
            Some(node) => cost::shadow(tx, node)?,
            None => 0,
        };
        // The copy and its parent.
        tx.need(cost.saturating_add(CALLER + credits::COMMIT + 2))?;
        let mut nodes = Nodes {
            ino,
            epoch: self.epoch,
            blocks: &mut self.blocks,
            shared: true,
        };
        cursor.set_shared(shared);
        cursor.shadow(tx, &mut nodes, &mut root)?;
        self.set_root(root);
        self.changed = true;
        Ok(())
    }
}
