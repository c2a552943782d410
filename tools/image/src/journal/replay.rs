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
//!
//! The kernel refuses a damaged log, but here what is sound of it counts: of a damaged data block an
//! older copy, or what is at home; and where a transaction cannot be told from its blocks, all those
//! before it.

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
    /// What is wrong with the log: the kernel would refuse to mount.
    pub faults: Vec<JournalError>,
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
    pub fn run(sb: &JournalSuperblock, log: &impl Log, may_change: impl Fn(u64) -> bool) -> Replay {
        let mut replay = Replay::default();
        if sb.start == 0 {
            replay.end = sb.sequence;
            return replay;
        }
        replay.end = replay.scan(sb, log);
        replay.transactions = replay.end.wrapping_sub(sb.sequence);

        let mut revoked = HashMap::new();
        replay.each(sb, log, |_, walk, block| {
            if block.kind == REVOKE {
                for home in revocations(&block.bytes).into_iter().flatten() {
                    // Sequences only grow during the walk: the newest wins.
                    revoked.insert(home, block.sequence);
                }
            }
            walk.step(block)
        });
        replay.each(sb, log, |replay, walk, block| {
            if block.kind == DESCRIPTOR {
                replay.note(walk, block, &revoked, &may_change);
            }
            walk.step(block)
        });
        replay
    }

    /// Finds the number of the first transaction that is not in the log, or not all of it, or that
    /// is damaged such that its blocks cannot be told.
    fn scan(&mut self, sb: &JournalSuperblock, log: &impl Log) -> u32 {
        let seed = sb.checksum_seed();
        let mut walk = Walk::new(sb, log);
        let mut last_commit = 0;
        // What is wrong with this transaction; it does not matter if it was not committed.
        let mut suspect = None;
        loop {
            let sequence = walk.sequence;
            let block = match walk.look() {
                Ok(Some(block)) => block,
                Ok(None) => return sequence,
                Err(fault) => {
                    self.faults.push(fault);
                    return sequence;
                }
            };
            let sound = match block.kind {
                COMMIT => commit_is_sound(&block.bytes, seed),
                _ => tail_is_sound(&block.bytes, seed),
            };
            if !sound {
                suspect.get_or_insert((block.at, "bad checksum in a committed transaction"));
            } else if block.kind == REVOKE && revocations(&block.bytes).is_none() {
                suspect.get_or_insert((block.at, "bad size of revoke block"));
            }
            if block.kind == COMMIT {
                let time = be64(&block.bytes, COMMIT_SECONDS);
                match suspect {
                    None => last_commit = time,
                    // A leftover of an earlier life of the journal.
                    Some(_) if time < last_commit => return sequence,
                    Some((at, why)) => {
                        self.faults.push(JournalError::Damaged(at, why));
                        return sequence;
                    }
                }
            }
            if let Err(fault) = walk.step(&block) {
                self.faults.push(fault);
                return sequence;
            }
        }
    }

    /// Has `f` see the blocks of the committed transactions, one after the other, and step over them.
    fn each<L: Log>(
        &mut self,
        sb: &JournalSuperblock,
        log: &L,
        mut f: impl FnMut(&mut Self, &mut Walk<'_, L>, &Block) -> Result<(), JournalError>,
    ) {
        let mut walk = Walk::new(sb, log);
        while walk.sequence != self.end {
            let step = match walk.look() {
                Ok(Some(block)) => f(self, &mut walk, &block),
                Ok(None) => break,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = step {
                self.faults.push(fault);
                break;
            }
        }
    }

    /// Notes where the data blocks behind the descriptor `block` are, those that are sound.
    fn note<L: Log>(
        &mut self,
        walk: &Walk<'_, L>,
        block: &Block,
        revoked: &HashMap<u64, u32>,
        may_change: &impl Fn(u64) -> bool,
    ) {
        let mut at = walk.after(block.at);
        for tag in tags(&block.bytes) {
            let copy = at;
            at = walk.after(at);
            if revoked
                .get(&tag.home)
                .is_some_and(|by| !is_after(block.sequence, *by))
            {
                self.revoked += 1;
                continue;
            }
            let fault = match walk.data_checksum(copy, block.sequence) {
                Err(fault) => fault,
                Ok(sum) if sum != tag.checksum => {
                    JournalError::Damaged(copy, "bad checksum of a data block")
                }
                Ok(_) if !may_change(tag.home) => JournalError::Outside(block.at, tag.home),
                Ok(_) => {
                    let escaped = tag.flags & TAG_ESCAPED != 0;
                    self.copies.insert(tag.home, Copy { at: copy, escaped });
                    continue;
                }
            };
            self.faults.push(fault);
        }
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

    /// Goes to what follows `block`, and to the next transaction if it is a commit block.
    fn step(&mut self, block: &Block) -> Result<(), JournalError> {
        let blocks = match block.kind {
            DESCRIPTOR => 1 + tags(&block.bytes).count() as u32,
            _ => 1,
        };
        for _ in 0..blocks {
            self.next = self.after(self.next);
        }
        self.passed = self.passed.saturating_add(blocks);
        if self.passed > self.sb.blocks - self.sb.first {
            return Err(JournalError::Damaged(self.next, "the log has no end"));
        }
        if block.kind == COMMIT {
            self.sequence = self.sequence.wrapping_add(1);
        }
        Ok(())
    }

    /// The descriptor, revoke or commit block here, if it is of the expected transaction.
    fn look(&self) -> Result<Option<Block>, JournalError> {
        let at = self.next;
        let bytes = self.read(at)?;
        let (magic, kind, sequence) = (be32(&bytes, 0), be32(&bytes, 4), be32(&bytes, 8));
        if magic != MAGIC || sequence != self.sequence {
            return Ok(None);
        }
        if !matches!(kind, DESCRIPTOR | REVOKE | COMMIT) {
            return Ok(None);
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
