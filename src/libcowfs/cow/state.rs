// SPDX-License-Identifier: GPL-2.0

//! What a block of the CoW fork can be, and what it can become.
//!
//! Each state is a type of its own and each transition consumes the state it leaves, so a
//! transition that is not drawn here cannot be written:
//!
//! ```text
//!   hole ---> Delalloc ---allocate---> Unwritten ---mark---> Real <--+
//!     |           |                        ^  |               | |    | join: another I/O
//!     |           +---cancel--> hole       |  +-cancel-->     | +----+
//!     +------------allocate----------------+   give back      |
//!                                          ^                  +--take--> mapped in D
//!                                          +-------leave------+ last one
//! ```

use super::super::units::FsBlock;
use core::num::NonZeroU32;

/// The state of a block that has a place in the CoW fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Space is promised, no block is chosen.
    Delalloc,
    /// A block is staged that nobody has written: it holds whatever the disk held.
    Unwritten(Unwritten),
    /// A block is staged that an I/O writes or has written.
    Real(Real),
}

/// A staged block that nobody has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unwritten {
    disk: FsBlock,
}

/// A staged block that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Real {
    disk: FsBlock,
    writers: NonZeroU32,
}

/// What is left of a real block when one of its writers failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Others still write it.
    Shared(Real),
    /// It was the last: nobody has written the block.
    Last(Unwritten),
}

impl Unwritten {
    /// A block just staged.
    pub const fn new(disk: FsBlock) -> Self {
        Unwritten { disk }
    }

    /// An I/O is about to write the block.
    pub const fn mark(self) -> Real {
        Real {
            disk: self.disk,
            writers: NonZeroU32::MIN,
        }
    }

    /// The block, which nobody wants any more.
    pub const fn cancel(self) -> FsBlock {
        self.disk
    }
}

impl Real {
    /// One more I/O is about to write the block. `None` if there are too many to count.
    pub fn join(self) -> Option<Real> {
        Some(Real {
            writers: self.writers.checked_add(1)?,
            ..self
        })
    }

    /// One of the I/Os failed.
    pub fn leave(self) -> Left {
        match NonZeroU32::new(self.writers.get() - 1) {
            Some(writers) => Left::Shared(Real { writers, ..self }),
            None => Left::Last(Unwritten::new(self.disk)),
        }
    }

    /// The block, which an I/O has written, to be mapped in the data fork. If others are still
    /// writing it they go on in place.
    pub const fn take(self) -> FsBlock {
        self.disk
    }

    /// How many I/Os write it.
    pub const fn writers(self) -> u32 {
        self.writers.get()
    }
}

impl State {
    /// The staged block, if there is one.
    pub const fn disk(&self) -> Option<FsBlock> {
        match self {
            State::Delalloc => None,
            State::Unwritten(Unwritten { disk }) | State::Real(Real { disk, .. }) => Some(*disk),
        }
    }

    /// Whether an I/O writes the block.
    pub const fn is_real(&self) -> bool {
        matches!(self, State::Real(_))
    }

    /// The state of the block `by` blocks further on in the same piece.
    pub(super) const fn advanced(self, by: u64) -> State {
        match self {
            State::Delalloc => State::Delalloc,
            State::Unwritten(Unwritten { disk }) => {
                State::Unwritten(Unwritten { disk: disk.add(by) })
            }
            State::Real(Real { disk, writers }) => State::Real(Real {
                disk: disk.add(by),
                writers,
            }),
        }
    }

    /// Whether a block of this state followed after `by` blocks by one of state `next` are one
    /// piece.
    ///
    /// Real blocks are left as they were marked, so that taking what an I/O marked never has to
    /// cut a piece in two, which could fail for memory.
    pub(super) fn continues(self, by: u64, next: State) -> bool {
        !self.is_real() && self.advanced(by) == next
    }
}
