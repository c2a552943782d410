// SPDX-License-Identifier: GPL-2.0

//! Makes logs, block by block, for tests of [`super::replay`].
//!
//! It shares no code with the reader but the constants, and follows `fs/jbd2/commit.c` and
//! `revoke.c`.

use super::replay::Log;
use super::superblock::JournalSuperblock;
use super::{COMMIT, DESCRIPTOR, MAGIC, REVOKE, TAG_ESCAPED, TAG_LAST, TAG_SAME_UUID};
use cowfs_core::platform::crc32c;
use std::io;

/// A journal in memory, being written.
#[derive(Clone, Debug)]
pub struct TestLog {
    /// The superblock; to be encoded into the first block when done.
    pub sb: JournalSuperblock,
    /// The blocks, the first one zero.
    pub blocks: Vec<Vec<u8>>,
    /// Where the next block goes.
    pub head: u32,
    /// Sequence of the transaction being written.
    pub sequence: u32,
    /// Time of the next commit block, in seconds.
    pub time: u64,
}

impl TestLog {
    /// An empty log that begins at block `start` with transaction `sequence`.
    pub fn new(block_size: u32, blocks: u32, start: u32, sequence: u32) -> Self {
        let mut sb = JournalSuperblock::new(block_size, blocks, *b"journal-of-tests");
        sb.start = start;
        sb.sequence = sequence;
        TestLog {
            blocks: vec![vec![0; block_size as usize]; blocks as usize],
            head: start,
            sequence,
            time: 1000,
            sb,
        }
    }

    /// Appends a block as it is; returns where it went.
    pub fn push(&mut self, bytes: Vec<u8>) -> u32 {
        let at = self.head;
        self.blocks[at as usize] = bytes;
        self.head = if at + 1 == self.sb.blocks {
            self.sb.first
        } else {
            at + 1
        };
        at
    }

    fn header(&self, kind: u32) -> Vec<u8> {
        let mut b = vec![0; self.sb.block_size as usize];
        b[0..4].copy_from_slice(&MAGIC.to_be_bytes());
        b[4..8].copy_from_slice(&kind.to_be_bytes());
        b[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        b
    }

    fn seal_tail(&self, b: &mut [u8]) {
        let at = b.len() - 4;
        b[at..].fill(0);
        let sum = crc32c(crc32c(!0, &self.sb.uuid), b);
        b[at..].copy_from_slice(&sum.to_be_bytes());
    }

    /// Appends a descriptor and its data blocks: pairs of home address and contents.
    pub fn data(&mut self, blocks: &[(u64, Vec<u8>)]) -> u32 {
        let seed = crc32c(!0, &self.sb.uuid);
        let mut b = self.header(DESCRIPTOR);
        let mut at = 12;
        let mut copies = Vec::new();
        for (n, (home, contents)) in blocks.iter().enumerate() {
            let mut copy = contents.clone();
            let mut flags = 0;
            if copy[..4] == MAGIC.to_be_bytes() {
                copy[..4].fill(0);
                flags |= TAG_ESCAPED;
            }
            if n > 0 {
                flags |= TAG_SAME_UUID;
            }
            if n + 1 == blocks.len() {
                flags |= TAG_LAST;
            }
            let sum = crc32c(crc32c(seed, &self.sequence.to_be_bytes()), &copy);
            b[at..at + 4].copy_from_slice(&(*home as u32).to_be_bytes());
            b[at + 4..at + 8].copy_from_slice(&flags.to_be_bytes());
            b[at + 8..at + 12].copy_from_slice(&((home >> 32) as u32).to_be_bytes());
            b[at + 12..at + 16].copy_from_slice(&sum.to_be_bytes());
            at += if n == 0 { 32 } else { 16 };
            copies.push(copy);
        }
        self.seal_tail(&mut b);
        let descriptor = self.push(b);
        for copy in copies {
            self.push(copy);
        }
        descriptor
    }

    /// Appends a revoke block.
    pub fn revoke(&mut self, homes: &[u64]) -> u32 {
        let mut b = self.header(REVOKE);
        b[12..16].copy_from_slice(&(16 + 8 * homes.len() as u32).to_be_bytes());
        for (n, home) in homes.iter().enumerate() {
            b[16 + 8 * n..24 + 8 * n].copy_from_slice(&home.to_be_bytes());
        }
        self.seal_tail(&mut b);
        self.push(b)
    }

    /// Appends the commit block and begins the next transaction.
    pub fn commit(&mut self) -> u32 {
        let mut b = self.header(COMMIT);
        b[48..56].copy_from_slice(&self.time.to_be_bytes());
        let sum = crc32c(crc32c(!0, &self.sb.uuid), &b);
        b[16..20].copy_from_slice(&sum.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        self.time += 1;
        self.push(b)
    }

    /// The whole journal as it is on disk.
    pub fn image(&self) -> Vec<u8> {
        let mut bytes = self.blocks.concat();
        bytes[..1024].copy_from_slice(&self.sb.encode());
        bytes
    }
}

impl Log for TestLog {
    fn read(&self, block: u32, to: &mut [u8]) -> io::Result<()> {
        let from = self
            .blocks
            .get(block as usize)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        to.copy_from_slice(from);
        Ok(())
    }
}
