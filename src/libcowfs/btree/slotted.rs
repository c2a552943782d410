// SPDX-License-Identifier: GPL-2.0

//! Leaves whose records differ in size: directory entries.
//!
//! ```text
//!   0                64                                            start                  size
//!   +----------------+------+------+------+-- - - - - - - - - - - -+-------+-------+------+
//!   | header         | slot | slot | slot |  ->     free      <-   | rec 2 | rec 0 | rec 1|
//!   | [52] u32 start |  0   |  1   |  2   |                        |       |       |      |
//!   +----------------+------+------+------+-- - - - - - - - - - - -+-------+-------+------+
//! ```
//!
//! A slot is the 16-bit byte offset of its record; slots are in the order of the keys, records in any
//! order. The heap of records never has holes: removing one moves those before it up.

use super::super::block::Block;
use super::super::ondisk::geometry::MAX_BLOCK_SIZE;
use super::super::ondisk::header;
use super::node;
use super::{Layout, Record};
use core::marker::PhantomData;

/// Byte offset, in the node header, of the start of the heap; 0 in a new node stands for the block's
/// end.
pub const START: usize = 52;

/// Size of a slot in bytes.
const SLOT: usize = 2;

/// Size of a record's fixed part, which ends with the length of the variable one.
pub const FIXED: usize = 18;

/// Byte offset, in a record, of the length of its variable part (the name).
pub const LENGTH: usize = 17;

/// What is stored in a slotted leaf: `key u64, 9 bytes of anything, length u8, length bytes`.
pub trait Format {
    /// A record to be stored.
    type Record<'a>: Record;
}

/// The slotted layout.
pub struct Slotted<F>(PhantomData<F>);

/// Size of the record stored at byte `at`.
#[inline]
fn size_at<B: Block>(buf: &B, at: usize) -> usize {
    FIXED + usize::from(buf.u8(at + LENGTH))
}

/// Byte offset of the heap.
#[inline]
fn start<B: Block>(buf: &B) -> usize {
    match buf.u32(START) as usize {
        0 => buf.size(),
        start => start,
    }
}

fn set_start<B: Block>(buf: &B, start: usize) {
    buf.set_u32(START, start as u32);
}

#[inline]
fn slot<B: Block>(buf: &B, index: usize) -> usize {
    usize::from(buf.u16(header::SIZE + index * SLOT))
}

fn set_slot<B: Block>(buf: &B, index: usize, at: usize) {
    buf.set_u16(header::SIZE + index * SLOT, at as u16);
}

/// Bytes of a node of `size` bytes that slots and records share.
const fn capacity(size: usize) -> usize {
    size - header::SIZE
}

/// Bytes that slots and records take.
fn used<B: Block>(buf: &B) -> usize {
    node::count(buf) * SLOT + buf.size().saturating_sub(start(buf))
}

/// Takes the record of slot `index` out of the heap, but leaves the slot.
fn drop_record<B: Block>(buf: &B, index: usize) {
    let (from, at) = (start(buf), slot(buf, index));
    let size = size_at(buf, at);
    buf.copy_within(from, from + size, at.saturating_sub(from));
    for other in 0..node::count(buf) {
        let place = slot(buf, other);
        if place < at {
            set_slot(buf, other, place + size);
        }
    }
    set_start(buf, from + size);
}

/// Removes the slots `[at, at + remove)`.
fn drop_slots<B: Block>(buf: &B, at: usize, remove: usize) {
    let count = node::count(buf);
    let tail = count.saturating_sub(at + remove);
    let to = header::SIZE + at * SLOT;
    buf.copy_within(to + remove * SLOT, to, tail * SLOT);
    node::set_count(buf, at + tail);
}

/// Appends the record at byte `at` of `from`.
fn append<B: Block>(buf: &B, from: &B, at: usize) {
    let (count, size) = (node::count(buf), size_at(from, at));
    let to = start(buf).saturating_sub(size);
    buf.copy_from(from, at, to, size);
    set_start(buf, to);
    set_slot(buf, count, to);
    node::set_count(buf, count + 1);
}

impl<F: Format> Layout for Slotted<F> {
    type Record<'a> = F::Record<'a>;

    #[inline]
    fn place<B: Block>(buf: &B, index: usize) -> usize {
        slot(buf, index)
    }

    fn storable<B: Block>(buf: &B, add: &[F::Record<'_>]) -> bool {
        // Then both parts of any split have room for it.
        let most = capacity(buf.size()) / 3;
        let size: usize = add.iter().map(|record| record.size() + SLOT).sum();
        size <= most
    }

    fn fits<B: Block>(buf: &B, at: usize, remove: usize, add: &[F::Record<'_>]) -> bool {
        let gone: usize = (at..at + remove)
            .map(|index| size_at(buf, slot(buf, index)) + SLOT)
            .sum();
        let come: usize = add.iter().map(|record| record.size() + SLOT).sum();
        used(buf).saturating_sub(gone) + come <= capacity(buf.size())
    }

    fn splice<B: Block>(buf: &B, at: usize, remove: usize, add: &[F::Record<'_>]) {
        for index in at..at + remove {
            drop_record(buf, index);
        }
        if remove > 0 {
            drop_slots(buf, at, remove);
        }
        let count = node::count(buf);
        let from = header::SIZE + at * SLOT;
        buf.copy_within(
            from,
            from + add.len() * SLOT,
            count.saturating_sub(at) * SLOT,
        );
        for (index, record) in add.iter().enumerate() {
            let to = start(buf).saturating_sub(record.size());
            record.store(buf, to);
            set_start(buf, to);
            set_slot(buf, at + index, to);
        }
        node::set_count(buf, count + add.len());
    }

    fn middle<B: Block>(buf: &B, at: usize, remove: usize) -> usize {
        let (count, half) = (node::count(buf), used(buf) / 2);
        // Nearest to the middle, so that either part has room for one more record of any size.
        let mut sum = 0;
        let half = (0..count)
            .find(|&index| {
                let size = size_at(buf, slot(buf, index)) + SLOT;
                let found = sum + size / 2 >= half;
                sum += size;
                found
            })
            .unwrap_or(count)
            .max(1);
        if half <= at || half >= at + remove {
            half
        } else if at > 0 {
            at
        } else {
            at + remove
        }
    }

    fn split<B: Block>(buf: &B, to: &B, at: usize) {
        let count = node::count(buf);
        for index in at..count {
            append(to, buf, slot(buf, index));
        }
        for index in at..count {
            drop_record(buf, index);
        }
        node::set_count(buf, at);
    }

    fn sparse<B: Block>(buf: &B) -> bool {
        used(buf) < capacity(buf.size()) / 2
    }

    fn mergeable<B: Block>(left: &B, right: &B) -> bool {
        let capacity = capacity(left.size());
        used(left) + used(right) <= capacity - capacity / 8
    }

    fn merge<B: Block>(left: &B, right: &B) {
        for index in 0..node::count(right) {
            append(left, right, slot(right, index));
        }
    }

    fn verify<B: Block>(buf: &B) -> core::result::Result<(), &'static str> {
        verify_slots(buf)
    }
}

/// Cells of a block that a record can begin in. As records are longer than a cell, no two begin in
/// the same one.
const CELL: usize = 16;
const _: () = assert!(CELL < FIXED);

/// [`Layout::verify`], whatever the records mean.
///
/// The heap is walked from its start, each record telling where the next one begins; then every
/// slot must be for another of them.
pub(super) fn verify_slots<B: Block>(buf: &B) -> core::result::Result<(), &'static str> {
    const OUT_OF_PLACE: &str = "directory leaf with a record out of place";
    let (count, start, size) = (node::count(buf), start(buf), buf.size());
    if start > size || start < header::SIZE + count * SLOT {
        return Err("directory leaf with its heap out of place");
    }
    // Where in its cell a record begins, plus one.
    let mut begins = [0u8; MAX_BLOCK_SIZE as usize / CELL];
    let mut at = start;
    for _ in 0..count {
        if at + FIXED > size {
            return Err(OUT_OF_PLACE);
        }
        if let Some(cell) = begins.get_mut(at / CELL) {
            *cell = (at % CELL) as u8 + 1;
        }
        at += size_at(buf, at);
    }
    if at != size {
        return Err(OUT_OF_PLACE);
    }
    let mut last = None;
    for index in 0..count {
        let at = slot(buf, index);
        match begins.get_mut(at / CELL) {
            Some(cell) if usize::from(*cell) == at % CELL + 1 => *cell = 0,
            _ => return Err(OUT_OF_PLACE),
        }
        let key = buf.u64(at);
        if last.is_some_and(|last| key <= last) {
            return Err("directory leaf with keys out of order");
        }
        last = Some(key);
    }
    Ok(())
}
