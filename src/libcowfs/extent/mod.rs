// SPDX-License-Identifier: GPL-2.0

//! A file's data fork: which blocks of the volume hold the file's contents.
//!
//! Up to five extents are in the inode itself, more are in a B+tree:
//!
//! ```text
//!    inode  [ 0..8 -> 5000 | 8..12 -> 7200 ]                 Fork with inline extents
//!
//!    inode  [ root ] ──► [ 0 | 900 ] ──► [ 0..8 -> 5000 | 8..12 -> 7200 | ... ]
//!                               └──────► [ 900..902 -> 300, unwritten | ... ]
//! ```
//!
//! Extents do not overlap, do not cross the border of a group or of their leaf's range, and are at
//! most [`MAX_LEN`] blocks long; one that is mapped next to others of its leaf that it continues on
//! disk is joined with them. What no extent maps is a hole.
//!
//! **References.** Blocks, of data and of tree nodes alike, are counted by the pointers to them
//! ([`refcount`](super::space::refcount)). A clone gets the source's root pointer, which is one reference more
//! to the root node, whatever the size of the file; from then on a block may be shared with the
//! other file because its own count is above one, or because that of any node above it is. A write
//! copies the nodes on its path that are shared ([`btree`](super::btree)), and only then are the blocks below
//! counted singly:
//!
//! ```text
//!      A     B              A     B                       A     B
//!       \   /   B writes     \     \      both counted     \     \
//!        r 2    ───────►      r 1   r' 1  ───────────►     x and y have 2 references each,
//!       / \     through r      \ \ / /    once              then B's path through y is copied
//!     x 1  y 1                 x 2  y 2                     the same way
//! ```
//!
//! Files that never took part in that have no flag [`FLAG_SHARED`](super::ondisk::inode::FLAG_SHARED): all their
//! counts are one, and nobody looks them up.
//!
//! **Epochs.** Most nodes on the paths a file writes through are its own, so it should not cost a look
//! into the counts to know that. Every node bears the epoch its file had when it made the node. Cloning a tree
//! gives both files a new epoch, never used before on the volume. A node comes to have a second
//! holder only by a clone of a file that has it: a node of its file's present epoch has one. (A file that was never cloned,
//! nor is a clone, has epoch 0, as have the nodes it made; all its nodes are such ones.)
//!
//! **Steps.** Every function that changes a fork does one bounded step in the transaction given, which it
//! first asks for the blocks that takes (`cost.rs`), and says how far it came. Between steps everything is
//! consistent, so the caller may end the transaction and begin another. If a step fails with a
//! [refusal](Error::is_refusal), the file is mapped as before, though shared nodes of its tree may have been copied. In any
//! case [`Fork::changed`] tells whether the inode must be stored, in the same transaction.

mod adopt;
mod change;
mod cost;
mod edit;
mod lookup;
mod nodes;
mod promise;
mod record;
mod share;
mod truncate;

pub use cost::most as most_credits;
pub use lookup::Lookup;
pub use record::{Extent, Extents, MAX_LEN};

use super::block::Block;
use super::btree::{Fixed, Record, Root, MAX_HEIGHT};
use super::error::{Error, Result};
use super::ondisk::inode::{self, Format, INLINE_EXTENTS};
use super::store::Reader;
use super::units::FsBlock;

/// Where a file's extents are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Map {
    /// In the inode, the first so many of these.
    Inline(usize, [Extent; INLINE_EXTENTS]),
    /// In a tree, which is not empty.
    Tree(Root),
}

/// A file's data fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    map: Map,
    /// Data blocks and tree nodes this file points to.
    blocks: u64,
    /// The file may share blocks with another.
    shared: bool,
    /// Nodes made in this epoch are the file's alone.
    epoch: u64,
    /// The inode on disk says something else.
    changed: bool,
}

impl Default for Fork {
    fn default() -> Self {
        Self::new()
    }
}

impl Map {
    const EMPTY: Map = Map::Inline(0, [Extent::NONE; INLINE_EXTENTS]);
}

impl Fork {
    /// The fork of an empty file.
    pub const fn new() -> Self {
        Self {
            map: Map::EMPTY,
            blocks: 0,
            shared: false,
            epoch: 0,
            changed: false,
        }
    }

    /// Loads the fork from the inode at byte `at` of `buf`, which is block `block`.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the inode's fields contradict each other.
    pub fn load<R: Reader>(reader: &R, buf: &R::Buf, at: usize, block: FsBlock) -> Result<Self> {
        let bad = |what| Err(Error::Corrupt(block, what));
        let map = match Format::from_u8(buf.u8(at + inode::FORMAT)) {
            Some(Format::Extents) => {
                let count = usize::from(buf.u16(at + inode::COUNT));
                let mut extents = [Extent::NONE; INLINE_EXTENTS];
                let Some(used) = extents.get_mut(..count) else {
                    return bad("too many extents in inode");
                };
                let mut end = 0;
                for (index, extent) in used.iter_mut().enumerate() {
                    *extent = Extent::load(buf, at + inode::INLINE + index * Extent::SIZE);
                    extent.check(reader.geometry(), block)?;
                    if extent.file.0 < end {
                        return bad("overlapping extents in inode");
                    }
                    end = extent.end().0;
                }
                Map::Inline(count, extents)
            }
            Some(Format::ExtentTree) => {
                let root = Root {
                    block: FsBlock(buf.u64(at + inode::ROOT)),
                    height: buf.u8(at + inode::HEIGHT),
                };
                if root.is_empty() || usize::from(root.height) > MAX_HEIGHT {
                    return bad("extent tree of impossible height");
                }
                if !reader.geometry().in_one_group(root.block, 1) {
                    return bad("extent tree outside the groups");
                }
                Map::Tree(root)
            }
            _ => return bad("no file contents in inode"),
        };
        Ok(Self {
            map,
            blocks: buf.u64(at + inode::BLOCKS),
            shared: buf.u32(at + inode::FLAGS) & inode::FLAG_SHARED != 0,
            epoch: buf.u64(at + inode::EPOCH),
            changed: false,
        })
    }

    /// Stores the fork in the inode at byte `at` of `buf`, which is part of a transaction.
    /// [`Fork::logged`] is the caller's to call.
    pub fn store<B: Block>(&self, buf: &B, at: usize) {
        let (format, root, count) = match &self.map {
            Map::Inline(count, extents) => {
                for (index, extent) in extents.iter().enumerate() {
                    extent.store(buf, at + inode::INLINE + index * Extent::SIZE);
                }
                (Format::Extents, Root::EMPTY, *count)
            }
            Map::Tree(root) => (Format::ExtentTree, *root, 0),
        };
        buf.set_u64(at + inode::ROOT, root.block.0);
        buf.set_u8(at + inode::FORMAT, format as u8);
        buf.set_u8(at + inode::HEIGHT, root.height);
        buf.set_u16(at + inode::COUNT, count as u16);
        buf.set_u64(at + inode::BLOCKS, self.blocks);
        buf.set_u64(at + inode::EPOCH, self.epoch);
        let others = buf.u32(at + inode::FLAGS) & !inode::FLAG_SHARED;
        let flag = if self.shared { inode::FLAG_SHARED } else { 0 };
        buf.set_u32(at + inode::FLAGS, others | flag);
    }

    /// Whether the fork changed since it was loaded or [`Fork::logged`] was called.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// The fork was stored as it is now.
    pub fn logged(&mut self) {
        self.changed = false;
    }

    /// Levels of the tree; 0 if the extents are in the inode.
    pub fn height(&self) -> u8 {
        self.root().height
    }

    /// The tree of the extents; [`Root::EMPTY`] if they are in the inode.
    pub fn root(&self) -> Root {
        match self.map {
            Map::Inline(..) => Root::EMPTY,
            Map::Tree(root) => root,
        }
    }

    /// The extents in the inode; none if they are in a tree.
    pub fn inline(&self) -> &[Extent] {
        match &self.map {
            Map::Inline(count, extents) => extents.get(..*count).unwrap_or_default(),
            Map::Tree(_) => &[],
        }
    }

    /// Data blocks and tree nodes the file points to, shared or not, as stat(2) counts.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Whether the file may share blocks with another. If not, all its blocks are its own.
    pub fn is_flagged_shared(&self) -> bool {
        self.shared
    }

    /// Tells that the file may share blocks with another from now on. To be stored before
    /// [`Fork::share_range`] is called with this fork as the source.
    pub fn flag_shared(&mut self) {
        self.changed |= !self.shared;
        self.shared = true;
    }

    /// Whether the file has neither blocks nor preallocated ones.
    pub fn is_empty(&self) -> bool {
        matches!(self.map, Map::Inline(0, _))
    }

    /// Takes over the root of the tree after a change.
    fn set_root(&mut self, root: Root) {
        self.changed |= self.root() != root;
        self.map = match root.is_empty() {
            true => Map::EMPTY,
            false => Map::Tree(root),
        };
    }
}
