// SPDX-License-Identifier: GPL-2.0

//! The pieces of a CoW fork, in file order.
//!
//! Every change is all or nothing: what needs memory is done first. Making a piece shorter or
//! removing it needs none; only cutting the middle out of a piece does.

use super::super::error::{Error, Result};
use super::super::platform::Map;
use super::super::units::FileBlock;
use super::range::FileRange;
use super::state::State;

/// A run of blocks of the CoW fork in one state, contiguous on disk if they are staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// The first block of the file.
    pub file: FileBlock,
    /// How many.
    pub len: u32,
    /// The state of the first; the disk addresses of the others follow.
    pub state: State,
}

impl Piece {
    /// The blocks of the file.
    pub const fn range(&self) -> FileRange {
        FileRange::new(self.file, self.len as u64)
    }

    /// The first block beyond the piece.
    pub const fn end(&self) -> FileBlock {
        self.range().end()
    }

    /// The part of the piece in `range`; `None` if there is none.
    pub(super) fn clip(&self, range: FileRange) -> Option<Piece> {
        let part = self.range().intersect(range);
        (!part.is_empty()).then(|| Piece {
            file: part.start,
            len: part.len as u32,
            state: self.state.advanced(part.start.since(self.file)),
        })
    }
}

/// A piece as the map keeps it under its first block.
#[derive(Clone, Copy, Debug)]
struct Value {
    len: u32,
    state: State,
}

/// How many blocks are in each state, and in how many runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) delalloc: u64,
    pub(super) unwritten: u64,
    pub(super) real: u64,
    /// Runs of blocks without a hole between them, whatever their states.
    pub(super) runs: u64,
}

impl Counts {
    fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Delalloc => &mut self.delalloc,
            State::Unwritten(_) => &mut self.unwritten,
            State::Real(_) => &mut self.real,
        }
    }

    fn add(&mut self, piece: Piece) {
        let count = self.of(piece.state);
        *count = count.saturating_add(u64::from(piece.len));
    }

    fn sub(&mut self, piece: Piece) {
        let count = self.of(piece.state);
        *count = count.saturating_sub(u64::from(piece.len));
    }
}

/// Pieces in file order.
///
/// # Invariants
///
/// No piece is empty, none overlaps another, none ends beyond the last file block. `counts` says
/// how many blocks are in each state, and how many runs there are.
#[derive(Default)]
#[cfg_attr(not(MODULE), derive(Clone, Debug))]
pub(super) struct Pieces {
    map: Map<FileBlock, Value>,
    counts: Counts,
    sequence: u32,
}

impl Pieces {
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn sequence(&self) -> u32 {
        self.sequence
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The last piece that begins at or before `at`.
    pub(super) fn at_or_before(&self, at: FileBlock) -> Option<Piece> {
        self.map.at_or_before(&at).map(piece)
    }

    /// The first piece that begins at or after `at`.
    pub(super) fn at_or_after(&self, at: FileBlock) -> Option<Piece> {
        self.map.at_or_after(&at).map(piece)
    }

    /// The piece that `at` lies in.
    pub(super) fn containing(&self, at: FileBlock) -> Option<Piece> {
        self.at_or_before(at).filter(|piece| at < piece.end())
    }

    /// The first piece that has blocks in `range`.
    pub(super) fn first_in(&self, range: FileRange) -> Option<Piece> {
        if range.is_empty() {
            return None;
        }
        self.containing(range.start)
            .or_else(|| self.at_or_after(range.start))
            .filter(|piece| piece.file < range.end())
    }

    /// How many runs have blocks in `range` or next to it.
    fn runs_around(&self, range: FileRange) -> u64 {
        let mut at = FileBlock(range.start.0.saturating_sub(1));
        let end = range.end().0.saturating_add(1);
        let (mut runs, mut last) = (0u64, None);
        while let Some(piece) = self.first_in(FileRange::between(at, FileBlock(end))) {
            if last != Some(piece.file) {
                runs = runs.saturating_add(1);
            }
            at = piece.end();
            last = Some(at);
        }
        runs
    }

    /// How many runs there are once all of `range` is covered.
    fn runs_with(&self, range: FileRange) -> u64 {
        let runs = self.counts.runs.saturating_add(1);
        runs.saturating_sub(self.runs_around(range))
    }

    /// How many runs there are once no block of `range` is covered, all of which is.
    fn runs_without(&self, range: FileRange) -> u64 {
        let before = range.start.0.checked_sub(1).map(FileBlock);
        let left = before.is_some_and(|at| self.containing(at).is_some());
        let right = self.containing(range.end()).is_some();
        let runs = self.counts.runs.saturating_sub(1);
        runs.saturating_add(u64::from(left))
            .saturating_add(u64::from(right))
    }

    /// Adds `new` where no piece is, merging it with neighbours it continues.
    pub(super) fn add(&mut self, new: Piece) -> Result {
        let runs = self.runs_with(new.range());
        if let Some(left) = self.at_or_before(new.file).and_then(|p| join(p, new)) {
            // Room for `new` comes from its neighbour: no memory is needed.
            self.store(left);
            self.absorb_next(left);
        } else if let Some((right, merged)) = self
            .at_or_after(new.file)
            .and_then(|right| Some((right, join(new, right)?)))
        {
            self.map.rekey(&right.file, merged.file, value(merged));
        } else {
            self.map.insert(new.file, value(new))?;
        }
        self.counts.runs = runs;
        self.counts.add(new);
        self.changed();
        Ok(())
    }

    /// Puts `new` where only holes and delalloc pieces are, in their place, and merges it with
    /// neighbours it continues. Returns how many blocks were delalloc.
    pub(super) fn overwrite_delalloc(&mut self, new: Piece) -> Result<u64> {
        let (range, before) = (new.range(), self.counts.delalloc);
        let runs = self.runs_with(range);
        let holder = self.containing(new.file);
        match holder {
            // One piece holds the whole range.
            Some(holder) if new.end() <= holder.end() => self.set(holder, new)?,
            holder => {
                let old = self.map.insert(new.file, value(new))?;
                self.counts.add(new);
                self.changed();
                if let Some(holder) = holder {
                    if let Some(covered) = holder.clip(range) {
                        self.counts.sub(covered);
                    }
                    if old.is_none() {
                        self.store(Piece {
                            len: new.file.since(holder.file) as u32,
                            ..holder
                        });
                    }
                }
                let rest = FileRange::between(new.file.add(1), new.end());
                while let Some(piece) = self.at_or_after(rest.start) {
                    let Some(covered) = piece.clip(rest) else {
                        break;
                    };
                    self.cut(piece, covered)?;
                }
            }
        }
        // What was cut out is covered again.
        self.counts.runs = runs;
        self.merge_around(new.file);
        Ok(before.saturating_sub(self.counts.delalloc))
    }

    /// Removes `part` of `piece`. Needs memory only if blocks of it are left on both sides.
    pub(super) fn cut(&mut self, piece: Piece, part: Piece) -> Result {
        let (left, right) = around(piece, part);
        let runs = self.runs_without(part.range());
        match (left, right) {
            (None, None) => {
                self.map.remove(&piece.file);
            }
            (Some(left), None) => self.store(left),
            (None, Some(right)) => self.map.rekey(&piece.file, right.file, value(right)),
            (Some(left), Some(right)) => {
                self.map.insert(right.file, value(right))?;
                self.store(left);
            }
        }
        self.counts.runs = runs;
        self.counts.sub(part);
        self.changed();
        Ok(())
    }

    /// Replaces the blocks of `piece` that `part` covers by `part`.
    pub(super) fn set(&mut self, piece: Piece, part: Piece) -> Result {
        let (left, right) = around(piece, part);
        if let Some(right) = right {
            self.map.insert(right.file, value(right))?;
        }
        if let Some(left) = left {
            if let Err(error) = self.map.insert(part.file, value(part)) {
                if let Some(right) = right {
                    self.map.remove(&right.file);
                }
                return Err(error);
            }
            self.store(left);
        } else {
            self.store(part);
        }
        if let Some(old) = piece.clip(part.range()) {
            self.counts.sub(old);
        }
        self.counts.add(part);
        self.changed();
        Ok(())
    }

    /// Stores `piece` in the node that is there under its first block.
    fn store(&mut self, piece: Piece) {
        if let Some(there) = self.map.get_mut(&piece.file) {
            *there = value(piece);
        }
    }

    /// Merges the piece that begins at `at` with the neighbours it continues.
    pub(super) fn merge_around(&mut self, at: FileBlock) {
        let Some(mut piece) = self.containing(at) else {
            return;
        };
        if let Some(before) = piece.file.0.checked_sub(1) {
            let left = self.containing(FileBlock(before));
            if let Some(merged) = left.and_then(|left| join(left, piece)) {
                self.map.remove(&piece.file);
                self.store(merged);
                piece = merged;
            }
        }
        self.absorb_next(piece);
    }

    /// Merges `piece` with the one after it if it continues it.
    fn absorb_next(&mut self, piece: Piece) {
        let right = self.map.get(&piece.end()).map(|v| Piece {
            file: piece.end(),
            len: v.len,
            state: v.state,
        });
        if let Some((right, merged)) = right.and_then(|right| Some((right, join(piece, right)?))) {
            self.map.remove(&right.file);
            self.store(merged);
        }
    }

    fn changed(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
    }
}

fn piece((file, Value { len, state }): (FileBlock, Value)) -> Piece {
    Piece { file, len, state }
}

fn value(piece: Piece) -> Value {
    Value {
        len: piece.len,
        state: piece.state,
    }
}

/// `left` and `right` as one piece, if they can be.
fn join(left: Piece, right: Piece) -> Option<Piece> {
    if left.end() != right.file || !left.state.continues(u64::from(left.len), right.state) {
        return None;
    }
    let len = left.len.checked_add(right.len)?;
    Some(Piece { len, ..left })
}

/// What is left of `piece` before and behind `part` of it.
fn around(piece: Piece, part: Piece) -> (Option<Piece>, Option<Piece>) {
    (
        piece.clip(FileRange::between(piece.file, part.file)),
        piece.clip(FileRange::between(part.end(), piece.end())),
    )
}

/// Whether a range can be a piece: not empty and not beyond the last file block.
pub(super) fn check(file: FileBlock, len: u32) -> Result {
    if len == 0 || file.0.checked_add(u64::from(len)).is_none() {
        return Err(Error::Invalid);
    }
    Ok(())
}
