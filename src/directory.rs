// SPDX-License-Identifier: GPL-2.0

//! Open directories: readdir.
//!
//! The position of an entry is its key in the directory's tree, which stays the same while the entry is there. So
//! reading may go on from any position, whatever came and went in between.

use crate::error;
use crate::file;
use crate::ioctl;
use crate::libcowfs::dir;
use crate::libcowfs::inode::FileType as EntryType;
use crate::linux::fs::{DirContext, DirEntryType, File, FileOperations, SeekFrom};
use crate::super_block::Cowfs;
use crate::view::View;
use kernel::prelude::*;

/// Operations on open directories.
pub(crate) struct Operations;

fn entry_type(kind: EntryType) -> DirEntryType {
    match kind {
        EntryType::Fifo => DirEntryType::Fifo,
        EntryType::CharDevice => DirEntryType::CharDevice,
        EntryType::Directory => DirEntryType::Directory,
        EntryType::BlockDevice => DirEntryType::BlockDevice,
        EntryType::Regular => DirEntryType::Regular,
        EntryType::Symlink => DirEntryType::Symlink,
        EntryType::Socket => DirEntryType::Socket,
    }
}

#[vtable]
impl FileOperations for Operations {
    type FileSystem = Cowfs;

    fn llseek(file: &File<Cowfs>, offset: i64, whence: SeekFrom) -> Result<i64> {
        file.seek(offset, whence, i64::MAX, i64::MAX)
    }

    fn iterate_shared(context: &mut DirContext<'_, Cowfs>) -> Result {
        context.file().inode().sb().info().check_runs()?;
        if !context.emit_dots() {
            return Ok(());
        }
        let file = context.file();
        let inode = file.inode();
        let sb = inode.sb();
        let view = View::new(sb);
        // Nobody changes the tree as long as we share the directory's lock. The map is not to be held while names are
        // told: their reader may have to be waited for.
        let root = *inode.data().map().directory_ref()?;
        let from = context.pos().max(0) as u64;
        dir::read(&view, &root, from, |position, name, ino, kind| {
            context.set_pos(position as i64);
            let emitted = context.emit(name, ino.0, entry_type(kind));
            if emitted {
                // Should there be an error next, the caller gets what there is, and comes again.
                context.set_pos(position.saturating_add(1) as i64);
            }
            emitted
        })
        .map(|end| context.set_pos(end as i64))
        .map_err(|e| error::report(sb, e))
    }

    fn ioctl(file: &File<Cowfs>, command: u32, argument: usize) -> Result<isize> {
        ioctl::ioctl(file, command, argument)
    }

    fn fsync(file: &File<Cowfs>, _start: i64, _last: i64, datasync: bool) -> Result {
        file::sync::metadata(file.inode(), datasync)
    }
}
