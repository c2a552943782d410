// SPDX-License-Identifier: GPL-2.0

//! The inodes that have something in their CoW fork, so that what nobody wrote can be given back
//! when space or memory is short.

use crate::libcowfs::platform;
use crate::volume::{Inode, Super};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Mutex;

/// A set of inode numbers.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    inodes: Mutex<platform::Map<u64, ()>>,
}

impl Registry {
    /// An empty one.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inodes <- new_mutex!(platform::Map::new(), "cowfs_registry"),
        })
    }

    /// Adds an inode.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add(&self, inode: &Inode) -> Result {
        self.inodes
            .lock()
            .insert(inode.ino(), ())
            .map(|_| ())
            .map_err(crate::error::errno)
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
            let Some((ino, ())) = found else { return };
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
