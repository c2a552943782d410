// SPDX-License-Identifier: GPL-2.0

//! `cowfs map`: where the contents of a file are.

use std::io::Write;

use anyhow::{Context, Result};
use cowfs_core::block::Block;
use cowfs_core::dir;
use cowfs_core::extent::Fork;
use cowfs_core::inode::{self, symlink, FileType};
use cowfs_core::ondisk::inode::BLOCKS;
use cowfs_core::store::Reader;
use cowfs_core::units::FileBlock;
use cowfs_image::volume::Volume;

use crate::file::{self, File};

/// Prints the extents of a regular file, the entries of a directory, or a link's target.
pub fn show(volume: &Volume, name: &str, out: &mut dyn Write) -> Result<()> {
    let file = file::find(volume, name)?;
    writeln!(
        out,
        "inode {}: {:?}, mode {:o}, {} links, {} bytes, {} blocks",
        file.ino,
        file.kind(),
        file.core.mode,
        file.core.links,
        file.core.size,
        file.buf.u64(file.at + BLOCKS)
    )?;
    match file.kind() {
        FileType::Regular => extents(volume, &file, out),
        FileType::Directory => entries(volume, &file, out),
        FileType::Symlink => target(volume, &file, out),
        _ => Ok(()),
    }
    .with_context(|| format!("inode {}", file.ino))
}

fn extents(volume: &Volume, file: &File, out: &mut dyn Write) -> Result<()> {
    let fork = Fork::load(volume, &file.buf, file.at, file.block())?;
    match fork.height() {
        0 => writeln!(out, "extents in the inode")?,
        height => writeln!(
            out,
            "extent tree with root {}, height {height}",
            fork.root().block
        )?,
    }
    writeln!(
        out,
        "{:>24} {:>24} {:>8} flags",
        "file blocks", "disk blocks", "length"
    )?;
    let end = FileBlock((1 << 63) >> volume.geometry().block_shift);
    let mut at = FileBlock(0);
    while at < end {
        let (found, shared) = fork.lookup_shared(volume, at, end.since(at))?;
        // The core never answers for no blocks at all; a damaged volume must not make us believe so.
        let len = found.len.max(1);
        if let Some(extent) = found.extent {
            let last = |first: u64| first + (len - 1);
            let mut flags = Vec::new();
            if shared {
                flags.push("shared");
            }
            if extent.unwritten {
                flags.push("unwritten");
            }
            writeln!(
                out,
                "{:>24} {:>24} {len:>8} {}",
                format!("{at}-{}", last(at.0)),
                format!("{}-{}", extent.disk, last(extent.disk.0)),
                flags.join(",")
            )?;
        }
        at = at.add(len);
    }
    Ok(())
}

fn entries(volume: &Volume, file: &File, out: &mut dyn Write) -> Result<()> {
    let root = inode::load_root(&file.buf, file.at, file.block())?;
    writeln!(
        out,
        "parent {}, entry tree with root {}, height {}",
        file.core.parent, root.block, root.height
    )?;
    writeln!(out, "{:>18} {:>16} {:12} name", "position", "inode", "type")?;
    let mut written = Ok(());
    dir::read(volume, &root, 0, |position, name, ino, kind| {
        written = writeln!(
            out,
            "{position:#18x} {ino:>16} {:12} {:?}",
            format!("{kind:?}"),
            String::from_utf8_lossy(name)
        );
        written.is_ok()
    })?;
    Ok(written?)
}

fn target(volume: &Volume, file: &File, out: &mut dyn Write) -> Result<()> {
    let mut room = vec![0; symlink::MAX_TARGET];
    let len = symlink::read(volume, &file.buf, file.at, &mut room)?;
    let target = String::from_utf8_lossy(room.get(..len).unwrap_or(&[]));
    writeln!(out, "target {target:?}")?;
    Ok(())
}
