// SPDX-License-Identifier: GPL-2.0

//! Writing one transaction into an empty log, as `fs/jbd2/commit.c` does.
//!
//! ```text
//!   first
//!   +------------+--------+-- - -+--------+------------+--------+-- - -+--------+--------+
//!   | descriptor | copies of blocks       | descriptor | copies ...             | commit |
//!   +------------+--------+-- - -+--------+------------+--------+-- - -+--------+--------+
//! ```
//!
//! The log of a repair holds nothing else, so there is nothing to revoke.

use cowfs_core::platform::crc32c;

use super::bytes::put32;
use super::replay::{COMMIT_CHECKSUM, COMMIT_SECONDS, HEADER, TAG, TAG_UUID, TAIL};
use super::JournalSuperblock;
use super::{COMMIT, DESCRIPTOR, MAGIC, TAG_ESCAPED, TAG_LAST, TAG_SAME_UUID};

/// Tags in one descriptor block.
fn tags_per_block(block_size: usize) -> usize {
    block_size.saturating_sub(HEADER + TAG_UUID + TAIL) / TAG
}

/// Log blocks that a transaction of `blocks` blocks takes.
pub fn log_blocks(block_size: usize, blocks: usize) -> usize {
    blocks + blocks.div_ceil(tags_per_block(block_size).max(1)) + 1
}

/// Makes the log blocks of the transaction `sb.sequence` that writes `blocks`, pairs of address and
/// contents, in order from the log's first block on. `put` takes each.
///
/// # Errors
///
/// That of `put`.
pub fn transaction<E>(
    sb: &JournalSuperblock,
    blocks: &[(u64, &[u8])],
    seconds: u64,
    mut put: impl FnMut(u32, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let size = sb.block_size as usize;
    let seed = sb.checksum_seed();
    let mut at = sb.first;
    for part in blocks.chunks(tags_per_block(size).max(1)) {
        let mut descriptor = header(sb, DESCRIPTOR);
        let mut tag = HEADER;
        for (n, (home, contents)) in part.iter().enumerate() {
            let mut flags = if n > 0 { TAG_SAME_UUID } else { 0 };
            if n + 1 == part.len() {
                flags |= TAG_LAST;
            }
            let copy = escaped(contents);
            if copy.is_some() {
                flags |= TAG_ESCAPED;
            }
            let sum = crc32c(seed, &sb.sequence.to_be_bytes());
            let sum = crc32c(sum, copy.as_deref().unwrap_or(contents));
            put32(&mut descriptor, tag, *home as u32);
            put32(&mut descriptor, tag + 4, flags);
            put32(&mut descriptor, tag + 8, (*home >> 32) as u32);
            put32(&mut descriptor, tag + 12, sum);
            tag += if n == 0 { TAG + TAG_UUID } else { TAG };
        }
        let sum = crc32c(seed, &descriptor);
        put32(&mut descriptor, size - TAIL, sum);
        put(at, &descriptor)?;
        at += 1;
        for (_, contents) in part {
            put(at, escaped(contents).as_deref().unwrap_or(contents))?;
            at += 1;
        }
    }
    let mut commit = header(sb, COMMIT);
    put32(&mut commit, COMMIT_SECONDS, (seconds >> 32) as u32);
    put32(&mut commit, COMMIT_SECONDS + 4, seconds as u32);
    let sum = crc32c(seed, &commit);
    put32(&mut commit, COMMIT_CHECKSUM, sum);
    put(at, &commit)
}

/// A log block with nothing but its header.
fn header(sb: &JournalSuperblock, kind: u32) -> Vec<u8> {
    let mut bytes = vec![0; sb.block_size as usize];
    put32(&mut bytes, 0, MAGIC);
    put32(&mut bytes, 4, kind);
    put32(&mut bytes, 8, sb.sequence);
    bytes
}

/// The copy of a block that begins like one of the journal's own, without that.
fn escaped(contents: &[u8]) -> Option<Vec<u8>> {
    if !contents.starts_with(&MAGIC.to_be_bytes()) {
        return None;
    }
    let mut copy = contents.to_vec();
    put32(&mut copy, 0, 0);
    Some(copy)
}
