// SPDX-License-Identifier: GPL-2.0

//! Bringing an inode from its slot on disk into memory.

use crate::buffer::Buffer;
use crate::error;
use crate::inode::{Contents, File, Map};
use crate::libcowfs::cow::CowFork;
use crate::libcowfs::error::{Error as CoreError, Result as CoreResult};
use crate::libcowfs::extent::Fork;
use crate::libcowfs::inode::{self as codec, Core, Time};
use crate::libcowfs::space::inodes;
use crate::libcowfs::store::Reader;
use crate::libcowfs::units::{FsBlock, Ino};
use crate::linux::error::EUCLEAN;
use crate::linux::fs::{DeviceNumber, FileType, Iget, Mode, NewInode, Timespec};
use crate::view::View;
use crate::volume::{Inode, Super};
use crate::{directory, file, namei, pages, symlink};
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// The inode with number `ino`, read from disk if it is not in memory.
///
/// # Errors
///
/// `EUCLEAN` if there is no sound inode with that number, `EIO`, `ENOMEM`.
pub(crate) fn get(sb: &Super, ino: Ino) -> Result<ARef<Inode>> {
    find(sb, ino, false)
}

/// The inode that a directory entry names. Unlike an orphan it has links.
///
/// # Errors
///
/// As [`get`].
pub(crate) fn get_linked(sb: &Super, ino: Ino) -> Result<ARef<Inode>> {
    find(sb, ino, true)
}

fn find(sb: &Super, ino: Ino, linked: bool) -> Result<ARef<Inode>> {
    let deleted = || {
        pr_err!(
            "cowfs ({}): inode {}: it is named, but has no links\n",
            sb.name(),
            ino.0
        );
        sb.info().corrupt(sb);
        EUCLEAN
    };
    match sb.iget(ino.0)? {
        Iget::Existing(inode) if linked && inode.nlink() == 0 => Err(deleted()),
        Iget::Existing(inode) => Ok(inode),
        Iget::New(mut new) => {
            load(sb, ino, &mut new).map_err(|e| error::report(sb, e))?;
            if linked && new.nlink() == 0 {
                // Not finished, so that nobody takes it for an orphan and deletes it.
                return Err(deleted());
            }
            Ok(new.finish())
        }
    }
}

fn time(at: FsBlock, t: Time) -> CoreResult<Timespec> {
    Timespec::new(t.seconds, t.nanoseconds)
        .ok_or(CoreError::Corrupt(at, "nanoseconds out of range"))
}

fn load(sb: &Super, ino: Ino, new: &mut NewInode<crate::super_block::Cowfs>) -> CoreResult {
    let view = View::new(sb);
    let (buf, at) = inodes::read(&view, ino)?;
    let block = FsBlock(buf.0.block());
    let core = Core::load(&buf, at, block)?;
    let mode = Mode::from_bits(core.mode);
    let Some(file_type) = mode.file_type() else {
        return Err(CoreError::Corrupt(block, "inode of no known type"));
    };
    let size =
        i64::try_from(core.size).map_err(|_| CoreError::Corrupt(block, "inode too large"))?;

    new.set_owner(core.uid, core.gid)
        .set_size(size)
        .set_generation(core.generation);
    new.set_nlink(core.links);
    new.set_atime(time(block, core.times[0])?);
    new.set_mtime(time(block, core.times[1])?);
    new.set_ctime(time(block, core.times[2])?);
    let btime = time(block, core.times[3])?;

    let contents = match file_type {
        FileType::Regular => Contents::File(File {
            fork: Fork::load(&view, &buf, at, block)?,
            cow: CowFork::new(),
        }),
        FileType::Directory => Contents::Directory(codec::load_root(&buf, at, block)?),
        FileType::Symlink => Contents::Symlink,
        _ => Contents::None,
    };
    match file_type {
        FileType::Symlink | FileType::Regular | FileType::Directory => new.set_mode(mode),
        _ => new.set_special(mode, DeviceNumber::decode(core.rdev)),
    }
    .map_err(|_| CoreError::Corrupt(block, "inode of no known type"))?;
    if file_type == FileType::Symlink {
        symlink::load(view, new, &buf, at, core.size)?;
    }
    {
        let mut map = new.data().map_mut();
        *map = Map {
            contents,
            sequence: 0,
            promised: 0,
            btime,
            flags: core.flags,
            cow_extent_size: core.cow_extent_size,
            parent: core.parent,
        };
        new.data().set_disk_size(&mut map, core.size);
        set_blocks(new, view.geometry().block_shift, &map);
        if map.file_ref().is_err() {
            set_recorded_blocks(new, view.geometry().block_shift, &buf, at);
        }
    }
    new.data().set_reaches_beyond(true);
    if let Some(journal) = view.volume().journal() {
        // Nobody remembers by which transaction it was changed before it left memory.
        new.data().changed_in(journal.latest_tid(), true);
    }
    set_operations(new, file_type);
    Ok(())
}

/// Tells the VFS how many blocks the inode has.
pub(crate) fn set_blocks(inode: &Inode, block_shift: u8, map: &Map) {
    let blocks = match &map.contents {
        Contents::File(file) => file
            .fork
            .blocks()
            .saturating_add(file.cow.delalloc())
            .saturating_add(file.cow.real()),
        _ => return,
    };
    inode.set_bytes((blocks << block_shift).min(i64::MAX as u64) as i64);
}

/// Tells the VFS how many blocks the slot at byte `at` of `buf` says that an inode has which is no regular file.
pub(crate) fn set_recorded_blocks(inode: &Inode, block_shift: u8, buf: &Buffer, at: usize) {
    let bytes = codec::blocks(buf, at).saturating_mul(1 << block_shift);
    inode.set_bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
}

/// Gives a new inode the operations of its type.
pub(crate) fn set_operations(new: &mut NewInode<crate::super_block::Cowfs>, file_type: FileType) {
    match file_type {
        FileType::Regular => {
            new.set_inode_operations::<file::attr::Operations>()
                .set_file_operations::<file::Operations>()
                .set_mapping_operations::<pages::Operations>()
                .use_large_folios();
        }
        FileType::Directory => {
            new.set_inode_operations::<namei::Operations>()
                .set_file_operations::<directory::Operations>();
        }
        FileType::Symlink => {}
        _ => {
            new.set_inode_operations::<file::attr::SpecialOperations>();
        }
    }
}
