// SPDX-License-Identifier: GPL-2.0

//! The read-only check of a volume: every invariant of the on-disk format, none repaired.
//!
//! The check rebuilds from the inodes alone what the allocation structures must say, and compares:
//!
//! ```text
//!   1 groups      superblock copies, summary, group headers, the groups' own trees;
//!                 the reference counts on disk are kept in memory
//!   2 inodes      every inode block of every group: each inode's fields, extents, link target;
//!                 blocks are claimed, a second reference to one is counted
//!   3 directories every directory's entries: names, hashes, targets; links are counted
//!   4 links       link counts, parents, what no entry leads to, the orphan list
//!   5 totals      claims against bitmaps, counted references against reference counts,
//!                 sums against counters
//! ```
//!
//! An extent tree's node that several files share is descended once, and counted once for each
//! parent. Memory grows with the number of inodes and extent tree nodes, with the number of runs
//! of blocks that have more than one reference, and with two bits for each block of the groups in
//! use; not with the number of extents or directory entries.
#![forbid(unsafe_code)]

mod bits;
mod check;
mod counts;
mod repair;
mod report;
mod usage;

pub use check::{check, Outcome};
pub use repair::{reclaim, repair, RepairError};
pub use report::{Effect, Findings, Progress, Subject};
