// SPDX-License-Identifier: GPL-2.0

//! The extents of files, as records: nodes are claimed, what cannot be an extent goes.

use cowfs_core::block::Block;
use cowfs_core::btree::node::{self, Branch};
use cowfs_core::btree::{Array, Layout, Record, Root, MAX_HEIGHT};
use cowfs_core::extent::Extent;
use cowfs_core::ondisk::inode::{self, Format, INLINE_EXTENTS};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::{FileBlock, FsBlock, Ino};
use cowfs_image::overlay::Buf;

use super::slot::Slot;
use super::tree::{records, Enter, Place, Span, Visitor};
use super::{Met, Repair};
use crate::check::inodes::S_IFREG;
use crate::check::tree::Range;
use crate::check::NEVER;
use crate::report::Subject;

/// Byte offset of the part of a record that is zero.
const RESERVED: usize = 20;

/// Claims the nodes of a file.
struct Nodes {
    who: Subject,
    ino: Ino,
    /// The greatest epoch met.
    epoch: u64,
}

impl Visitor for Nodes {
    const KIND: Kind = Kind::Extent;

    fn who(&self) -> Subject {
        self.who
    }

    fn owns(&mut self, buf: &Buf) -> bool {
        let epoch = node::epoch(buf);
        if epoch < NEVER {
            self.epoch = self.epoch.max(epoch);
        }
        true
    }

    fn enter(&mut self, repair: &mut Repair<'_>, at: FsBlock) -> Enter {
        match repair.met.get(&at).copied() {
            Some(met) => Enter::Known(met.level, met.span),
            None if repair.claim(at) => Enter::New,
            None => Enter::Foreign,
        }
    }

    fn is_strange(&mut self, repair: &mut Repair<'_>, place: &Place) -> bool {
        let Ok(buf) = repair.overlay.read(place.at, Kind::Extent) else {
            return false;
        };
        if node::level(&buf) != place.level {
            return true;
        }
        let (Some(first), Some(last)) =
            (repair.outermost(&buf, false), repair.outermost(&buf, true))
        else {
            return false;
        };
        let (first, end) = (first.file.0, last.end().0);
        let Range { from, to } = place.range;
        let fits = from <= first && end <= to;
        let apart = end <= from || to <= first;
        // What another file made fits, or is that file's still. What this one made may be cut, and what is below what
        // the same one made; also what nobody has any more who made it, unless the pointer is as doubtful.
        let owner = buf.u64(header::OWNER);
        let is_others = || {
            owner != self.ino.0
                && owner != place.owner
                && (!place.trusted || repair.is_file(Ino(owner)))
        };
        apart || !fits && is_others()
    }

    fn end(&self, repair: &Repair<'_>, child: FsBlock, level: usize) -> Option<u64> {
        let buf = repair.overlay.read(child, Kind::Extent).ok()?;
        let last = (node::level(&buf) == level).then(|| repair.outermost(&buf, true));
        last.flatten().map(|last| last.end().0)
    }

    fn leaf(
        &mut self,
        repair: &mut Repair<'_>,
        buf: &Buf,
        sound: bool,
        range: Range,
    ) -> Option<Span> {
        let Some(old) = records::<Extent>(buf) else {
            repair.lost(
                self.who,
                format_args!(
                    "extent tree node {}: nobody knows how much of it counts: removed",
                    buf.at()
                ),
            );
            return None;
        };
        let believed = repair.believed(&old, sound);
        let kept = repair.possible(self.who, &believed, range);
        repair.keep_extents(buf, &old, &kept)
    }

    fn leave(&mut self, repair: &mut Repair<'_>, at: FsBlock, level: usize, span: Option<Span>) {
        repair.leave_node(at, level, span);
    }
}

impl Repair<'_> {
    /// Whether there is a regular file of this number that is not about to be deleted.
    fn is_file(&self, ino: Ino) -> bool {
        let block = self.geometry.inode_at(ino).map(|(block, _)| block);
        let block = block.filter(|block| self.inode_blocks.contains_key(block));
        block.is_some_and(|block| {
            let mut slots = Slot::all(self, block).into_iter();
            slots.any(|slot| {
                let is_file = slot.is_in_use() && slot.kind_bits() == S_IFREG;
                slot.ino == ino && is_file && slot.u32(inode::LINKS) > 0
            })
        })
    }

    /// The first or the last extent below a node, as far as that can be read. (The keys above the leaves do not tell:
    /// the first of a node means nothing, and the last is only where the last leaf begins.)
    fn outermost(&self, top: &Buf, last: bool) -> Option<Extent> {
        let mut buf = top.clone();
        let turned = |count: usize, n: usize| if last { count - 1 - n } else { n };
        for level in (0..node::level(top)).rev() {
            let count = node::count(&buf);
            buf = (0..count).find_map(|n| {
                let branch: Branch = Array::get(&buf, turned(count, n));
                let child = self.overlay.read(branch.child, Kind::Extent).ok();
                child.filter(|child| node::level(child) == level && node::count(child) > 0)
            })?;
        }
        let count = node::count(&buf);
        (count > 0).then(|| Array::get(&buf, turned(count, 0)))
    }

    /// Remembers what is left of a node; one of which nothing is, is nobody's.
    pub(super) fn leave_node(&mut self, at: FsBlock, level: usize, span: Option<Span>) {
        self.met.insert(at, Met { level, span });
        if span.is_none() {
            self.usage.release(at);
        }
    }

    /// Makes `kept` the records of a leaf that had `old`.
    pub(super) fn keep_extents(
        &mut self,
        buf: &Buf,
        old: &[Extent],
        kept: &[Extent],
    ) -> Option<Span> {
        let (first, last) = (kept.first()?, kept.last()?);
        let clean = (0..old.len()).all(|n| buf.u32(Array::<Extent>::place(buf, n) + RESERVED) == 0);
        if kept != old || !clean {
            self.rewrite(buf, kept);
        }
        Some(Span {
            key: first.file.0,
            first: first.file.0,
            end: last.end().0,
            blocks: 1 + kept.iter().map(|extent| u64::from(extent.len)).sum::<u64>(),
            sound: true,
        })
    }

    /// Claims the nodes of a regular file.
    pub(super) fn fork_nodes(&mut self, slot: &Slot) {
        let who = slot.who();
        let epoch = slot.u64(inode::EPOCH);
        if epoch < NEVER {
            self.epoch = self.epoch.max(epoch);
        }
        if slot.u8(inode::FORMAT) == Format::Extents as u8 {
            let old = self.inline_extents(slot);
            // Of some whose order is wrong the most that are in order.
            let believed = self.believed(&old, false);
            let kept = self.possible(who, &believed, Range::ALL);
            self.keep_inline(slot, &kept);
            return;
        }
        let mut nodes = Nodes {
            who,
            ino: slot.ino,
            epoch: 0,
        };
        let left = self
            .sound_root(slot, Kind::Extent)
            .and_then(|root| self.prune(&mut nodes, whole(root, slot.ino)));
        self.epoch = self.epoch.max(nodes.epoch);
        if left.is_none() {
            self.lost(who, format_args!("nothing is left of its contents"));
            self.empty_fork(slot);
        }
    }

    /// Takes all extents away from a file.
    pub(super) fn empty_fork(&mut self, slot: &Slot) {
        self.set_u8(slot, inode::FORMAT, Format::Extents as u8);
        self.keep_inline(slot, &[]);
    }

    /// The extents in the inode: as many as it says, or as there can be.
    pub(super) fn inline_extents(&self, slot: &Slot) -> Vec<Extent> {
        let count = usize::from(slot.u16(inode::COUNT)).min(INLINE_EXTENTS);
        (0..count)
            .map(|n| cowfs_core::btree::Fixed::load(&slot.buf, slot.at + extent_at(n)))
            .collect()
    }

    /// Makes `kept` the extents in the inode.
    pub(super) fn keep_inline(&mut self, slot: &Slot, kept: &[Extent]) {
        let same = usize::from(slot.u16(inode::COUNT)) == kept.len()
            && self.inline_extents(slot) == kept
            && (0..kept.len()).all(|n| slot.u32(extent_at(n) + RESERVED) == 0)
            && slot.root() == Root::EMPTY;
        if same {
            return;
        }
        self.set_root(slot, Root::EMPTY);
        slot.buf.clear(slot.at + inode::INLINE, inode::INLINE_SIZE);
        for (n, extent) in kept.iter().enumerate().take(INLINE_EXTENTS) {
            extent.store(&slot.buf, slot.at + extent_at(n));
        }
        self.set_u16(slot, inode::COUNT, kept.len() as u16);
    }

    /// The root of the tree in an inode; its height is what the node there says, if that can be read.
    pub(super) fn sound_root(&mut self, slot: &Slot, kind: Kind) -> Option<Root> {
        let root = slot.root();
        if root.block.is_null() {
            return None;
        }
        let says = self.overlay.read(root.block, kind);
        let height = says.map_or(usize::from(root.height), |buf| node::level(&buf) + 1);
        if !(1..=MAX_HEIGHT).contains(&height) {
            return None;
        }
        let right = Root {
            height: height as u8,
            ..root
        };
        if right != root {
            self.set_root(slot, right);
            self.lost(
                slot.who(),
                format_args!("{}: height was {}, is {height}", kind.name(), root.height),
            );
        }
        Some(right)
    }

    /// What of some extents in order can be in `range`, of each only what does not overlap the next.
    fn possible(&mut self, who: Subject, extents: &[Extent], range: Range) -> Vec<Extent> {
        let mut kept: Vec<Extent> = Vec::with_capacity(extents.len());
        for extent in extents {
            let mut extent = *extent;
            let sound = extent.check(&self.geometry, FsBlock::NULL).is_ok();
            if !sound || !(range.from..range.to).contains(&extent.file.0) {
                continue;
            }
            extent.len = cut(extent, range.to);
            if let Some(last) = kept.last_mut() {
                if last.file >= extent.file {
                    continue;
                }
                last.len = cut(*last, extent.file.0);
            }
            kept.push(extent);
        }
        let blocks = |list: &[Extent]| list.iter().map(|e| u64::from(e.len)).sum::<u64>();
        if kept != extents {
            let first = extents.first().map_or(FileBlock(0), |extent| extent.file);
            self.lost(
                who,
                format_args!(
                    "impossible extents from file block {first} on: {} of {} blocks kept",
                    blocks(&kept),
                    blocks(extents)
                ),
            );
        }
        kept
    }
}

/// How many blocks of an extent lie before file block `end`.
fn cut(extent: Extent, end: u64) -> u32 {
    let len = end.saturating_sub(extent.file.0);
    extent.len.min(u32::try_from(len).unwrap_or(u32::MAX))
}

/// Byte offset of extent `n` in an inode.
fn extent_at(n: usize) -> usize {
    inode::INLINE + n * <Extent as cowfs_core::btree::Fixed>::SIZE
}

/// The place of the whole tree of an inode, which is not empty.
pub(super) fn whole(root: Root, ino: Ino) -> Place {
    Place {
        at: root.block,
        level: usize::from(root.height).saturating_sub(1),
        range: Range::ALL,
        trusted: true,
        owner: ino.0,
    }
}
