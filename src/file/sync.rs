// SPDX-License-Identifier: GPL-2.0

//! Making an inode durable.

use crate::linux::fs::FreezeLevel;
use crate::volume::Inode;
use kernel::prelude::*;

/// Brings the inode's metadata to disk, and with it all data the device has acknowledged; what its
/// pages hold was written before. If `datasync`, only what is needed to read the data.
pub(crate) fn metadata(inode: &Inode, datasync: bool) -> Result {
    let volume = inode.sb().info();
    let Some(journal) = volume.journal() else {
        return Ok(());
    };
    if volume.is_shut_down() {
        return Err(EIO);
    }
    if inode.data().is_unlogged() {
        // The VFS may take it for clean by now. What is frozen, or read-only, stays as it is.
        if inode.sb().is_read_only() {
            return Err(EIO);
        }
        let _writing = inode.sb().start_write(FreezeLevel::Internal);
        inode.mark_dirty_datasync();
        inode.sync_metadata(true)?;
    } else if !datasync || inode.is_dirty_datasync() {
        inode.sync_metadata(true)?;
    }
    // Who was writing it just now may have failed, and is the only one to be told.
    if inode.data().is_unlogged() {
        return Err(EIO);
    }
    let tid = inode.data().must_commit(datasync);
    let mut flushed = false;
    if !journal.is_committed(tid) {
        flushed = journal.will_send_data_barrier(tid);
        journal.complete(tid)?;
    }
    if !flushed && volume.device.has_write_cache() {
        volume.device.issue_flush()?;
    }
    // The inode may have been logged into a transaction that was lost meanwhile.
    if volume.is_shut_down() {
        return Err(EIO);
    }
    Ok(())
}
