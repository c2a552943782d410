// SPDX-License-Identifier: GPL-2.0

//! The journal's superblock: the first 1024 bytes of its first block.
//!
//! ```text
//!    0  u32   magic
//!    4  u32   block type: 4, superblock version 2
//!    8  u32   sequence of this block: not used
//!   12  u32   block size
//!   16  u32   blocks of the journal, this one included
//!   20  u32   first block of the log
//!   24  u32   sequence of the first transaction in the log
//!   28  u32   block of that transaction's begin; 0: the log is empty
//!   32  u32   error that made the kernel abort the journal
//!   36  u32   compat features;  40 u32 incompat features;  44 u32 ro-compat features
//!   48  [16]  uuid, seed of all checksums
//!   64  u32   number of volumes that use the journal
//!   80  u8    type of the checksums: 4, CRC32C
//!   84  u32   number of fast commit blocks
//!  252  u32   CRC32C of these 1024 bytes, this field taken as zero
//! ```

use super::bytes::{be32, put32};
use super::{JournalError, MAGIC, MIN_BLOCKS};
use cowfs_core::platform::crc32c;

/// Size of the superblock in bytes.
pub const SIZE: usize = 1024;

const TYPE_V2: u32 = 4;
const CHECKSUM_CRC32C: u8 = 4;
const CHECKSUM: usize = 252;

/// Compat feature: checksums of an older kind, which do not go together with the newer.
const COMPAT_CHECKSUM: u32 = 0x1;
/// Incompat feature: revoke blocks may occur.
pub const INCOMPAT_REVOKE: u32 = 0x1;
/// Incompat feature: tags and revoke records have 64-bit addresses.
pub const INCOMPAT_64BIT: u32 = 0x2;
/// Incompat feature: all blocks have checksums, tags the long form.
pub const INCOMPAT_CSUM_V3: u32 = 0x10;
/// What cowfs's journals have: mkfs sets all of them, jbd2 sets revoke again by itself.
pub const INCOMPAT: u32 = INCOMPAT_REVOKE | INCOMPAT_64BIT | INCOMPAT_CSUM_V3;

/// A decoded journal superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSuperblock {
    /// Block size in bytes.
    pub block_size: u32,
    /// Blocks of the journal, the superblock's included.
    pub blocks: u32,
    /// First block of the log.
    pub first: u32,
    /// Sequence number of the first transaction in the log.
    pub sequence: u32,
    /// Where that transaction begins; 0 if the log is empty.
    pub start: u32,
    /// The errno for which the kernel aborted the journal; 0 if it did not.
    pub errno: i32,
    /// UUID, the seed of all checksums.
    pub uuid: [u8; 16],
}

impl JournalSuperblock {
    /// The superblock of a new, empty journal.
    pub fn new(block_size: u32, blocks: u32, uuid: [u8; 16]) -> Self {
        Self {
            block_size,
            blocks,
            first: 1,
            sequence: 1,
            start: 0,
            errno: 0,
            uuid,
        }
    }

    /// The seed of the checksums of all log blocks.
    pub fn checksum_seed(&self) -> u32 {
        crc32c(!0, &self.uuid)
    }

    /// Encodes the superblock, checksum included.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut b = [0; SIZE];
        put32(&mut b, 0, MAGIC);
        put32(&mut b, 4, TYPE_V2);
        put32(&mut b, 12, self.block_size);
        put32(&mut b, 16, self.blocks);
        put32(&mut b, 20, self.first);
        put32(&mut b, 24, self.sequence);
        put32(&mut b, 28, self.start);
        put32(&mut b, 32, self.errno as u32);
        put32(&mut b, 40, INCOMPAT);
        b[48..64].copy_from_slice(&self.uuid);
        put32(&mut b, 64, 1);
        b[80] = CHECKSUM_CRC32C;
        let sum = crc32c(!0, &b);
        put32(&mut b, CHECKSUM, sum);
        b
    }

    /// Decodes and checks the superblock of a journal that has `blocks` blocks of `block_size`
    /// bytes, demanding what jbd2 demands and the features all journals of cowfs have.
    ///
    /// # Errors
    ///
    /// `Superblock` or `Unsupported`.
    pub fn decode(b: &[u8; SIZE], block_size: u32, blocks: u32) -> Result<Self, JournalError> {
        let bad = |what| Err(JournalError::Superblock(what));
        if be32(b, 0) != MAGIC {
            return bad("wrong magic");
        }
        if be32(b, 4) != TYPE_V2 {
            return bad("unknown version");
        }
        let mut copy = *b;
        put32(&mut copy, CHECKSUM, 0);
        if be32(b, CHECKSUM) != crc32c(!0, &copy) {
            return bad("bad checksum");
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&b[48..64]);
        let sb = Self {
            block_size: be32(b, 12),
            blocks: be32(b, 16),
            first: be32(b, 20),
            sequence: be32(b, 24),
            start: be32(b, 28),
            errno: be32(b, 32) as i32,
            uuid,
        };
        if sb.block_size != block_size {
            return bad("block size is not the volume's");
        }
        if sb.blocks != blocks || sb.blocks < MIN_BLOCKS {
            return bad("wrong number of blocks");
        }
        if sb.first == 0 || sb.first >= sb.blocks {
            return bad("log begins outside the journal");
        }
        if sb.start != 0 && !(sb.first..sb.blocks).contains(&sb.start) {
            return bad("first transaction outside the log");
        }
        if b[80] != CHECKSUM_CRC32C {
            return bad("unknown type of checksum");
        }
        if be32(b, 36) & COMPAT_CHECKSUM != 0 {
            return bad("two kinds of checksums");
        }
        let incompat = be32(b, 40);
        if incompat & !INCOMPAT != 0 {
            return Err(JournalError::Unsupported(incompat & !INCOMPAT));
        }
        if incompat != INCOMPAT {
            return bad("lacks features every journal of cowfs has");
        }
        if be32(b, 44) != 0 {
            return Err(JournalError::Unsupported(be32(b, 44)));
        }
        Ok(sb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = *b"0123456789abcdef";

    /// A superblock with one field changed and its checksum made right again.
    fn with(at: usize, value: u32) -> [u8; SIZE] {
        let mut bytes = JournalSuperblock::new(4096, 2048, UUID).encode();
        put32(&mut bytes, at, value);
        put32(&mut bytes, CHECKSUM, 0);
        let sum = crc32c(!0, &bytes);
        put32(&mut bytes, CHECKSUM, sum);
        bytes
    }

    #[test]
    fn decodes_what_it_encodes() {
        let sb = JournalSuperblock {
            sequence: 77,
            start: 9,
            errno: -5,
            ..JournalSuperblock::new(4096, 2048, UUID)
        };
        assert_eq!(JournalSuperblock::decode(&sb.encode(), 4096, 2048), Ok(sb));
    }

    #[test]
    fn refuses_each_field_jbd2_refuses() {
        for (at, value) in [
            (0, 1),     // magic
            (4, 9),     // type
            (12, 1024), // block size
            (16, 2047), // fewer blocks than the volume says
            (16, 2049),
            (20, 0), // first
            (20, 2048),
            (28, 2048),       // start
            (36, 1),          // checksums of the older kind
            (40, 0x13 | 4),   // async commit
            (40, 0x3),        // no checksums
            (40, 0x13 | 0x8), // both kinds of checksums
            (44, 1),          // ro-compat
            (80, 0),          // type of checksum
        ] {
            assert!(
                JournalSuperblock::decode(&with(at, value), 4096, 2048).is_err(),
                "field {at} with value {value} was accepted"
            );
        }
        assert!(JournalSuperblock::decode(&with(24, 5), 4096, 2048).is_ok());
    }

    #[test]
    fn finds_a_flipped_bit() {
        let mut bytes = JournalSuperblock::new(4096, 2048, UUID).encode();
        bytes[700] ^= 4;
        assert_eq!(
            JournalSuperblock::decode(&bytes, 4096, 2048),
            Err(JournalError::Superblock("bad checksum"))
        );
    }
}
