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
use super::super::units::{AgNumber, FsBlock};
use super::edit::Edit;
use super::record::{Extent, Extents};

/// What the caller adds to each step: blocks that were staged become used, the inode is stored, the
/// counters are settled.
pub(super) const CALLER: u32 = credits::COMMIT + 1 + credits::SETTLE;

/// Leaves of a reference count tree, beyond the first, that a run of `len` blocks may be spread
/// over, and as many again for splits or merges. A leaf is a sixth full at the least.
fn spread(geometry: &Geometry, len: u32) -> u32 {
    let least = (Array::<Branch>::capacity(geometry.block_size()) as u32 / 6).max(1);
    2 * (len / least)
}

/// Taking a reference from each block of a run.
pub(super) fn release(geometry: &Geometry, shared: bool, len: u32) -> u32 {
    match shared {
        true => credits::release(geometry) + credits::COMMIT + spread(geometry, len),
        false => credits::COMMIT,
    }
}

/// Adding a reference to each block of a run.
pub(super) fn share(geometry: &Geometry, len: u32) -> u32 {
    credits::share(geometry) + spread(geometry, len)
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
    let geometry = tx.geometry();
    let mut sum = credits::release(geometry);
    let mut group: Option<(AgNumber, u32, u32)> = None;
    for index in 0..node::count(node) {
        let (at, len) = child(node, index);
        let Some((ag, _)) = geometry.locate(at) else {
            continue;
        };
        let cost = share(geometry, len);
        match &mut group {
            Some((same, count, singly)) if *same == ag => {
                *count += 1;
                *singly = singly.saturating_add(cost);
            }
            _ => {
                sum += group_cost(tx, group)?;
                group = Some((ag, 1, cost));
            }
        }
    }
    Ok(sum + group_cost(tx, group)?)
}

/// The blocks that record `index` of a node refers to.
pub(super) fn child<B: Block>(node: &B, index: usize) -> (FsBlock, u32) {
    if node::level(node) > 0 {
        return (node::child(node, index), 1);
    }
    let extent = Array::<Extent>::get(node, index);
    (extent.disk, extent.len)
}

/// Changing counts of `count` runs of one group, at a cost of `singly` if no two touch the same.
fn group_cost<R: Reader>(reader: &R, group: Option<(AgNumber, u32, u32)>) -> Result<u32> {
    let Some((ag, count, singly)) = group else {
        return Ok(0);
    };
    let nodes = reader.in_group(ag, |_, state| Ok(state.tree_blocks()))?;
    let geometry = reader.geometry();
    let capacity = Array::<Branch>::capacity(geometry.block_size()) as u32;
    let grown = 4 * count / capacity.max(1) + 2 * credits::share(geometry);
    Ok(singly.min(nodes.saturating_mul(3).saturating_add(grown)))
}
