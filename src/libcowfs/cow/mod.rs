// SPDX-License-Identifier: GPL-2.0

//! A file's CoW fork: the blocks staged for it that the data fork does not map yet.
//!
//! A write that may not go in place, because the block is shared or there is none, goes through
//! here. `D` is the data fork, `C` the CoW fork; `S` shared, `R` real, `U` unwritten, `D` delalloc.
//!
//! ```text
//!   reserve     C: ------DDDDDDD---------     space is promised
//!   allocate    C: ------UUUUUUUUU-------     blocks are staged, and some more up to the CoW
//!                                             extent size, for whoever writes there next
//!   mark        C: ------UURRUUUUU-------     just before the I/O: exactly what it writes
//!   take        C: ------UU--UUUUU-------     it succeeded: the real blocks of its range move
//!               D: --RRRRRRRRSRRRRRR-----     to D, its unwritten neighbours stay
//!   fail        C: ------UUUUUUUUU-------     it failed: its blocks are as they were before,
//!               D: --RRRRRRSSSRRRRRR-----     D keeps what it has
//! ```
//!
//! *Written* is a state of each block because the range of an I/O says nothing about it: a
//! neighbour's window may have staged blocks inside the range since the I/O began, and moving
//! those to `D` would show whatever the disk held before. Several I/Os may write the same real
//! block. The first that succeeds takes it, the others go on in place; only when all have failed is
//! it unwritten again.
//!
//! Which fork a write goes to is decided block by block, in the same hold of the fork's lock in
//! which it is marked:
//!
//! 1. Where `C` is real, the write joins: the other write's end replaces what `D` maps there.
//! 2. Else, where `D` maps a block that nobody shares, it goes in place, even if something
//!    unwritten is staged there.
//! 3. Else it goes through `C`.
//!
//! By 2, no block becomes real in the range of an I/O that is already under way in place. If one
//! could, that I/O's end would take it before it is written. A block that is not shared becomes
//! shared only by a clone, and a clone waits for I/O to end.
//!
//! There is no I/O in here, no allocation of blocks and no lock; all that is done is to remember
//! which block is in which state. `tools/model` drives this code through every order of events.

mod io;
mod pieces;
mod range;
mod rule;
mod stage;
mod state;

pub use pieces::Piece;
pub use range::{FileRange, Staged};
#[cfg(any(cowfs_remap_all_staged, not(MODULE)))]
pub use rule::AllStaged;
#[cfg(any(not(cowfs_remap_all_staged), not(MODULE)))]
pub use rule::WrittenOnly;
pub use rule::{Rule, Selected};
pub use stage::Gap;
pub use state::{Left, Real, State, Unwritten};

use super::units::FileBlock;
use core::marker::PhantomData;
use pieces::Pieces;

/// The blocks staged for a file. See [the module](self).
#[cfg_attr(not(MODULE), derive(Clone, Debug))]
pub struct CowFork<R: Rule = Selected> {
    pieces: Pieces,
    rule: PhantomData<R>,
}

impl<R: Rule> CowFork<R> {
    /// A fork with nothing in it.
    pub fn new() -> Self {
        CowFork {
            pieces: Pieces::default(),
            rule: PhantomData,
        }
    }

    /// Whether nothing is staged or reserved.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Blocks reserved.
    pub fn delalloc(&self) -> u64 {
        self.pieces.counts().delalloc
    }

    /// Blocks staged that nobody wrote.
    pub fn unwritten(&self) -> u64 {
        self.pieces.counts().unwritten
    }

    /// Blocks staged that are being written.
    pub fn real(&self) -> u64 {
        self.pieces.counts().real
    }

    /// Blocks staged.
    pub fn staged(&self) -> u64 {
        self.unwritten().saturating_add(self.real())
    }

    /// Runs of blocks reserved or staged, with holes between them.
    pub fn runs(&self) -> u64 {
        self.pieces.counts().runs
    }

    /// A number that changes whenever the fork does.
    pub fn sequence(&self) -> u32 {
        self.pieces.sequence()
    }

    /// The state of block `at` (`None`: nothing reserved or staged), and for how many blocks from
    /// there on, at most `max`, it holds; disk addresses ascend with them.
    pub fn lookup(&self, at: FileBlock, max: u64) -> (Option<State>, u64) {
        match self.next(at) {
            Some(piece) if piece.file == at => (Some(piece.state), max.min(u64::from(piece.len))),
            Some(piece) => (None, max.min(piece.file.since(at))),
            None => (None, max),
        }
    }

    /// The piece at `at`, without the part before it, or else the first one beyond.
    pub fn next(&self, at: FileBlock) -> Option<Piece> {
        let rest = FileRange::between(at, FileRange::ALL.end());
        self.pieces.first_in(rest)?.clip(rest)
    }
}

impl<R: Rule> Default for CowFork<R> {
    fn default() -> Self {
        Self::new()
    }
}
