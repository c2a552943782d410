// SPDX-License-Identifier: GPL-2.0

//! The inodes that have something in their CoW fork, so that what nobody wrote can be given back
//! when space or memory is short.

use crate::libcowfs::platform;
use crate::reclaim;
use crate::volume::{Inode, Super};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Mutex;

/// A set of inode numbers.
#[pin_data]
pub(crate) struct Registry {
    /// With each, the [`Map::sequence`](crate::inode::Map::sequence) it had when it was last asked about.
    #[pin]
    inodes: Mutex<platform::Map<u64, Option<u32>>>,
}

impl Registry {
    /// An empty one.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inodes <- new_mutex!(platform::Map::new(), "cowfs_registry"),
        })
    }

    /// Whether there is no inode.
    pub(crate) fn is_empty(&self) -> bool {
        self.inodes.lock().is_empty()
    }

    /// Adds an inode.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add(&self, inode: &Inode) -> Result {
        let mut inodes = self.inodes.lock();
        let first = inodes.is_empty();
        inodes
            .insert(inode.ino(), None)
            .map_err(crate::error::errno)?;
        drop(inodes);
        if first {
            reclaim::arm(inode.sb());
        }
        Ok(())
    }

    /// Whether a registered inode has the same `sequence` as when this was last asked.
    pub(crate) fn is_quiet(&self, inode: &Inode, sequence: u32) -> bool {
        match self.inodes.lock().get_mut(&inode.ino()) {
            Some(seen) => seen.replace(sequence) == Some(sequence),
            None => false,
        }
    }

    /// Removes an inode.
    pub(crate) fn remove(&self, inode: &Inode) {
        self.inodes.lock().remove(&inode.ino());
    }

    /// Calls `f` for every registered inode that is not being evicted.
    ///
    /// Must not be called while an inode is evicted, nor with a `map` locked or a transaction open.
    pub(crate) fn each(&self, sb: &Super, mut f: impl FnMut(&ARef<Inode>)) {
        let mut from = 0u64;
        loop {
            let found = self.inodes.lock().at_or_after(&from);
            let Some((ino, _)) = found else { return };
            if let Some(inode) = sb.ilookup(ino) {
                f(&inode);
            }
            match ino.checked_add(1) {
                Some(next) => from = next,
                None => return,
            }
        }
    }
}
