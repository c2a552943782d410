// SPDX-License-Identifier: GPL-2.0

//! Phase 2: the extents of a file, in the inode or in a tree whose nodes may be shared.

use cowfs_core::block::Block;
use cowfs_core::btree::node;
use cowfs_core::extent::MAX_LEN;
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::units::{FsBlock, Ino};
use cowfs_image::volume::Buf;

use super::inodes::Place;
use super::tree::{children, end_keys, Range};
use super::Checker;
use crate::report::Subject;

/// Set in the disk address of an extent that is allocated, but was never written.
const UNWRITTEN: u64 = 1 << 63;
/// Size of an extent record: u64 file block, u64 disk address, u32 length, u32 zero.
const EXTENT: usize = 24;

/// What is below a node of an extent tree; it is the same for every tree that shares the node.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    level: usize,
    /// The latest epoch in which a node of it was made.
    epoch: u64,
    /// The least of the first keys of it and of what is leftmost below it, and its own last key, if it can be read.
    keys: Option<(u64, u64)>,
    sums: Sums,
}

/// What some extents have in all.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// The first file block of the first extent.
    first: Option<u64>,
    /// The file block behind the last extent.
    end: u64,
    /// Blocks of data and of nodes.
    blocks: u64,
    /// Something could not be read: the others are too small.
    partial: bool,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.first = self.first.or(other.first);
        self.end = self.end.max(other.end);
        // A node met often counts often.
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.partial |= other.partial;
    }
}

/// The file being checked.
struct File {
    ino: Ino,
    /// Nodes made in this epoch are the file's alone.
    epoch: u64,
    /// It is marked as sharing blocks.
    marked: bool,
    /// It was reported as sharing blocks without the mark.
    reported: bool,
}

impl Checker<'_> {
    /// Checks the extents of a regular file; returns the number of blocks it points to, unless
    /// some could not be read.
    pub(super) fn check_fork(&mut self, place: &Place<'_>) -> Option<u64> {
        let mut file = File {
            ino: place.ino,
            epoch: place.u64(inode::EPOCH),
            marked: place.u32(inode::FLAGS) & inode::FLAG_SHARED != 0,
            reported: false,
        };
        let who = place.who();
        if self.last_epoch.is_some_and(|last| file.epoch > last) {
            self.wrong(
                who,
                format_args!("is of epoch {}, which has not begun yet", file.epoch),
            );
        }
        let sums = if place.u8(inode::FORMAT) == Format::Extents as u8 {
            let count = usize::from(place.u16(inode::COUNT));
            let root = self.root_of(place);
            if count > inode::INLINE_EXTENTS || root.height != 0 || !root.block.is_null() {
                self.wrong(
                    who,
                    format_args!(
                        "{count} extents in the inode, with a tree of height {} in block {}",
                        root.height, root.block
                    ),
                );
                return None;
            }
            self.check_extents(
                &mut file,
                place.buf,
                place.at + inode::INLINE,
                count,
                Range::ALL,
            )
        } else {
            let root = self.root_of(place);
            if !self.root_is_sound(who, Kind::Extent, root) {
                return None;
            }
            if root.height == 0 {
                self.wrong(who, format_args!("extent tree without a node"));
                return None;
            }
            let level = usize::from(root.height) - 1;
            self.check_extent_node(&mut file, root.block, level, Range::ALL)
        };
        (!sums.partial).then_some(sums.blocks)
    }

    /// Checks a node and all below it the first time it is met; each further time it is one more
    /// reference.
    fn check_extent_node(
        &mut self,
        file: &mut File,
        at: FsBlock,
        level: usize,
        range: Range,
    ) -> Sums {
        const NOTHING: Sums = Sums {
            first: None,
            end: 0,
            blocks: 0,
            partial: true,
        };
        let who = Subject::Inode(file.ino);
        if !self.address_is_sound(who, Kind::Extent, at) {
            return NOTHING;
        }
        self.check_mark(file, at, 1);
        if let Some(span) = self.spans.get(&at).copied() {
            self.usage.again(at);
            self.check_node_epoch(file, at, span.epoch);
            let first = span.sums.first.unwrap_or(range.from);
            let (key, last) = span.keys.unwrap_or((first, first));
            let fits = range.from <= key.min(first) && last < range.to && span.sums.end <= range.to;
            if span.level != level || !fits {
                self.wrong(
                    who,
                    format_args!(
                        "shared extent tree node {at}: blocks {}..{} at level {} do not belong in \
                         place {}..{} at level {level}",
                        first, span.sums.end, span.level, range.from, range.to
                    ),
                );
            }
            return span.sums;
        }
        if !self.usage.claim(at) {
            self.wrong(
                who,
                format_args!("extent tree node {at}: the block is in use already"),
            );
            return NOTHING;
        }
        let mut sums = Sums {
            blocks: 1,
            ..Sums::default()
        };
        let buf = self.node(who, Kind::Extent, at, level, range);
        let mut keys = buf.as_ref().map(|buf| end_keys(buf, Kind::Extent, level));
        let mut epoch = buf.as_ref().map_or(0, node::epoch);
        if self.last_epoch.is_some_and(|last| epoch > last) {
            self.wrong(
                who,
                format_args!("extent tree node {at}: is of epoch {epoch}, which has not begun yet"),
            );
        }
        match buf {
            None => sums.partial = true,
            Some(buf) if level == 0 => {
                let count = node::count(&buf);
                sums.add(self.check_extents(file, &buf, header::SIZE, count, range));
            }
            Some(buf) => {
                for (n, (child, range)) in children(&buf, range).enumerate() {
                    sums.add(self.check_extent_node(file, child, level - 1, range));
                    let below = self.spans.get(&child);
                    epoch = epoch.max(below.map_or(0, |span| span.epoch));
                    let leftmost = below.and_then(|span| span.keys).filter(|_| n == 0);
                    if let (Some((first, _)), Some((key, _))) = (&mut keys, leftmost) {
                        *first = key.min(*first);
                    }
                }
            }
        }
        self.check_node_epoch(file, at, epoch);
        let span = Span {
            level,
            epoch,
            keys,
            sums,
        };
        self.spans.insert(at, span);
        sums
    }

    /// Checks that what is below a shared node, of which the latest is of `epoch`, was made before the file's epoch:
    /// nobody looks up the count of a node of the file's own, nor that of what is below it. When a node came to be
    /// shared, both files began an epoch.
    fn check_node_epoch(&mut self, file: &File, at: FsBlock, epoch: u64) {
        let shared = self.geometry.locate(at).is_some_and(|(ag, block)| {
            let group = self.groups.get(&ag);
            group.is_some_and(|group| group.counts.at(block.0, block.0 + 1).0 > 1)
        });
        if shared && epoch >= file.epoch {
            self.wrong(
                Subject::Inode(file.ino),
                format_args!(
                    "extent tree node {at}: is shared, but of the file's own epoch, or what is below it"
                ),
            );
        }
    }

    /// Checks `count` extents stored from byte `at` on.
    fn check_extents(
        &mut self,
        file: &mut File,
        buf: &Buf,
        at: usize,
        count: usize,
        range: Range,
    ) -> Sums {
        let who = Subject::Inode(file.ino);
        // Byte offsets in a file stay below 2^63.
        let most = (1 << 63) >> self.geometry.block_shift;
        let mut sums = Sums::default();
        for index in 0..count {
            let at = at + index * EXTENT;
            let (from, disk) = (buf.u64(at), buf.u64(at + 8));
            let (len, rest) = (buf.u32(at + 16), buf.u32(at + 20));
            let start = FsBlock(disk & !UNWRITTEN);
            let end = from.saturating_add(u64::from(len));
            if len == 0 || len > MAX_LEN || end > most || end > range.to || rest != 0 {
                self.wrong(
                    who,
                    format_args!("impossible extent of {len} blocks at file block {from}"),
                );
                sums.partial = true;
                continue;
            }
            if from < sums.end {
                self.wrong(
                    who,
                    format_args!("extent at file block {from} overlaps the one before"),
                );
            }
            sums.first = sums.first.or(Some(from));
            sums.end = sums.end.max(end);
            if !self.geometry.in_one_group(start, len) {
                self.wrong(
                    who,
                    format_args!(
                        "file block {from} is in blocks {start}+{len}, which are not in one group"
                    ),
                );
                sums.partial = true;
                continue;
            }
            sums.blocks += u64::from(len);
            self.check_mark(file, start, len);
            if let Some((first, count)) = self.usage.refer_to_data(start, len) {
                self.wrong(
                    Subject::Blocks(first, count),
                    format_args!("metadata, but mapped as data by inode {}", file.ino),
                );
            }
        }
        sums
    }

    /// Checks that the file is marked as sharing blocks if it shares these. (That the reference
    /// counts are right is checked later.)
    fn check_mark(&mut self, file: &mut File, at: FsBlock, len: u32) {
        if file.marked || file.reported {
            return;
        }
        let Some((ag, first)) = self.geometry.locate(at) else {
            return;
        };
        let Some(group) = self.groups.get(&ag) else {
            return;
        };
        let end = first.0.saturating_add(len);
        let (count, run) = group.counts.at(first.0, end);
        if count > 1 || run < len {
            file.reported = true;
            self.wrong(
                Subject::Inode(file.ino),
                format_args!("shares blocks from {at} on, but is not marked as sharing"),
            );
        }
    }
}
