// SPDX-License-Identifier: GPL-2.0

//! The on-disk format: `Documentation/ondisk-format.md` tells it with pictures; these files are
//! its only implementation. All integers are little-endian.
//!
//! ```text
//!   0            1       2 ...                                        ag_start
//!   +------------+-------+---------+-----------------+--------------+------+------+--
//!   | superblock | volume| summary | journal (jbd2)  | sb backup    | AG 0 | AG 1 | ...
//!   +------------+-------+---------+-----------------+--------------+------+------+--
//! ```

pub mod geometry;
pub mod group;
pub mod header;
pub mod inode;
pub mod summary;
pub mod superblock;
pub mod volume;

pub use geometry::Geometry;
pub use header::{verify, Kind};
pub use superblock::Superblock;
