// SPDX-License-Identifier: GPL-2.0

//! Finds inodes, by number or by path.

use anyhow::{bail, Context, Result};
use cowfs_core::block::Block;
use cowfs_core::dir;
use cowfs_core::inode::{self, Core, FileType};
use cowfs_core::ondisk::header;
use cowfs_core::space::inodes;
use cowfs_core::store::Reader;
use cowfs_core::units::{FsBlock, Ino};
use cowfs_image::volume::{Buf, Volume};

/// An inode that was found.
pub struct File {
    /// Its number.
    pub ino: Ino,
    /// The block it is in.
    pub buf: Buf,
    /// Its byte offset there.
    pub at: usize,
    /// What all types of files have.
    pub core: Core,
}

impl File {
    /// The address of the inode's block.
    pub fn block(&self) -> FsBlock {
        FsBlock(self.buf.u64(header::ADDRESS))
    }

    /// The file's type.
    pub fn kind(&self) -> FileType {
        FileType::from_mode(self.core.mode)
    }
}

/// Finds the inode that `name`, a path from the root or a number, stands for. Symbolic links are
/// not followed.
pub fn find(volume: &Volume, name: &str) -> Result<File> {
    if let Ok(number) = name.parse() {
        return load(volume, Ino(number)).with_context(|| format!("inode {name}"));
    }
    if !name.starts_with('/') {
        bail!("{name:?} is neither a number nor a path from the root (\"/...\")");
    }
    let mut file = load(volume, volume.geometry().root).context("root directory")?;
    for part in name
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        if file.kind() != FileType::Directory {
            bail!("{name}: what comes before {part:?} is no directory");
        }
        let next = if part == ".." {
            file.core.parent
        } else {
            let root = inode::load_root(&file.buf, file.at, file.block())?;
            match dir::lookup(volume, &root, part.as_bytes())? {
                Some(entry) => entry.ino,
                None => bail!("{name}: no {part:?}"),
            }
        };
        file = load(volume, next).with_context(|| format!("{name}: inode {next}"))?;
    }
    Ok(file)
}

fn load(volume: &Volume, ino: Ino) -> Result<File> {
    let (buf, at) = inodes::read(volume, ino)?;
    let block = FsBlock(buf.u64(header::ADDRESS));
    let core = Core::load(&buf, at, block)?;
    Ok(File { ino, buf, at, core })
}
