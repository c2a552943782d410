// SPDX-License-Identifier: GPL-2.0

//! Regular files.
//!
//! ```text
//!   mod.rs        open, read, seek, map
//!   write.rs      which way a write goes: direct, unaligned, through the page cache
//!   sync.rs       fsync, fdatasync
//!   attr.rs       stat, chmod, chown, utimes
//!   allocate.rs   fallocate: preallocate, punch, zero, unshare
//!   remap.rs      clone, dedupe
//! ```

pub(crate) mod allocate;
pub(crate) mod attr;
pub(crate) mod remap;
pub(crate) mod sync;
pub(crate) mod write;

use crate::cow;
use crate::io::read::Read;
use crate::io::report::Seek;
use crate::ioctl;
use crate::linux::error::ENOTBLK;
use crate::linux::fs::{
    File, FileOperations, FileOperationsFlags, IovIter, Kiocb, MappingArea, OpeningFile,
    RemapRange, SeekFrom,
};
use crate::linux::iomap::{self, dio};
use crate::pages;
use crate::super_block::Cowfs;
use kernel::prelude::*;

/// Operations on open regular files.
pub(crate) struct Operations;

/// Direct reads have nothing to do at their end.
struct Plain;

#[vtable]
impl dio::DioOps for Plain {
    type FileSystem = Cowfs;
}

#[vtable]
impl FileOperations for Operations {
    type FileSystem = Cowfs;

    const FLAGS: FileOperationsFlags = FileOperationsFlags::BUFFERED_READ_ASYNC
        .union(FileOperationsFlags::BUFFERED_WRITE_ASYNC)
        .union(FileOperationsFlags::PARALLEL_DIRECT_WRITE);

    fn open(file: &mut OpeningFile<'_, Cowfs>) -> Result {
        file.inode().sb().info().check_runs()?;
        file.check_size()?;
        file.set_nowait().set_direct_io();
        Ok(())
    }

    fn release(file: &File<Cowfs>) {
        let inode = file.inode();
        // What was staged around writes is for more writes, and the last who could make them goes.
        if file.is_writable() && inode.writers() <= 1 {
            // Short of memory it stays for those who look later.
            let _ = cow::give_back_unwritten(inode);
        }
    }

    fn llseek(file: &File<Cowfs>, offset: i64, whence: SeekFrom) -> Result<i64> {
        let inode = file.inode();
        let found = match whence {
            SeekFrom::Data => {
                let _lock = inode.lock_shared();
                iomap::seek_data::<Seek>(inode, offset)?
            }
            SeekFrom::Hole => {
                let _lock = inode.lock_shared();
                iomap::seek_hole::<Seek>(inode, offset)?
            }
            _ => return file.seek(offset, whence, i64::MAX, inode.size()),
        };
        file.set_pos(found, i64::MAX)
    }

    fn read_iter(iocb: &mut Kiocb<'_, Cowfs>, iter: &mut IovIter) -> Result<usize> {
        let file = iocb.file();
        let inode = file.inode();
        inode.sb().info().check_runs()?;
        if !iocb.is_direct() {
            return iocb.read_buffered(iter);
        }
        if iter.is_empty() {
            return Ok(0);
        }
        file.accessed();
        let _lock = if iocb.is_nowait() {
            inode.try_lock_shared().ok_or(EAGAIN)?
        } else {
            inode.lock_shared()
        };
        match dio::read_simple::<Read>(iocb, iter) {
            Err(e) if e == ENOTBLK => dio::rw::<Read, Plain>(iocb, iter, dio::Flags::NONE, 0),
            done => done,
        }
    }

    fn write_iter(iocb: &mut Kiocb<'_, Cowfs>, iter: &mut IovIter) -> Result<usize> {
        write::write(iocb, iter)
    }

    fn ioctl(file: &File<Cowfs>, command: u32, argument: usize) -> Result<isize> {
        ioctl::ioctl(file, command, argument)
    }

    fn mmap(area: &mut MappingArea<'_, Cowfs>) -> Result {
        area.file().accessed();
        area.set_operations::<pages::Operations>();
        Ok(())
    }

    fn fsync(file: &File<Cowfs>, start: i64, last: i64, datasync: bool) -> Result {
        file.write_and_wait_range(start, last)?;
        sync::metadata(file.inode(), datasync)
    }

    fn fallocate(file: &File<Cowfs>, mode: u32, offset: i64, len: i64) -> Result {
        allocate::fallocate(file, mode, offset, len)
    }

    fn remap_file_range(
        source: &File<Cowfs>,
        target: &File<Cowfs>,
        range: RemapRange,
    ) -> Result<i64> {
        remap::remap(source, target, range)
    }
}
