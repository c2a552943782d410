// SPDX-License-Identifier: GPL-2.0

//! How many blocks a step may make part of its transaction.
//!
//! The counts of a run of blocks that follow one another are in records that follow one another, so
//! what changing them touches depends on how many nodes of the reference count tree they are spread
//! over. Each leaf owns a range of at least about half as many blocks as it has room for records
//! (`space/reserve.rs` says why), which bounds that by the run's length; and all runs of one group together
//! touch no more nodes than the group's tree has and grows by, which in turn is less than what is set aside for it.
//!
//! From that follows the most any step may ask for ([`most`]), whatever a volume looks like: that of
//! copying a leaf full of the longest extents, each in counts as fragmented as can be.
//!
//! ```text
//!                     64 MiB    246 MiB      1 GiB    4 GiB and more
//!      4 KiB blocks      333        970      3,484       6,032
//!      1 KiB blocks    3,572      5,058      5,058       5,058
//! ```
//!
//! A transaction may have a third of the journal, so `format` makes that no smaller than three times as much
//! and a little.

use super::super::block::Block;
use super::super::btree::node::{self, Branch};
use super::super::btree::{Array, Cursor, Layout, MAX_HEIGHT};
use super::super::error::Result;
use super::super::ondisk::inode::INLINE_EXTENTS;
use super::super::ondisk::Geometry;
use super::super::space::credits;
use super::super::store::{Reader, Transaction};
use super::super::units::{AgNumber, FsBlock};
use super::adopt::Levels;
use super::edit::{Edit, MAX_OLD};
use super::record::{Extent, Extents, MAX_LEN};

/// What the caller adds to each step: blocks that were staged become used, the inode is stored, the
/// counters are settled.
pub(super) const CALLER: u32 = credits::COMMIT + 1 + credits::SETTLE;

/// More than this is not asked for to copy several nodes of a path at once: they are copied one by
/// one then, in as many transactions as it takes.
pub(super) const AT_ONCE: u32 = 128;

/// Groups whose runs are added up, wherever in a list they are.
const GROUPS: usize = 12;

/// What is done to the counts of a run of blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// They have none and are freed.
    Free,
    /// Each loses a reference.
    Release,
    /// Each gets a reference.
    Share,
    /// Each gets a reference, and loses it again if something fails.
    Try,
}

impl Counting {
    /// For one run that has nodes of its own.
    fn cost(self, geometry: &Geometry, len: u32) -> u32 {
        let run = credits::run(geometry, len);
        match self {
            Counting::Free => credits::COMMIT,
            Counting::Release => run + credits::COMMIT,
            Counting::Share => run,
            Counting::Try => 2 * run + credits::COMMIT,
        }
    }
}

/// What a step may change.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// Blocks of the file's tree, and what allocating and freeing them takes.
    pub(super) tree: u32,
    /// What counting takes.
    pub(super) counts: u32,
}

impl Cost {
    /// With that much more to count.
    pub(super) fn counting(self, more: u32) -> Self {
        Self {
            counts: self.counts.saturating_add(more),
            ..self
        }
    }

    /// All of it: on a small volume no more can be counted than there are counts.
    pub(super) fn total(self, geometry: &Geometry) -> u32 {
        let all = credits::group(geometry, AgNumber(0)).saturating_mul(geometry.ag_count);
        self.tree.saturating_add(self.counts.min(all))
    }
}

/// The runs of one group.
#[derive(Clone, Copy)]
struct Group {
    ag: AgNumber,
    runs: u32,
    /// What they cost if no two have nodes in common.
    singly: u32,
}

/// Counting the blocks of some runs.
pub(super) fn count<R: Reader>(
    reader: &R,
    runs: impl Iterator<Item = (FsBlock, u32)>,
    how: Counting,
) -> Result<u32> {
    let geometry = reader.geometry();
    let mut groups = [const { None::<Group> }; GROUPS];
    let mut sum = 0u32;
    // A run is most often as long as the one before, and in its group.
    let (mut last_len, mut cost) = (0, how.cost(geometry, 0));
    let mut place = 0;
    for (at, len) in runs {
        if len != last_len {
            (last_len, cost) = (len, how.cost(geometry, len));
        }
        if !matches!(groups.get(place), Some(Some(group)) if geometry.is_in(at, group.ag)) {
            let Some((ag, _)) = geometry.locate(at) else {
                continue;
            };
            let found = groups
                .iter()
                .position(|group| group.as_ref().is_none_or(|group| group.ag == ag));
            place = found.unwrap_or(GROUPS);
            if let Some(group @ None) = groups.get_mut(place) {
                *group = Some(Group {
                    ag,
                    runs: 0,
                    singly: 0,
                });
            }
        }
        match groups.get_mut(place) {
            Some(Some(group)) => {
                group.runs += 1;
                group.singly = group.singly.saturating_add(cost);
            }
            _ => sum = sum.saturating_add(cost),
        }
    }
    for group in groups.iter().flatten() {
        sum = sum.saturating_add(in_one_group(reader, group)?);
    }
    Ok(sum)
}

/// Counting the runs of one group.
fn in_one_group<R: Reader>(reader: &R, group: &Group) -> Result<u32> {
    let geometry = reader.geometry();
    let capacity = Array::<Branch>::capacity(geometry.block_size()) as u32;
    let grown = 4 * group.runs / capacity.max(1) + 2 * credits::share(geometry);
    let most = group.singly.min(credits::group(geometry, group.ag));
    if most <= grown {
        return Ok(most);
    }
    let nodes = reader.in_group(group.ag, |_, state| Ok(state.tree_blocks()))?;
    Ok(most.min(nodes.saturating_mul(3).saturating_add(grown)))
}

/// Counting any `runs` runs of up to `len` blocks each, wherever they are.
fn most_of(geometry: &Geometry, runs: usize, len: u32, how: Counting) -> u32 {
    let runs = runs as u32;
    let singly = runs.saturating_mul(how.cost(geometry, len));
    // All groups but the last are as long as the first.
    let group = credits::group(geometry, AgNumber(0));
    let groups = (GROUPS as u32).min(geometry.ag_count).min(runs);
    match geometry.ag_count > groups && runs > groups {
        true => singly,
        false => singly.min(groups.saturating_mul(group)),
    }
}

/// The most that any step on a fork of this volume asks for.
pub fn most(geometry: &Geometry) -> u32 {
    let leaf = Array::<Extent>::capacity(geometry.block_size());
    let node = Array::<Branch>::capacity(geometry.block_size());
    let copy = most_of(geometry, leaf, MAX_LEN, Counting::Share).max(most_of(
        geometry,
        node,
        1,
        Counting::Share,
    ));
    let height = MAX_HEIGHT as u32;
    let path = 3 * height + 1 + (height + 2) * credits::COMMIT;
    let replaced = most_of(geometry, MAX_OLD, MAX_LEN, Counting::Release);
    let new = most_of(geometry, 1, MAX_LEN, Counting::Try);
    let counts = credits::release(geometry) + copy + replaced + new;
    let map = Cost {
        tree: CALLER + path.max(AT_ONCE),
        counts,
    };
    let map = map.total(geometry);
    let clone = 2 * CALLER + most_of(geometry, INLINE_EXTENTS, MAX_LEN, Counting::Try);
    map.max(clone)
}

/// Changing the tree as planned, the shared nodes of the path being copied.
pub(super) fn splice<T: Transaction>(
    tx: &T,
    cursor: &Cursor<Extents, T::Buf>,
    edit: &Edit,
    levels: Levels,
) -> Result<Cost> {
    let shared = levels.shared;
    let splits = cursor.splits(edit.at, edit.remove, edit.add());
    let height = cursor.nodes().count() as u32;
    let mut sum = match splits {
        // Only the leaf; and the parent of the topmost copy.
        0 if edit.remove <= edit.add().len() => shared as u32 + 1,
        0 => 2 * height + height * credits::COMMIT,
        _ => 2 * height + 1,
    };
    sum += levels.left as u32 + (splits + shared) as u32 * credits::COMMIT;
    let mut cost = Cost {
        tree: sum,
        counts: 0,
    };
    for node in cursor.nodes().take(shared) {
        cost.counts = cost.counts.saturating_add(shadow(tx, node)?);
    }
    Ok(cost)
}

/// Adding a reference to all that a node refers to, and taking one from the node.
///
/// # Errors
///
/// `Corrupt` if it refers to what cannot be.
pub(super) fn shadow<T: Transaction>(tx: &T, node: &T::Buf) -> Result<u32> {
    let geometry = tx.geometry();
    if node::level(node) == 0 {
        for index in 0..node::count(node) {
            Array::<Extent>::get(node, index).check(geometry, node::address(node))?;
        }
    }
    let children = (0..node::count(node)).map(|index| child(node, index));
    let counts = count(tx, children, Counting::Share)?;
    Ok(counts.saturating_add(credits::release(geometry)))
}

/// The blocks that record `index` of a node refers to.
pub(super) fn child<B: Block>(node: &B, index: usize) -> (FsBlock, u32) {
    if node::level(node) > 0 {
        return (node::child(node, index), 1);
    }
    Extent::blocks(node, Array::<Extent>::place(node, index))
}
