// SPDX-License-Identifier: GPL-2.0

//! The fixed layout of a volume: what follows from the superblock and never changes while the
//! volume is mounted.

use super::super::units::{div, rem, AgBlock, AgNumber, FsBlock, Ino};
use super::superblock::has_backup;
use super::{group, header, inode};

/// Smallest block size, in bytes.
pub const MIN_BLOCK_SIZE: u32 = 1024;
/// Largest block size, in bytes.
pub const MAX_BLOCK_SIZE: u32 = 4096;
/// Fewest blocks the last group may have; a shorter remainder is left unused.
pub const MIN_GROUP_BLOCKS: u32 = 64;

/// A volume's fixed layout.
///
/// Made from a verified superblock only ([`super::Superblock::geometry`]), so all its fields agree:
/// the block size is a power of two in range, `ag_blocks` is from [`MIN_GROUP_BLOCKS`] to
/// what one bitmap holds, every group lies inside the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The UUID found in every metadata block.
    pub uuid: [u8; 16],
    /// log2 of the block size in bytes.
    pub block_shift: u8,
    /// Blocks of the volume.
    pub blocks: u64,
    /// First block of group 0.
    pub ag_start: FsBlock,
    /// Blocks of a group; the last one may have fewer.
    pub ag_blocks: u32,
    /// Number of groups, at least 1.
    pub ag_count: u32,
    /// First summary block.
    pub summary_start: FsBlock,
    /// Number of summary blocks.
    pub summary_blocks: u32,
    /// First block of the journal.
    pub journal_start: FsBlock,
    /// Blocks of the journal.
    pub journal_blocks: u32,
    /// The root directory's inode.
    pub root: Ino,
    /// Key of the directory hash.
    pub hash_seed: [u8; 16],
}

impl Geometry {
    /// The volume block's address.
    pub const VOLUME: FsBlock = FsBlock(1);

    /// Block size in bytes.
    #[inline]
    pub const fn block_size(&self) -> usize {
        1 << self.block_shift
    }

    /// Most blocks a group can have with this block size: as many as one bitmap has bits, in
    /// whole 64-bit words.
    pub const fn max_group_blocks(block_size: usize) -> u32 {
        ((block_size - group::BITMAP) * 8) as u32
    }

    /// The group's number of blocks, its header block included.
    #[inline]
    pub fn group_len(&self, ag: AgNumber) -> u32 {
        let start = self.group_start(ag).0;
        let left = self.blocks.saturating_sub(start);
        left.min(u64::from(self.ag_blocks)) as u32
    }

    /// First block of the group: its header.
    #[inline]
    pub fn group_start(&self, ag: AgNumber) -> FsBlock {
        self.ag_start
            .add(u64::from(ag.0).saturating_mul(u64::from(self.ag_blocks)))
    }

    /// The group that block `at` is in, and where; `None` for the blocks before the first group
    /// and beyond the last.
    #[inline]
    pub fn locate(&self, at: FsBlock) -> Option<(AgNumber, AgBlock)> {
        if at < self.ag_start || at.0 >= self.blocks {
            return None;
        }
        let offset = at.since(self.ag_start);
        let ag = div(offset, u64::from(self.ag_blocks));
        if ag >= u64::from(self.ag_count) {
            return None;
        }
        let block = rem(offset, u64::from(self.ag_blocks));
        Some((AgNumber(ag as u32), AgBlock(block as u32)))
    }

    /// The address of block `block` of group `ag`.
    #[inline]
    pub fn address(&self, ag: AgNumber, block: AgBlock) -> FsBlock {
        self.group_start(ag).add(u64::from(block.0))
    }

    /// Whether block `at` is in group `ag`.
    #[inline]
    pub fn is_in(&self, at: FsBlock, ag: AgNumber) -> bool {
        let start = self.group_start(ag);
        at >= start && at.since(start) < u64::from(self.group_len(ag))
    }

    /// Whether `[at, at + len)` lies in one group and touches neither its header nor a superblock's backup.
    pub fn in_one_group(&self, at: FsBlock, len: u32) -> bool {
        match self.locate(at) {
            Some((ag, first)) => {
                is_for_use(ag, first)
                    && len > 0
                    && u64::from(first.0) + u64::from(len) <= u64::from(self.group_len(ag))
            }
            None => false,
        }
    }

    /// Inode slots in an inode block; slot 0 is the block's header.
    #[inline]
    pub const fn inode_slots(&self) -> u64 {
        (self.block_size() / inode::SIZE) as u64
    }

    /// Inodes that an inode block can hold.
    #[inline]
    pub const fn inodes_in_block(&self) -> u64 {
        self.inode_slots().saturating_sub(1)
    }

    /// The block that holds inode `ino` and the byte offset of the inode in it; `None` if there
    /// can be no such inode.
    pub fn inode_at(&self, ino: Ino) -> Option<(FsBlock, usize)> {
        let slots = self.inode_slots();
        let (at, slot) = (FsBlock(div(ino.0, slots)), rem(ino.0, slots));
        match self.locate(at) {
            Some((ag, block)) if is_for_use(ag, block) && slot > 0 => {
                Some((at, slot as usize * inode::SIZE))
            }
            _ => None,
        }
    }

    /// The inode number of slot `slot` of the inode block at `at`.
    pub const fn ino(&self, at: FsBlock, slot: u32) -> Ino {
        Ino(at
            .0
            .saturating_mul(self.inode_slots())
            .saturating_add(slot as u64))
    }

    /// Groups one summary block describes.
    pub const fn groups_per_summary(&self) -> u32 {
        (self.block_size() - header::SIZE) as u32
    }
}

/// Whether a block of a group is neither its header nor a superblock's backup.
#[inline]
const fn is_for_use(ag: AgNumber, block: AgBlock) -> bool {
    block.0 > 1 || block.0 == 1 && !has_backup(ag)
}
