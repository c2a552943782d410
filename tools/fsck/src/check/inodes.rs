// SPDX-License-Identifier: GPL-2.0

//! Phase 2: inode blocks, and the fields of each inode.

use std::collections::HashMap;

use cowfs_core::block::Block;
use cowfs_core::btree::Root;
use cowfs_core::inode::symlink::MAX_TARGET;
use cowfs_core::inode::MAX_COW_EXTENT_SIZE;
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::ondisk::{header, Geometry, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgBlock, AgNumber, FsBlock, Ino};
use cowfs_image::volume::Buf;

use super::{Checker, Directory};
use crate::report::Subject;

/// The bits of the mode that tell the type, and its values (stat(2)).
pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFDIR: u16 = 0o040_000;
pub(crate) const S_IFREG: u16 = 0o100_000;
pub(crate) const S_IFLNK: u16 = 0o120_000;
const S_IFCHR: u16 = 0o020_000;
const S_IFBLK: u16 = 0o060_000;
const S_IFIFO: u16 = 0o010_000;
const S_IFSOCK: u16 = 0o140_000;

/// What later phases need to know of an inode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fact {
    /// The type bits of the mode; 0 if the inode is not in use.
    pub kind: u16,
    /// The inode's link count.
    pub links: u32,
    /// Directory entries that lead to it.
    pub found: u32,
}

/// The inodes of the volume.
#[derive(Debug)]
pub struct Inodes {
    slots: u64,
    blocks: HashMap<FsBlock, Box<[Fact]>>,
}

impl Inodes {
    /// No inodes.
    pub fn new(geometry: &Geometry) -> Self {
        Inodes {
            slots: geometry.inode_slots(),
            blocks: HashMap::new(),
        }
    }

    /// What is known of inode `ino`, if it is in use.
    pub fn get(&self, ino: Ino) -> Option<Fact> {
        let block = self.blocks.get(&FsBlock(ino.0 / self.slots))?;
        let fact = block.get((ino.0 % self.slots) as usize)?;
        (fact.kind != 0).then_some(*fact)
    }

    /// What is known of inode `ino`, if it is in use, to be changed.
    pub fn get_mut(&mut self, ino: Ino) -> Option<&mut Fact> {
        let block = self.blocks.get_mut(&FsBlock(ino.0 / self.slots))?;
        let fact = block.get_mut((ino.0 % self.slots) as usize)?;
        (fact.kind != 0).then_some(fact)
    }

    /// Adds inode `ino`, or replaces what is known of it.
    pub fn add(&mut self, ino: Ino, fact: Fact) {
        let slots = self.slots as usize;
        let at = FsBlock(ino.0 / self.slots);
        let block = self
            .blocks
            .entry(at)
            .or_insert_with(|| vec![Fact::default(); slots].into());
        if let Some(to) = block.get_mut(ino.0 as usize % slots) {
            *to = fact;
        }
    }

    /// The number of inodes in use.
    pub fn count(&self) -> u64 {
        let in_use = |facts: &[Fact]| facts.iter().filter(|fact| fact.kind != 0).count() as u64;
        self.blocks.values().map(|facts| in_use(facts)).sum()
    }

    /// All inodes in use, in order of their numbers.
    pub fn all(&self) -> Vec<(Ino, Fact)> {
        let mut all: Vec<_> = self
            .blocks
            .iter()
            .flat_map(|(at, facts)| {
                let first = at.0 * self.slots;
                (first..).map(Ino).zip(facts.iter().copied())
            })
            .filter(|(_, fact)| fact.kind != 0)
            .collect();
        all.sort_unstable_by_key(|(ino, _)| *ino);
        all
    }
}

/// Where an inode is: its number, its block and its byte offset there.
pub(super) struct Place<'a> {
    pub ino: Ino,
    pub buf: &'a Buf,
    pub at: usize,
}

impl Place<'_> {
    pub fn u8(&self, field: usize) -> u8 {
        self.buf.u8(self.at + field)
    }
    pub fn u16(&self, field: usize) -> u16 {
        self.buf.u16(self.at + field)
    }
    pub fn u32(&self, field: usize) -> u32 {
        self.buf.u32(self.at + field)
    }
    pub fn u64(&self, field: usize) -> u64 {
        self.buf.u64(self.at + field)
    }
    pub fn who(&self) -> Subject {
        Subject::Inode(self.ino)
    }
}

impl Checker<'_> {
    pub(super) fn check_inodes(&mut self) {
        self.orphans.sort_unstable();
        let groups: Vec<AgNumber> = self.groups.keys().copied().collect();
        let all: u64 = self
            .groups
            .values()
            .map(|group| group.inode_blocks.len() as u64)
            .sum();
        let mut done = 0;
        for ag in groups {
            let Some(group) = self.groups.get_mut(&ag) else {
                continue;
            };
            let blocks = std::mem::take(&mut group.inode_blocks);
            let with_free_slot = std::mem::take(&mut group.with_free_slot);
            let counted = group.free_inodes;
            let only = blocks.len() == 1;
            let mut free = 0;
            let mut listed = with_free_slot.iter().copied().peekable();
            for block in blocks {
                // Both lists ascend; what is in the second alone is found here.
                while let Some(other) = listed.next_if(|other| *other < block) {
                    self.not_an_inode_block(ag, other);
                }
                let is_listed = listed.next_if_eq(&block).is_some();
                free += self.check_inode_block(ag, AgBlock(block), is_listed, only);
                done += 1;
                if done % 16 == 0 {
                    self.progress("inode blocks", done, all);
                }
            }
            for other in listed {
                self.not_an_inode_block(ag, other);
            }
            if u64::from(counted) != free {
                self.wrong(
                    Subject::Group(ag),
                    format_args!("counts {counted} free inodes, but has {free}"),
                );
            }
        }
    }

    fn not_an_inode_block(&mut self, ag: AgNumber, block: u32) {
        let at = self.geometry.address(ag, AgBlock(block));
        self.wrong(
            Subject::Blocks(at, 1),
            format_args!("is in the free inode tree, but not in the inode map"),
        );
    }

    /// Checks an inode block; returns its number of free slots.
    fn check_inode_block(
        &mut self,
        ag: AgNumber,
        block: AgBlock,
        is_listed: bool,
        only: bool,
    ) -> u64 {
        let at = self.geometry.address(ag, block);
        let who = Subject::Blocks(at, 1);
        if !self.usage.claim(at) {
            self.wrong(
                who,
                format_args!("inode block is in use for something else"),
            );
            return 0;
        }
        let buf = match self.volume.read(at, Kind::Inodes) {
            Ok(buf) => buf,
            Err(error) => {
                self.wrong(Subject::Group(ag), format_args!("{error}"));
                return 0;
            }
        };
        if buf.u64(header::OWNER) != u64::from(ag.0) {
            self.wrong(
                who,
                format_args!("inode block is of group {}", buf.u64(header::OWNER)),
            );
        }
        let slots = self.geometry.inode_slots() as u32;
        let mask = u32::from(buf.u16(inode::IN_USE));
        if mask & 1 == 0 || mask >> slots != 0 {
            self.wrong(
                who,
                format_args!("impossible set of inodes in use, {mask:#x}"),
            );
        }
        let mut used = 0;
        for slot in 1..slots {
            let place = Place {
                ino: self.geometry.ino(at, slot),
                buf: &buf,
                at: slot as usize * inode::SIZE,
            };
            if (mask >> slot) & 1 != 0 {
                used += 1;
                self.check_inode(&place);
            } else if place.u16(inode::MAGIC) != 0 {
                self.wrong(place.who(), format_args!("is free, but not cleared"));
            }
        }
        let free = slots - 1 - used;
        if used == 0 && !only {
            self.wrong(
                who,
                format_args!("inode block without inodes was not freed"),
            );
        }
        if is_listed != (free > 0) {
            let (has, is) = match is_listed {
                true => ("no free inode", "is"),
                false => ("a free inode", "is not"),
            };
            self.wrong(
                who,
                format_args!("has {has}, but {is} in the free inode tree"),
            );
        }
        u64::from(free)
    }

    fn check_inode(&mut self, place: &Place<'_>) {
        let who = place.who();
        let kind = place.u16(inode::MODE) & S_IFMT;
        self.outcome.inodes += 1;
        self.inodes.add(
            place.ino,
            Fact {
                // An inode of unknown type is one all the same.
                kind: if kind == 0 { S_IFMT } else { kind },
                links: place.u32(inode::LINKS),
                found: 0,
            },
        );
        if place.u16(inode::MAGIC) != inode::MAGIC_VALUE {
            self.wrong(who, format_args!("wrong magic"));
            return;
        }
        self.check_fields(place);
        let format = place.u8(inode::FORMAT);
        let blocks = match (kind, Format::from_u8(format)) {
            (S_IFREG, Some(Format::Extents | Format::ExtentTree)) => self.check_fork(place),
            (S_IFDIR, Some(Format::Directory)) => {
                self.add_directory(place);
                return;
            }
            (S_IFLNK, Some(Format::Symlink)) => self.check_short_link(place),
            (S_IFLNK, Some(Format::LongSymlink)) => self.check_long_link(place),
            (S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK, Some(Format::None)) => Some(0),
            _ => {
                self.wrong(
                    who,
                    format_args!(
                        "format {format} does not go with mode {:o}",
                        place.u16(inode::MODE)
                    ),
                );
                return;
            }
        };
        // Where something is missing there was a finding already. The count of an inode of which nothing is to be
        // left is set right when that is done.
        let doomed = place.u32(inode::LINKS) == 0 || place.u64(inode::SIZE_BYTES) == 0;
        let doomed = doomed && self.orphans.binary_search(&place.ino).is_ok();
        if let (Some(found), false) = (blocks, doomed) {
            self.check_block_count(who, place.u64(inode::BLOCKS), found);
        }
    }

    pub(super) fn check_block_count(&mut self, who: Subject, counted: u64, found: u64) {
        if counted != found {
            self.wrong(
                who,
                format_args!("counts {counted} blocks, but points to {found}"),
            );
        }
    }

    /// Fields whose meaning is the same for all types.
    fn check_fields(&mut self, place: &Place<'_>) {
        let who = place.who();
        let unknown = place.u32(inode::FLAGS) & !inode::FLAGS_KNOWN;
        if unknown != 0 {
            self.wrong(who, format_args!("unknown flags {unknown:#x}"));
        }
        for (n, name) in ["atime", "mtime", "ctime", "btime"].iter().enumerate() {
            let nanoseconds = place.u32(inode::NANOSECONDS + 4 * n);
            if nanoseconds >= 1_000_000_000 {
                self.wrong(
                    who,
                    format_args!("{name} has {nanoseconds} nanoseconds, a second or more"),
                );
            }
        }
        if place.u64(inode::SIZE_BYTES) > i64::MAX as u64 {
            self.wrong(
                who,
                format_args!("impossible size {}", place.u64(inode::SIZE_BYTES)),
            );
        }
        let hint = place.u32(inode::COW_EXTENT_SIZE);
        if hint > MAX_COW_EXTENT_SIZE {
            self.wrong(
                who,
                format_args!("impossible CoW extent size of {hint} blocks"),
            );
        }
        let kind = place.u16(inode::MODE) & S_IFMT;
        if !matches!(kind, S_IFCHR | S_IFBLK) && place.u32(inode::RDEV) != 0 {
            self.wrong(who, format_args!("has a device number, but is no device"));
        }
        if kind != S_IFDIR && place.u64(inode::PARENT) != 0 {
            self.wrong(who, format_args!("has a parent, but is no directory"));
        }
        if kind != S_IFREG && place.u32(inode::FLAGS) & inode::FLAG_SHARED != 0 {
            self.wrong(
                who,
                format_args!("is marked shared, but is no regular file"),
            );
        }
    }

    fn add_directory(&mut self, place: &Place<'_>) {
        self.outcome.directories += 1;
        let directory = Directory {
            root: self.root_of(place),
            size: place.u64(inode::SIZE_BYTES),
            blocks: place.u64(inode::BLOCKS),
            parent: Ino(place.u64(inode::PARENT)),
            children: 0,
            found_in: None,
        };
        self.directories.insert(place.ino, directory);
    }

    /// The root of the tree in the inode.
    pub(super) fn root_of(&self, place: &Place<'_>) -> Root {
        Root {
            block: FsBlock(place.u64(inode::ROOT)),
            height: place.u8(inode::HEIGHT),
        }
    }

    /// A link target in the inode; returns the blocks it points to.
    fn check_short_link(&mut self, place: &Place<'_>) -> Option<u64> {
        let (size, count) = (place.u64(inode::SIZE_BYTES), place.u16(inode::COUNT));
        if size != u64::from(count) || size == 0 || size > inode::INLINE_SIZE as u64 {
            self.wrong(
                place.who(),
                format_args!("symbolic link of size {size} with {count} bytes in the inode"),
            );
            return None;
        }
        let mut target = vec![0; size as usize];
        place.buf.load(place.at + inode::INLINE, &mut target);
        if target.contains(&0) {
            self.wrong(
                place.who(),
                format_args!("symbolic link with NUL in its target"),
            );
        }
        Some(0)
    }

    /// A link target in blocks; returns the blocks it points to.
    fn check_long_link(&mut self, place: &Place<'_>) -> Option<u64> {
        let who = place.who();
        let (size, count) = (place.u64(inode::SIZE_BYTES), place.u16(inode::COUNT));
        let each = (self.geometry.block_size() - header::SIZE) as u64;
        if size <= inode::INLINE_SIZE as u64
            || u64::from(count) != size.div_ceil(each)
            || size > MAX_TARGET as u64
        {
            self.wrong(
                who,
                format_args!("symbolic link of size {size} in {count} blocks"),
            );
            return None;
        }
        for n in 0..u64::from(count) {
            let at = FsBlock(place.u64(inode::INLINE + 8 * n as usize));
            if !self.address_is_sound(who, Kind::Symlink, at) {
                return None;
            }
            if !self.usage.claim(at) {
                self.wrong(
                    who,
                    format_args!("symbolic link block {at}: the block is in use already"),
                );
                return None;
            }
            let buf = match self.volume.read(at, Kind::Symlink) {
                Ok(buf) => buf,
                Err(error) => {
                    self.wrong(who, format_args!("{error}"));
                    return None;
                }
            };
            if buf.u64(header::OWNER) != place.ino.0 {
                self.wrong(
                    who,
                    format_args!(
                        "symbolic link block {at}: belongs to {}",
                        buf.u64(header::OWNER)
                    ),
                );
            }
            let len = each.min(size - n * each) as usize;
            if buf.bytes()[header::SIZE..][..len].contains(&0) {
                self.wrong(who, format_args!("symbolic link with NUL in its target"));
            }
        }
        Some(u64::from(count))
    }
}
