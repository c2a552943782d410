// SPDX-License-Identifier: GPL-2.0

//! Allocation groups: which blocks are free, how often the others are referenced, where inodes
//! are; and the volume's counters.
//!
//! ```text
//!   bitmap, state     one group in memory: what is available, staged, pending
//!   group             one group on disk: header, bitmap, counts, summary byte
//!   hints, search     the choice of a group
//!   reserve           what each group sets aside for its own trees
//!   tree              the group's own trees' blocks
//!   refcount          how often each block is referenced
//!   inodes            inode blocks
//!   volume, orphans   counters of the volume; inodes that have no name any more
//!   credits           how many blocks each step may change
//!   rebuild           all of it made anew, for repair
//! ```
//!
//! # Why whoever was promised a block finds one
//!
//! For one group let `free` be the clear bits of its bitmap on disk, `trees` the blocks of its own
//! trees, `reserve` the constant set aside for these ([`reserve()`]), and in memory `staged`,
//! `pending` and `spares` as [`GroupState`] has them. Blocks free on disk are available unless they are one of the
//! three: `available = free - staged - pending - spares`. What others than the trees may take is
//!
//! ```text
//!   room = available - (reserve - trees - spares) = (free + trees) - reserve - staged - pending
//! ```
//!
//! Only this is ever given to data, inode blocks and the nodes of files' trees, so `room >= 0`
//! always: `available` holds `reserve - trees - spares` blocks at the least. A group's tree that grows takes a spare
//! first, else an available block: both sides of that inequality fall by one. One that shrinks
//! makes a spare: `trees + spares` stays. Hence `trees + spares` is the most that the trees had
//! since the state was loaded, which [`reserve()`] bounds, and as long as it is below the reserve
//! there is an available block: **a group's tree never lacks one**. (Were blocks the trees give up to wait
//! for the commit as others do, splits and merges in one transaction could use up the
//! reserve. They need not: their new contents go through the journal, which keeps the old.)
//!
//! The volume block counts `free + trees` over all groups, which does not change when a group's
//! tree does. The provider of transactions keeps
//!
//! ```text
//!   counter = volume.free - total_reserve - promised - pending
//! ```
//!
//! where `promised` covers what is staged, and `pending` blocks come to the counter after
//! [`GroupState::give_back`], not when freed. Summed over the groups, `room = counter + promised - staged`: whoever holds a
//! promise of n blocks not staged yet has n blocks of room somewhere, and a search finds them, as its
//! last pass asks every group whose summary byte does not say "none", and goes round again
//! if blocks were given back meanwhile. To be exact to the last block, the provider lets the journal
//! commit what is pending before it refuses a promise.

mod alloc;
mod bitmap;
pub mod credits;
mod group;
mod hints;
pub mod inodes;
mod lingering;
pub mod orphans;
pub mod rebuild;
pub mod refcount;
mod reserve;
mod root;
mod search;
mod state;
mod tree;
mod volume;

pub use alloc::{alloc, commit_staged, free, stage, unstage, Purpose};
pub use hints::Hints;
pub use reserve::{inode_block_limit, reserve, room, total_reserve, tree_levels, usable};
pub use state::{GroupState, Remains};
pub use volume::VolumeState;
