// SPDX-License-Identifier: GPL-2.0

//! What a block of a file is mapped to, and whether it is shared.

use super::super::block::Block;
use super::super::btree::node;
use super::super::btree::Cursor;
use super::super::error::{Error, Result};
use super::super::ondisk::Geometry;
use super::super::space::refcount::{self, When};
use super::super::store::Reader;
use super::super::units::{FileBlock, FsBlock};
use super::edit::List;
use super::record::{Extent, Extents};
use super::{Fork, Map};

/// What the blocks from some block of a file on are mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The extent, trimmed to begin at the block asked for and to `len`; `None` is a hole.
    pub extent: Option<Extent>,
    /// For how many blocks this holds. What follows may be more of the same.
    pub len: u64,
}

impl Fork {
    /// What the blocks `[at, at + max)` are mapped to, `max` being at least 1.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub fn lookup<R: Reader>(&self, reader: &R, at: FileBlock, max: u64) -> Result<Lookup> {
        match self.map {
            Map::Inline(..) => self.list(reader.geometry(), at).lookup(at, at.add(max)),
            Map::Tree(root) => {
                let mut cursor = Cursor::<Extents, R::Buf>::new();
                cursor.seek(reader, root, at.0)?;
                let list = leaf(reader.geometry(), &cursor)?;
                list.lookup(at, end_in_leaf(&cursor, at, max))
            }
        }
    }

    /// Like [`Fork::lookup`]; also whether the blocks may not be changed, because another file
    /// has them too. The length is that for which both answers hold.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub fn lookup_shared<R: Reader>(
        &self,
        reader: &R,
        at: FileBlock,
        max: u64,
    ) -> Result<(Lookup, bool)> {
        self.lookup_when(reader, at, max, When::Now)
    }

    /// Like [`Fork::lookup_shared`], for who would write to the blocks where they are: they must not be shared
    /// now, nor after a crash that brings back what a transaction changed that is not on disk.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub fn lookup_to_write<R: Reader>(
        &self,
        reader: &R,
        at: FileBlock,
        max: u64,
    ) -> Result<(Lookup, bool)> {
        self.lookup_when(reader, at, max, When::AfterCrash)
    }

    fn lookup_when<R: Reader>(
        &self,
        reader: &R,
        at: FileBlock,
        max: u64,
        when: When,
    ) -> Result<(Lookup, bool)> {
        if !self.shared {
            return Ok((self.lookup(reader, at, max)?, false));
        }
        let (found, path_shared) = match self.map {
            Map::Inline(..) => (self.lookup(reader, at, max)?, false),
            Map::Tree(root) => {
                let mut cursor = Cursor::<Extents, R::Buf>::new();
                cursor.seek(reader, root, at.0)?;
                let list = leaf(reader.geometry(), &cursor)?;
                let found = list.lookup(at, end_in_leaf(&cursor, at, max))?;
                let shared =
                    found.extent.is_some() && shared_levels(reader, &cursor, self.epoch, when)? > 0;
                (found, shared)
            }
        };
        match found.extent {
            Some(extent) if !path_shared => {
                let (count, run) = refcount::lookup(reader, extent.disk, extent.len, when)?;
                let len = u64::from(run).min(found.len);
                let extent = Some(extent.part(at, at.add(len)));
                Ok((Lookup { extent, len }, count > 1))
            }
            _ => Ok((found, path_shared)),
        }
    }

    /// The extents in the inode, as seen from block `at`.
    pub(super) fn list<'a>(
        &'a self,
        geometry: &'a Geometry,
        at: FileBlock,
    ) -> List<'a, impl Fn(usize) -> Option<Extent> + 'a> {
        let extents = self.inline();
        List {
            block: FsBlock::NULL,
            get: |index| extents.get(index).copied(),
            index: extents
                .iter()
                .take_while(|extent| extent.file <= at)
                .count(),
            to: None,
            geometry,
        }
    }
}

impl<F: Fn(usize) -> Option<Extent>> List<'_, F> {
    /// What `[at, end)` is mapped to.
    fn lookup(&self, at: FileBlock, end: FileBlock) -> Result<Lookup> {
        let extent = self.covering(at)?.map(|extent| extent.part(at, end));
        let len = match extent {
            Some(extent) => u64::from(extent.len),
            None => match self.next()? {
                Some(next) => end.min(next.file).since(at),
                None => end.since(at),
            },
        };
        Ok(Lookup { extent, len })
    }
}

/// The extents of the cursor's leaf.
pub(super) fn leaf<'a, B>(
    geometry: &'a Geometry,
    cursor: &'a Cursor<Extents, B>,
) -> Result<List<'a, impl Fn(usize) -> Option<Extent> + 'a>>
where
    B: Block + Clone,
{
    let block = cursor.block().ok_or(Error::Invalid)?;
    Ok(List {
        block: node::address(block),
        get: |index| cursor.record(index),
        index: cursor.index(),
        to: cursor.bounds().1.map(FileBlock),
        geometry,
    })
}

/// The end of `[at, at + max)`, or of the cursor's leaf if that comes first.
pub(super) fn end_in_leaf<B>(cursor: &Cursor<Extents, B>, at: FileBlock, max: u64) -> FileBlock
where
    B: Block + Clone,
{
    let end = at.add(max);
    match cursor.bounds() {
        (_, Some(to)) => end.min(FileBlock(to)),
        (_, None) => end,
    }
}

/// How many nodes of the cursor's path, counted from the leaf up, are below or at one with more than
/// one reference. Nodes of the fork's own `epoch` have one.
pub(super) fn shared_levels<R: Reader>(
    reader: &R,
    cursor: &Cursor<Extents, R::Buf>,
    epoch: u64,
    when: When,
) -> Result<usize> {
    let mut levels = cursor.nodes().count();
    for node in cursor.nodes().rev() {
        let own = node::epoch(node) == epoch;
        if !own && refcount::lookup(reader, node::address(node), 1, when)?.0 > 1 {
            return Ok(levels);
        }
        levels -= 1;
    }
    Ok(0)
}
