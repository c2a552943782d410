// SPDX-License-Identifier: GPL-2.0

//! The page cache of regular files: reading it in, writing it back, and faults of mapped memory.

use crate::io;
use crate::linux::fs::{
    AddressSpace, AddressSpaceOperations, File, FreezeLevel, LockedFolio, MappingOperations,
    ReadaheadControl, VmFault, VmFaultResult, WritebackControl,
};
use crate::linux::iomap::{buffered, writeback};
use crate::super_block::Cowfs;
use kernel::prelude::*;

/// Operations on the pages of regular files.
pub(crate) struct Operations;

#[vtable]
impl AddressSpaceOperations for Operations {
    type FileSystem = Cowfs;

    fn read_folio(_file: Option<&File<Cowfs>>, folio: LockedFolio<'_, Cowfs>) -> Result {
        buffered::read_folio::<io::read::Read>(folio);
        Ok(())
    }

    fn readahead(control: ReadaheadControl<'_, Cowfs>) {
        buffered::readahead::<io::read::Read>(control);
    }

    fn writepages(mapping: &AddressSpace<Cowfs>, control: &WritebackControl<Cowfs>) -> Result {
        writeback::writepages::<io::writeback::Pages>(mapping, control)
    }
}

#[vtable]
impl MappingOperations for Operations {
    type FileSystem = Cowfs;

    fn page_mkwrite<'a>(fault: &mut VmFault<'a, Cowfs>) -> VmFaultResult<'a> {
        let file = fault.file();
        let inode = file.inode();
        let _writing = inode.sb().start_write(FreezeLevel::PageFault);
        if let Err(e) = file.update_time() {
            return e.into();
        }
        let lock = inode.invalidate_lock_shared();
        if inode.data().is_cloned_from() {
            // A clone lets those who read share the lock. When we have it alone the clone is done.
            drop(lock);
            let _lock = inode.invalidate_lock();
            return buffered::page_mkwrite::<io::buffered::Write>(fault);
        }
        buffered::page_mkwrite::<io::buffered::Write>(fault)
    }
}
