// SPDX-License-Identifier: GPL-2.0

//! `cowfs dump`: what a block holds.

mod hex;
mod journal;
mod records;

use std::io::Write;

use anyhow::Result;
use cowfs_core::block::Block;
use cowfs_core::error::Error;
use cowfs_core::ondisk::{header, superblock, verify, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::FsBlock;
use cowfs_image::volume::{Buf, Volume};

/// Prints the block at `at`: decoded if it is known what it is, its bytes if not or if asked for.
pub fn show(volume: &Volume, at: u64, hex: bool, out: &mut dyn Write) -> Result<()> {
    let at = FsBlock(at);
    let buf = volume.read_any(at)?;
    place(volume, at, out)?;
    if hex {
        return hex::show(buf.bytes(), out);
    }
    match volume.read_superblock(at) {
        Ok(sb) => {
            writeln!(out, "superblock, sound")?;
            return crate::info::superblock(&sb, out);
        }
        Err(Error::Invalid) => {}
        Err(error) => {
            writeln!(out, "superblock, damaged: {error}")?;
            return hex::show(&buf.bytes()[..superblock::SIZE], out);
        }
    }
    let geometry = volume.geometry();
    let journal_end = geometry
        .journal_start
        .add(u64::from(geometry.journal_blocks));
    if (geometry.journal_start..journal_end).contains(&at) {
        return journal::show(volume, at, &buf, out);
    }
    match Kind::from_magic(buf.u32(header::MAGIC)) {
        Some(kind) => metadata(volume, at, kind, &buf, out),
        None => hex::show(buf.bytes(), out),
    }
}

/// Says where the block is.
fn place(volume: &Volume, at: FsBlock, out: &mut dyn Write) -> Result<()> {
    let geometry = volume.geometry();
    write!(out, "block {at}")?;
    match geometry.locate(at) {
        Some((ag, block)) => write!(out, ", block {block} of group {ag}")?,
        None => write!(out, ", before the groups")?,
    }
    if volume.replay().addresses().any(|home| home == at.0) {
        write!(out, ", as the journal has it")?;
    }
    writeln!(out)?;
    Ok(())
}

/// Prints a block with the common header.
fn metadata(
    volume: &Volume,
    at: FsBlock,
    kind: Kind,
    buf: &Buf,
    out: &mut dyn Write,
) -> Result<()> {
    let state = verify(buf, volume.geometry(), at, kind);
    match &state {
        Ok(()) => writeln!(out, "{}, sound", kind.name())?,
        Err(error) => writeln!(out, "{}, damaged: {error}", kind.name())?,
    }
    let mut uuid = [0; 16];
    buf.load(header::UUID, &mut uuid);
    writeln!(out, "checksum   {:#010x}", buf.u32(header::CHECKSUM))?;
    writeln!(out, "uuid       {}", uuid::Uuid::from_bytes(uuid))?;
    writeln!(out, "address    {}", buf.u64(header::ADDRESS))?;
    writeln!(out, "owner      {}", buf.u64(header::OWNER))?;
    if state.is_err() {
        // Its records cannot be trusted to be inside the block.
        return hex::show(buf.bytes(), out);
    }
    match kind {
        Kind::Volume => records::volume(buf, out),
        Kind::Summary => records::summary(volume.geometry(), at, buf, out),
        Kind::Group => records::group(volume.geometry(), buf, out),
        Kind::Inodes => records::inodes(volume.geometry(), at, buf, out),
        Kind::Symlink => hex::show(&buf.bytes()[header::SIZE..], out),
        Kind::Extent
        | Kind::Refcount
        | Kind::InodeMap
        | Kind::FreeInode
        | Kind::Orphan
        | Kind::Directory => records::node(kind, buf, out),
    }
}
