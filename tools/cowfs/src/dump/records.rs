// SPDX-License-Identifier: GPL-2.0

//! The contents of metadata blocks, which were verified.

use std::io::Write;

use anyhow::Result;
use cowfs_core::block::Block;
use cowfs_core::btree::{node, Array, Fixed, Layout, Slotted};
use cowfs_core::dir::Entries;
use cowfs_core::extent::Extent;
use cowfs_core::inode::FileType;
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::ondisk::{group, header, summary, volume, Geometry, Kind};
use cowfs_core::space::inodes::InodeBlock;
use cowfs_core::space::orphans::Orphan;
use cowfs_core::space::refcount::Counted;
use cowfs_core::units::{AgNumber, FsBlock};
use cowfs_image::volume::Buf;

/// The volume block.
pub fn volume(buf: &Buf, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "free       {} blocks", buf.u64(volume::FREE))?;
    writeln!(out, "inodes     {}", buf.u64(volume::INODES))?;
    writeln!(out, "epoch      {}", buf.u64(volume::EPOCH))?;
    root("orphans", buf, volume::ORPHAN_ROOT, out)
}

fn root(name: &str, buf: &Buf, at: usize, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "{name:<10} root {}, height {}",
        buf.u64(at),
        buf.u32(at + 8)
    )?;
    Ok(())
}

/// A summary block: runs of groups with the same byte.
pub fn summary(geometry: &Geometry, at: FsBlock, buf: &Buf, out: &mut dyn Write) -> Result<()> {
    let per = u64::from(geometry.groups_per_summary());
    let mut first = at.since(geometry.summary_start).saturating_mul(per);
    let end = u64::from(geometry.ag_count).min(first.saturating_add(per));
    let count = end.saturating_sub(first) as usize;
    let bytes = buf.bytes().get(header::SIZE..).unwrap_or(&[]);
    for run in bytes[..count.min(bytes.len())].chunk_by(|a, b| a == b) {
        let last = first + run.len() as u64 - 1;
        let groups = if run.len() == 1 {
            format!("group {first}")
        } else {
            format!("groups {first}-{last}")
        };
        match run[0] {
            summary::UNUSED => writeln!(out, "{groups}: never used")?,
            1 => writeln!(out, "{groups}: full")?,
            class => writeln!(
                out,
                "{groups}: class {class}, room for {} blocks or more",
                1u64.checked_shl(u32::from(class) - 2).unwrap_or(u64::MAX)
            )?,
        }
        first = last + 1;
    }
    Ok(())
}

/// A group's header: its counts, and runs of used blocks.
pub fn group(geometry: &Geometry, buf: &Buf, out: &mut dyn Write) -> Result<()> {
    let len = buf.u32(group::BLOCKS);
    writeln!(
        out,
        "blocks     {len}, {} of them free",
        buf.u32(group::FREE)
    )?;
    writeln!(
        out,
        "inodes     {} blocks, {} free inodes",
        buf.u32(group::INODE_BLOCKS),
        buf.u32(group::FREE_INODES)
    )?;
    writeln!(out, "own trees  {} blocks", buf.u32(group::TREE_BLOCKS))?;
    root("refcounts", buf, group::REFCOUNT_ROOT, out)?;
    root("inode map", buf, group::INODE_ROOT, out)?;
    root("free", buf, group::FREE_INODE_ROOT, out)?;
    let start = geometry.group_start(AgNumber(buf.u64(header::OWNER) as u32));
    let used = |n: u32| (buf.u8(group::BITMAP + n as usize / 8) >> (n % 8)) & 1 != 0;
    let mut at = 0;
    while at < len {
        let run = (at..len).take_while(|n| used(*n) == used(at)).count() as u32;
        if used(at) {
            writeln!(
                out,
                "used       {}-{}",
                start.add(u64::from(at)),
                start.add(u64::from(at + run - 1))
            )?;
        }
        at += run;
    }
    Ok(())
}

/// An inode block: one paragraph for each inode in use.
pub fn inodes(geometry: &Geometry, at: FsBlock, buf: &Buf, out: &mut dyn Write) -> Result<()> {
    let mask = buf.u16(inode::IN_USE);
    writeln!(out, "in use     {mask:#06x}")?;
    for slot in 1..geometry.inode_slots() as u32 {
        if (mask >> slot) & 1 != 0 {
            writeln!(out, "\ninode {} (slot {slot})", geometry.ino(at, slot))?;
            inode(buf, slot as usize * inode::SIZE, out)?;
        }
    }
    Ok(())
}

fn inode(buf: &Buf, at: usize, out: &mut dyn Write) -> Result<()> {
    let mode = buf.u16(at + inode::MODE);
    match FileType::in_mode(mode) {
        Some(kind) => writeln!(out, "  mode       {mode:o} ({kind:?})")?,
        None => writeln!(out, "  mode       {mode:o}")?,
    }
    writeln!(
        out,
        "  links      {}, uid {}, gid {}",
        buf.u32(at + inode::LINKS),
        buf.u32(at + inode::UID),
        buf.u32(at + inode::GID)
    )?;
    writeln!(
        out,
        "  size       {} bytes, {} blocks",
        buf.u64(at + inode::SIZE_BYTES),
        buf.u64(at + inode::BLOCKS)
    )?;
    for (n, name) in ["atime", "mtime", "ctime", "btime"].iter().enumerate() {
        writeln!(
            out,
            "  {name:<10} {}.{:09}",
            buf.u64(at + inode::SECONDS + 8 * n) as i64,
            buf.u32(at + inode::NANOSECONDS + 4 * n)
        )?;
    }
    writeln!(
        out,
        "  generation {}, flags {:#x}, device {:#x}, CoW extent size {}, parent {}",
        buf.u32(at + inode::GENERATION),
        buf.u32(at + inode::FLAGS),
        buf.u32(at + inode::RDEV),
        buf.u32(at + inode::COW_EXTENT_SIZE),
        buf.u64(at + inode::PARENT)
    )?;
    let count = usize::from(buf.u16(at + inode::COUNT));
    let inline = at + inode::INLINE;
    match Format::from_u8(buf.u8(at + inode::FORMAT)) {
        Some(Format::None) => {}
        Some(Format::Extents) => {
            for n in 0..count.min(inode::INLINE_EXTENTS) {
                extent(buf, inline + n * Extent::SIZE, out)?;
            }
        }
        Some(format @ (Format::ExtentTree | Format::Directory)) => writeln!(
            out,
            "  {format:?} with root {}, height {}, epoch {}",
            buf.u64(at + inode::ROOT),
            buf.u8(at + inode::HEIGHT),
            buf.u64(at + inode::EPOCH)
        )?,
        Some(Format::Symlink) => {
            let mut target = vec![0; count.min(inode::INLINE_SIZE)];
            buf.load(inline, &mut target);
            writeln!(out, "  target     {:?}", String::from_utf8_lossy(&target))?;
        }
        Some(Format::LongSymlink) => {
            for n in 0..count.min(inode::INLINE_SIZE / 8) {
                writeln!(out, "  target in  block {}", buf.u64(inline + 8 * n))?;
            }
        }
        None => writeln!(out, "  unknown format {}", buf.u8(at + inode::FORMAT))?,
    }
    Ok(())
}

fn extent(buf: &Buf, at: usize, out: &mut dyn Write) -> Result<()> {
    let extent = Extent::load(buf, at);
    writeln!(
        out,
        "  {} + {} -> {}{}",
        extent.file,
        extent.len,
        extent.disk,
        if extent.unwritten { ", unwritten" } else { "" }
    )?;
    Ok(())
}

/// A node of a tree.
pub fn node(kind: Kind, buf: &Buf, out: &mut dyn Write) -> Result<()> {
    let (level, count) = (node::level(buf), node::count(buf));
    writeln!(out, "level      {level}\nrecords    {count}")?;
    if kind == Kind::Extent {
        writeln!(out, "epoch      {}", node::epoch(buf))?;
    }
    for index in 0..count {
        if level > 0 {
            let branch: node::Branch = Array::get(buf, index);
            writeln!(out, "  from {:#x} on: block {}", branch.key, branch.child)?;
            continue;
        }
        match kind {
            Kind::Extent => extent(buf, Array::<Extent>::place(buf, index), out)?,
            Kind::Directory => entry(buf, Slotted::<Entries>::place(buf, index), out)?,
            Kind::Orphan => {
                let Orphan(ino) = Array::get(buf, index);
                writeln!(out, "  inode {ino}")?;
            }
            Kind::Refcount => {
                let Counted { first, len, count } = Array::get(buf, index);
                writeln!(out, "  {first} + {len}: {count} references")?;
            }
            _ => {
                let InodeBlock(block) = Array::get(buf, index);
                writeln!(out, "  block {block} of the group")?;
            }
        }
    }
    Ok(())
}

fn entry(buf: &Buf, at: usize, out: &mut dyn Write) -> Result<()> {
    let mut name = vec![0; usize::from(buf.u8(at + 17))];
    buf.load(at + 18, &mut name);
    writeln!(
        out,
        "  {:#018x} inode {:<12} type {:<2} {:?}",
        buf.u64(at),
        buf.u64(at + 8),
        buf.u8(at + 16),
        String::from_utf8_lossy(&name)
    )?;
    Ok(())
}
