// SPDX-License-Identifier: GPL-2.0

//! Summary blocks: one byte for each allocation group, so that a group with room is found without
//! reading the headers of those without.
//!
//! The byte is 0 for a group that was never used, else 1 + the number of binary digits of the
//! group's room (1: none, 2: one block, 3: two or three, ...). It changes only when the room passes
//! a power of two, so allocating seldom touches the summary.
//!
//! A group's room is what of its free blocks may be used for anything but its own trees:
//! [`super::super::space::room`].

use super::super::units::{div, rem, AgNumber, FsBlock};
use super::{header, Geometry};

/// The byte of a group that was never used.
pub const UNUSED: u8 = 0;

/// The byte of a used group with room for `room` blocks.
pub const fn class(room: u32) -> u8 {
    (1 + (u32::BITS - room.leading_zeros())) as u8
}

/// The summary block of group `ag` and the byte offset of its byte in it.
pub fn place(geometry: &Geometry, ag: AgNumber) -> (FsBlock, usize) {
    let per = u64::from(geometry.groups_per_summary());
    let ag = u64::from(ag.0);
    let block = geometry.summary_start.add(div(ag, per));
    (block, header::SIZE + rem(ag, per) as usize)
}
