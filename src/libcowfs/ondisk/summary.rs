// SPDX-License-Identifier: GPL-2.0

//! Summary blocks: one byte for each allocation group, so that a group with room is found without
//! reading the headers of those without.
//!
//! The byte is 0 for a group that was never used, else 1 + the number of binary digits of the
//! group's count of free blocks (1: full, 2: one free, 3: two or three, ...). It changes only
//! when the count passes a power of two, so allocating seldom touches the summary.

use super::super::units::{AgNumber, FsBlock};
use super::{header, Geometry};

/// The byte of a group that was never used.
pub const UNUSED: u8 = 0;

/// The byte of a used group with `free` free blocks.
pub const fn class(free: u32) -> u8 {
    (1 + (u32::BITS - free.leading_zeros())) as u8
}

/// The fewest free blocks a group with this byte has; `group_len` is what an unused one has.
pub const fn at_least(class: u8, group_len: u32) -> u32 {
    match class {
        UNUSED => group_len.saturating_sub(1),
        1 => 0,
        n if n <= 33 => 1 << (n - 2),
        _ => 0,
    }
}

/// The summary block of group `ag` and the byte offset of its byte in it.
pub fn place(geometry: &Geometry, ag: AgNumber) -> (FsBlock, usize) {
    let per = geometry.groups_per_summary();
    let block = geometry.summary_start.add(u64::from(ag.0 / per));
    (block, header::SIZE + (ag.0 % per) as usize)
}
