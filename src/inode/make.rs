// SPDX-License-Identifier: GPL-2.0

//! Making an inode.

use crate::inode::{log, read, Contents, File, Map};
use crate::libcowfs::btree::Root;
use crate::libcowfs::cow::CowFork;
use crate::libcowfs::error::{Error as CoreError, Result as CoreResult};
use crate::libcowfs::extent::Fork;
use crate::libcowfs::inode as codec;
use crate::libcowfs::ondisk::inode::Format;
use crate::libcowfs::space::inodes;
use crate::libcowfs::units::Ino;
use crate::linux::fs::{DeviceNumber, FileType, MntIdmap, Mode, NewInode};
use crate::super_block::Cowfs;
use crate::symlink;
use crate::transaction::Tx;
use crate::volume::Inode;
use kernel::prelude::*;

/// Blocks a new inode may take: a block of inodes, and those of a long symbolic link.
pub(crate) const BLOCKS: u64 = 1 + symlink::MAX_BLOCKS;

/// What to make beside the mode's type.
#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    /// Nothing more: regular file, directory.
    Plain,
    /// A device node, pipe or socket.
    Special(DeviceNumber),
    /// A symbolic link to this.
    Symlink(&'a CStr),
}

/// Allocates an inode in memory, owned by the current task. It has no number yet.
pub(crate) fn prepare(
    idmap: &MntIdmap,
    dir: &Inode,
    mode: Mode,
    what: What<'_>,
) -> Result<NewInode<Cowfs>> {
    let mut new = dir.sb().new_inode()?;
    new.init_owner(idmap, dir, mode)?;
    if let What::Special(rdev) = what {
        let mode = new.mode();
        new.set_special(mode, rdev)?;
    }
    if let What::Symlink(target) = what {
        new.set_symlink::<symlink::Operations>(target)?;
    }
    Ok(new)
}

/// Gives `new` a number, a slot on disk, and what goes with its type.
///
/// # Errors
///
/// Those of changing metadata. If it is a plain one, nothing was changed on a refusal.
pub(crate) fn allocate(
    tx: &mut Tx<'_>,
    dir: &Inode,
    mut new: NewInode<Cowfs>,
    what: What<'_>,
) -> CoreResult<NewInode<Cowfs>> {
    let view = tx.view();
    let is_dir = new.is_dir();
    let file_type = new.file_type().unwrap_or(FileType::Regular);
    let ino = inodes::alloc(tx, Ino(dir.ino()), is_dir)?;
    let (buf, at) = inodes::read(tx, ino)?;
    let generation = codec::generation(&buf, at);

    let now = new.touch_all_now();
    new.set_generation(generation);
    let contents = match file_type {
        FileType::Regular => Contents::File(File {
            fork: Fork::new(),
            cow: CowFork::new(),
        }),
        FileType::Directory => Contents::Directory(Root::default()),
        FileType::Symlink => Contents::Symlink,
        _ => Contents::None,
    };
    codec::init(
        &buf,
        at,
        match file_type {
            FileType::Regular => Format::Extents,
            FileType::Directory => Format::Directory,
            FileType::Symlink => Format::Symlink,
            _ => Format::None,
        },
    );
    let mut size = 0;
    if let What::Symlink(target) = what {
        size = target.to_bytes().len() as u64;
        symlink::store(tx, ino, &buf, at, target.to_bytes())?;
        new.set_size(size as i64);
        read::set_recorded_blocks(&new, view.volume().geometry.block_shift, &buf, at);
    }
    if is_dir {
        new.set_nlink(2);
    }
    *new.data().map_mut() = Map {
        contents,
        sequence: 0,
        promised: 0,
        btime: now,
        flags: 0,
        cow_extent_size: 0,
        parent: if is_dir { Ino(dir.ino()) } else { Ino(0) },
    };
    new.data().set_disk_size(&mut new.data().map_mut(), size);
    let mut new = match new.insert(ino.0) {
        Ok(new) => new,
        Err(_) => {
            return Err(CoreError::Corrupt(
                view.volume()
                    .geometry
                    .inode_at(ino)
                    .map_or(Default::default(), |(at, _)| at),
                "a free inode slot belongs to an inode in use",
            ))
        }
    };
    read::set_operations(&mut new, file_type);
    Ok(new)
}

/// Undoes [`allocate`].
pub(crate) fn take_back(tx: &mut Tx<'_>, new: NewInode<Cowfs>) -> CoreResult {
    let ino = Ino(new.ino());
    let is_symlink = new.is_symlink();
    // Before the number is another's.
    drop(new);
    if is_symlink {
        let (buf, at) = inodes::read(tx, ino)?;
        codec::symlink::free(tx, &buf, at)?;
    }
    inodes::free(tx, ino)
}

/// Writes a new inode to its slot.
pub(crate) fn log_new(tx: &mut Tx<'_>, new: &NewInode<Cowfs>) -> CoreResult {
    let mut map = new.data().map_mut();
    log::log(tx, new, &mut map, true)
}
