// SPDX-License-Identifier: GPL-2.0

//! Before the I/O: promising space, finding out what needs blocks, giving it some.

use super::super::error::{Error, Result};
use super::super::units::{rem, FileBlock, FsBlock};
use super::pieces::{self, Piece};
use super::range::{FileRange, Staged};
use super::rule::Rule;
use super::state::{State, Unwritten};
use super::CowFork;

/// Blocks of a write that have no blocks staged, and how many more may be staged with them.
///
/// ```text
///              | p                    p |        p: multiples of the CoW extent size
///     C:  ---UU|UU---DDDDDD---------RR--|
///     write:               ^^^^^^                 need: the part of it without blocks
///                 |     window     |              between the staged neighbours
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The part of the write's range.
    pub need: FileRange,
    /// What may be staged with it; holds all of `need`.
    pub window: FileRange,
    /// The block that would continue, at the window's first block, what is staged before it.
    pub goal: Option<FsBlock>,
}

impl Gap {
    /// Where in the window to put `len` blocks: as many of `need` as they suffice for, then what
    /// follows it, then what precedes it.
    pub fn place(&self, len: u32) -> FileRange {
        let len = u64::from(len).min(self.window.len);
        let last_start = FileBlock(self.window.end().0.saturating_sub(len));
        let start = if len <= self.need.len {
            self.need.start
        } else {
            self.need.start.min(last_start)
        };
        FileRange::new(start, len)
    }
}

impl<R: Rule> CowFork<R> {
    /// Reserves the first hole of `range` and returns it; `None` if there is none left. The caller
    /// has been promised space for it.
    ///
    /// # Errors
    ///
    /// `NoMemory`, `Invalid` for a range beyond the last file block; nothing is changed then.
    pub fn reserve(&mut self, range: FileRange) -> Result<Option<FileRange>> {
        let mut hole = range;
        while let Some(piece) = self.pieces.first_in(hole) {
            if piece.file > hole.start {
                hole = FileRange::between(hole.start, piece.file);
                break;
            }
            hole.skip_to(piece.end());
        }
        if hole.is_empty() {
            return Ok(None);
        }
        let new = Piece {
            file: hole.start,
            len: u32::try_from(hole.len).unwrap_or(u32::MAX),
            state: State::Delalloc,
        };
        pieces::check(new.file, new.len)?;
        self.pieces.add(new)?;
        Ok(Some(new.range()))
    }

    /// The first part of `range` that has no blocks (holes and delalloc), with the window that may
    /// be staged with it: out to the next multiples of `hint` blocks and on to the end of a
    /// delalloc piece that such a boundary would cut, but never over what is staged already nor
    /// out of `within`, in which `range` lies. `None` if all of `range` has blocks.
    pub fn gap(&self, range: FileRange, hint: u32, within: FileRange) -> Option<Gap> {
        let mut need = range;
        while let Some(staged) = self.first_staged(need) {
            if staged.file > need.start {
                need = FileRange::between(need.start, staged.file);
                break;
            }
            need.skip_to(staged.end());
        }
        if need.is_empty() {
            return None;
        }
        let hint = u64::from(hint.max(1));
        let start = self.start_of_window(need.start, hint, within);
        let end = self.end_of_window(need.end(), hint, within);
        let window = FileRange::between(start, end);
        if window.len <= u64::from(u32::MAX) {
            let goal = self.goal(start, hint);
            return Some(Gap { need, window, goal });
        }
        // Blocks are staged by 32-bit counts: what is needed comes first.
        need.len = need.len.min(u64::from(u32::MAX));
        Some(Gap {
            need,
            window: need,
            goal: None,
        })
    }

    /// Where the window around a gap that begins at `from` begins.
    fn start_of_window(&self, from: FileBlock, hint: u64, within: FileRange) -> FileBlock {
        let limit = FileBlock(from.0 - rem(from.0, hint))
            .max(within.start)
            .min(from);
        let mut at = from;
        while let Some(left) = self.before(at) {
            if left.state != State::Delalloc {
                return limit.max(left.end());
            }
            if left.file <= limit {
                let cut = left.end() > limit;
                let start = if cut {
                    left.file.max(within.start)
                } else {
                    limit
                };
                return start.min(from);
            }
            at = left.file;
        }
        limit
    }

    /// The block that would continue at `start` what is staged less than `hint` blocks before.
    fn goal(&self, start: FileBlock, hint: u64) -> Option<FsBlock> {
        let left = self.before(start)?;
        let near = start.since(left.end()) < hint;
        Some(
            left.state
                .disk()
                .filter(|_| near)?
                .add(start.since(left.file)),
        )
    }

    /// The last piece that begins before `at`.
    fn before(&self, at: FileBlock) -> Option<Piece> {
        self.pieces.at_or_before(FileBlock(at.0.checked_sub(1)?))
    }

    /// Where the window around a gap that ends before `from` ends.
    fn end_of_window(&self, from: FileBlock, hint: u64, within: FileRange) -> FileBlock {
        let aligned = from.0.checked_next_multiple_of(hint).unwrap_or(u64::MAX);
        let limit = FileBlock(aligned).min(within.end()).max(from);
        if let Some(staged) = self.first_staged(FileRange::between(from, limit)) {
            return staged.file.max(from);
        }
        match self.before(limit) {
            Some(piece) if piece.state == State::Delalloc && piece.end() > limit => {
                piece.end().min(within.end()).max(limit)
            }
            _ => limit,
        }
    }

    /// The first piece with staged blocks in `range`.
    fn first_staged(&self, range: FileRange) -> Option<Piece> {
        let mut rest = range;
        while let Some(piece) = self.pieces.first_in(rest) {
            if piece.state.disk().is_some() {
                return Some(piece);
            }
            rest.skip_to(piece.end());
        }
        None
    }

    /// Stages blocks for a range in which nothing is staged yet. Returns how many of them were
    /// delalloc: what was promised for those is used now.
    ///
    /// # Errors
    ///
    /// `Exists` if something is staged in the range, `NoMemory`, `Invalid`; nothing is changed
    /// then and the caller gives the blocks back.
    pub fn allocate(&mut self, new: Staged) -> Result<u64> {
        pieces::check(new.file, new.len)?;
        if self.first_staged(new.range()).is_some() {
            return Err(Error::Exists);
        }
        self.pieces.overwrite_delalloc(Piece {
            file: new.file,
            len: new.len,
            state: State::Unwritten(Unwritten::new(new.disk)),
        })
    }

    /// Turns the delalloc of `range` into holes. Returns how many blocks that were, whose promise
    /// the caller takes back.
    ///
    /// # Errors
    ///
    /// `NoMemory`, only if `range` lies strictly inside one piece; nothing is changed then.
    pub fn cancel_delalloc(&mut self, range: FileRange) -> Result<u64> {
        let mut rest = range;
        let mut cancelled = 0u64;
        while let Some(piece) = self.pieces.first_in(rest) {
            if let (State::Delalloc, Some(part)) = (piece.state, piece.clip(rest)) {
                self.pieces.cut(piece, part)?;
                cancelled = cancelled.saturating_add(u64::from(part.len));
            }
            rest.skip_to(piece.end());
        }
        Ok(cancelled)
    }
}
