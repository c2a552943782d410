// SPDX-License-Identifier: GPL-2.0

//! The keys of entries, which are also the positions that `readdir` hands out.
//!
//! ```text
//!   63 62                                                   8 7             0
//!   +--+-----------------------------------------------------+---------------+
//!   | 0| hash of the name                                    | sequence      |
//!   +--+-----------------------------------------------------+---------------+
//! ```
//!
//! Names with the same hash take the first free sequence number. An entry keeps its key for as
//! long as it lives, whatever comes and goes beside it, so a reader that stops at a position and
//! comes back to it later misses nothing and sees nothing twice.

use super::super::ondisk::Geometry;
use super::siphash::siphash;

/// Names with the same hash that a directory holds at most.
pub const COLLISIONS: u64 = 1 << 8;

/// Positions below this one are for `.` and `..`.
pub(super) const FIRST: u64 = COLLISIONS;

/// The position beyond the last entry.
pub const END: u64 = i64::MAX as u64;

/// The key of the first of the names that have the same hash as `name`; the others follow it. The
/// names with the lowest hash and those with the next one share their keys, as do those with the
/// two highest ones: 0 and [`END`] are needed.
pub fn home(geometry: &Geometry, name: &[u8]) -> u64 {
    let hash = siphash(&geometry.hash_seed, name) >> 1;
    let hash = hash & !(COLLISIONS - 1);
    hash.clamp(FIRST, (END & !(COLLISIONS - 1)) - COLLISIONS)
}
