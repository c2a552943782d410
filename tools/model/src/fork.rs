// SPDX-License-Identifier: GPL-2.0

//! The real CoW fork, as part of a state that can be compared.

use cowfs_core::cow::{CowFork, Piece, Rule};
use cowfs_core::units::FileBlock;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

/// A CoW fork that is the same as another if it has the same pieces.
#[derive(Clone)]
pub struct Fork<R: Rule>(CowFork<R>);

impl<R: Rule> Fork<R> {
    /// A fork with nothing in it.
    pub fn new() -> Self {
        Fork(CowFork::new())
    }

    /// All pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let mut at = FileBlock(0);
        std::iter::from_fn(move || {
            let piece = self.0.next(at)?;
            at = piece.end();
            Some(piece)
        })
    }
}

impl<R: Rule> Default for Fork<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Rule> Deref for Fork<R> {
    type Target = CowFork<R>;

    fn deref(&self) -> &CowFork<R> {
        &self.0
    }
}

impl<R: Rule> DerefMut for Fork<R> {
    fn deref_mut(&mut self) -> &mut CowFork<R> {
        &mut self.0
    }
}

impl<R: Rule> PartialEq for Fork<R> {
    fn eq(&self, other: &Self) -> bool {
        self.pieces().eq(other.pieces())
    }
}

impl<R: Rule> Eq for Fork<R> {}

impl<R: Rule> Hash for Fork<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for piece in self.pieces() {
            piece.hash(state);
        }
    }
}

impl<R: Rule> fmt::Debug for Fork<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pieces()).finish()
    }
}
