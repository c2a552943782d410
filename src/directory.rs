// SPDX-License-Identifier: GPL-2.0

//! Open directories: readdir.
//!
//! The position of an entry is its key in the directory's tree, which stays the same while the entry is there. So
//! reading may go on from any position, whatever came and went in between.
//!
//! Programs of 32 bits are told the upper half of the key, as ext4 does: of entries that have that in common some
//! may be read again.

use crate::error;
use crate::file;
use crate::ioctl;
use crate::libcowfs::dir::{self, END};
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

/// How keys are told to who reads.
#[derive(Clone, Copy)]
struct Positions {
    /// How many bits of the key are left out.
    shift: u32,
}

impl Positions {
    fn of_task() -> Self {
        let short = DirContext::<Cowfs>::has_short_positions();
        Positions {
            shift: if short { 32 } else { 0 },
        }
    }

    /// The one beyond all entries.
    fn end(self) -> i64 {
        (END >> self.shift) as i64
    }

    /// That of a key; no less than that of the first entry.
    fn of(self, key: u64) -> i64 {
        ((key >> self.shift) as i64).max(FIRST)
    }

    /// The first key it may be of.
    fn key(self, position: i64) -> u64 {
        match position {
            ..=FIRST => 0,
            _ if position >= self.end() => END,
            _ => (position as u64) << self.shift,
        }
    }
}

/// The position behind those of `.` and `..`.
const FIRST: i64 = 2;

#[vtable]
impl FileOperations for Operations {
    type FileSystem = Cowfs;

    fn llseek(file: &File<Cowfs>, offset: i64, whence: SeekFrom) -> Result<i64> {
        let end = Positions::of_task().end();
        file.seek(offset, whence, end, end)
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
        let positions = Positions::of_task();
        let from = positions.key(context.pos());
        dir::read(&view, &root, from, |key, name, ino, kind| {
            context.set_pos(positions.of(key));
            let emitted = context.emit(name, ino.0, entry_type(kind));
            if emitted {
                // Should there be an error next, the caller gets what there is, and comes again.
                context.set_pos(positions.of(key.saturating_add(1)));
            }
            emitted
        })
        .map(|end| context.set_pos(positions.of(end)))
        .map_err(|e| error::report(sb, e))
    }

    fn ioctl(file: &File<Cowfs>, command: u32, argument: usize) -> Result<isize> {
        ioctl::ioctl(file, command, argument)
    }

    fn fsync(file: &File<Cowfs>, _start: i64, _last: i64, datasync: bool) -> Result {
        file::sync::metadata(file.inode(), datasync)
    }
}
