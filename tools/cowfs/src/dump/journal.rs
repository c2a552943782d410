// SPDX-License-Identifier: GPL-2.0

//! Blocks of the journal.

use std::io::Write;

use anyhow::Result;
use cowfs_core::store::Reader;
use cowfs_core::units::FsBlock;
use cowfs_image::journal::bytes::{be32, be64};
use cowfs_image::journal::replay::{revocations, tags};
use cowfs_image::journal::{COMMIT, DESCRIPTOR, MAGIC, REVOKE, TAG_ESCAPED};
use cowfs_image::volume::{Buf, Journal, Volume};

use super::hex;

/// Prints the journal's block at `at`. Whether it belongs to the log or is a leftover of an
/// earlier lap is for the reader to tell, by its transaction.
pub fn show(volume: &Volume, at: FsBlock, buf: &Buf, out: &mut dyn Write) -> Result<()> {
    let index = at.since(volume.geometry().journal_start);
    writeln!(out, "journal block {index}")?;
    let bytes = buf.bytes();
    if index == 0 {
        return superblock(volume, bytes, out);
    }
    if be32(bytes, 0) != MAGIC {
        writeln!(out, "data, or never used")?;
        return hex::show(bytes, out);
    }
    let transaction = be32(bytes, 8);
    match be32(bytes, 4) {
        DESCRIPTOR => {
            writeln!(out, "descriptor of transaction {transaction}")?;
            for (n, tag) in tags(bytes).enumerate() {
                let escaped = match tag.flags & TAG_ESCAPED {
                    0 => "",
                    _ => ", escaped",
                };
                writeln!(
                    out,
                    "{:>5}: block {}, checksum {:#010x}{escaped}",
                    index + 1 + n as u64,
                    tag.home,
                    tag.checksum
                )?;
            }
        }
        REVOKE => {
            writeln!(out, "revocations of transaction {transaction}")?;
            match revocations(bytes) {
                Some(homes) => {
                    for home in homes {
                        writeln!(out, "block {home}")?;
                    }
                }
                None => writeln!(out, "impossible number of them")?,
            }
        }
        COMMIT => writeln!(
            out,
            "commit of transaction {transaction}, at {} seconds since 1970",
            be64(bytes, 48)
        )?,
        kind => {
            writeln!(out, "unknown type {kind}")?;
            hex::show(bytes, out)?;
        }
    }
    Ok(())
}

fn superblock(volume: &Volume, bytes: &[u8], out: &mut dyn Write) -> Result<()> {
    match volume.journal() {
        Journal::Unusable(error) => {
            writeln!(out, "unusable: {error}")?;
            hex::show(&bytes[..1024], out)
        }
        Journal::Clean(sb) | Journal::NeedsReplay(sb) => {
            writeln!(out, "journal superblock, sound")?;
            writeln!(out, "uuid       {}", uuid::Uuid::from_bytes(sb.uuid))?;
            writeln!(out, "blocks     {} of {} bytes", sb.blocks, sb.block_size)?;
            writeln!(out, "log        from block {} on", sb.first)?;
            writeln!(
                out,
                "start      block {}, transaction {}",
                sb.start, sb.sequence
            )?;
            writeln!(out, "errno      {}", sb.errno)?;
            Ok(())
        }
    }
}
