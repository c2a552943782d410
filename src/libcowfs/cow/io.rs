// SPDX-License-Identifier: GPL-2.0

//! Around the I/O: marking what it writes, moving what it wrote, giving back the rest.

use super::super::error::{Error, Result};
use super::super::units::FsBlock;
use super::pieces::Piece;
use super::range::{FileRange, Staged};
use super::rule::Rule;
use super::state::{Left, State};
use super::CowFork;

impl<R: Rule> CowFork<R> {
    /// Marks the blocks that an I/O is about to write: the first part of `range` that lies in one
    /// piece, which is returned. For each block marked the I/O has to say later how it ended:
    /// [`CowFork::take`] or [`CowFork::fail`].
    ///
    /// # Errors
    ///
    /// `NotFound` if the first block of `range` has no block staged; `NoMemory`; `TooBig` if more
    /// I/Os than can be counted write it. Nothing is changed then.
    pub fn mark(&mut self, range: FileRange) -> Result<Staged> {
        let piece = self.pieces.containing(range.start).ok_or(Error::NotFound)?;
        let part = piece.clip(range).ok_or(Error::Invalid)?;
        let real = match part.state {
            State::Delalloc => return Err(Error::NotFound),
            State::Unwritten(unwritten) => unwritten.mark(),
            State::Real(real) => real.join().ok_or(Error::TooBig)?,
        };
        let part = Piece {
            state: State::Real(real),
            ..part
        };
        self.pieces.set(piece, part)?;
        Ok(staged(part, real.take()))
    }

    /// The first run of `range` that [`CowFork::take`] would take.
    pub fn next_real(&self, range: FileRange) -> Option<Staged> {
        let mut rest = range;
        while let Some(piece) = self.pieces.first_in(rest) {
            let part = piece.clip(rest);
            if let Some((part, disk)) = part.and_then(|p| Some((p, R::remap(p.state)?))) {
                return Some(staged(part, disk));
            }
            rest.skip_to(piece.end());
        }
        None
    }

    /// A write of `range` succeeded: removes the first run of it that is real, to be mapped in the
    /// data fork before anybody else looks at either fork, and moves `range` beyond it. `None` if
    /// there is none left: others may have taken blocks that they wrote too.
    ///
    /// # Errors
    ///
    /// `NoMemory`, only if `range` begins and ends strictly inside one piece, as no part of what
    /// [`CowFork::mark`] returned that begins or ends with it does; nothing is changed then.
    pub fn take(&mut self, range: &mut FileRange) -> Result<Option<Staged>> {
        self.remove(range, R::remap)
    }

    /// A write of `range` failed: it writes the real blocks of it no longer. Those which nobody else writes
    /// either are unwritten again, and stay: a page may have been dirtied over them meanwhile, for
    /// which nothing else is reserved.
    ///
    /// # Errors
    ///
    /// `NoMemory`, only if `range` begins and ends strictly inside one piece; part of it may have been
    /// dealt with then.
    pub fn fail(&mut self, range: FileRange) -> Result {
        let mut rest = range;
        while let Some(piece) = self.pieces.first_in(rest) {
            if let Some(part) = piece.clip(rest) {
                if let State::Real(real) = part.state {
                    let state = match real.leave() {
                        Left::Shared(real) => State::Real(real),
                        Left::Last(unwritten) => State::Unwritten(unwritten),
                    };
                    self.pieces.set(piece, Piece { state, ..part })?;
                    self.pieces.merge_around(part.file);
                }
            }
            rest.skip_to(piece.end());
        }
        Ok(())
    }

    /// Removes and returns the first run of `range` that is staged and that nobody wrote, for the
    /// caller to give back, and moves `range` beyond it. `None` if there is none left.
    ///
    /// # Errors
    ///
    /// `NoMemory`, only if `range` begins and ends strictly inside one piece; nothing is changed
    /// then.
    pub fn cancel_unwritten(&mut self, range: &mut FileRange) -> Result<Option<Staged>> {
        self.remove(range, |state| match state {
            State::Unwritten(unwritten) => Some(unwritten.cancel()),
            State::Delalloc | State::Real(_) => None,
        })
    }

    /// Removes the first run of `range` for whose state `choose` names the block, and moves
    /// `range` beyond it.
    fn remove(
        &mut self,
        range: &mut FileRange,
        choose: impl Fn(State) -> Option<FsBlock>,
    ) -> Result<Option<Staged>> {
        while let Some(piece) = self.pieces.first_in(*range) {
            let part = piece.clip(*range);
            let chosen = part.and_then(|part| Some((part, choose(part.state)?)));
            if let Some((part, disk)) = chosen {
                self.pieces.cut(piece, part)?;
                range.skip_to(piece.end());
                return Ok(Some(staged(part, disk)));
            }
            range.skip_to(piece.end());
        }
        Ok(None)
    }
}

fn staged(part: Piece, disk: FsBlock) -> Staged {
    Staged {
        file: part.file,
        disk,
        len: part.len,
    }
}
