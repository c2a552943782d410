// SPDX-License-Identifier: GPL-2.0

//! Making a volume: where everything goes on a device of some size, and the first metadata.
//!
//! ```text
//!   0            1       2 ...                                        ag_start
//!   +------------+-------+---------+-----------------+--------------+------+-- ... --+--------+
//!   | superblock | volume| summary | journal (jbd2)  | sb backup    | AG 0 |         | last AG|
//!   +------------+-------+---------+-----------------+--------------+------+-- ... --+--------+
//! ```
//!
//! Only the blocks before group 0 and the group of the root directory are written: a group is made when it is
//! first used, so a volume of any size is formatted in no time.

use super::block::Block;
use super::error::{Error, Result};
use super::extent;
use super::ondisk::geometry::{MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, MIN_GROUP_BLOCKS};
use super::ondisk::superblock::{has_backup, LABEL_SIZE};
use super::ondisk::{header, inode, volume, Geometry, Kind, Superblock};
use super::space::inodes::alloc_in;
use super::store::Transaction;
use super::units::{div, div_up, rem, AgBlock, AgNumber, FsBlock, Ino};
use core::fmt;

/// Fewest blocks jbd2 takes for a journal.
pub const MIN_JOURNAL_BLOCKS: u32 = 1024;
/// Largest journal made unless asked for, in bytes: transactions of a quarter of this are more than
/// any machine gathers in a commit interval.
const MAX_DEFAULT_JOURNAL: u64 = 1 << 30;
/// Largest journal, in bytes: the first backup of the superblock comes behind it and is to be found.
const MAX_JOURNAL: u64 = 3 << 30;
/// Blocks that the module adds to what a step asks for: a new inode and an orphan, and its own.
const TRANSACTION: u32 = 64;
/// Part of the volume that the journal takes unless asked for.
const JOURNAL_PART: u64 = 32;
/// First summary block.
const SUMMARY_START: u64 = 2;
/// Inode slot 1 of the block after the header of group 0, the first that is allocated.
const ROOT: (AgNumber, AgBlock, u32) = (AgNumber(0), AgBlock(1), 1);

/// Why no volume can be made as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The block size is none of 1024, 2048 and 4096.
    BlockSize,
    /// The number of blocks in a group is out of range or no multiple of 64.
    GroupSize,
    /// The journal is too small; the fewest bytes it can have.
    Journal(u64),
    /// The journal is too large; the most bytes it can have.
    LargeJournal(u64),
    /// The device is too small; the fewest bytes that will do.
    TooSmall(u64),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::BlockSize => f.write_str("the block size must be 1024, 2048 or 4096 bytes"),
            Unfit::GroupSize => f.write_str("impossible size of allocation groups"),
            Unfit::Journal(least) => {
                write!(f, "the journal must have at least {least} bytes")
            }
            Unfit::LargeJournal(most) => write!(f, "the journal can have at most {most} bytes"),
            Unfit::TooSmall(least) => {
                write!(
                    f,
                    "the device is too small: at least {least} bytes are needed"
                )
            }
        }
    }
}

impl core::error::Error for Unfit {}

/// Lays out a volume on a device of `bytes` bytes, with a journal of `journal` blocks or one that
/// suits the size. UUID, label, time and hash key are the caller's to fill in.
///
/// # Errors
///
/// Why that cannot be.
pub fn plan(
    bytes: u64,
    block_size: u32,
    journal: Option<u32>,
) -> core::result::Result<Superblock, Unfit> {
    if !block_size.is_power_of_two() || !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) {
        return Err(Unfit::BlockSize);
    }
    let group = Geometry::max_group_blocks(block_size as usize);
    let with = |journal| plan_with_groups(bytes, block_size, journal, group);
    // Beside the smallest journal there are the most groups, on which it depends how large it must be.
    let least = least_journal(&with(Some(MIN_JOURNAL_BLOCKS))?);
    match journal {
        Some(blocks) if blocks < least => {
            Err(Unfit::Journal(u64::from(least) * u64::from(block_size)))
        }
        Some(blocks) if u64::from(blocks) * u64::from(block_size) > MAX_JOURNAL => {
            Err(Unfit::LargeJournal(MAX_JOURNAL))
        }
        Some(_) => with(journal),
        None => match with(None) {
            Ok(superblock) if superblock.journal_blocks >= least => Ok(superblock),
            _ => with(Some(least)),
        },
    }
}

/// The fewest blocks the journal of a volume so laid out may have: no step on it asks for more than a
/// transaction can have, which jbd2 limits to a third of the journal. Of that go the journal's own blocks and
/// revoke records.
fn least_journal(superblock: &Superblock) -> u32 {
    let Ok(geometry) = superblock.geometry() else {
        return MIN_JOURNAL_BLOCKS;
    };
    let step = extent::most_credits(&geometry).saturating_add(TRANSACTION);
    let transaction = step.saturating_add(step / 32).saturating_add(16);
    transaction.saturating_mul(3).max(MIN_JOURNAL_BLOCKS)
}

/// Like [`plan`], with groups of `group` blocks, and any journal that jbd2 takes.
///
/// # Errors
///
/// As those of [`plan`].
pub fn plan_with_groups(
    bytes: u64,
    block_size: u32,
    journal: Option<u32>,
    group: u32,
) -> core::result::Result<Superblock, Unfit> {
    if !block_size.is_power_of_two() || !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) {
        return Err(Unfit::BlockSize);
    }
    let most = Geometry::max_group_blocks(block_size as usize);
    if !(MIN_GROUP_BLOCKS..=most).contains(&group) || group % 64 != 0 {
        return Err(Unfit::GroupSize);
    }
    let size = u64::from(block_size);
    // Byte offsets stay below 2^63, and group numbers below 2^32.
    let blocks = div(bytes.min(i64::MAX as u64), size).min(u64::from(u32::MAX) * u64::from(group));
    let journal = match journal {
        Some(blocks) if blocks < MIN_JOURNAL_BLOCKS => {
            return Err(Unfit::Journal(u64::from(MIN_JOURNAL_BLOCKS) * size));
        }
        Some(blocks) => blocks,
        None => default_journal(blocks, size),
    };
    // Before the groups: superblock, volume block, summary, journal, backup.
    let before = |summaries: u64| SUMMARY_START + summaries + u64::from(journal) + 1;
    let least = before(1) + u64::from(MIN_GROUP_BLOCKS);
    if blocks < least {
        return Err(Unfit::TooSmall(least * size));
    }
    // Summary blocks take room from the groups they describe: add some until they are enough.
    let per = size - header::SIZE as u64;
    let groups = |summaries: u64| {
        let room = blocks.saturating_sub(before(summaries));
        let rest = rem(room, u64::from(group));
        div(room, u64::from(group)) + u64::from(rest >= u64::from(MIN_GROUP_BLOCKS))
    };
    let mut summaries = 1;
    while div_up(groups(summaries), per) > summaries {
        summaries = div_up(groups(summaries), per);
    }
    let count = groups(summaries).min(summaries * per);
    // At the edge, the last ones added may be what makes them superfluous.
    let summaries = div_up(count, per);
    let start = before(summaries);
    // The last group has at least `MIN_GROUP_BLOCKS`, or `count` would not count it.
    let end = blocks.min(start.saturating_add(count.saturating_mul(u64::from(group))));
    let mut superblock = Superblock {
        uuid: [0; 16],
        meta_uuid: [0; 16],
        label: [0; LABEL_SIZE],
        block_size,
        ag_blocks: group,
        blocks: end,
        ag_start: FsBlock(start),
        ag_count: div_up(end - start, u64::from(group)) as u32,
        summary_start: FsBlock(SUMMARY_START),
        summary_blocks: summaries as u32,
        journal_start: FsBlock(SUMMARY_START + summaries),
        journal_blocks: journal,
        state: 0,
        root: Ino(0),
        compat: 0,
        ro_compat: 0,
        incompat: 0,
        made: 0,
        hash_seed: [0; 16],
        address: FsBlock(0),
    };
    let slots = size / inode::SIZE as u64;
    superblock.root = Ino((start + u64::from(ROOT.1 .0)) * slots + u64::from(ROOT.2));
    Ok(superblock)
}

fn default_journal(blocks: u64, size: u64) -> u32 {
    let most = div(MAX_DEFAULT_JOURNAL, size);
    let suits = (blocks / JOURNAL_PART).clamp(u64::from(MIN_JOURNAL_BLOCKS), most);
    suits as u32
}

/// Writes the metadata of a new volume, made at `made` (seconds since 1970): all but the
/// superblock with its backups and the journal.
///
/// # Errors
///
/// Those of the transaction.
pub fn write<T: Transaction>(tx: &mut T, made: i64) -> Result {
    let geometry = tx.geometry().clone();
    let counters = tx.create(Geometry::VOLUME, Kind::Volume, 0)?;
    counters.set_u64(volume::FREE, usable(&geometry));
    for index in 0..geometry.summary_blocks {
        let at = geometry.summary_start.add(u64::from(index));
        tx.create(at, Kind::Summary, 0)?;
    }
    let (ag, block, _) = ROOT;
    let root = tx.with_group(ag, |tx, state| alloc_in(tx, state, block))?;
    if root != Some(geometry.root) {
        return Err(Error::Invalid);
    }
    tx.with_volume(|tx, volume| volume.settle(tx, 0, 1))?;
    let (buf, at) = super::space::inodes::read(tx, geometry.root)?;
    tx.modify(&buf)?;
    buf.set_u16(at + inode::MODE, 0o040_755);
    buf.set_u32(at + inode::LINKS, 2);
    for time in 0..4 {
        buf.set_u64(at + inode::SECONDS + time * 8, made as u64);
    }
    buf.set_u64(at + inode::PARENT, geometry.root.0);
    buf.set_u8(at + inode::FORMAT, inode::Format::Directory as u8);
    Ok(())
}

/// Blocks of all groups but the headers and superblock backups.
fn usable(geometry: &Geometry) -> u64 {
    let groups = u64::from(geometry.ag_count);
    let backups = (0..geometry.ag_count).filter(|&ag| has_backup(AgNumber(ag)));
    let blocks = geometry.blocks.saturating_sub(geometry.ag_start.0);
    blocks.saturating_sub(groups + backups.count() as u64)
}
