// SPDX-License-Identifier: GPL-2.0

//! The disk's side of a group: its header's bitmap and counts, and its byte of the summary.
//!
//! All functions are called with the group's lock held, and change the disk and the state in
//! memory together. The first change a never used group sees creates its header.

use super::super::block::Block;
use super::super::error::{Error, Result};
use super::super::ondisk::superblock::has_backup;
use super::super::ondisk::{group, summary, Kind};
use super::super::store::{Reader, Transaction};
use super::super::units::{AgBlock, FsBlock};
use super::bitmap::words;
use super::reserve;
use super::root;
use super::state::GroupState;

/// The group's header as part of the transaction, made if the group was never used.
pub(super) fn header<T: Transaction>(tx: &mut T, state: &mut GroupState) -> Result<T::Buf> {
    if state.initialised {
        let header = tx.read(state.start, Kind::Group)?;
        tx.modify(&header)?;
        return Ok(header);
    }
    let (at, byte) = summary::place(tx.geometry(), state.ag);
    let summary = tx.read(at, Kind::Summary)?;
    tx.modify(&summary)?;
    let header = tx.create(state.start, Kind::Group, u64::from(state.ag.0))?;
    let len = tx.geometry().group_len(state.ag);
    let free = reserve::usable(tx.geometry(), state.ag);
    header.set_u32(group::BLOCKS, len);
    header.set_u32(group::FREE, free);
    let backup = if has_backup(state.ag) { 1 << 1 } else { 0 };
    header.set_u8(group::BITMAP, 1 | backup);
    let room = reserve::room(tx.geometry(), state.ag, free, 0);
    summary.set_u8(byte, summary::class(room));
    state.initialised = true;
    Ok(header)
}

/// The address of the block as one of the group's own; `None` if it is in another group.
fn inside<T: Transaction>(tx: &T, state: &GroupState, at: FsBlock, len: u32) -> Option<AgBlock> {
    if !tx.geometry().in_one_group(at, len) {
        return None;
    }
    match tx.geometry().locate(at) {
        Some((ag, first)) if ag == state.ag => Some(first),
        _ => None,
    }
}

/// Whether the disk agrees that all of `[first, first + len)` are used, or that none is.
fn all_are(header: &impl Block, used: bool, first: AgBlock, len: u32) -> bool {
    words(first.0, len).all(|(index, mask)| {
        let word = header.u64(group::BITMAP + index * 8) & mask;
        word == if used { mask } else { 0 }
    })
}

/// Whether all of `[first, first + len)` are used on disk.
pub(super) fn in_use<R: Reader>(
    reader: &R,
    state: &GroupState,
    first: AgBlock,
    len: u32,
) -> Result<bool> {
    if !state.initialised {
        return Ok(false);
    }
    let header = reader.read(state.start, Kind::Group)?;
    Ok(all_are(&header, true, first, len))
}

/// Turns the bits of `[first, first + len)` over.
fn turn(header: &impl Block, first: AgBlock, len: u32) {
    for (index, mask) in words(first.0, len) {
        let at = group::BITMAP + index * 8;
        header.set_u64(at, header.u64(at) ^ mask);
    }
}

/// Makes the summary say that the group's room is `new` if that passes a power of two. Bytes of
/// other groups in the same block may change at the same time, under their locks.
fn set_room<T: Transaction>(tx: &mut T, state: &GroupState, old: u32, new: u32) -> Result {
    let (old, new) = (summary::class(old), summary::class(new));
    if old == new {
        return Ok(());
    }
    let (at, byte) = summary::place(tx.geometry(), state.ag);
    let buf = tx.read(at, Kind::Summary)?;
    tx.modify(&buf)?;
    buf.set_u8(byte, new);
    if new > old {
        let index = at.since(tx.geometry().summary_start);
        tx.hints()
            .raise(u32::try_from(index).unwrap_or(u32::MAX), new);
    }
    Ok(())
}

/// Marks staged blocks used on disk.
pub(super) fn commit<T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    at: FsBlock,
    len: u32,
) -> Result {
    let Some(first) = inside(tx, state, at, len) else {
        return Err(Error::Corrupt(at, "blocks outside their group"));
    };
    let header = header(tx, state)?;
    let free = header.u32(group::FREE);
    if !all_are(&header, false, first, len) || free < len {
        return Err(Error::Corrupt(at, "block to be used is used already"));
    }
    let room = |free| reserve::room(tx.geometry(), state.ag, free, state.tree_blocks);
    let (before, after) = (room(free), room(free - len));
    set_room(tx, state, before, after)?;
    turn(&header, first, len);
    header.set_u32(group::FREE, free - len);
    state.commit(len);
    tx.used(at, len);
    Ok(())
}

/// Marks used blocks free on disk. They become available when the transaction is on disk.
pub(super) fn free<T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    at: FsBlock,
    len: u32,
) -> Result {
    let Some(first) = inside(tx, state, at, len) else {
        return Err(Error::Corrupt(at, "blocks outside the groups freed"));
    };
    let header = header(tx, state)?;
    let free = header.u32(group::FREE).saturating_add(len);
    let backup = has_backup(state.ag) && first.0 == 1;
    if !all_are(&header, true, first, len) || backup || free >= header.u32(group::BLOCKS) {
        return Err(Error::Corrupt(at, "block to be freed is not in use"));
    }
    let room = |free| reserve::room(tx.geometry(), state.ag, free, state.tree_blocks);
    let (before, after) = (room(free - len), room(free));
    set_room(tx, state, before, after)?;
    turn(&header, first, len);
    header.set_u32(group::FREE, free);
    state.freed(len);
    tx.freed(at, len);
    Ok(())
}

/// Takes a block for one of the group's own trees and marks it used on disk.
pub(super) fn alloc_tree_block<T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
) -> Result<FsBlock> {
    let at = state.tree_block().ok_or(Error::NoSpace)?;
    let Some(first) = inside(tx, state, at, 1) else {
        return Err(Error::Corrupt(at, "blocks outside their group"));
    };
    let header = header(tx, state)?;
    let free = header.u32(group::FREE);
    if !all_are(&header, false, first, 1) || free == 0 {
        return Err(Error::Corrupt(at, "block to be used is used already"));
    }
    turn(&header, first, 1);
    header.set_u32(group::FREE, free - 1);
    state.take_tree_block();
    header.set_u32(group::TREE_BLOCKS, state.tree_blocks);
    Ok(at)
}

/// Marks a block of one of the group's own trees free on disk. It becomes a spare.
pub(super) fn free_tree_block<T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    at: FsBlock,
) -> Result {
    let Some(first) = inside(tx, state, at, 1) else {
        return Err(Error::Corrupt(at, "tree node outside its group"));
    };
    let header = header(tx, state)?;
    let free = header.u32(group::FREE).saturating_add(1);
    if !all_are(&header, true, first, 1)
        || state.tree_blocks == 0
        || free >= header.u32(group::BLOCKS)
    {
        return Err(Error::Corrupt(at, "tree node to be freed is not in use"));
    }
    state.spare(at, tx.id())?;
    turn(&header, first, 1);
    header.set_u32(group::FREE, free);
    header.set_u32(group::TREE_BLOCKS, state.tree_blocks);
    tx.retire(at)
}

/// Stores the roots of the group's trees in its header.
pub(super) fn store_roots<T: Transaction>(tx: &mut T, state: &mut GroupState) -> Result {
    let header = header(tx, state)?;
    root::put(&header, group::REFCOUNT_ROOT, state.refcounts);
    root::put(&header, group::INODE_ROOT, state.inode_map);
    root::put(&header, group::FREE_INODE_ROOT, state.free_inodes);
    Ok(())
}
