// SPDX-License-Identifier: GPL-2.0

//! One slot of an inode block.

use cowfs_core::block::Block;
use cowfs_core::btree::Root;
use cowfs_core::ondisk::{inode, Kind};
use cowfs_core::units::{FsBlock, Ino};
use cowfs_image::overlay::Buf;

use super::Repair;
use crate::check::inodes::S_IFMT;
use crate::report::Subject;

/// Where an inode is: its number, its block and its byte offset there.
#[derive(Clone, Debug)]
pub struct Slot {
    pub ino: Ino,
    pub buf: Buf,
    pub at: usize,
}

impl Slot {
    /// All slots of the inode block at `at` but the header's. If it does not look like an inode
    /// block, there are none.
    pub fn all(repair: &Repair<'_>, block: FsBlock) -> Vec<Slot> {
        let Some((buf, _)) = repair.load(block, Kind::Inodes) else {
            return Vec::new();
        };
        Slot::of(repair, block, &buf)
    }

    /// All slots of this block but the header's, whatever it looks like.
    pub fn of(repair: &Repair<'_>, block: FsBlock, buf: &Buf) -> Vec<Slot> {
        (1..repair.geometry.inode_slots() as u32)
            .map(|slot| Slot {
                ino: repair.geometry.ino(block, slot),
                buf: buf.clone(),
                at: slot as usize * inode::SIZE,
            })
            .collect()
    }

    pub fn who(&self) -> Subject {
        Subject::Inode(self.ino)
    }
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

    /// Whether the block's header says that the slot holds an inode.
    pub fn is_in_use(&self) -> bool {
        let slot = self.at / inode::SIZE;
        (self.buf.u16(inode::IN_USE) >> slot) & 1 != 0
    }

    /// The bits of the mode that tell the type.
    pub fn kind_bits(&self) -> u16 {
        self.u16(inode::MODE) & S_IFMT
    }

    /// The root of the tree in the inode.
    pub fn root(&self) -> Root {
        Root {
            block: FsBlock(self.u64(inode::ROOT)),
            height: self.u8(inode::HEIGHT),
        }
    }
}

impl Repair<'_> {
    /// The slot of inode `ino`, of a block known to be one of inodes.
    pub(super) fn slot(&self, ino: Ino) -> Option<Slot> {
        let (block, at) = self.geometry.inode_at(ino)?;
        let (buf, _) = self.load(block, Kind::Inodes)?;
        Some(Slot { ino, buf, at })
    }

    /// Sets a field of 8 bits, saying nothing.
    pub(super) fn set_u8(&mut self, slot: &Slot, field: usize, value: u8) {
        self.touch(&slot.buf);
        slot.buf.set_u8(slot.at + field, value);
    }

    /// Sets a field of 16 bits, saying nothing.
    pub(super) fn set_u16(&mut self, slot: &Slot, field: usize, value: u16) {
        self.touch(&slot.buf);
        slot.buf.set_u16(slot.at + field, value);
    }

    /// Sets a field of 32 bits, saying nothing.
    pub(super) fn set_u32(&mut self, slot: &Slot, field: usize, value: u32) {
        self.touch(&slot.buf);
        slot.buf.set_u32(slot.at + field, value);
    }

    /// Sets a field of 64 bits, saying nothing.
    pub(super) fn set_u64(&mut self, slot: &Slot, field: usize, value: u64) {
        self.touch(&slot.buf);
        slot.buf.set_u64(slot.at + field, value);
    }

    /// Sets the root of the slot's tree.
    pub(super) fn set_root(&mut self, slot: &Slot, root: Root) {
        self.set_u64(slot, inode::ROOT, root.block.0);
        self.set_u8(slot, inode::HEIGHT, root.height);
    }
}
