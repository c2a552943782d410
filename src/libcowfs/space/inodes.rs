// SPDX-License-Identifier: GPL-2.0

//! Inode blocks: allocated when inodes are, wherever there is room, so their number is not fixed.
//!
//! ```text
//!   inode number = block address * slots a block + slot
//!
//!     slot   0        1        2               15          (4 KiB blocks: 16 slots)
//!        +--------+--------+--------+-- ... --+--------+
//!        | header | inode  | inode  |         | inode  |   header: 16-bit set of slots in use
//!        +--------+--------+--------+-- ... --+--------+
//! ```
//!
//! Each group has a tree of its inode blocks, which tells whether a number can be an inode's at
//! all, and a tree of those with a free slot. A file goes to its directory's group, near where
//! the last one went. A directory goes there too unless the group is getting full; directories
//! below the root are spread over the groups, as each may become a large tree.

use super::super::block::Block;
use super::super::btree::{self, Array, Cursor, Fixed, Record, Root, Tree};
use super::super::error::{Error, Result};
use super::super::ondisk::{group, inode, Geometry, Kind};
use super::super::store::{Reader, Transaction};
use super::super::units::{div, rem, AgBlock, AgNumber, FsBlock, Ino};
use super::group as disk;
use super::reserve::inode_block_limit;
use super::search::Search;
use super::state::{Fit, GroupState};
use super::tree::GroupTrees;

/// A group's tree of inode blocks.
pub struct InodeMap;

impl Tree for InodeMap {
    const KIND: Kind = Kind::InodeMap;
    type Leaf = Array<InodeBlock>;
}

/// A group's tree of inode blocks with a free slot.
pub struct FreeInodes;

impl Tree for FreeInodes {
    const KIND: Kind = Kind::FreeInode;
    type Leaf = Array<InodeBlock>;
}

/// A record of both: u64 block of the group, u64 zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeBlock(pub AgBlock);

impl Record for InodeBlock {
    fn key(&self) -> u64 {
        u64::from(self.0 .0)
    }

    fn size(&self) -> usize {
        Self::SIZE
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.key());
        buf.set_u64(at + 8, 0);
    }
}

impl Fixed for InodeBlock {
    const SIZE: usize = 16;

    fn load<B: Block>(buf: &B, at: usize) -> Self {
        Self(AgBlock(u32::try_from(buf.u64(at)).unwrap_or(u32::MAX)))
    }
}

/// The set of all slots of an inode block, the header's included.
fn all_slots(geometry: &Geometry) -> u16 {
    u16::MAX >> (u64::from(u16::BITS).saturating_sub(geometry.inode_slots()))
}

/// Allocates an inode for a file or directory in directory `parent`. Its record is all zero but for
/// the magic and a generation that the slot did not have before. Changes at most
/// [`credits::inode`](super::credits::inode) blocks.
///
/// # Errors
///
/// `NoSpace` if there is room for it nowhere, `Corrupt`, `Io`.
pub fn alloc<T: Transaction>(tx: &mut T, parent: Ino, is_dir: bool) -> Result<Ino> {
    let geometry = tx.geometry();
    let (near, _) = geometry.inode_at(parent).ok_or(Error::Invalid)?;
    let (goal, want) = match is_dir {
        true if parent == geometry.root => {
            let (ag, _) = geometry.locate(near).unwrap_or_default();
            let turn = u64::from(tx.hints().rotor.bump());
            let ag = rem(u64::from(ag.0) + turn, u64::from(geometry.ag_count)) as u32;
            (geometry.group_start(AgNumber(ag)), geometry.ag_blocks / 8)
        }
        true => (near, geometry.ag_blocks / 8),
        false => (near, 1),
    };
    let mut search = Search::new(geometry, tx.hints(), goal, want);
    while let Some(next) = search.next(tx)? {
        let found = tx.with_group(next.ag, |tx, state| {
            if next.fit == Fit::Whole && want > 1 && state.room() < want {
                return Ok(None);
            }
            alloc_in(tx, state, next.goal)
        })?;
        if let Some(ino) = found {
            tx.with_volume(|tx, volume| volume.settle(tx, 0, 1))?;
            return Ok(ino);
        }
    }
    Err(Error::NoSpace)
}

/// Allocates an inode in this group, if that can be done: in a block near `near`.
pub(in super::super) fn alloc_in<T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    near: AgBlock,
) -> Result<Option<Ino>> {
    let (mut blocks, mut slots) = (0, 0);
    if state.initialised {
        let header = tx.read(state.start, Kind::Group)?;
        (blocks, slots) = (
            header.u32(group::INODE_BLOCKS),
            header.u32(group::FREE_INODES),
        );
    }
    if slots > 0 {
        return take_slot(tx, state, near).map(Some);
    }
    let limit = inode_block_limit(tx.geometry().group_len(state.ag));
    if blocks >= limit {
        return Ok(None);
    }
    let Some(at) = state.stage_node(near) else {
        return Ok(None);
    };
    if let Err(error) = disk::commit(tx, state, at, 1) {
        state.unstage(at, 1);
        return Err(error);
    }
    let buf = tx.create(at, Kind::Inodes, u64::from(state.ag.0))?;
    buf.set_u16(inode::IN_USE, 0b11);
    // The block may have been one of inodes before, though not in a transaction this near.
    let generation = (tx.id() as u32).wrapping_mul(GENERATIONS);
    for slot in 1..tx.geometry().inode_slots() as usize {
        buf.set_u32(slot * inode::SIZE + inode::GENERATION, generation);
    }
    start_inode(&buf, inode::SIZE);
    let block = InodeBlock(in_group(state, at));
    insert::<InodeMap, T>(tx, state, |state| &mut state.inode_map, block)?;
    insert::<FreeInodes, T>(tx, state, |state| &mut state.free_inodes, block)?;
    let header = disk::header(tx, state)?;
    header.set_u32(group::INODE_BLOCKS, blocks + 1);
    // The header's slot and the one just taken are not free.
    let free = (tx.geometry().inode_slots() as u32).saturating_sub(2);
    header.set_u32(group::FREE_INODES, free);
    state.inode_hint = block.0;
    Ok(Some(tx.geometry().ino(at, 1)))
}

/// Allocates an inode in one of the group's blocks that have a free slot.
fn take_slot<T: Transaction>(tx: &mut T, state: &mut GroupState, near: AgBlock) -> Result<Ino> {
    let all = all_slots(tx.geometry());
    let mut block = state.inode_hint;
    let mut free = 0;
    if block.0 != 0 {
        free = all & !in_use(tx, state, block)?.1;
    }
    if free == 0 {
        let mut cursor = Cursor::<FreeInodes, T::Buf>::new();
        cursor.seek(tx, state.free_inodes, u64::from(near.0))?;
        if cursor.get().is_none() && !cursor.next(tx)? {
            return Err(bad(
                state,
                "count of free inodes without a block that has one",
            ));
        }
        block = cursor.get().map_or(AgBlock(0), |found| found.0);
        free = all & !in_use(tx, state, block)?.1;
        if free == 0 {
            return Err(bad(state, "full inode block among those with a free slot"));
        }
    }
    let (buf, used) = in_use(tx, state, block)?;
    let header = disk::header(tx, state)?;
    tx.modify(&buf)?;
    let slot = free.trailing_zeros();
    state.inode_hint = block;
    if free.count_ones() == 1 {
        state.inode_hint = AgBlock(0);
        remove::<FreeInodes, T>(tx, state, |state| &mut state.free_inodes, block)?;
    }
    let count = header.u32(group::FREE_INODES);
    header.set_u32(group::FREE_INODES, count.saturating_sub(1));
    buf.set_u16(inode::IN_USE, used | (1 << slot));
    start_inode(&buf, slot as usize * inode::SIZE);
    let at = state.start.add(u64::from(block.0));
    Ok(tx.geometry().ino(at, slot))
}

/// The group's inode block `block`, and its set of slots in use.
fn in_use<R: Reader>(reader: &R, state: &GroupState, block: AgBlock) -> Result<(R::Buf, u16)> {
    let buf = reader.read(state.start.add(u64::from(block.0)), Kind::Inodes)?;
    // The header's slot is never free, whatever a broken block says.
    let used = buf.u16(inode::IN_USE) | 1;
    Ok((buf, used))
}

/// How far apart the generations are that two transactions start with.
const GENERATIONS: u32 = 0x9e37_79b1;

/// Makes the slot at byte `at` an inode without contents.
fn start_inode(buf: &impl Block, at: usize) {
    let generation = buf.u32(at + inode::GENERATION).wrapping_add(1);
    buf.clear(at, inode::SIZE);
    buf.set_u16(at + inode::MAGIC, inode::MAGIC_VALUE);
    buf.set_u32(at + inode::GENERATION, generation);
}

/// Frees an inode, which must have given up all it had. Changes at most
/// [`credits::inode`](super::credits::inode) blocks.
///
/// # Errors
///
/// `Corrupt` if it is not in use, `Io`.
pub fn free<T: Transaction>(tx: &mut T, ino: Ino) -> Result {
    let (at, _) = place(tx, ino)?;
    let (ag, block) = tx.geometry().locate(at).unwrap_or_default();
    tx.with_group(ag, |tx, state| free_in(tx, state, block, ino))?;
    tx.with_volume(|tx, volume| volume.settle(tx, 0, -1))
}

fn free_in<T: Transaction>(tx: &mut T, state: &mut GroupState, block: AgBlock, ino: Ino) -> Result {
    let (buf, offset) = read(tx, ino)?;
    let all = all_slots(tx.geometry());
    let used = buf.u16(inode::IN_USE) | 1;
    let left = used & !(1 << (offset / inode::SIZE));
    let header = disk::header(tx, state)?;
    tx.modify(&buf)?;
    let generation = buf.u32(offset + inode::GENERATION);
    buf.clear(offset, inode::SIZE);
    buf.set_u32(offset + inode::GENERATION, generation);
    buf.set_u16(inode::IN_USE, left);
    let slots = header.u32(group::FREE_INODES).saturating_add(1);
    let blocks = header.u32(group::INODE_BLOCKS);
    let was_full = used == all;
    if left != 1 || blocks <= 1 {
        header.set_u32(group::FREE_INODES, slots);
        if was_full {
            let record = InodeBlock(block);
            insert::<FreeInodes, T>(tx, state, |state| &mut state.free_inodes, record)?;
        }
        if state.inode_hint.0 == 0 {
            state.inode_hint = block;
        }
        return Ok(());
    }
    // The block is empty and not the group's last.
    let here = all.count_ones().saturating_sub(1);
    header.set_u32(group::FREE_INODES, slots.saturating_sub(here));
    header.set_u32(group::INODE_BLOCKS, blocks - 1);
    if !was_full {
        remove::<FreeInodes, T>(tx, state, |state| &mut state.free_inodes, block)?;
    }
    remove::<InodeMap, T>(tx, state, |state| &mut state.inode_map, block)?;
    if state.inode_hint == block {
        state.inode_hint = AgBlock(0);
    }
    let at = state.start.add(u64::from(block.0));
    disk::free(tx, state, at, 1)?;
    tx.forget(at)
}

/// Where inode `ino` is.
fn place<R: Reader>(reader: &R, ino: Ino) -> Result<(FsBlock, usize)> {
    reader.geometry().inode_at(ino).ok_or(Error::Corrupt(
        FsBlock(div(ino.0, reader.geometry().inode_slots())),
        "impossible inode number",
    ))
}

/// The block inode `ino` is in, and its byte offset there.
///
/// # Errors
///
/// `Corrupt` if there is no such inode, `Io`.
pub fn read<R: Reader>(reader: &R, ino: Ino) -> Result<(R::Buf, usize)> {
    let (at, offset) = place(reader, ino)?;
    let buf = reader.read(at, Kind::Inodes)?;
    if buf.u16(inode::IN_USE) & (1 << (offset / inode::SIZE)) == 0 {
        return Err(Error::Corrupt(at, "inode not in use"));
    }
    if buf.u16(offset + inode::MAGIC) != inode::MAGIC_VALUE {
        return Err(Error::Corrupt(at, "bad inode magic"));
    }
    Ok((buf, offset))
}

/// Whether there is an inode `ino`, for numbers from an untrusted source: unlike [`read`] this
/// never takes for an inode block what is none.
///
/// # Errors
///
/// `Corrupt` if the group's tree is broken, `Io`.
pub fn exists<R: Reader>(reader: &R, ino: Ino) -> Result<bool> {
    let Some((at, offset)) = reader.geometry().inode_at(ino) else {
        return Ok(false);
    };
    let (ag, block) = reader.geometry().locate(at).unwrap_or_default();
    reader.in_group(ag, |reader, state| {
        let known = btree::lookup::<InodeMap, _, _>(reader, state.inode_map, u64::from(block.0))?;
        if known.is_none() {
            return Ok(false);
        }
        let (_, used) = in_use(reader, state, block)?;
        Ok(used & (1 << (offset / inode::SIZE)) != 0)
    })
}

fn in_group(state: &GroupState, at: FsBlock) -> AgBlock {
    AgBlock(u32::try_from(at.since(state.start)).unwrap_or(u32::MAX))
}

fn bad(state: &GroupState, what: &'static str) -> Error {
    Error::Corrupt(state.start, what)
}

/// Adds a block to one of the two trees.
fn insert<K: Tree<Leaf = Array<InodeBlock>>, T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    root: fn(&mut GroupState) -> &mut Root,
    block: InodeBlock,
) -> Result {
    let old = *root(state);
    let mut new = old;
    btree::insert::<K, T, _>(tx, &mut GroupTrees(state), &mut new, block).map_err(|error| {
        match error {
            Error::Exists => bad(state, "inode block twice in a tree"),
            other => other,
        }
    })?;
    set_root(tx, state, root, old, new)
}

/// Removes a block from one of the two trees.
fn remove<K: Tree<Leaf = Array<InodeBlock>>, T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    root: fn(&mut GroupState) -> &mut Root,
    block: AgBlock,
) -> Result {
    let old = *root(state);
    let mut new = old;
    if !btree::remove::<K, T, _>(tx, &mut GroupTrees(state), &mut new, u64::from(block.0))? {
        return Err(bad(state, "inode block missing in a tree"));
    }
    set_root(tx, state, root, old, new)
}

fn set_root<T: Transaction>(
    tx: &mut T,
    state: &mut GroupState,
    root: fn(&mut GroupState) -> &mut Root,
    old: Root,
    new: Root,
) -> Result {
    if old == new {
        return Ok(());
    }
    *root(state) = new;
    disk::store_roots(tx, state)
}
