// SPDX-License-Identifier: GPL-2.0

//! Making the allocation structures anew from what is known about the blocks: for repair.
//!
//! Whoever has walked over all inodes knows of each group which blocks are in use, how often they
//! are referenced and which of them hold inodes. The header says so again, and the three trees grow
//! from nothing in the blocks that are left:
//!
//! ```text
//!    known:   used  ######.##...###.      counts  3..5: 2      inode blocks  1, 9
//!                    |                      |                    |
//!    made:    bitmap ######T##TT.###.     count tree T         inode trees T, T
//! ```
//!
//! What the group's own trees had before is not used, and is free unless it is theirs again.

use super::super::block::Block;
use super::super::btree::{self, Root};
use super::super::error::Result;
use super::super::ondisk::superblock::has_backup;
use super::super::ondisk::{group, summary, volume, Geometry, Kind};
use super::super::store::Transaction;
use super::super::units::{AgBlock, AgNumber};
use super::group as disk;
use super::inodes::{FreeInodes, InodeBlock, InodeMap};
use super::refcount::{Counted, Counts};
use super::reserve;
use super::root;
use super::state::GroupState;
use super::tree::GroupTrees;
use super::VolumeState;

/// What is known about the blocks of a group.
pub trait Known {
    /// Which of the 64 blocks from block `64 * index` on are in use, the group's own trees left
    /// out: a bit each.
    fn used(&self, index: usize) -> u64;
    /// The first run at or after block `from` with a reference count of two or more.
    fn counted(&self, from: AgBlock) -> Option<Counted>;
    /// The first inode block at or after block `from`, and how many of its slots are free.
    fn inode_block(&self, from: AgBlock) -> Option<(AgBlock, u32)>;
}

/// Makes the header, the bitmap, the trees and the summary byte of group `ag`. Nothing may be known
/// of the group in memory. Returns how many blocks of it the volume counts as free.
///
/// # Errors
///
/// `NoSpace` if there are not enough blocks for the trees, and those of the transaction; it is lost
/// then.
pub fn group<T: Transaction>(tx: &mut T, ag: AgNumber, known: &impl Known) -> Result<u32> {
    let geometry = tx.geometry();
    let (start, len) = (geometry.group_start(ag), geometry.group_len(ag));
    let header = tx.create(start, Kind::Group, u64::from(ag.0))?;
    let mut used = 0;
    for index in 0..len.div_ceil(u64::BITS) as usize {
        let mut word = known.used(index);
        if index == 0 {
            word |= if has_backup(ag) { 0b11 } else { 0b1 };
        }
        if let Some(beyond) = (index as u32 + 1).checked_mul(u64::BITS) {
            word &= u64::MAX >> beyond.saturating_sub(len).min(u64::BITS - 1);
        }
        used += word.count_ones();
        header.set_u64(group::BITMAP + index * 8, word);
    }
    let free = len.saturating_sub(used);
    header.set_u32(group::BLOCKS, len);
    header.set_u32(group::FREE, free);
    let (mut blocks, mut slots) = (0, 0);
    let mut from = AgBlock(0);
    while let Some((block, free)) = known.inode_block(from) {
        blocks += 1;
        slots += free;
        from = block.add(1);
    }
    header.set_u32(group::INODE_BLOCKS, blocks);
    header.set_u32(group::FREE_INODES, slots);
    set_summary(
        tx,
        ag,
        summary::class(reserve::room(tx.geometry(), ag, free, 0)),
    )?;
    let mut state = GroupState::load(tx, ag)?;
    trees(tx, &mut state, known)?;
    disk::store_roots(tx, &mut state)?;
    Ok(free)
}

/// Fills the group's three trees.
fn trees<T: Transaction>(tx: &mut T, state: &mut GroupState, known: &impl Known) -> Result {
    let (mut counts, mut map, mut free) = (Root::EMPTY, Root::EMPTY, Root::EMPTY);
    let mut from = AgBlock(0);
    while let Some(run) = known.counted(from) {
        btree::insert::<Counts, T, _>(tx, &mut GroupTrees(state), &mut counts, run)?;
        from = run.first.add(run.len.max(1));
    }
    from = AgBlock(0);
    while let Some((block, slots)) = known.inode_block(from) {
        let record = InodeBlock(block);
        btree::insert::<InodeMap, T, _>(tx, &mut GroupTrees(state), &mut map, record)?;
        if slots > 0 {
            btree::insert::<FreeInodes, T, _>(tx, &mut GroupTrees(state), &mut free, record)?;
        }
        from = block.add(1);
    }
    (state.refcounts, state.inode_map, state.free_inodes) = (counts, map, free);
    Ok(())
}

/// Sets the summary's byte for a group: [`summary::UNUSED`] for one of which nothing is in use.
///
/// # Errors
///
/// Those of the transaction.
pub fn set_summary<T: Transaction>(tx: &mut T, ag: AgNumber, class: u8) -> Result {
    let (at, byte) = summary::place(tx.geometry(), ag);
    let buf = tx.read(at, Kind::Summary)?;
    if buf.u8(byte) != class {
        tx.modify(&buf)?;
        buf.set_u8(byte, class);
    }
    Ok(())
}

/// Makes the volume block. Nothing may be known of it in memory.
///
/// # Errors
///
/// Those of the transaction.
pub fn volume<T: Transaction>(tx: &mut T, state: &VolumeState) -> Result {
    let buf = tx.create(Geometry::VOLUME, Kind::Volume, 0)?;
    buf.set_u64(volume::FREE, state.free);
    buf.set_u64(volume::INODES, state.inodes);
    root::put(&buf, volume::ORPHAN_ROOT, state.orphans);
    buf.set_u64(volume::EPOCH, state.epoch);
    Ok(())
}
