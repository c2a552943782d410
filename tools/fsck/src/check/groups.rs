// SPDX-License-Identifier: GPL-2.0

//! Phase 1: the groups' headers and their own trees.

use cowfs_core::block::Block;
use cowfs_core::btree::{node, Array, Root};
use cowfs_core::ondisk::superblock::has_backup;
use cowfs_core::ondisk::{group, header, Kind};
use cowfs_core::space::inodes::InodeBlock;
use cowfs_core::space::refcount::Counted;
use cowfs_core::space::{inode_block_limit, reserve, tree_levels};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock};
use cowfs_image::volume::Buf;

use super::tree::{record, Range, Walk};
use super::{Checker, Group};
use crate::counts::Counts;
use crate::report::Subject;

impl Checker<'_> {
    pub(super) fn check_groups(&mut self) {
        let all = self.geometry.ag_count;
        for ag in (0..all).map(AgNumber) {
            if self.is_used(ag) {
                self.check_group(ag);
            }
            if ag.0 % 64 == 0 {
                self.progress("groups", u64::from(ag.0), u64::from(all));
            }
        }
    }

    fn check_group(&mut self, ag: AgNumber) {
        let who = Subject::Group(ag);
        let start = self.geometry.group_start(ag);
        let buf = match self.volume.read(start, Kind::Group) {
            Ok(buf) => buf,
            Err(error) => {
                self.wrong(who, format_args!("{error}"));
                return;
            }
        };
        if buf.u64(header::OWNER) != u64::from(ag.0) {
            self.wrong(
                who,
                format_args!("header is of group {}", buf.u64(header::OWNER)),
            );
        }
        self.usage.claim(start);
        if has_backup(ag) {
            self.usage.claim(start.add(1));
        }

        let mut counts = Counts::default();
        let nodes = self.walk_group(ag, Kind::Refcount, &buf, &mut |checker, leaf, range| {
            checker.check_counts(ag, leaf, range, &mut counts);
        });
        let mut inode_blocks = Vec::new();
        let nodes = nodes
            + self.walk_group(ag, Kind::InodeMap, &buf, &mut |checker, leaf, _| {
                checker.inode_blocks(ag, Kind::InodeMap, leaf, &mut inode_blocks);
            });
        let mut with_free_slot = Vec::new();
        let nodes = nodes
            + self.walk_group(ag, Kind::FreeInode, &buf, &mut |checker, leaf, _| {
                checker.inode_blocks(ag, Kind::FreeInode, leaf, &mut with_free_slot);
            });

        let tree_blocks = buf.u32(group::TREE_BLOCKS);
        if u64::from(tree_blocks) != nodes {
            self.wrong(
                who,
                format_args!("counts {tree_blocks} blocks of its own trees, but has {nodes}"),
            );
        }
        let most = reserve(&self.geometry, ag);
        if tree_blocks > most {
            self.wrong(
                who,
                format_args!("has {tree_blocks} blocks of its own trees, more than {most}"),
            );
        }
        let count = buf.u32(group::INODE_BLOCKS);
        if count as usize != inode_blocks.len() {
            self.wrong(
                who,
                format_args!(
                    "counts {count} inode blocks, but has {}",
                    inode_blocks.len()
                ),
            );
        }
        let limit = inode_block_limit(self.geometry.group_len(ag));
        if inode_blocks.len() > limit as usize {
            self.wrong(
                who,
                format_args!("has {} inode blocks, more than {limit}", inode_blocks.len()),
            );
        }
        let group = Group {
            free: buf.u32(group::FREE),
            tree_blocks,
            free_inodes: buf.u32(group::FREE_INODES),
            inode_blocks,
            with_free_slot,
            counts,
        };
        self.groups.insert(ag, group);
    }

    /// Walks over one of the group's trees; returns its number of nodes.
    fn walk_group(
        &mut self,
        ag: AgNumber,
        kind: Kind,
        header: &Buf,
        leaf: &mut dyn FnMut(&mut Self, &Buf, Range),
    ) -> u64 {
        let at = match kind {
            Kind::Refcount => group::REFCOUNT_ROOT,
            Kind::InodeMap => group::INODE_ROOT,
            _ => group::FREE_INODE_ROOT,
        };
        let root = Root {
            block: FsBlock(header.u64(at)),
            height: u8::try_from(header.u32(at + 8)).unwrap_or(u8::MAX),
        };
        let walk = Walk {
            home: Some(ag),
            levels: tree_levels(&self.geometry) as usize,
            ..Walk::new(Subject::Group(ag), kind, u64::from(ag.0))
        };
        self.walk(&walk, root, leaf)
    }

    /// Checks the records of a leaf of the reference count tree.
    fn check_counts(&mut self, ag: AgNumber, leaf: &Buf, range: Range, counts: &mut Counts) {
        let who = Subject::Group(ag);
        let group_len = self.geometry.group_len(ag);
        for index in 0..node::count(leaf) {
            let Counted { first, len, count } = Array::get(leaf, index);
            let key = leaf.u64(record(leaf, Kind::Refcount, index));
            let end = key.saturating_add(u64::from(len));
            if key == 0 || len == 0 || end > u64::from(group_len) || end > range.to {
                self.wrong(
                    who,
                    format_args!("reference count of impossible blocks {key}, {len} of them"),
                );
                continue;
            }
            if count < 2 {
                self.wrong(
                    who,
                    format_args!("useless reference count {count} of block {first} of the group"),
                );
            }
            if !counts.push(first.0, len, count) {
                self.wrong(
                    who,
                    format_args!("reference count of block {first} of the group is told twice"),
                );
            }
        }
    }

    /// Collects the blocks in a leaf of one of the inode trees.
    fn inode_blocks(&mut self, ag: AgNumber, kind: Kind, leaf: &Buf, blocks: &mut Vec<u32>) {
        let group_len = self.geometry.group_len(ag);
        for index in 0..node::count(leaf) {
            let InodeBlock(block) = Array::get(leaf, index);
            let rest = leaf.u64(record(leaf, kind, index) + 8);
            if block.0 == 0 || block.0 >= group_len || rest != 0 {
                self.wrong(
                    Subject::Group(ag),
                    format_args!("{}: impossible record {block}, {rest}", kind.name()),
                );
                continue;
            }
            blocks.push(block.0);
        }
    }
}
