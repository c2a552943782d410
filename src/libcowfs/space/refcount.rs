// SPDX-License-Identifier: GPL-2.0

//! How often each block is referenced.
//!
//! A block's count is the number of pointers to it: from extents, and from the parents of a node.
//! Nearly all blocks have one reference and no record; the group's tree has a record for each run of
//! blocks with the same count of two or more. Runs that follow one another in a leaf and
//! have the same count are one record, and no record reaches beyond its leaf's range of keys.
//!
//! Changing the counts of `[a, b)` exchanges the record that covers them for up to three, or joins
//! them to a neighbour, in one splice:
//!
//! ```text
//!     count 3      | 3 3 3 3 3 3 3 3 |           | 3 3 3 | 4 4 4 | 4 4 |
//!     share        |     [a     b)   |                   [a     b)
//!     becomes      | 3 3 | 4 4 4 | 3 |           | 3 3 3 | 5 5 5 | 4 4 |
//! ```

use super::super::block::Block;
use super::super::btree::{Array, Cursor, Fixed, Record, Tree};
use super::super::error::{Error, Result};
use super::super::ondisk::Kind;
use super::super::store::{Reader, Transaction};
use super::super::units::{AgBlock, FsBlock};
use super::alloc::group_of;
use super::group;
use super::state::GroupState;
use super::tree::GroupTrees;

/// A group's reference count tree.
pub struct Counts;

impl Tree for Counts {
    const KIND: Kind = Kind::Refcount;
    type Leaf = Array<Counted>;
}

/// A run of blocks of one group that are referenced equally often, twice or more: its record in
/// the tree is u64 first block, u32 length, u32 count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// First block of the run.
    pub first: AgBlock,
    /// Number of blocks.
    pub len: u32,
    /// References to each of them.
    pub count: u32,
}

impl Counted {
    fn end(&self) -> u32 {
        self.first.0.saturating_add(self.len)
    }
}

impl Record for Counted {
    fn key(&self) -> u64 {
        u64::from(self.first.0)
    }

    fn size(&self) -> usize {
        Self::SIZE
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.key());
        buf.set_u32(at + 8, self.len);
        buf.set_u32(at + 12, self.count);
    }
}

impl Fixed for Counted {
    const SIZE: usize = 16;

    fn load<B: Block>(buf: &B, at: usize) -> Self {
        Self {
            first: AgBlock(u32::try_from(buf.u64(at)).unwrap_or(u32::MAX)),
            len: buf.u32(at + 8),
            count: buf.u32(at + 12),
        }
    }
}

/// What [`release`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// Number of blocks that lost a reference.
    pub done: u32,
    /// Whether it was their last: then they are free, and if they are metadata the caller has the
    /// transaction forget them.
    pub freed: bool,
}

/// Which references count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Those there are.
    Now,
    /// Also those that a crash may bring back: what matters to who writes in place.
    AfterCrash,
}

/// A run of blocks with one count, and where its record is.
struct Run {
    /// Its blocks are `[first, end)`.
    first: u32,
    end: u32,
    count: u32,
    /// The record that covers it, if its count is not 1.
    record: Option<Counted>,
}

/// Sends the cursor, which nobody else changed the tree behind, to block `first` and tells how many
/// of the blocks `[first, first + len)` have the same count.
fn find<R: Reader>(
    reader: &R,
    state: &GroupState,
    cursor: &mut Cursor<Counts, R::Buf>,
    first: AgBlock,
    len: u32,
) -> Result<Run> {
    cursor.seek_on(reader, state.refcounts, u64::from(first.0))?;
    let mut end = first.0.saturating_add(len);
    if let Some(to) = cursor.bounds().1 {
        end = end.min(u32::try_from(to).unwrap_or(u32::MAX));
    }
    let next = cursor.record(cursor.index()).map(|next| next.first.0);
    // In the next leaf, there may be one right behind this one's range.
    let limit = next.map(u64::from).or(cursor.bounds().1);
    let before = cursor.get();
    if before.is_some_and(|it| it.len == 0 || limit.is_some_and(|to| u64::from(it.end()) > to)) {
        return Err(bad(state, "overlapping reference count records"));
    }
    let covering = before.filter(|record| record.end() > first.0);
    if let Some(record) = covering {
        if record.count < 2 {
            return Err(bad(state, "reference count below two in the tree"));
        }
        end = end.min(record.end());
    } else if let Some(next) = next {
        end = end.min(next);
    }
    if end <= first.0 {
        return Err(bad(state, "overlapping reference count records"));
    }
    Ok(Run {
        first: first.0,
        end,
        count: covering.map_or(1, |record| record.count),
        record: covering,
    })
}

fn bad(state: &GroupState, what: &'static str) -> Error {
    Error::Corrupt(state.refcounts.block, what)
}

/// Gives the blocks of `run`, at which the cursor is, the count `new`.
fn set<T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    cursor: &mut Cursor<Counts, T::Buf>,
    run: &Run,
    new: u32,
) -> Result {
    let mut add = [Counted {
        first: AgBlock(0),
        len: 0,
        count: 0,
    }; 3];
    let mut used = 0;
    let mut push = |first: u32, end: u32, count: u32| {
        if let (true, Some(to)) = (end > first && count > 1, add.get_mut(used)) {
            *to = Counted {
                first: AgBlock(first),
                len: end - first,
                count,
            };
            used += 1;
        }
    };
    // Records `[from, to)` of the leaf go, those that are joined to the run among them.
    let to = cursor.index();
    let from = to - usize::from(run.record.is_some() && to > 0);
    let (mut first, mut end) = (run.first, run.end);
    let (mut joined_before, mut joined_after) = (0, 0);
    let same = |record: &Counted| record.count == new;
    let starts_before = run.record.filter(|record| record.first.0 < run.first);
    let ends_after = run.record.filter(|record| record.end() > run.end);
    match starts_before {
        Some(record) => push(record.first.0, run.first, record.count),
        None => {
            let before = from.checked_sub(1).and_then(|index| cursor.record(index));
            if let Some(record) = before.filter(|record| record.end() == first).filter(same) {
                first = record.first.0;
                joined_before = 1;
            }
        }
    }
    if ends_after.is_none() {
        let after = cursor.record(to).filter(|record| record.first.0 == end);
        if let Some(record) = after.filter(same) {
            end = record.end();
            joined_after = 1;
        }
    }
    push(first, end, new);
    if let Some(record) = ends_after {
        push(run.end, record.end(), record.count);
    }
    if new == 1 {
        let (len, count) = (state.blocks(), run.end - run.first);
        state.lingering.add(tx.id(), len, run.first, count);
    }
    let (from, to) = (from - joined_before, to + joined_after);
    let mut root = state.refcounts;
    let add = add.get(..used).unwrap_or_default();
    cursor.splice(tx, &mut GroupTrees(state), &mut root, from, to - from, add)?;
    if root != state.refcounts {
        state.refcounts = root;
        group::store_roots(tx, state)?;
    }
    Ok(())
}

/// The number of references to block `at`, which must be in use, and how many of the blocks
/// `[at, at + len)` have as many. [`When::AfterCrash`] counts a reference that may come back as one.
///
/// # Errors
///
/// `Corrupt` if the blocks are not in one group, or the group's tree is broken.
pub fn lookup<R: Reader>(reader: &R, at: FsBlock, len: u32, when: When) -> Result<(u32, u32)> {
    let (ag, first) = group_of(reader, at, len)?;
    reader.in_group(ag, |reader, state| {
        let (count, len) = if state.refcounts.is_empty() {
            (1, len)
        } else {
            let mut cursor = Cursor::new();
            let run = find(reader, state, &mut cursor, first, len)?;
            (run.count, run.end - run.first)
        };
        if count > 1 || when == When::Now {
            return Ok((count, len));
        }
        let (lingers, len) = state.lingering.lookup(reader, first.0, len);
        Ok((if lingers { 2 } else { 1 }, len))
    })
}

/// Adds a reference to each block of a prefix of `[at, at + len)`, as far as they have the same
/// count. Returns the prefix's length. Changes at most [`credits::share`](super::credits::share)
/// blocks.
///
/// # Errors
///
/// `TooBig` if the count cannot grow; nothing is changed then. `Corrupt` if a block is not in use.
pub fn share<T: Transaction>(tx: &mut T, at: FsBlock, len: u32) -> Result<u32> {
    let (ag, first) = group_of(tx, at, len)?;
    tx.with_group(ag, |tx, state| {
        share_prefix(tx, state, &mut Cursor::new(), first, len)
    })
}

/// Adds a reference to each block of all `runs`. Those of one group that lie near each other and
/// come one after another take less time so than one by one.
///
/// # Errors
///
/// `Corrupt` if a block is not in use or has too many references: the transaction is lost.
pub fn share_all<T: Transaction>(tx: &mut T, runs: impl Iterator<Item = (FsBlock, u32)>) -> Result {
    let mut runs = runs.peekable();
    while let Some(run) = runs.next() {
        let (ag, _) = group_of(tx, run.0, run.1)?;
        tx.with_group(ag, |tx, state| {
            let mut cursor = Cursor::new();
            let mut next = Some(run);
            while let Some((at, len)) = next {
                let (_, first) = group_of(tx, at, len)?;
                let mut done = 0;
                while done < len {
                    let from = AgBlock(first.0 + done);
                    done += share_prefix(tx, state, &mut cursor, from, len - done).map_err(
                        |error| match error {
                            Error::TooBig => Error::Corrupt(at, "block with too many references"),
                            error => error,
                        },
                    )?;
                }
                next = runs.next_if(|&(at, _)| tx.geometry().is_in(at, ag));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// [`share`] in the group `state` tells of.
fn share_prefix<T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    cursor: &mut Cursor<Counts, T::Buf>,
    first: AgBlock,
    len: u32,
) -> Result<u32> {
    let run = find(tx, state, cursor, first, len)?;
    let done = run.end - run.first;
    if run.count == 1 && !group::in_use(tx, state, first, done)? {
        let at = state.start.add(u64::from(first.0));
        return Err(Error::Corrupt(at, "free block to be shared"));
    }
    let new = run.count.checked_add(1).ok_or(Error::TooBig)?;
    set(tx, state, cursor, &run, new)?;
    Ok(done)
}

/// Marks the blocks of all `runs`, each of which has one reference or more, as if another had just been given up.
///
/// # Errors
///
/// `Corrupt` if the blocks of a run are not in one group.
pub fn linger<T: Transaction>(tx: &mut T, runs: impl Iterator<Item = (FsBlock, u32)>) -> Result {
    for (at, count) in runs {
        let (ag, first) = group_of(tx, at, count)?;
        tx.with_group(ag, |tx, state| {
            let len = state.blocks();
            state.lingering.add(tx.id(), len, first.0, count);
            Ok(())
        })?;
    }
    Ok(())
}

/// Takes a reference from each block of a prefix of `[at, at + len)`, as far as they have the same
/// count; those that had only one become free. Changes at most
/// [`credits::release`](super::credits::release) blocks.
///
/// # Errors
///
/// `Corrupt` if a block is not in use.
pub fn release<T: Transaction>(tx: &mut T, at: FsBlock, len: u32) -> Result<Released> {
    let (ag, first) = group_of(tx, at, len)?;
    tx.with_group(ag, |tx, state| {
        let mut cursor = Cursor::new();
        let run = find(tx, state, &mut cursor, first, len)?;
        let done = run.end - run.first;
        let freed = run.count == 1;
        if freed {
            group::free(tx, state, at, done)?;
        } else {
            set(tx, state, &mut cursor, &run, run.count - 1)?;
        }
        Ok(Released { done, freed })
    })
}

/// Takes a reference from block `at` unless it is the last; returns whether it did. Changes at
/// most [`credits::release`](super::credits::release) blocks.
///
/// # Errors
///
/// `Corrupt` if the group's tree is broken.
pub fn release_shared<T: Transaction>(tx: &mut T, at: FsBlock) -> Result<bool> {
    let (ag, first) = group_of(tx, at, 1)?;
    tx.with_group(ag, |tx, state| {
        let mut cursor = Cursor::new();
        let run = find(tx, state, &mut cursor, first, 1)?;
        if run.count > 1 {
            set(tx, state, &mut cursor, &run, run.count - 1)?;
        }
        Ok(run.count > 1)
    })
}
