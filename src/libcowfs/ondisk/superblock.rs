// SPDX-License-Identifier: GPL-2.0

//! The superblock: the first 512 bytes of the volume, and of the blocks that hold its backups.
//!
//! ```text
//!    0  [8]   magic "cowfs\r\n\x1a"
//!    8  u32   CRC32C of these 512 bytes, this field taken as zero
//!   12  u32   format version, 1
//!   16  [16]  uuid
//!   32  [64]  label, zero-padded UTF-8
//!   96  u32   block size in bytes
//!  100  u32   blocks in a group
//!  104  u64   blocks of the volume
//!  112  u64   first block of group 0
//!  120  u32   number of groups
//!  124  u32   number of summary blocks
//!  128  u64   first summary block
//!  136  u64   first block of the journal
//!  144  u32   blocks of the journal
//!  148  u32   state: see STATE_*
//!  152  u64   root directory's inode
//!  160  u64   compat features: unknown bits do not matter
//!  168  u64   ro-compat features: unknown bits forbid writing
//!  176  u64   incompat features: unknown bits forbid mounting
//!  184  i64   time of mkfs, seconds since 1970
//!  192  [16]  key of the directory hash
//!  208  u64   address of the block this copy is in
//!  216  [16]  with INCOMPAT_META_UUID: uuid of all other metadata
//!  232        zero
//! ```
//!
//! It says only what mkfs decided, so it is hardly ever written again; what changes daily is in
//! the volume block, under the journal. Backups are where [`Superblock::backups`] says: the last
//! block before group 0, and the second block of groups 1 and the powers of 3, 5 and 7.

use super::super::error::{Error, Result};
use super::super::platform::crc32c;
use super::super::units::{div, div_up, rem, AgNumber, FsBlock, Ino};
use super::geometry::{Geometry, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, MIN_GROUP_BLOCKS};

/// Size of the superblock in bytes.
pub const SIZE: usize = 512;
/// Its magic.
pub const MAGIC: [u8; 8] = *b"cowfs\r\n\x1a";
/// The format version this code knows.
pub const VERSION: u32 = 1;
/// Size of the label in bytes.
pub const LABEL_SIZE: usize = 64;
/// State bit: an error was found while mounted; fsck should look.
pub const STATE_ERROR: u32 = 1 << 0;
/// Incompat feature: metadata has a UUID of its own, which no other mkfs ever gave to anything. What an earlier
/// volume left behind is never taken for this one's then, whatever UUID that had. (XFS has a feature of that name.)
pub const INCOMPAT_META_UUID: u64 = 1 << 0;
/// Incompat features this code knows.
pub const INCOMPAT_KNOWN: u64 = INCOMPAT_META_UUID;
/// Ro-compat features this code knows.
pub const RO_COMPAT_KNOWN: u64 = 0;

/// A decoded superblock. Its fields are described above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The volume's UUID.
    pub uuid: [u8; 16],
    /// UUID of all other metadata, with [`INCOMPAT_META_UUID`]; else zero.
    pub meta_uuid: [u8; 16],
    /// Label, zero-padded.
    pub label: [u8; LABEL_SIZE],
    /// Block size in bytes.
    pub block_size: u32,
    /// Blocks in a group.
    pub ag_blocks: u32,
    /// Blocks of the volume.
    pub blocks: u64,
    /// First block of group 0.
    pub ag_start: FsBlock,
    /// Number of groups.
    pub ag_count: u32,
    /// First summary block.
    pub summary_start: FsBlock,
    /// Number of summary blocks.
    pub summary_blocks: u32,
    /// First block of the journal.
    pub journal_start: FsBlock,
    /// Blocks of the journal.
    pub journal_blocks: u32,
    /// See `STATE_*`.
    pub state: u32,
    /// The root directory's inode.
    pub root: Ino,
    /// Compat features.
    pub compat: u64,
    /// Ro-compat features.
    pub ro_compat: u64,
    /// Incompat features.
    pub incompat: u64,
    /// Time of mkfs, seconds since 1970.
    pub made: i64,
    /// Key of the directory hash.
    pub hash_seed: [u8; 16],
    /// Block this copy is in.
    pub address: FsBlock,
}

/// Copies the `N` bytes at `at`.
fn field<const N: usize>(bytes: &[u8; SIZE], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(from) = bytes.get(at..at + N) {
        out.copy_from_slice(from);
    }
    out
}

fn put<const N: usize>(bytes: &mut [u8; SIZE], at: usize, value: [u8; N]) {
    if let Some(to) = bytes.get_mut(at..at + N) {
        to.copy_from_slice(&value);
    }
}

fn u32_at(bytes: &[u8; SIZE], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

fn u64_at(bytes: &[u8; SIZE], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

fn checksum(bytes: &[u8; SIZE]) -> u32 {
    let mut copy = *bytes;
    put(&mut copy, 8, [0u8; 4]);
    crc32c(!0, &copy)
}

impl Superblock {
    /// Whether this is a sound superblock of a later version, or with features that this code must not touch.
    pub fn is_newer(bytes: &[u8; SIZE]) -> bool {
        let sound = field::<8>(bytes, 0) == MAGIC && u32_at(bytes, 8) == checksum(bytes);
        let known = u32_at(bytes, 12) == VERSION && u64_at(bytes, 176) & !INCOMPAT_KNOWN == 0;
        sound && !known
    }

    /// Decodes and checks the superblock read from block `at` (0 for the primary one).
    ///
    /// # Errors
    ///
    /// `Invalid` if this is no cowfs superblock at all; `Corrupt` if it is a damaged or
    /// contradictory one, or one with features this code does not know.
    pub fn decode(bytes: &[u8; SIZE], at: FsBlock) -> Result<Superblock> {
        let bad = |what| Err(Error::Corrupt(at, what));
        if field::<8>(bytes, 0) != MAGIC {
            return Err(Error::Invalid);
        }
        if u32_at(bytes, 8) != checksum(bytes) {
            return bad("bad superblock checksum");
        }
        if u32_at(bytes, 12) != VERSION {
            return bad("unknown format version");
        }
        let sb = Superblock {
            uuid: field(bytes, 16),
            meta_uuid: field(bytes, 216),
            label: field(bytes, 32),
            block_size: u32_at(bytes, 96),
            ag_blocks: u32_at(bytes, 100),
            blocks: u64_at(bytes, 104),
            ag_start: FsBlock(u64_at(bytes, 112)),
            ag_count: u32_at(bytes, 120),
            summary_blocks: u32_at(bytes, 124),
            summary_start: FsBlock(u64_at(bytes, 128)),
            journal_start: FsBlock(u64_at(bytes, 136)),
            journal_blocks: u32_at(bytes, 144),
            state: u32_at(bytes, 148),
            root: Ino(u64_at(bytes, 152)),
            compat: u64_at(bytes, 160),
            ro_compat: u64_at(bytes, 168),
            incompat: u64_at(bytes, 176),
            made: u64_at(bytes, 184) as i64,
            hash_seed: field(bytes, 192),
            address: FsBlock(u64_at(bytes, 208)),
        };
        if sb.incompat & !INCOMPAT_KNOWN != 0 {
            return bad("unknown incompatible features");
        }
        if sb.address != at {
            return bad("superblock of another address");
        }
        sb.check().map_err(|what| Error::Corrupt(at, what))?;
        Ok(sb)
    }

    /// Encodes the superblock, checksum included.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let b = &mut bytes;
        put(b, 0, MAGIC);
        put(b, 12, VERSION.to_le_bytes());
        put(b, 16, self.uuid);
        put(b, 32, self.label);
        put(b, 96, self.block_size.to_le_bytes());
        put(b, 100, self.ag_blocks.to_le_bytes());
        put(b, 104, self.blocks.to_le_bytes());
        put(b, 112, self.ag_start.0.to_le_bytes());
        put(b, 120, self.ag_count.to_le_bytes());
        put(b, 124, self.summary_blocks.to_le_bytes());
        put(b, 128, self.summary_start.0.to_le_bytes());
        put(b, 136, self.journal_start.0.to_le_bytes());
        put(b, 144, self.journal_blocks.to_le_bytes());
        put(b, 148, self.state.to_le_bytes());
        put(b, 152, self.root.0.to_le_bytes());
        put(b, 160, self.compat.to_le_bytes());
        put(b, 168, self.ro_compat.to_le_bytes());
        put(b, 176, self.incompat.to_le_bytes());
        put(b, 184, self.made.to_le_bytes());
        put(b, 192, self.hash_seed);
        put(b, 208, self.address.0.to_le_bytes());
        put(b, 216, self.meta_uuid);
        let sum = checksum(b);
        put(b, 8, sum.to_le_bytes());
        bytes
    }

    /// Checks that the fields agree with each other.
    fn check(&self) -> core::result::Result<(), &'static str> {
        let size = self.block_size;
        if !size.is_power_of_two() || !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&size) {
            return Err("block size out of range");
        }
        // The kernel's sector and offset arithmetic: byte offsets stay below 2^63.
        if self.blocks > div(i64::MAX as u64, u64::from(size)) {
            return Err("volume too large");
        }
        let max = Geometry::max_group_blocks(size as usize);
        if !(MIN_GROUP_BLOCKS..=max).contains(&self.ag_blocks) || self.ag_blocks % 64 != 0 {
            return Err("group size out of range");
        }
        let per_summary = size as usize - super::header::SIZE;
        let summaries = div_up(u64::from(self.ag_count), per_summary as u64);
        if self.ag_count == 0 || u64::from(self.summary_blocks) != summaries {
            return Err("number of summary blocks does not match number of groups");
        }
        // The areas follow one another: volume block, summary, journal, backup, groups.
        let summary_end = self.summary_start.0.checked_add(summaries);
        let journal_end = self
            .journal_start
            .0
            .checked_add(u64::from(self.journal_blocks));
        let (Some(summary_end), Some(journal_end)) = (summary_end, journal_end) else {
            return Err("areas overlap");
        };
        if self.summary_start.0 != 2
            || self.journal_start.0 != summary_end
            || self.ag_start.0 != journal_end.saturating_add(1)
            || self.ag_start.0 >= self.blocks
        {
            return Err("areas overlap or lie outside the volume");
        }
        let room = self.blocks - self.ag_start.0;
        let full = div(room, u64::from(self.ag_blocks));
        let rest = rem(room, u64::from(self.ag_blocks));
        if u64::from(self.ag_count) != full + u64::from(rest != 0)
            || (rest != 0 && rest < u64::from(MIN_GROUP_BLOCKS))
        {
            return Err("number of groups does not match the volume's size");
        }
        if self.geometry_unchecked().inode_at(self.root).is_none() {
            return Err("root inode outside the groups");
        }
        Ok(())
    }

    fn geometry_unchecked(&self) -> Geometry {
        Geometry {
            uuid: match self.incompat & INCOMPAT_META_UUID {
                0 => self.uuid,
                _ => self.meta_uuid,
            },
            block_shift: self.block_size.trailing_zeros() as u8,
            blocks: self.blocks,
            ag_start: self.ag_start,
            ag_blocks: self.ag_blocks,
            ag_count: self.ag_count,
            summary_start: self.summary_start,
            summary_blocks: self.summary_blocks,
            journal_start: self.journal_start,
            journal_blocks: self.journal_blocks,
            root: self.root,
            hash_seed: self.hash_seed,
        }
    }

    /// The layout the superblock describes.
    ///
    /// # Errors
    ///
    /// `Corrupt` if its fields contradict each other (one made by [`Superblock::decode`] was
    /// checked already).
    pub fn geometry(&self) -> Result<Geometry> {
        self.check()
            .map_err(|what| Error::Corrupt(self.address, what))?;
        Ok(self.geometry_unchecked())
    }

    /// Where the backups of the superblock are.
    pub fn backups(geometry: &Geometry) -> impl Iterator<Item = FsBlock> + '_ {
        let before_groups = FsBlock(geometry.ag_start.0.saturating_sub(1));
        let in_groups = (1..geometry.ag_count)
            .filter(|&ag| has_backup(AgNumber(ag)))
            .map(|ag| geometry.group_start(AgNumber(ag)).add(1));
        core::iter::once(before_groups).chain(in_groups)
    }
}

/// Whether the group's second block is reserved for a backup of the superblock: group 1 and the
/// powers of 3, 5 and 7.
pub const fn has_backup(ag: AgNumber) -> bool {
    const fn is_power<const BASE: u32>(mut n: u32) -> bool {
        while n > 1 && n % BASE == 0 {
            n /= BASE;
        }
        n == 1
    }
    ag.0 > 0 && (is_power::<3>(ag.0) || is_power::<5>(ag.0) || is_power::<7>(ag.0))
}
