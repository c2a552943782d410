// SPDX-License-Identifier: GPL-2.0

//! Walks over B+trees: every node's place in its tree, and which keys it may hold.
//!
//! Each block was verified when read (header, checksum, records inside the block and in order).
//! Here its relation to its parent is checked: level, range of keys, owner.

use cowfs_core::block::Block;
use cowfs_core::btree::{node, Array, Root, MAX_HEIGHT};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock};
use cowfs_image::volume::Buf;

use super::Checker;
use crate::report::Subject;

/// The keys a node may hold: `from` is its separator, `to` the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The smallest key.
    pub from: u64,
    /// The first key beyond.
    pub to: u64,
}

impl Range {
    /// The keys of a whole tree.
    pub const ALL: Range = Range {
        from: 0,
        to: u64::MAX,
    };
}

/// A tree being walked.
#[derive(Clone, Copy)]
pub struct Walk {
    /// Whose tree it is.
    pub who: Subject,
    /// The kind of its nodes.
    pub kind: Kind,
    /// What its nodes must name as their owner.
    pub owner: u64,
    /// The group its nodes must be in, if not any.
    pub home: Option<AgNumber>,
    /// Most levels it may have.
    pub levels: usize,
}

impl Walk {
    /// A tree of any size and anywhere.
    pub fn new(who: Subject, kind: Kind, owner: u64) -> Self {
        Walk {
            who,
            kind,
            owner,
            home: None,
            levels: MAX_HEIGHT,
        }
    }
}

impl Checker<'_> {
    /// Checks whether `root` can be a tree's root.
    pub(super) fn root_is_sound(&mut self, who: Subject, kind: Kind, root: Root) -> bool {
        let tree = kind.name();
        if usize::from(root.height) > MAX_HEIGHT {
            self.wrong(
                who,
                format_args!("{tree}: impossible height {}", root.height),
            );
            return false;
        }
        if root.block.is_null() != (root.height == 0) {
            self.wrong(
                who,
                format_args!(
                    "{tree}: root in block {} does not go with height {}",
                    root.block, root.height
                ),
            );
            return false;
        }
        true
    }

    /// Checks whether a block can be at `at` at all.
    pub(super) fn address_is_sound(&mut self, who: Subject, kind: Kind, at: FsBlock) -> bool {
        let sound = self.geometry.in_one_group(at, 1);
        if !sound {
            self.wrong(
                who,
                format_args!("{}: impossible address {at}", kind.name()),
            );
        }
        sound
    }

    /// Reads a node and checks that its level and its keys suit its place in the tree.
    pub(super) fn node(
        &mut self,
        who: Subject,
        kind: Kind,
        at: FsBlock,
        level: usize,
        range: Range,
    ) -> Option<Buf> {
        let buf = match self.volume.read(at, kind) {
            Ok(buf) => buf,
            Err(error) => {
                self.wrong(who, format_args!("{error}"));
                return None;
            }
        };
        let name = kind.name();
        if node::level(&buf) != level {
            self.wrong(
                who,
                format_args!(
                    "{name} {at}: has level {} where {level} belongs",
                    node::level(&buf)
                ),
            );
            return None;
        }
        let (first, last) = end_keys(&buf, kind, level);
        if first < range.from || last >= range.to {
            self.wrong(
                who,
                format_args!(
                    "{name} {at}: keys {first}..={last} outside of its place {}..{}",
                    range.from, range.to
                ),
            );
            return None;
        }
        Some(buf)
    }

    /// Walks over a tree that shares no node with another. Claims its nodes, calls `leaf` for each
    /// leaf, and returns the number of nodes.
    pub(super) fn walk(
        &mut self,
        walk: &Walk,
        root: Root,
        leaf: &mut dyn FnMut(&mut Self, &Buf, Range),
    ) -> u64 {
        if !self.root_is_sound(walk.who, walk.kind, root) || root.height == 0 {
            return 0;
        }
        if usize::from(root.height) > walk.levels {
            self.wrong(
                walk.who,
                format_args!(
                    "{}: height {} of at most {}",
                    walk.kind.name(),
                    root.height,
                    walk.levels
                ),
            );
        }
        self.descend(
            walk,
            root.block,
            usize::from(root.height) - 1,
            Range::ALL,
            leaf,
        )
    }

    fn descend(
        &mut self,
        walk: &Walk,
        at: FsBlock,
        level: usize,
        range: Range,
        leaf: &mut dyn FnMut(&mut Self, &Buf, Range),
    ) -> u64 {
        let Walk {
            who, kind, owner, ..
        } = *walk;
        if !self.address_is_sound(who, kind, at) {
            return 0;
        }
        let home = self.geometry.locate(at).map(|(ag, _)| ag);
        if walk.home.is_some() && walk.home != home {
            self.wrong(who, format_args!("{} {at}: outside the group", kind.name()));
            return 0;
        }
        if !self.usage.claim(at) {
            self.wrong(
                who,
                format_args!("{} {at}: the block is in use already", kind.name()),
            );
            return 0;
        }
        let Some(buf) = self.node(who, kind, at, level, range) else {
            return 1;
        };
        if buf.u64(header::OWNER) != owner {
            self.wrong(
                who,
                format_args!(
                    "{} {at}: belongs to {}, not to {owner}",
                    kind.name(),
                    buf.u64(header::OWNER)
                ),
            );
        }
        if level == 0 {
            leaf(self, &buf, range);
            return 1;
        }
        let mut nodes = 1;
        for (child, range) in children(&buf, range) {
            nodes += self.descend(walk, child, level - 1, range, leaf);
        }
        nodes
    }
}

/// The first and the last key of a verified node.
pub fn end_keys(buf: &Buf, kind: Kind, level: usize) -> (u64, u64) {
    let last = node::count(buf).saturating_sub(1);
    let key = |index: usize| {
        let at = if level > 0 {
            header::SIZE + index * 16
        } else {
            record(buf, kind, index)
        };
        buf.u64(at)
    };
    (key(0), key(last))
}

/// Byte offset of record `index` of a verified leaf.
pub fn record(buf: &impl Block, kind: Kind, index: usize) -> usize {
    match kind {
        Kind::Directory => usize::from(buf.u16(header::SIZE + 2 * index)),
        Kind::Extent => header::SIZE + 24 * index,
        _ => header::SIZE + 16 * index,
    }
}

/// The children of an interior node, each with its range of keys.
pub fn children(buf: &Buf, range: Range) -> impl Iterator<Item = (FsBlock, Range)> + '_ {
    let count = node::count(buf);
    (0..count).map(move |index| {
        let branch: node::Branch = Array::get(buf, index);
        let to = if index + 1 < count {
            Array::<node::Branch>::get(buf, index + 1).key
        } else {
            range.to
        };
        // The first separator means nothing: its child may have lost the one before it.
        let from = if index > 0 { branch.key } else { range.from };
        (branch.child, Range { from, to })
    })
}
