// SPDX-License-Identifier: GPL-2.0

//! How many blocks a step may make part of its transaction.
//!
//! The counts of a run of blocks that follow one another are in records that follow one another, so
//! what changing them touches depends on how many leaves of the reference count tree they are spread
//! over, and that is bounded by the run's length; and all runs of one group together
//! touch no more nodes than the group's tree has, and those it grows by.

use super::super::block::Block;
use super::super::btree::node::{self, Branch};
use super::super::btree::{Array, Cursor};
use super::super::error::Result;
use super::super::ondisk::Geometry;
use super::super::space::credits;
use super::super::store::{Reader, Transaction};
use super::super::units::{div, AgNumber, FsBlock};
use super::edit::Edit;
use super::record::{Extent, Extents};

/// What the caller adds to each step: blocks that were staged become used, the inode is stored, the
/// counters are settled.
pub(super) const CALLER: u32 = credits::COMMIT + 1 + credits::SETTLE;

/// Leaves of a reference count tree, beyond the first, that a run of `len` blocks may be spread
/// over, and as many again for splits or merges. A leaf is a sixth full at the least.
fn spread(geometry: &Geometry, len: u32) -> u32 {
    let least = (Array::<Branch>::capacity(geometry.block_size()) as u32 / 6).max(1);
    2 * div(u64::from(len), u64::from(least)) as u32
}

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
        let release = credits::release(geometry) + credits::COMMIT;
        match self {
            Counting::Free => credits::COMMIT,
            Counting::Release => release + spread(geometry, len),
            Counting::Share => credits::share(geometry) + spread(geometry, len),
            Counting::Try => credits::share(geometry) + release + 2 * spread(geometry, len),
        }
    }
}

/// Counting the blocks of some runs.
pub(super) fn count<R: Reader>(
    reader: &R,
    runs: impl Iterator<Item = (FsBlock, u32)>,
    how: Counting,
) -> Result<u32> {
    let geometry = reader.geometry();
    let mut sum = 0u32;
    let mut group: Option<(AgNumber, u32, u32)> = None;
    for (at, len) in runs {
        let Some((ag, _)) = geometry.locate(at) else {
            continue;
        };
        let cost = how.cost(geometry, len);
        match &mut group {
            Some((same, count, singly)) if *same == ag => {
                *count += 1;
                *singly = singly.saturating_add(cost);
            }
            _ => {
                sum = sum.saturating_add(in_one_group(reader, group)?);
                group = Some((ag, 1, cost));
            }
        }
    }
    Ok(sum.saturating_add(in_one_group(reader, group)?))
}

/// Counting `count` runs of one group, at a cost of `singly` if no two have nodes in common.
fn in_one_group<R: Reader>(reader: &R, group: Option<(AgNumber, u32, u32)>) -> Result<u32> {
    let Some((ag, count, singly)) = group else {
        return Ok(0);
    };
    let geometry = reader.geometry();
    let capacity = Array::<Branch>::capacity(geometry.block_size()) as u32;
    let grown = 4 * count / capacity.max(1) + 2 * credits::share(geometry);
    if singly <= grown {
        return Ok(singly);
    }
    let nodes = reader.in_group(ag, |_, state| Ok(state.tree_blocks()))?;
    Ok(singly.min(nodes.saturating_mul(3).saturating_add(grown)))
}

/// Changing the tree as planned, the lowest `shared` nodes of the path being copied.
pub(super) fn splice<T: Transaction>(
    tx: &T,
    cursor: &Cursor<Extents, T::Buf>,
    edit: &Edit,
    shared: usize,
) -> Result<u32> {
    let splits = cursor.splits(edit.at, edit.remove, edit.add());
    let height = cursor.nodes().count() as u32;
    let mut sum = match splits {
        // Only the leaf; and the parent of the topmost copy.
        0 if edit.remove <= edit.add().len() => shared as u32 + 1,
        0 => 2 * height + height * credits::COMMIT,
        _ => 2 * height + 1,
    };
    sum += (splits + shared) as u32 * credits::COMMIT;
    for node in cursor.nodes().take(shared) {
        sum += shadow(tx, node)?;
    }
    Ok(sum)
}

/// Adding a reference to all that a node refers to, and taking one from the node.
pub(super) fn shadow<T: Transaction>(tx: &T, node: &T::Buf) -> Result<u32> {
    let children = (0..node::count(node)).map(|index| child(node, index));
    Ok(credits::release(tx.geometry()) + count(tx, children, Counting::Share)?)
}

/// The blocks that record `index` of a node refers to.
pub(super) fn child<B: Block>(node: &B, index: usize) -> (FsBlock, u32) {
    if node::level(node) > 0 {
        return (node::child(node, index), 1);
    }
    let extent = Array::<Extent>::get(node, index);
    (extent.disk, extent.len)
}
