// SPDX-License-Identifier: GPL-2.0

//! Inodes: their blocks, their fields, and the metadata that they have.
//!
//! An inode block that is damaged is looked at slot by slot: each inode says that it is one. What an inode
//! points to is claimed, and pruned of what nobody can read.

use cowfs_core::block::Block;
use cowfs_core::inode::symlink::{MAX_BLOCKS, MAX_TARGET};
use cowfs_core::inode::{FileType, MAX_COW_EXTENT_SIZE};
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::units::{FsBlock, Ino};
use cowfs_core::{error::Result, store::Transaction};

use super::directories::Directory;
use super::slot::Slot;
use super::Repair;
use crate::check::inodes::{Fact, S_IFMT};
use crate::report::Subject;

const SECOND: u32 = 1_000_000_000;

impl Repair<'_> {
    /// Repairs all inodes as such.
    pub(super) fn inodes(&mut self) -> Result {
        let blocks: Vec<FsBlock> = self.inode_blocks.keys().copied().collect();
        let all = blocks.len() as u64;
        for (done, at) in blocks.into_iter().enumerate() {
            if done % 16 == 0 {
                self.progress("inode blocks", done as u64, all);
            }
            self.inode_block(at)?;
        }
        self.ensure_root()
    }

    fn inode_block(&mut self, at: FsBlock) -> Result {
        let who = Subject::Blocks(at, 1);
        let Some(ag) = self.group_of(at) else {
            return Ok(());
        };
        let Some((buf, sound)) = self.load(at, Kind::Inodes) else {
            self.lost(who, format_args!("inode block: unreadable: removed"));
            self.drop_inode_block(at);
            return Ok(());
        };
        if !sound || buf.u64(header::OWNER) != u64::from(ag.0) {
            self.touch(&buf);
            if !sound {
                self.lost(
                    who,
                    format_args!("inode block: damaged: what makes sense in it is kept"),
                );
                buf.clear(0, inode::IN_USE);
            } else {
                self.safe(who, format_args!("inode block: owner corrected"));
            }
            header::init(&buf, &self.geometry, at, Kind::Inodes, u64::from(ag.0));
        }
        let before = buf.u16(inode::IN_USE);
        let mut used = 1;
        for slot in Slot::of(self, at, &buf) {
            let bit = 1u16 << (slot.at / inode::SIZE);
            let says = before & bit != 0;
            let magic = slot.u16(inode::MAGIC);
            let is_one = magic == inode::MAGIC_VALUE;
            if !says && magic == 0 {
                continue;
            }
            // Of whether there is an inode the mask and the magic are witnesses; if they disagree, its
            // fields decide.
            let certain = says && is_one && sound;
            if (certain || self.looks_like_an_inode(&slot)) && self.inode(&slot) {
                used |= bit;
                if !is_one {
                    self.set_u16(&slot, inode::MAGIC, inode::MAGIC_VALUE);
                }
                if sound && !(says && is_one) {
                    self.lost(slot.who(), format_args!("not certain whether in use: kept"));
                }
                continue;
            }
            if says || is_one {
                self.lost(slot.who(), format_args!("damaged beyond repair: removed"));
            } else {
                self.safe(slot.who(), format_args!("free: cleared"));
            }
            self.clear_slot(&slot);
        }
        if used != before {
            self.touch(&buf);
            buf.set_u16(inode::IN_USE, used);
            self.safe(who, format_args!("set of inodes in use corrected"));
        }
        if used == 1 {
            self.safe(who, format_args!("inode block without inodes removed"));
            self.drop_inode_block(at);
            return Ok(());
        }
        let free = self.slots().saturating_sub(used.count_ones());
        self.inode_blocks.insert(at, free);
        Ok(())
    }

    fn drop_inode_block(&mut self, at: FsBlock) {
        self.inode_blocks.remove(&at);
        self.usage.release(at);
        // It is not metadata any more.
        let _ = self.overlay.forget(at);
    }

    fn clear_slot(&mut self, slot: &Slot) {
        self.touch(&slot.buf);
        let generation = slot.u32(inode::GENERATION);
        slot.buf.clear(slot.at, inode::SIZE);
        slot.buf.set_u32(slot.at + inode::GENERATION, generation);
    }

    /// Whether the fields that can be wrong are not.
    fn looks_like_an_inode(&self, slot: &Slot) -> bool {
        let kind = FileType::in_mode(slot.u16(inode::MODE));
        let format = Format::from_u8(slot.u8(inode::FORMAT));
        let times = (0..4).all(|n| slot.u32(inode::NANOSECONDS + 4 * n) < SECOND);
        let together = kind
            .zip(format)
            .is_some_and(|(kind, format)| kind.allows(format));
        together
            && times
            && slot.u64(inode::SIZE_BYTES) <= i64::MAX as u64
            && slot.u32(inode::FLAGS) & !inode::FLAGS_KNOWN == 0
            && slot.u32(inode::COW_EXTENT_SIZE) <= MAX_COW_EXTENT_SIZE
    }

    /// Repairs an inode; false if nothing can be made of it.
    fn inode(&mut self, slot: &Slot) -> bool {
        let Some((kind, format)) = self.file_type(slot) else {
            return false;
        };
        if slot.ino == self.geometry.root && kind != FileType::Directory {
            return false;
        }
        let mode = slot.u16(inode::MODE);
        if mode & S_IFMT != kind.mode() {
            self.set_u16(slot, inode::MODE, (mode & !S_IFMT) | kind.mode());
            self.lost(
                slot.who(),
                format_args!("taken for a file of type {:#o}", kind as u8),
            );
        }
        if slot.u8(inode::FORMAT) != format as u8 {
            self.set_u8(slot, inode::FORMAT, format as u8);
            self.lost(
                slot.who(),
                format_args!("taken for one of format {}", format as u8),
            );
        }
        if kind == FileType::Symlink && !self.link(slot, format) {
            return false;
        }
        self.fields(slot, kind);
        self.inodes.add(
            slot.ino,
            Fact {
                kind: kind.mode(),
                links: slot.u32(inode::LINKS),
                found: 0,
            },
        );
        match kind {
            FileType::Regular => self.fork_nodes(slot),
            FileType::Directory => {
                self.directory_nodes(slot);
                let directory = Directory::new(Ino(slot.u64(inode::PARENT)));
                self.directories.insert(slot.ino, directory);
            }
            FileType::Symlink => {}
            _ => self.set_blocks(slot, 0),
        }
        true
    }

    /// Fields whose meaning is the same for all types.
    fn fields(&mut self, slot: &Slot, kind: FileType) {
        let flags = slot.u32(inode::FLAGS);
        let known = match kind {
            FileType::Regular => inode::FLAGS_KNOWN,
            _ => 0,
        };
        let mut wrong = false;
        if flags & !known != 0 {
            self.set_u32(slot, inode::FLAGS, flags & known);
            wrong = true;
        }
        for field in (0..4).map(|n| inode::NANOSECONDS + 4 * n) {
            if slot.u32(field) >= SECOND {
                self.set_u32(slot, field, 0);
                wrong = true;
            }
        }
        if slot.u32(inode::COW_EXTENT_SIZE) > MAX_COW_EXTENT_SIZE {
            self.set_u32(slot, inode::COW_EXTENT_SIZE, 0);
            wrong = true;
        }
        let is_device = matches!(kind, FileType::CharDevice | FileType::BlockDevice);
        if !is_device && slot.u32(inode::RDEV) != 0 {
            self.set_u32(slot, inode::RDEV, 0);
            wrong = true;
        }
        if kind != FileType::Directory && slot.u64(inode::PARENT) != 0 {
            self.set_u64(slot, inode::PARENT, 0);
            wrong = true;
        }
        // That of a regular file follows from its contents, that of a directory from its entries.
        let has_contents = matches!(kind, FileType::Regular | FileType::Directory);
        if !has_contents && slot.u64(inode::SIZE_BYTES) > i64::MAX as u64 {
            self.set_u64(slot, inode::SIZE_BYTES, 0);
            wrong = true;
        }
        if wrong {
            self.safe(slot.who(), format_args!("impossible fields cleared"));
        }
    }

    /// Sets the number of blocks an inode points to.
    pub(super) fn set_blocks(&mut self, slot: &Slot, blocks: u64) {
        let counted = slot.u64(inode::BLOCKS);
        if counted != blocks {
            self.set_u64(slot, inode::BLOCKS, blocks);
            self.safe(
                slot.who(),
                format_args!("count of blocks was {counted}, is {blocks}"),
            );
        }
    }

    /// Repairs a symbolic link; false if its target is lost.
    fn link(&mut self, slot: &Slot, format: Format) -> bool {
        let (size, count) = (slot.u64(inode::SIZE_BYTES), slot.u16(inode::COUNT));
        let (len, count, blocks) = if format == Format::Symlink {
            let mut target = [0; inode::INLINE_SIZE];
            slot.buf.load(slot.at + inode::INLINE, &mut target);
            let len = text(&target).min(usize::from(count).max(size.min(128) as usize));
            (len, len, 0)
        } else {
            let Some((blocks, len)) = self.link_blocks(slot) else {
                return false;
            };
            for at in &blocks {
                self.claim(*at);
                if let Some((buf, false)) = self.load(*at, Kind::Symlink) {
                    self.touch(&buf);
                    self.lost(
                        slot.who(),
                        format_args!("symbolic link block {at}: damaged: kept as it is"),
                    );
                }
            }
            (len, blocks.len(), blocks.len() as u64)
        };
        if len == 0 {
            return false;
        }
        if size != len as u64 || usize::from(slot.u16(inode::COUNT)) != count {
            self.set_u64(slot, inode::SIZE_BYTES, len as u64);
            self.set_u16(slot, inode::COUNT, count as u16);
            self.lost(
                slot.who(),
                format_args!("symbolic link: taken for one of {len} bytes"),
            );
        }
        self.set_blocks(slot, blocks);
        true
    }

    /// The blocks of a long link's target, and its length; `None` if one of them is lost.
    fn link_blocks(&mut self, slot: &Slot) -> Option<(Vec<FsBlock>, usize)> {
        let each = self.geometry.block_size() - header::SIZE;
        let size = usize::try_from(slot.u64(inode::SIZE_BYTES)).unwrap_or(usize::MAX);
        let counts = [usize::from(slot.u16(inode::COUNT)), size.div_ceil(each)];
        counts.into_iter().find_map(|count| {
            if !(1..=MAX_BLOCKS).contains(&count) {
                return None;
            }
            let mut blocks = Vec::with_capacity(count);
            let mut target = Vec::new();
            for n in 0..count {
                let at = FsBlock(slot.u64(inode::INLINE + 8 * n));
                let mine = self.geometry.in_one_group(at, 1)
                    && !self.usage.is_claimed(at)
                    && !blocks.contains(&at);
                let (buf, _) = self.load(at, Kind::Symlink).filter(|_| mine)?;
                if buf.u64(header::OWNER) != slot.ino.0 {
                    return None;
                }
                let mut piece = vec![0; each];
                buf.load(header::SIZE, &mut piece);
                target.append(&mut piece);
                blocks.push(at);
            }
            let len = text(&target).min(MAX_TARGET);
            let fits = len > inode::INLINE_SIZE && len.div_ceil(each) == count;
            fits.then_some((blocks, len))
        })
    }

    /// Makes the block of the root directory's inode one of inodes before anybody else claims it.
    pub(super) fn ensure_root_block(&mut self) -> Result {
        let root = self.geometry.root;
        let Some((at, _)) = self.geometry.inode_at(root) else {
            return Ok(());
        };
        if self.inode_blocks.contains_key(&at) {
            return Ok(());
        }
        let Some(ag) = self.group_of(at) else {
            return Ok(());
        };
        self.claim(at);
        self.inode_blocks.insert(at, 0);
        if self.load(at, Kind::Inodes).is_none() {
            let buf = self.overlay.create(at, Kind::Inodes, u64::from(ag.0))?;
            buf.set_u16(inode::IN_USE, 1);
        }
        Ok(())
    }

    /// Makes a root directory if there is none.
    fn ensure_root(&mut self) -> Result {
        let root = self.geometry.root;
        if self.directories.contains_key(&root) {
            return Ok(());
        }
        let Some((at, offset)) = self.geometry.inode_at(root) else {
            return Ok(());
        };
        let buf = match self.load(at, Kind::Inodes) {
            Some((buf, _)) if self.inode_blocks.contains_key(&at) => buf,
            _ => {
                let ag = self.group_of(at).unwrap_or_default();
                self.claim(at);
                let buf = self.overlay.create(at, Kind::Inodes, u64::from(ag.0))?;
                buf.set_u16(inode::IN_USE, 1);
                buf
            }
        };
        let slot = Slot {
            ino: root,
            buf,
            at: offset,
        };
        self.clear_slot(&slot);
        self.set_u16(&slot, inode::MAGIC, inode::MAGIC_VALUE);
        self.set_u16(&slot, inode::MODE, FileType::Directory.mode() | 0o755);
        self.set_u32(&slot, inode::LINKS, 2);
        self.set_u64(&slot, inode::PARENT, root.0);
        self.set_u8(&slot, inode::FORMAT, Format::Directory as u8);
        let used = slot.buf.u16(inode::IN_USE) | (1 << (offset / inode::SIZE));
        slot.buf.set_u16(inode::IN_USE, used);
        let free = self.slots().saturating_sub(used.count_ones());
        self.inode_blocks.insert(at, free);
        let fact = Fact {
            kind: FileType::Directory.mode(),
            links: 2,
            found: 0,
        };
        self.inodes.add(root, fact);
        self.directories.insert(root, Directory::new(root));
        self.lost(slot.who(), format_args!("root directory lost: made anew"));
        Ok(())
    }
}

/// The length of the text at the start, up to the first NUL.
fn text(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|byte| *byte == 0);
    end.unwrap_or(bytes.len())
}
