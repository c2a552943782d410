// SPDX-License-Identifier: GPL-2.0

//! Finding the inode blocks, and what of the groups' own trees nobody may have.
//!
//! The inode map of a group says where its inodes are. If it cannot be read to its end, every block of
//! the group that its bitmap calls used (every one at all, if that cannot be read either) is looked at: an
//! inode block says that it is one. What a map leaves out without seeming damaged is found by the directories
//! that lead to it, by the list of orphans, or by the tree of blocks with free inodes.

use std::collections::{BTreeSet, HashSet};

use cowfs_core::block::Block;
use cowfs_core::btree::node::{self, Branch};
use cowfs_core::btree::{Array, Root, MAX_HEIGHT};
use cowfs_core::error::{Error, Result};
use cowfs_core::ondisk::superblock::has_backup;
use cowfs_core::ondisk::{group, header, summary, volume, Geometry, Kind};
use cowfs_core::space::credits::ORPHAN_LEVELS;
use cowfs_core::space::inodes::InodeBlock;
use cowfs_core::space::orphans::Orphan;
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgBlock, AgNumber, FsBlock, Ino};
use cowfs_image::overlay::Buf;

use super::slot::Slot;
use super::Repair;
use crate::check::inodes::S_IFDIR;
use crate::check::tree::record;
use crate::check::NEVER;
use crate::report::Subject;

/// A tree that belongs to no inode.
struct Own {
    kind: Kind,
    owner: u64,
    /// Its nodes, when it was walked over.
    nodes: Vec<FsBlock>,
    /// All of it can be read.
    sound: bool,
    /// Nodes that the device failed to read.
    unread: BTreeSet<FsBlock>,
}

impl Own {
    fn new(kind: Kind, owner: u64) -> Self {
        Own {
            kind,
            owner,
            nodes: Vec::new(),
            sound: true,
            unread: BTreeSet::new(),
        }
    }

    /// A group's tree is in the group, that of orphans anywhere.
    fn may_be_in(&self, ag: AgNumber) -> bool {
        self.kind == Kind::Orphan || self.owner == u64::from(ag.0)
    }
}

impl Repair<'_> {
    /// Finds out which groups are in use and where inodes are, and claims that.
    pub(super) fn find_groups(&mut self) -> Result {
        let known = self.summaries();
        let all = self.geometry.ag_count;
        let mut nodes = Vec::new();
        let mut hints = Vec::new();
        for ag in (0..all).map(AgNumber) {
            if ag.0 % 64 == 0 {
                self.progress("groups", u64::from(ag.0), u64::from(all));
            }
            let header = self.group_header(ag);
            let start = self.geometry.group_start(ag);
            let read = self.overlay.read(start, Kind::Group);
            let says = known.get(ag.0 as usize).copied().flatten();
            let unread = matches!(read, Err(Error::Io(_))) && says != Some(summary::UNUSED);
            if unread && (says.is_none() || !self.is_journal_whole()) {
                self.unread.borrow_mut().insert(start);
            }
            if header.is_none() && says.is_none_or(|says| says == summary::UNUSED) {
                continue;
            }
            self.use_group(ag);
            let mut map = Own::new(Kind::InodeMap, u64::from(ag.0));
            let mut blocks = Vec::new();
            if let Some(header) = &header {
                let root = root_at(header, group::INODE_ROOT);
                self.walk_own(&mut map, root, &mut |leaf| {
                    for n in 0..node::count(leaf) {
                        let InodeBlock(block) = Array::get(leaf, n);
                        blocks.push((block, leaf.u64(record(leaf, Kind::InodeMap, n) + 8)));
                    }
                });
                for (kind, at) in [
                    (Kind::Refcount, group::REFCOUNT_ROOT),
                    (Kind::FreeInode, group::FREE_INODE_ROOT),
                ] {
                    let mut tree = Own::new(kind, u64::from(ag.0));
                    self.walk_own(&mut tree, root_at(header, at), &mut |leaf| {
                        if kind == Kind::FreeInode {
                            let blocks = (0..node::count(leaf)).map(|n| Array::get(leaf, n));
                            hints
                                .extend(blocks.map(|InodeBlock(at)| self.geometry.address(ag, at)));
                        }
                    });
                    nodes.append(&mut tree.nodes);
                    self.note_unread(&mut tree);
                }
            }
            let len = self.geometry.group_len(ag);
            let impossible =
                |&(block, rest): &(AgBlock, u64)| block.0 == 0 || block.0 >= len || rest != 0;
            let complete = header.is_some() && map.sound && !blocks.iter().any(impossible);
            nodes.append(&mut map.nodes);
            self.note_unread(&mut map);
            let counted = header
                .as_ref()
                .map(|header| header.u32(group::INODE_BLOCKS));
            // A group that ever had one keeps a block of inodes: without, the header may be older than that.
            let agree = !blocks.is_empty() && counted == u32::try_from(blocks.len()).ok();
            if complete && agree && self.is_journal_whole() {
                self.settled.insert(ag);
            }
            for (block, _) in blocks {
                if block.0 == 0 || block.0 >= len {
                    continue;
                }
                let at = self.geometry.address(ag, block);
                // What something else has must not be taken away from that.
                if self.load(at, Kind::Inodes).is_some() {
                    self.add_inode_block(at);
                } else {
                    let who = Subject::Blocks(at, 1);
                    self.lost(who, format_args!("inode block: unreadable: removed"));
                }
            }
            if !complete && self.search_group(ag, header.as_ref()) && unread {
                // Only its bitmap tells what was freed from what is in use.
                self.unread.borrow_mut().insert(start);
            }
        }
        let slots = self.geometry.inode_slots();
        hints.extend(self.orphans.iter().map(|ino| FsBlock(ino.0 / slots)));
        self.ensure_root_block()?;
        for at in hints {
            self.adopt(at);
        }
        self.follow_directories();
        for at in nodes {
            if self.usage.claim(at) {
                self.trees.claim(at);
            }
        }
        let orphans = std::mem::take(&mut self.orphan_nodes);
        if orphans.iter().any(|at| self.usage.is_claimed(*at)) {
            self.orphans_sound = false;
        }
        if self.orphans_sound {
            for at in orphans {
                self.claim(at);
            }
        }
        Ok(())
    }

    /// What could not be read of a group's own tree is known to be that, unless what points there may be older than
    /// that.
    fn note_unread(&mut self, tree: &mut Own) {
        let nodes = std::mem::take(&mut tree.unread);
        if self.is_journal_whole() {
            self.group_nodes.extend(nodes);
        } else {
            self.unread.borrow_mut().extend(nodes);
        }
    }

    /// Adds a block that something takes for one of inodes, if it is one; false if not, or if that is
    /// known. One that was freed still looks like one: if all that the group says agrees that it was, it
    /// was, and its files' blocks may be another's by now.
    fn adopt(&mut self, at: FsBlock) -> bool {
        let is_one = |ag| {
            !self.usage.is_claimed(at)
                && self.is_inode_block(at, ag)
                && !self.is_surely_free(at, ag)
        };
        if !self.group_of(at).is_some_and(is_one) {
            return false;
        }
        self.add_inode_block(at);
        self.lost(
            Subject::Blocks(at, 1),
            format_args!("inode block missing in the inode map: found all the same"),
        );
        // All else that the group says may be just as old.
        self.outdated.extend(self.group_of(at));
        true
    }

    /// Whether block `at` of a group whose inode blocks are all known is free.
    fn is_surely_free(&self, at: FsBlock, ag: AgNumber) -> bool {
        let n = at.since(self.geometry.group_start(ag));
        let word = group::BITMAP + (n / 64) as usize * 8;
        let header = self.settled.contains(&ag).then(|| self.group_header(ag));
        let marked = |header: Buf| (header.u64(word) >> (n % 64)) & 1 != 0;
        header.flatten().is_some_and(|header| !marked(header))
    }

    /// Reads the summary: of each group its byte, or `None` where that is lost. Summary blocks that are
    /// lost are made anew.
    fn summaries(&mut self) -> Vec<Option<u8>> {
        let geometry = self.geometry.clone();
        let mut known = vec![None; geometry.ag_count as usize];
        let per = geometry.groups_per_summary() as usize;
        for n in 0..geometry.summary_blocks as usize {
            let at = geometry.summary_start.add(n as u64);
            let Ok(buf) = self.overlay.read(at, Kind::Summary) else {
                let who = Subject::Blocks(at, 1);
                self.safe(who, format_args!("summary block: made anew"));
                // The overlay takes any block.
                let _ = self.overlay.create(at, Kind::Summary, 0);
                continue;
            };
            for slot in 0..per {
                let byte = buf.u8(header::SIZE + slot);
                match known.get_mut(n * per + slot) {
                    Some(to) => *to = Some(byte),
                    None if byte != 0 => {
                        self.touch(&buf);
                        buf.set_u8(header::SIZE + slot, 0);
                        let who = Subject::Blocks(at, 1);
                        self.safe(who, format_args!("byte of no group cleared"));
                    }
                    None => {}
                }
            }
        }
        known
    }

    /// The header of a group, if it is sound.
    pub(super) fn group_header(&self, ag: AgNumber) -> Option<Buf> {
        let header = self
            .overlay
            .read(self.geometry.group_start(ag), Kind::Group);
        header
            .ok()
            .filter(|header| header.u64(header::OWNER) == u64::from(ag.0))
    }

    /// The group has, or gets, a header.
    pub(super) fn use_group(&mut self, ag: AgNumber) {
        if !self.used.insert(ag) {
            return;
        }
        let start = self.geometry.group_start(ag);
        self.usage.claim(start);
        if has_backup(ag) {
            self.usage.claim(start.add(1));
        }
    }

    /// Claims block `at` for one owner alone; false if it has one already, or is in no group.
    pub(super) fn claim(&mut self, at: FsBlock) -> bool {
        let Some(ag) = self.group_of(at) else {
            return false;
        };
        self.use_group(ag);
        self.usage.claim(at)
    }

    fn add_inode_block(&mut self, at: FsBlock) {
        if !self.inode_blocks.contains_key(&at) && self.claim(at) {
            self.inode_blocks.insert(at, 0);
        }
    }

    /// Looks at each block of a group whether it is an inode block. Returns whether one was found.
    fn search_group(&mut self, ag: AgNumber, header: Option<&Buf>) -> bool {
        let mut found = 0;
        for n in 1..self.geometry.group_len(ag) {
            let word = header.map(|header| header.u64(group::BITMAP + (n / 64) as usize * 8));
            let marked = word.is_none_or(|word| (word >> (n % 64)) & 1 != 0);
            let at = self.geometry.address(ag, AgBlock(n));
            if marked && !self.usage.is_claimed(at) && self.is_inode_block(at, ag) {
                self.add_inode_block(at);
                found += 1;
            }
        }
        let who = Subject::Group(ag);
        if found > 0 {
            self.lost(
                who,
                format_args!("inode map damaged: {found} inode blocks found by searching"),
            );
        } else {
            self.safe(
                who,
                format_args!("inode map damaged: no other inode blocks in the group"),
            );
        }
        found > 0
    }

    /// Whether that is an inode block of the group. If it is damaged it is one all the same: each of its inodes
    /// is looked at for itself.
    fn is_inode_block(&self, at: FsBlock, ag: AgNumber) -> bool {
        let pointed_to = self.unread.borrow().contains(&at);
        let loaded = self.load(at, Kind::Inodes);
        if !pointed_to && self.unread.borrow_mut().remove(&at) {
            self.probed.borrow_mut().insert(at);
        }
        loaded.is_some_and(|(buf, _)| buf.u64(header::OWNER) == u64::from(ag.0))
    }

    /// Adds inode blocks that directories lead to, and those that the directories in them lead to.
    fn follow_directories(&mut self) {
        let mut queue: Vec<FsBlock> = self.inode_blocks.keys().copied().collect();
        let mut met = HashSet::new();
        while let Some(at) = queue.pop() {
            let mut named = Vec::new();
            for slot in Slot::all(self, at) {
                if slot.is_in_use() && slot.kind_bits() == S_IFDIR {
                    self.named_by(slot.root(), &mut met, &mut named);
                }
            }
            for ino in named {
                let block = FsBlock(ino.0 / self.geometry.inode_slots());
                let mut slots = Slot::all(self, block).into_iter();
                if slots.any(|slot| slot.ino == ino && slot.is_in_use()) && self.adopt(block) {
                    queue.push(block);
                }
            }
        }
    }

    /// Collects the inodes a directory's entries name, as far as it is sound, that lie in unknown blocks.
    fn named_by(&self, root: Root, met: &mut HashSet<FsBlock>, named: &mut Vec<Ino>) {
        let mut todo = vec![(root.block, usize::from(root.height))];
        while let Some((at, height)) = todo.pop() {
            let Some(level) = height.checked_sub(1).filter(|level| *level < MAX_HEIGHT) else {
                continue;
            };
            if !met.insert(at) {
                continue;
            }
            let Ok(buf) = self.overlay.read(at, Kind::Directory) else {
                continue;
            };
            if node::level(&buf) != level {
                continue;
            }
            for n in 0..node::count(&buf) {
                if level > 0 {
                    let branch: Branch = Array::get(&buf, n);
                    todo.push((branch.child, level));
                    continue;
                }
                let ino = Ino(buf.u64(record(&buf, Kind::Directory, n) + 8));
                let known = self.geometry.inode_at(ino);
                if known.is_some_and(|(block, _)| !self.inode_blocks.contains_key(&block)) {
                    named.push(ino);
                }
            }
        }
    }

    /// Reads the orphan tree.
    pub(super) fn find_orphans(&mut self) {
        let buf = match self.overlay.read(Geometry::VOLUME, Kind::Volume) {
            Ok(buf) => buf,
            Err(Error::Io(at)) => return self.orphans_are_lost(at),
            Err(_) => return,
        };
        self.epoch = Some(buf.u64(volume::EPOCH))
            .filter(|epoch| *epoch < NEVER)
            .unwrap_or(0);
        let mut tree = Own::new(Kind::Orphan, 0);
        let mut found = Vec::new();
        let root = root_at(&buf, volume::ORPHAN_ROOT);
        let mut reserved = false;
        self.walk_own(&mut tree, root, &mut |leaf| {
            for n in 0..node::count(leaf) {
                let Orphan(ino) = Array::get(leaf, n);
                reserved |= leaf.u64(record(leaf, Kind::Orphan, n) + 8) != 0;
                found.push(ino);
            }
        });
        // The record that is always there.
        let begins_well = root.is_empty() || found.first() == Some(&Ino(0));
        self.orphans = found.into_iter().filter(|ino| ino.0 != 0).collect();
        let low = u32::from(root.height) <= ORPHAN_LEVELS;
        self.orphans_sound = tree.sound && low && begins_well && !reserved;
        self.orphan_nodes = tree.nodes;
        if let Some(at) = tree.unread.first() {
            self.orphans_are_lost(*at);
        }
    }

    /// The orphan list is not known yet, for want of block `at`.
    fn orphans_are_lost(&mut self, at: FsBlock) {
        self.unread.borrow_mut().insert(at);
        self.lost(
            Subject::Volume,
            format_args!("list of orphans: block {at} cannot be read: dropped"),
        );
    }

    /// Walks over one of the trees that no inode has; nodes that cannot be read are left out.
    fn walk_own(&self, tree: &mut Own, root: Root, leaf: &mut dyn FnMut(&Buf)) {
        let height = usize::from(root.height);
        if height > MAX_HEIGHT || root.block.is_null() != root.is_empty() {
            tree.sound = false;
            return;
        }
        // Each with its level and the keys it may hold; the leftmost on top.
        let mut todo = match height {
            0 => Vec::new(),
            height => vec![(root.block, height - 1, 0, u64::MAX)],
        };
        let mut met = HashSet::new();
        while let Some((at, level, from, to)) = todo.pop() {
            let read = self.overlay.read(at, tree.kind);
            if matches!(read, Err(Error::Io(_))) {
                tree.unread.insert(at);
            }
            let sound = read.ok().filter(|buf| {
                node::level(buf) == level
                    && buf.u64(header::OWNER) == tree.owner
                    && self.group_of(at).is_some_and(|ag| tree.may_be_in(ag))
                    && first_and_last(buf).is_some_and(|(a, b)| a >= from && b < to)
                    && met.insert(at)
            });
            let Some(buf) = sound else {
                tree.sound = false;
                continue;
            };
            tree.nodes.push(at);
            if level == 0 {
                leaf(&buf);
                continue;
            }
            let mut to = to;
            for n in (0..node::count(&buf)).rev() {
                let branch: Branch = Array::get(&buf, n);
                let begin = if n == 0 { from } else { branch.key };
                todo.push((branch.child, level - 1, begin, to));
                to = branch.key;
            }
        }
    }

    /// Inodes in a block: the number of slots in it that can be one.
    pub(super) fn slots(&self) -> u32 {
        self.geometry.inode_slots() as u32
    }
}

/// The first and the last key of a sound node with records of 16 bytes.
fn first_and_last(buf: &Buf) -> Option<(u64, u64)> {
    let last = node::count(buf).checked_sub(1)?;
    Some((buf.u64(header::SIZE), buf.u64(header::SIZE + 16 * last)))
}

/// The root stored at byte `at` of a header.
pub(super) fn root_at(buf: &Buf, at: usize) -> Root {
    Root {
        block: FsBlock(buf.u64(at)),
        height: u8::try_from(buf.u32(at + 8)).unwrap_or(u8::MAX),
    }
}
