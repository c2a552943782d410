// SPDX-License-Identifier: GPL-2.0

//! Inodes that have no name any more but are still open, or still being taken apart: after a
//! crash, mounting finds them here and finishes the work.
//!
//! The tree's root is in the volume block, so the volume's lock guards it, under which no group's
//! lock may be taken. So blocks for nodes are allocated before it is taken, as many as the
//! attempt before this one turned out to lack, and what is left over or given up is freed after
//! it. Nearly always none are: a record with key 0, which is no inode, stays in the tree for
//! ever, so that its root is not allocated and freed with each file.

use super::super::block::Block;
use super::super::btree::{Array, Cursor, Fixed, Owner, Record, Root, Tree, MAX_HEIGHT};
use super::super::error::{Error, Result};
use super::super::ondisk::{Geometry, Kind};
use super::super::store::{Reader, Transaction};
use super::super::units::{AgNumber, FsBlock, Ino};
use super::alloc::{alloc, free, Purpose};
use super::credits::ORPHAN_LEVELS;
use super::volume::VolumeState;

/// The volume's tree of inodes without a name.
pub struct Orphans;

impl Tree for Orphans {
    const KIND: Kind = Kind::Orphan;
    type Leaf = Array<Orphan>;
}

/// Its record: u64 inode number, u64 zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan(pub Ino);

impl Orphan {
    /// The record that is always there.
    const FIRST: Orphan = Orphan(Ino(0));
}

impl Record for Orphan {
    fn key(&self) -> u64 {
        self.0 .0
    }

    fn size(&self) -> usize {
        Self::SIZE
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.key());
        buf.set_u64(at + 8, 0);
    }
}

impl Fixed for Orphan {
    const SIZE: usize = 16;

    fn load<B: Block>(buf: &B, at: usize) -> Self {
        Self(Ino(buf.u64(at)))
    }
}

/// Blocks for new nodes, and those of nodes that went.
#[derive(Default)]
struct Supply {
    blocks: [FsBlock; MAX_HEIGHT + 1],
    have: usize,
    gone: [FsBlock; MAX_HEIGHT + 1],
    freed: usize,
}

impl Supply {
    /// Allocates blocks until there are `count`.
    fn fill<T: Transaction>(&mut self, tx: &mut T, count: usize) -> Result {
        let near = tx.geometry().group_start(AgNumber(0));
        while self.have < count {
            let (at, _) = alloc(tx, near, 1, Purpose::Tree)?;
            let Some(to) = self.blocks.get_mut(self.have) else {
                return Err(Error::TooBig);
            };
            *to = at;
            self.have += 1;
        }
        Ok(())
    }

    /// Frees what was not used, and the nodes that went.
    fn settle<T: Transaction>(&self, tx: &mut T) -> Result {
        for &at in self.blocks.iter().take(self.have) {
            free(tx, at, 1)?;
        }
        for &at in self.gone.iter().take(self.freed) {
            free(tx, at, 1)?;
            tx.forget(at)?;
        }
        Ok(())
    }
}

impl<T: Transaction> Owner<T> for Supply {
    fn id(&self) -> u64 {
        0
    }

    fn alloc(&mut self, _tx: &mut T, _near: FsBlock) -> Result<FsBlock> {
        self.have = self.have.checked_sub(1).ok_or(Error::NoSpace)?;
        self.blocks.get(self.have).copied().ok_or(Error::NoSpace)
    }

    fn free(&mut self, _tx: &mut T, at: FsBlock) -> Result {
        let to = self.gone.get_mut(self.freed).ok_or(Error::TooBig)?;
        *to = at;
        self.freed += 1;
        Ok(())
    }
}

/// What became of an attempt to add a record.
enum Attempt {
    Done,
    /// It needs so many blocks; nothing was changed.
    Needs(usize),
}

/// Notes that `ino` has no name any more. Changes at most
/// [`credits::ORPHAN`](super::credits::ORPHAN) blocks.
///
/// # Errors
///
/// `Exists` if that is known already, `NoSpace`, `Corrupt`, `Io`.
pub fn add<T: Transaction>(tx: &mut T, ino: Ino) -> Result {
    let mut supply = Supply::default();
    let done = loop {
        match tx.with_volume(|tx, volume| try_add(tx, volume, &mut supply, ino)) {
            Ok(Attempt::Needs(count)) => {
                if let Err(error) = supply.fill(tx, count) {
                    break Err(error);
                }
            }
            Ok(Attempt::Done) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    supply.settle(tx)?;
    done
}

fn try_add<T: Transaction>(
    tx: &mut T,
    volume: &mut VolumeState,
    supply: &mut Supply,
    ino: Ino,
) -> Result<Attempt> {
    let mut root = volume.orphans;
    let mut cursor = Cursor::<Orphans, T::Buf>::new();
    cursor.seek(tx, root, ino.0)?;
    if cursor.key() == Some(ino.0) {
        return Err(Error::Exists);
    }
    let both = [Orphan::FIRST, Orphan(ino)];
    let records = if root.is_empty() {
        &both[..]
    } else {
        &both[1..]
    };
    let (at, needs) = (cursor.index(), cursor.splits(cursor.index(), 0, records));
    if u32::from(root.height) >= ORPHAN_LEVELS && needs > usize::from(root.height) {
        // A taller one would not be accepted by the next mount.
        return Err(Error::NoSpace);
    }
    if needs > supply.have {
        return Ok(Attempt::Needs(needs));
    }
    cursor.splice(tx, supply, &mut root, at, 0, records)?;
    store(tx, volume, root)?;
    Ok(Attempt::Done)
}

/// Forgets what [`add`] noted. Changes at most [`credits::ORPHAN`](super::credits::ORPHAN) blocks.
///
/// # Errors
///
/// `NotFound` if it was not noted, `Corrupt`, `Io`.
pub fn remove<T: Transaction>(tx: &mut T, ino: Ino) -> Result {
    let mut supply = Supply::default();
    tx.with_volume(|tx, volume| {
        let mut root = volume.orphans;
        let mut cursor = Cursor::<Orphans, T::Buf>::new();
        cursor.seek(tx, root, ino.0)?;
        if ino.0 == 0 || cursor.key() != Some(ino.0) {
            return Err(Error::NotFound);
        }
        cursor.remove(tx, &mut supply, &mut root)?;
        store(tx, volume, root)
    })?;
    supply.settle(tx)
}

/// The first inode after `ino` that has no name any more.
///
/// # Errors
///
/// `Corrupt`, `Io`.
pub fn first_after<T: Transaction>(tx: &mut T, ino: Ino) -> Result<Option<Ino>> {
    tx.with_volume(|tx, volume| after(tx, volume.orphans, ino))
}

/// [`first_after`] in the tree `root`, which must not change meanwhile.
///
/// # Errors
///
/// `Corrupt`, `Io`.
pub fn after<R: Reader>(reader: &R, root: Root, ino: Ino) -> Result<Option<Ino>> {
    let mut cursor = Cursor::<Orphans, R::Buf>::new();
    cursor.seek(reader, root, ino.0)?;
    if !cursor.next(reader)? {
        return Ok(None);
    }
    match cursor.get() {
        Some(Orphan(Ino(0))) | None => {
            Err(Error::Corrupt(Geometry::VOLUME, "orphan tree out of order"))
        }
        Some(Orphan(found)) => Ok(Some(found)),
    }
}

fn store<T: Transaction>(tx: &mut T, volume: &mut VolumeState, orphans: Root) -> Result {
    let new = VolumeState { orphans, ..*volume };
    volume.store(tx, new)
}
