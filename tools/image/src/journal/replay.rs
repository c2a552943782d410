// SPDX-License-Identifier: GPL-2.0

//! Replay of the journal in memory: what every block holds once the committed transactions are
//! written home, without writing anything.
//!
//! As in the kernel (`fs/jbd2/recovery.c`) there are three passes over the log:
//!
//! 1. *scan* finds the end: the first block that is not the expected continuation. Transactions
//!    are numbered without gaps, so what a previous lap left behind is told by its number. A
//!    transaction without its commit block is dropped: the crash came first.
//! 2. *revoke* collects the addresses that transactions freed, each with the newest one to do so.
//! 3. *replay* notes where in the log the newest copy of each block is, leaving out copies no newer
//!    than the block's revocation.
//!
//! Damage is told from a torn end as the kernel tells it: a bad checksum is the end of the log when
//! the commit block behind it is older than the one before (a leftover), and damage otherwise.

use std::collections::HashMap;
use std::io;

use super::bytes::{be32, be64};
use super::{JournalError, JournalSuperblock};
use super::{COMMIT, DESCRIPTOR, MAGIC, REVOKE, TAG_ESCAPED, TAG_LAST, TAG_SAME_UUID};
use cowfs_core::platform::crc32c;

/// Where log blocks are read from.
pub trait Log {
    /// Fills `to` with journal block `block`, counted from the journal's superblock.
    ///
    /// # Errors
    ///
    /// Those of the device.
    fn read(&self, block: u32, to: &mut [u8]) -> io::Result<()>;
}

/// Bytes of the header of log blocks: magic, type, sequence.
pub(super) const HEADER: usize = 12;
/// Bytes of the header of a revoke block: the same, and the bytes used.
const REVOKE_HEADER: usize = 16;
/// Bytes of a tag: address low, flags, address high, checksum.
pub(super) const TAG: usize = 16;
/// Bytes of the UUID that follows a tag without [`TAG_SAME_UUID`].
pub(super) const TAG_UUID: usize = 16;
/// Bytes of the checksum at the end of descriptor and revoke blocks.
pub(super) const TAIL: usize = 4;
/// Bytes of the commit block's header; the rest of the block is zero.
const COMMIT_HEADER: usize = 64;
pub(super) const COMMIT_CHECKSUM: usize = 16;
pub(super) const COMMIT_SECONDS: usize = 48;

/// Where the newest copy of a block is.
#[derive(Clone, Copy, Debug)]
struct Copy {
    at: u32,
    escaped: bool,
}

/// The outcome of a replay.
#[derive(Debug, Default)]
pub struct Replay {
    copies: HashMap<u64, Copy>,
    /// Committed transactions found in the log.
    pub transactions: u32,
    /// Copies left out because a later transaction freed the block.
    pub revoked: u64,
    /// The number of the first transaction that is not in the log, or not all of it.
    pub end: u32,
}

/// One block of the log, of the transaction `sequence`.
struct Block {
    at: u32,
    sequence: u32,
    kind: u32,
    bytes: Vec<u8>,
}

/// A tag of a descriptor block.
#[derive(Clone, Copy, Debug)]
pub struct Tag {
    /// The address of the block that the data block is a copy of.
    pub home: u64,
    /// See `TAG_*`.
    pub flags: u32,
    /// CRC32C of transaction number and data block.
    pub checksum: u32,
}

impl Replay {
    /// Reads the log that `sb` describes. `may_change` says whether a transaction may change the
    /// block with this address.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Outside`, `Io`: the kernel would refuse to mount.
    pub fn run(
        sb: &JournalSuperblock,
        log: &impl Log,
        may_change: impl Fn(u64) -> bool,
    ) -> Result<Replay, JournalError> {
        let mut replay = Replay::default();
        if sb.start == 0 {
            replay.end = sb.sequence;
            return Ok(replay);
        }
        let end = scan(sb, log)?;
        replay.end = end;
        replay.transactions = end.wrapping_sub(sb.sequence);

        let mut revoked = HashMap::new();
        let mut walk = Walk::new(sb, log);
        while walk.sequence != end {
            let Some(block) = walk.next()? else { break };
            if block.kind == REVOKE {
                let homes = revocations(&block.bytes)
                    .ok_or(JournalError::Damaged(block.at, "bad size of revoke block"))?;
                for home in homes {
                    // Sequences only grow during the walk: the newest wins.
                    revoked.insert(home, block.sequence);
                }
            }
        }

        let mut walk = Walk::new(sb, log);
        while walk.sequence != end {
            let Some(block) = walk.next()? else { break };
            if block.kind != DESCRIPTOR {
                continue;
            }
            let mut at = walk.after(block.at);
            for tag in tags(&block.bytes) {
                let copy = at;
                at = walk.after(at);
                if revoked
                    .get(&tag.home)
                    .is_some_and(|by| !is_after(block.sequence, *by))
                {
                    replay.revoked += 1;
                    continue;
                }
                if tag.checksum != walk.data_checksum(copy, block.sequence)? {
                    return Err(JournalError::Damaged(copy, "bad checksum of a data block"));
                }
                if !may_change(tag.home) {
                    return Err(JournalError::Outside(block.at, tag.home));
                }
                let escaped = tag.flags & TAG_ESCAPED != 0;
                replay.copies.insert(tag.home, Copy { at: copy, escaped });
            }
        }
        Ok(replay)
    }

    /// Number of blocks the replay changes.
    pub fn blocks(&self) -> usize {
        self.copies.len()
    }

    /// Whether the replay changes block `home`.
    pub fn changes(&self, home: u64) -> bool {
        self.copies.contains_key(&home)
    }

    /// The addresses of the blocks the replay changes, in no order.
    pub fn addresses(&self) -> impl Iterator<Item = u64> + '_ {
        self.copies.keys().copied()
    }

    /// Fills `to` with what the replay puts into block `home`; false if it does not change it.
    ///
    /// # Errors
    ///
    /// Those of the device.
    pub fn read(&self, log: &impl Log, home: u64, to: &mut [u8]) -> io::Result<bool> {
        let Some(copy) = self.copies.get(&home) else {
            return Ok(false);
        };
        log.read(copy.at, to)?;
        if let (true, Some(start)) = (copy.escaped, to.get_mut(..4)) {
            start.copy_from_slice(&MAGIC.to_be_bytes());
        }
        Ok(true)
    }
}

/// Whether transaction `a` came after `b`; numbers wrap.
fn is_after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// A walk along the log, from its start to the first block that does not continue it.
struct Walk<'a, L> {
    sb: &'a JournalSuperblock,
    log: &'a L,
    next: u32,
    sequence: u32,
    /// Blocks passed; a log that is longer than the journal has no end.
    passed: u32,
}

impl<'a, L: Log> Walk<'a, L> {
    fn new(sb: &'a JournalSuperblock, log: &'a L) -> Self {
        Walk {
            sb,
            log,
            next: sb.start,
            sequence: sb.sequence,
            passed: 0,
        }
    }

    /// The block that follows `at` in the ring.
    fn after(&self, at: u32) -> u32 {
        if at + 1 >= self.sb.blocks {
            self.sb.first
        } else {
            at + 1
        }
    }

    fn read(&self, at: u32) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![0; self.sb.block_size as usize];
        match self.log.read(at, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(JournalError::Io(at, error.to_string())),
        }
    }

    fn step(&mut self, blocks: u32) -> Result<(), JournalError> {
        for _ in 0..blocks {
            self.next = self.after(self.next);
        }
        self.passed = self.passed.saturating_add(blocks);
        if self.passed > self.sb.blocks - self.sb.first {
            return Err(JournalError::Damaged(self.next, "the log has no end"));
        }
        Ok(())
    }

    /// The next descriptor, revoke or commit block of the expected transaction.
    fn next(&mut self) -> Result<Option<Block>, JournalError> {
        let at = self.next;
        let bytes = self.read(at)?;
        let (magic, kind, sequence) = (be32(&bytes, 0), be32(&bytes, 4), be32(&bytes, 8));
        if magic != MAGIC || sequence != self.sequence {
            return Ok(None);
        }
        match kind {
            DESCRIPTOR => self.step(1 + tags(&bytes).count() as u32)?,
            REVOKE => self.step(1)?,
            COMMIT => {
                self.step(1)?;
                self.sequence = self.sequence.wrapping_add(1);
            }
            _ => return Ok(None),
        }
        Ok(Some(Block {
            at,
            sequence,
            kind,
            bytes,
        }))
    }

    fn data_checksum(&self, at: u32, sequence: u32) -> Result<u32, JournalError> {
        let sum = crc32c(self.sb.checksum_seed(), &sequence.to_be_bytes());
        Ok(crc32c(sum, &self.read(at)?))
    }
}

/// The tags of a descriptor block.
pub fn tags(bytes: &[u8]) -> impl Iterator<Item = Tag> + '_ {
    let end = bytes.len().saturating_sub(TAIL);
    let mut at = HEADER;
    let mut more = true;
    std::iter::from_fn(move || {
        if !more || at + TAG > end {
            return None;
        }
        let tag = Tag {
            home: u64::from(be32(bytes, at)) | (u64::from(be32(bytes, at + 8)) << 32),
            // jbd2 looks at the low half only.
            flags: be32(bytes, at + 4) & 0xffff,
            checksum: be32(bytes, at + 12),
        };
        at += TAG;
        if tag.flags & TAG_SAME_UUID == 0 {
            at += TAG_UUID;
        }
        more = tag.flags & TAG_LAST == 0;
        Some(tag)
    })
}

/// The addresses in a revoke block; `None` if it claims to have more than fit.
pub fn revocations(bytes: &[u8]) -> Option<impl Iterator<Item = u64> + '_> {
    let used = be32(bytes, HEADER) as usize;
    if used < REVOKE_HEADER || used > bytes.len().saturating_sub(TAIL) {
        return None;
    }
    Some(
        (REVOKE_HEADER..used)
            .step_by(8)
            .filter(move |at| at + 8 <= used)
            .map(|at| be64(bytes, at)),
    )
}

/// The number of the first transaction that is not in the log, or not all of it.
fn scan(sb: &JournalSuperblock, log: &impl Log) -> Result<u32, JournalError> {
    let seed = sb.checksum_seed();
    let mut walk = Walk::new(sb, log);
    let mut last_commit = 0;
    // The first block of this transaction with a bad checksum.
    let mut suspect = None;
    loop {
        let sequence = walk.sequence;
        let Some(block) = walk.next()? else {
            return Ok(sequence);
        };
        match block.kind {
            COMMIT => {
                let time = be64(&block.bytes, COMMIT_SECONDS);
                if suspect.is_none() && !commit_is_sound(&block.bytes, seed) {
                    suspect = Some(block.at);
                }
                match suspect {
                    None => last_commit = time,
                    // A leftover of an earlier life of the journal.
                    Some(_) if time < last_commit => return Ok(sequence),
                    Some(at) => {
                        return Err(JournalError::Damaged(
                            at,
                            "bad checksum in a committed transaction",
                        ))
                    }
                }
            }
            _ => {
                if suspect.is_none() && !tail_is_sound(&block.bytes, seed) {
                    suspect = Some(block.at);
                }
            }
        }
    }
}

/// Checks the checksum at the end of a descriptor or revoke block.
fn tail_is_sound(bytes: &[u8], seed: u32) -> bool {
    let at = bytes.len() - TAIL;
    let sum = crc32c(crc32c(seed, &bytes[..at]), &[0; TAIL]);
    sum == be32(bytes, at)
}

/// Checks the checksum of a commit block. As in the kernel the part behind the header may be torn:
/// it is zero anyway.
fn commit_is_sound(bytes: &[u8], seed: u32) -> bool {
    let mut copy = bytes.to_vec();
    copy[COMMIT_CHECKSUM..COMMIT_CHECKSUM + 4].fill(0);
    let wanted = be32(bytes, COMMIT_CHECKSUM);
    if crc32c(seed, &copy) == wanted {
        return true;
    }
    copy[COMMIT_HEADER..].fill(0);
    crc32c(seed, &copy) == wanted
}
