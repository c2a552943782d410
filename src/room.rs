// SPDX-License-Identifier: GPL-2.0

//! Promising space, and making room before anyone is told that there is none.
//!
//! What may be held back and can be had:
//!
//! 1. blocks freed by transactions that are not committed: commit;
//! 2. blocks staged around writes that nobody wrote: give them back;
//! 3. what delayed allocation was promised beyond the blocks it will take: write it back.

use crate::cow;
use crate::inode::Contents;
use crate::space::Promise;
use crate::volume::{Inode, Super, Volume};
use kernel::prelude::*;

/// How far to go for room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Do not wait for data to be written: the caller may hold a folio lock.
    Metadata,
    /// Also write back delayed allocations: the caller holds no folio lock.
    WriteBack,
}

/// Makes room, as far as that can be done. No `map` may be locked and no transaction open.
pub(crate) fn make(sb: &Super, effort: Effort) {
    let volume = sb.info();
    volume.registry.each(sb, |inode| {
        if effort == Effort::WriteBack && has_delalloc(inode) {
            // An error is told to whoever syncs the file.
            let _ = inode.write_and_wait_range(0, i64::MAX);
        }
        if let Err(e) = cow::give_back_unwritten(inode) {
            pr_debug!(
                "cowfs: staged blocks of inode {} stay: {:?}\n",
                inode.ino(),
                e
            );
        }
    });
    if effort == Effort::WriteBack {
        volume.completions.flush();
    }
    if let Some(journal) = volume.journal() {
        volume.space.reap(journal);
    }
}

fn has_delalloc(inode: &Inode) -> bool {
    match &inode.data().map().contents {
        Contents::File(file) => file.cow.delalloc() > 0,
        _ => false,
    }
}

impl Volume {
    /// Promises `blocks` blocks, making room if need be. No `map` may be locked, no transaction open and no
    /// folio locked.
    ///
    /// # Errors
    ///
    /// `ENOSPC`.
    pub(crate) fn promise(&self, sb: &Super, blocks: u64) -> Result<Promise<'_>> {
        if let Some(promise) = self.space.promise(blocks) {
            return Ok(promise);
        }
        make(sb, Effort::WriteBack);
        self.space.promise(blocks).ok_or(ENOSPC)
    }
}
