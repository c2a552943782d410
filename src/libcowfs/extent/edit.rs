// SPDX-License-Identifier: GPL-2.0

//! What mapping or unmapping a range changes in one list of extents, be it a leaf or the inode.
//!
//! ```text
//!     list     | a a a a | b b |   hole   | c c c c c | d |
//!     range          [----------------------------)
//!     old            a a   b b              c c c            these blocks lose a reference
//!     add      | a a | n n n n n n n n n n n n n | c c |     in the place of a, b and c
//! ```
//!
//! The new extent is joined with what it continues.

use super::super::error::{Error, Result};
use super::super::ondisk::Geometry;
use super::super::units::{FileBlock, FsBlock};
use super::record::{Extent, MAX_LEN};

/// Most runs of blocks one step takes a reference from.
pub(super) const MAX_OLD: usize = 8;

/// What to do to a list of extents.
pub(super) struct Edit {
    /// The range ends here: as far as one step gets.
    pub(super) end: FileBlock,
    /// Position of the first record that goes.
    pub(super) at: usize,
    /// Number of records that go.
    pub(super) remove: usize,
    add: [Extent; 3],
    adds: usize,
    old: [(FsBlock, u32); MAX_OLD],
    olds: usize,
}

/// A list of extents in the order of the file.
pub(super) struct List<'a, F> {
    /// The block they are in.
    pub(super) block: FsBlock,
    /// The extent at a position.
    pub(super) get: F,
    /// Number of those that begin at or before the range.
    pub(super) index: usize,
    /// Where the list ends: what is mapped from here on is in another leaf.
    pub(super) to: Option<FileBlock>,
    pub(super) geometry: &'a Geometry,
}

impl<F: Fn(usize) -> Option<Extent>> List<'_, F> {
    /// The extent at `index`, checked.
    fn extent(&self, index: usize) -> Result<Option<Extent>> {
        let Some(extent) = (self.get)(index) else {
            return Ok(None);
        };
        extent.check(self.geometry, self.block)?;
        if self.to.is_some_and(|to| extent.end() > to) {
            return Err(Error::Corrupt(
                self.block,
                "extent reaches into the next leaf",
            ));
        }
        Ok(Some(extent))
    }

    /// The extent that maps block `at`.
    pub(super) fn covering(&self, at: FileBlock) -> Result<Option<Extent>> {
        let Some(index) = self.index.checked_sub(1) else {
            return Ok(None);
        };
        Ok(self.extent(index)?.filter(|extent| extent.end() > at))
    }

    /// The first extent that begins after the range's begin.
    pub(super) fn next(&self) -> Result<Option<Extent>> {
        self.extent(self.index)
    }

    /// Plans to map the blocks `[from, end)` to `new`, or to nothing, in the empty `edit`.
    pub(super) fn plan(
        &self,
        edit: &mut Edit,
        from: FileBlock,
        end: FileBlock,
        new: Option<(FsBlock, bool)>,
    ) -> Result {
        let first = self.index - usize::from(self.covering(from)?.is_some());
        edit.at = first;
        edit.end = match new {
            Some(_) => end.min(from.add(u64::from(MAX_LEN))),
            None => end,
        };
        let mut reached = FileBlock(0);
        let mut after = None;
        while let Some(extent) = self.extent(first + edit.remove)? {
            if extent.file < reached {
                return Err(Error::Corrupt(self.block, "overlapping extents"));
            }
            reached = extent.end();
            if extent.file >= edit.end {
                break;
            }
            if !edit.lose(&extent.part(from, edit.end)) {
                edit.end = extent.file;
                break;
            }
            edit.remove += 1;
            if extent.file < from {
                edit.push(extent.part(extent.file, from));
            }
            if extent.end() > edit.end {
                after = Some(extent.part(edit.end, extent.end()));
            }
        }
        if let Some((disk, unwritten)) = new {
            let new = Extent {
                file: from,
                disk,
                len: edit.end.since(from) as u32,
                unwritten,
            };
            let before = first.checked_sub(1).and_then(&self.get);
            if let Some(before) = before.filter(|before| edit.adds == 0 && before.joins(&new)) {
                edit.at -= 1;
                edit.remove += 1;
                edit.push(before);
            }
            edit.push(new);
            if after.is_none() {
                after = (self.get)(edit.at + edit.remove).filter(|next| new.joins(next));
                edit.remove += usize::from(after.is_some());
            }
        }
        if let Some(after) = after {
            edit.push(after);
        }
        Ok(())
    }
}

impl Edit {
    /// One that changes nothing.
    pub(super) const fn new() -> Self {
        Edit {
            end: FileBlock(0),
            at: 0,
            remove: 0,
            add: [Extent::NONE; 3],
            adds: 0,
            old: [(FsBlock::NULL, 0); MAX_OLD],
            olds: 0,
        }
    }

    /// Adds an extent, or joins it to the last one.
    fn push(&mut self, extent: Extent) {
        if let Some(last) = self.adds.checked_sub(1).and_then(|n| self.add.get_mut(n)) {
            if last.joins(&extent) {
                last.len += extent.len;
                return;
            }
        }
        if let Some(next) = self.add.get_mut(self.adds) {
            *next = extent;
            self.adds += 1;
        }
    }

    /// The records to put in the place of those that go.
    pub(super) fn add(&self) -> &[Extent] {
        self.add.get(..self.adds).unwrap_or_default()
    }

    /// Adds blocks that lose their place, unless that are too many runs. Those that are side by
    /// side on disk are one, wherever in the file they are.
    fn lose(&mut self, extent: &Extent) -> bool {
        if let Some((at, len)) = self.olds.checked_sub(1).and_then(|n| self.old.get_mut(n)) {
            let total = len.saturating_add(extent.len);
            if at.add(u64::from(*len)) == extent.disk && total <= MAX_LEN {
                *len = total;
                return true;
            }
        }
        match self.old.get_mut(self.olds) {
            Some(next) => {
                *next = (extent.disk, extent.len);
                self.olds += 1;
                true
            }
            None => false,
        }
    }

    /// The runs of blocks that lose their place in the file.
    pub(super) fn old(&self) -> &[(FsBlock, u32)] {
        self.old.get(..self.olds).unwrap_or_default()
    }

    /// Whether the list stays as it is.
    pub(super) fn is_nothing(&self) -> bool {
        self.remove == 0 && self.adds == 0
    }
}
