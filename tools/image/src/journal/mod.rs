// SPDX-License-Identifier: GPL-2.0

//! The journal of a volume, as jbd2 in the kernel writes it (`include/linux/jbd2.h`).
//!
//! A journal is an area of blocks. Its first block holds the superblock; the rest is a ring of log
//! blocks, of which those from `start` on matter, wrapping from the area's end to `first`:
//!
//! ```text
//!   0      first          start
//!   +------+------+-------+------------+------+------+--------+--------+------+------------+---
//!   |  sb  | ...  |  ...  | descriptor | data | data | revoke | commit | desc | data | ...
//!   +------+------+-------+------------+------+------+--------+--------+------+------------+---
//!                         |<------------- transaction n ------------->|<---- n + 1 ...
//! ```
//!
//! A descriptor block has a tag for each data block behind it: the address the block belongs at.
//! A revoke block names addresses that this transaction freed, so that copies in older
//! transactions must not be written. A transaction without its commit block never happened.
//! All integers are big-endian.

pub mod bytes;
pub mod replay;
pub mod superblock;
#[cfg(any(test, feature = "testing"))]
pub mod testlog;
pub mod write;

#[cfg(test)]
mod tests;

pub use replay::{Log, Replay};
pub use superblock::JournalSuperblock;

use thiserror::Error;

/// Magic of every journal block but the data blocks.
pub const MAGIC: u32 = 0xc03b_3998;
/// Block type: tags of the data blocks that follow.
pub const DESCRIPTOR: u32 = 1;
/// Block type: end of a transaction.
pub const COMMIT: u32 = 2;
/// Block type: addresses whose older copies must not be replayed.
pub const REVOKE: u32 = 5;
/// Fewest blocks jbd2 accepts as a journal.
pub const MIN_BLOCKS: u32 = 1024;
/// Tag flag: the data block began with [`MAGIC`], which was replaced by zero in the log.
pub const TAG_ESCAPED: u32 = 1;
/// Tag flag: no UUID follows this tag, it is the one of the tag before.
pub const TAG_SAME_UUID: u32 = 2;
/// Tag flag: the last tag of its descriptor block.
pub const TAG_LAST: u32 = 8;

/// Why a journal cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum JournalError {
    /// The first block is no journal superblock that jbd2 would take.
    #[error("journal superblock: {0}")]
    Superblock(&'static str),
    /// There is none: a repair that does not fit into the journal was interrupted.
    #[error("journal superblock: a repair was interrupted")]
    Repair,
    /// The journal needs something this code cannot do.
    #[error("journal superblock: unsupported feature bits {0:#x}")]
    Unsupported(u32),
    /// A block of the log is damaged, though its transaction was committed.
    #[error("journal block {0}: {1}")]
    Damaged(u32, &'static str),
    /// A committed transaction changes a block that no volume has.
    #[error("journal block {0}: changes block {1}, which is outside the volume or in the journal")]
    Outside(u32, u64),
    /// The device could not be read.
    #[error("journal block {0}: cannot be read: {1}")]
    Io(u32, String),
}
