// SPDX-License-Identifier: GPL-2.0

//! What is in a volume: the names from the root on, and what each block of a file holds.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use cowfs_core::block::Block;
use cowfs_core::dir;
use cowfs_core::error::{Error, Result};
use cowfs_core::extent::Fork;
use cowfs_core::inode::{self, Core, FileType};
use cowfs_core::ondisk::header;
use cowfs_core::space::inodes;
use cowfs_core::store::Reader;
use cowfs_core::units::{FileBlock, FsBlock, Ino};
use cowfs_image::volume::{Buf, Volume};

use crate::disk::Disk;
use crate::log::{LogSector, SECTOR};
use crate::stamp::{judge, Verdict};

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The inode it names.
    pub ino: u64,
    /// That is a directory.
    pub directory: bool,
}

/// All directories of a volume, by inode: their entries by name.
pub type Directories = HashMap<u64, BTreeMap<Vec<u8>, Entry>>;

fn load(volume: &Volume, ino: u64) -> Result<(Buf, usize, FsBlock)> {
    let (buf, at) = inodes::read(volume, Ino(ino))?;
    let block = FsBlock(buf.u64(header::ADDRESS));
    Ok((buf, at, block))
}

/// Reads all directories that can be reached from the root.
///
/// # Errors
///
/// `Corrupt`.
pub fn directories(volume: &Volume) -> Result<Directories> {
    let mut found = Directories::new();
    let mut rest = vec![volume.geometry().root.0];
    while let Some(ino) = rest.pop() {
        if found.contains_key(&ino) {
            // fsck says that this cannot be.
            continue;
        }
        let (buf, at, block) = load(volume, ino)?;
        let root = inode::load_root(&buf, at, block)?;
        let mut entries = BTreeMap::new();
        dir::read(volume, &root, 0, |_, name, child, kind| {
            let directory = kind == FileType::Directory;
            if directory {
                rest.push(child.0);
            }
            let entry = Entry {
                ino: child.0,
                directory,
            };
            entries.insert(name.to_vec(), entry);
            true
        })?;
        found.insert(ino, entries);
    }
    Ok(found)
}

/// The contents of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The size in bytes.
    pub size: u64,
    /// The blocks below the size that are mapped and written. All others read as zeroes.
    pub blocks: BTreeMap<u64, Verdict>,
}

/// Reads files, remembering what the blocks in the log are, which does not change from one point to
/// the next.
#[derive(Debug, Default)]
pub struct Reading {
    known: RefCell<HashMap<LogSector, Verdict>>,
}

impl Reading {
    /// Reads the contents of a file.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub fn contents(&self, volume: &Volume, disk: &Disk, ino: u64) -> Result<Contents> {
        let (buf, at, block) = load(volume, ino)?;
        let core = Core::load(&buf, at, block)?;
        let fork = Fork::load(volume, &buf, at, block)?;
        let geometry = volume.geometry();
        let end = FileBlock(core.size.div_ceil(geometry.block_size() as u64));
        let mut contents = Contents {
            size: core.size,
            blocks: BTreeMap::new(),
        };
        let mut at = FileBlock(0);
        while at < end {
            let found = fork.lookup(volume, at, end.since(at))?;
            if let Some(extent) = found.extent.filter(|extent| !extent.unwritten) {
                for n in 0..u64::from(extent.len) {
                    let verdict = self.judge(volume, disk, extent.disk.add(n))?;
                    contents.blocks.insert(extent.file.add(n).0, verdict);
                }
            }
            at = at.add(found.len.max(1));
        }
        Ok(contents)
    }

    fn judge(&self, volume: &Volume, disk: &Disk, at: FsBlock) -> Result<Verdict> {
        let size = volume.geometry().block_size();
        let sectors = size as u64 / SECTOR;
        let read = || {
            let mut bytes = vec![0; size];
            match volume.read_raw(at, &mut bytes) {
                Ok(()) => Ok(judge(&bytes)),
                Err(_) => Err(Error::Io(at)),
            }
        };
        if volume.replay().changes(at.0) {
            // A block that was metadata once and was not revoked: the replay ruins the file.
            return read();
        }
        match disk.origin_of_all(at.0 * sectors, sectors) {
            Ok(None) => Ok(Verdict::Poison),
            Ok(Some(from)) => {
                if let Some(verdict) = self.known.borrow().get(&from) {
                    return Ok(*verdict);
                }
                let verdict = read()?;
                self.known.borrow_mut().insert(from, verdict);
                Ok(verdict)
            }
            Err(_) => read(),
        }
    }
}
