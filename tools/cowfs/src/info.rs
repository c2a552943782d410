// SPDX-License-Identifier: GPL-2.0

//! `cowfs info`: the volume as a whole.

use std::io::Write;

use anyhow::Result;
use cowfs_core::block::Block;
use cowfs_core::ondisk::{group, header, summary, superblock, Kind, Superblock};
use cowfs_core::space::{total_reserve, VolumeState};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock};
use cowfs_image::size;
use cowfs_image::volume::{Journal, Volume};

/// Prints superblock, journal and counters; also the groups if asked to.
pub fn show(volume: &Volume, groups: bool, out: &mut dyn Write) -> Result<()> {
    superblock(volume.superblock(), out)?;
    journal(volume, out)?;
    counters(volume, out)?;
    if groups {
        self::groups(volume, out)?;
    }
    Ok(())
}

/// Prints the fields of a superblock.
pub fn superblock(sb: &Superblock, out: &mut dyn Write) -> Result<()> {
    let label = sb.label.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let blocks = |n: u64| size::human(n.saturating_mul(u64::from(sb.block_size)));
    writeln!(out, "uuid             {}", uuid::Uuid::from_bytes(sb.uuid))?;
    writeln!(
        out,
        "label            \"{}\"",
        String::from_utf8_lossy(label)
    )?;
    writeln!(out, "format version   {}", superblock::VERSION)?;
    writeln!(
        out,
        "features         compat {:#x}, ro-compat {:#x}, incompat {:#x}",
        sb.compat, sb.ro_compat, sb.incompat
    )?;
    writeln!(out, "made             {} (seconds since 1970)", sb.made)?;
    let state = match sb.state & superblock::STATE_ERROR {
        0 => "no errors known",
        _ => "an error was found: run fsck.cowfs",
    };
    writeln!(out, "state            {:#x} ({state})", sb.state)?;
    writeln!(out, "block size       {}", sb.block_size)?;
    writeln!(
        out,
        "blocks           {} ({})",
        sb.blocks,
        blocks(sb.blocks)
    )?;
    let summary_end = sb.summary_start.add(u64::from(sb.summary_blocks));
    let journal_end = sb.journal_start.add(u64::from(sb.journal_blocks));
    writeln!(
        out,
        "summary          blocks {}-{}",
        sb.summary_start,
        summary_end.0.saturating_sub(1)
    )?;
    writeln!(
        out,
        "journal          blocks {}-{} ({})",
        sb.journal_start,
        journal_end.0.saturating_sub(1),
        blocks(u64::from(sb.journal_blocks))
    )?;
    writeln!(
        out,
        "groups           {} of {} blocks ({}), from block {} on",
        sb.ag_count,
        sb.ag_blocks,
        blocks(u64::from(sb.ag_blocks)),
        sb.ag_start
    )?;
    writeln!(out, "root inode       {}", sb.root)?;
    Ok(())
}

fn journal(volume: &Volume, out: &mut dyn Write) -> Result<()> {
    write!(out, "journal state    ")?;
    match volume.journal() {
        Journal::Clean(sb) => writeln!(out, "clean, next transaction {}", sb.sequence)?,
        Journal::NeedsReplay(sb) => {
            let replay = volume.replay();
            writeln!(
                out,
                "needs replay: from transaction {} on, {} transactions that change {} blocks, {} \
                 revoked copies",
                sb.sequence,
                replay.transactions,
                replay.blocks(),
                replay.revoked
            )?;
            for fault in &replay.faults {
                writeln!(out, "                 damaged: {fault}")?;
            }
        }
        Journal::Unusable(error) => writeln!(out, "unusable: {error}")?,
    }
    Ok(())
}

fn counters(volume: &Volume, out: &mut dyn Write) -> Result<()> {
    let state = match VolumeState::load(volume) {
        Ok(state) => state,
        Err(error) => {
            writeln!(out, "volume block     {error}")?;
            return Ok(());
        }
    };
    let geometry = volume.geometry();
    let reserve = total_reserve(geometry);
    let blocks = |n: u64| size::human(n << geometry.block_shift);
    let free = state.free.saturating_sub(reserve);
    writeln!(out, "free blocks      {free} ({})", blocks(free))?;
    writeln!(
        out,
        "set aside        {reserve} ({}) for the groups' own trees",
        blocks(reserve)
    )?;
    writeln!(out, "inodes           {}", state.inodes)?;
    match state.orphans.height {
        0 => writeln!(out, "orphan tree      empty")?,
        height => writeln!(
            out,
            "orphan tree      root {}, height {height}",
            state.orphans.block
        )?,
    }
    Ok(())
}

fn groups(volume: &Volume, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "\n{:>7} {:>12} {:>7} {:>7} {:>7} {:>7} {:>7}  trees: refcount, inode map, free inodes",
        "group", "first block", "blocks", "free", "inode", "free", "tree"
    )?;
    writeln!(
        out,
        "{:>7} {:>12} {:>7} {:>7} {:>7} {:>7} {:>7}  (root/height)",
        "", "", "", "blocks", "blocks", "inodes", "blocks"
    )?;
    let geometry = volume.geometry();
    for n in 0..geometry.summary_blocks {
        let at = geometry.summary_start.add(u64::from(n));
        let buf = match volume.read(at, Kind::Summary) {
            Ok(buf) => buf,
            Err(error) => {
                writeln!(out, "{error}")?;
                continue;
            }
        };
        let first = n * geometry.groups_per_summary();
        let numbers = (first..geometry.ag_count).map(AgNumber);
        for (ag, byte) in numbers.zip(buf.bytes().iter().skip(header::SIZE)) {
            if *byte != summary::UNUSED {
                group(volume, ag, out)?;
            }
        }
    }
    Ok(())
}

fn group(volume: &Volume, ag: AgNumber, out: &mut dyn Write) -> Result<()> {
    let start = volume.geometry().group_start(ag);
    let buf = match volume.read(start, Kind::Group) {
        Ok(buf) => buf,
        Err(error) => {
            writeln!(out, "{ag:>7} {error}")?;
            return Ok(());
        }
    };
    let root = |at: usize| match buf.u32(at + 8) {
        0 => "-".to_owned(),
        height => format!("{}/{height}", FsBlock(buf.u64(at))),
    };
    writeln!(
        out,
        "{ag:>7} {start:>12} {:>7} {:>7} {:>7} {:>7} {:>7}  {}, {}, {}",
        buf.u32(group::BLOCKS),
        buf.u32(group::FREE),
        buf.u32(group::INODE_BLOCKS),
        buf.u32(group::FREE_INODES),
        buf.u32(group::TREE_BLOCKS),
        root(group::REFCOUNT_ROOT),
        root(group::INODE_ROOT),
        root(group::FREE_INODE_ROOT)
    )?;
    Ok(())
}
