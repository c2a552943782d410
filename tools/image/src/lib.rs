// SPDX-License-Identifier: GPL-2.0

//! What mkfs, fsck and the other tools share: the device or image file a volume lives on, and the
//! jbd2 journal inside it.
//!
//! ```text
//!   device      a block device or image file: size, exclusive opening, discarding
//!   journal/    the journal as jbd2 writes it: superblock, and replay in memory
//!   signature   what else a device may hold
//!   size        sizes as people write them
//!   volume      a volume in the state after replay
//!   overlay     changes to a volume in memory, by the core's own operations
//!   write_out   how replay and changes get to the device
//! ```
#![forbid(unsafe_code)]

pub mod device;
pub mod journal;
pub mod overlay;
pub mod signature;
pub mod size;
pub mod volume;
mod write_out;
