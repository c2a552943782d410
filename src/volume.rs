// SPDX-License-Identifier: GPL-2.0

//! What the module keeps per mounted volume.

use crate::error::OnError;
use crate::inode::registry::Registry;
use crate::libcowfs::ondisk::Geometry;
use crate::libcowfs::space::{inode_block_limit, VolumeState};
use crate::libcowfs::units::{div_up, AgNumber};
use crate::linux::block::BlockDevice;
use crate::linux::error::{ESHUTDOWN, EUCLEAN};
use crate::linux::fs::SuperBlock;
use crate::linux::jbd2::Journal;
use crate::linux::panic;
use crate::linux::workqueue::OwnedQueue;
use crate::options::CurrentOptions;
use crate::space::Space;
use crate::super_block::Cowfs;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::{Arc, Mutex};

/// A super block of ours.
pub(crate) type Super = SuperBlock<Cowfs>;
/// An inode of ours.
pub(crate) type Inode = crate::linux::fs::Inode<Cowfs>;

/// As many writes are worth a commit, if it lets the next ones be written in place.
const HELD_UP: u32 = 32;

/// A mounted volume.
#[pin_data]
pub(crate) struct Volume {
    /// Where completed writes are mapped. Dropped, and so emptied, before the rest.
    pub(crate) completions: OwnedQueue,
    /// Its fixed layout.
    pub(crate) geometry: Geometry,
    /// The mount options.
    pub(crate) options: CurrentOptions,
    /// The device it is on.
    pub(crate) device: BlockDevice,
    /// Free space, groups, promises.
    pub(crate) space: Arc<Space>,
    /// Counters and the orphan tree's root.
    #[pin]
    pub(crate) state: Mutex<VolumeState>,
    /// Inodes that have something in their CoW fork.
    #[pin]
    pub(crate) registry: Registry,
    /// Whether it has features that forbid writing.
    pub(crate) only_read: bool,
    /// Whether it is about to be writable: what has to be done before may write.
    pub(crate) opening: Atomic<bool>,
    /// Whether it was stopped by force.
    pub(crate) stopped: Atomic<bool>,
    /// Whether it was found to be corrupt and is not changed any more. The super block is not made read-only: a
    /// file system that becomes so while it is frozen is never thawed.
    pub(crate) given_up: Atomic<bool>,
    /// Whether memory is short and the worker was told to come soon.
    pub(crate) hurried: Atomic<bool>,
    /// Writes that had to go elsewhere because a transaction was not on disk, since a commit was last asked for.
    pub(crate) held_up: Atomic<u32>,
    /// The journal; `None` on a device that cannot be written to.
    pub(crate) journal: Option<Journal<Space>>,
}

impl Volume {
    /// The journal, if there is one.
    pub(crate) fn journal(&self) -> Option<&Journal<Space>> {
        self.journal.as_ref()
    }

    /// Whether nothing can be changed any more because the journal failed or was stopped.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.journal().is_some_and(|journal| journal.is_aborted())
    }

    /// Whether it was stopped by force: nothing can be read any more, either.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Counts a write that had to go elsewhere because a transaction is not on disk; returns whether there were
    /// so many that it is time for a commit.
    pub(crate) fn count_held_up(&self) -> bool {
        let count = self.held_up.load(Relaxed).saturating_add(1);
        // Two who count at once may be counted as one.
        self.held_up.store(count % HELD_UP, Relaxed);
        count >= HELD_UP
    }

    /// Fails with `EIO` if it was stopped by force.
    pub(crate) fn check_runs(&self) -> Result {
        if self.is_stopped() {
            return Err(EIO);
        }
        Ok(())
    }

    /// Fails if nothing can be changed any more: with `EROFS` if that is because the volume was found to be
    /// corrupt, else with `EIO`.
    pub(crate) fn check_writable(&self) -> Result {
        if !self.is_shut_down() {
            return Ok(());
        }
        Err(match self.is_given_up() && !self.is_stopped() {
            true => EROFS,
            false => EIO,
        })
    }

    /// Whether it is not changed any more because it was found to be corrupt.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }

    /// Stops everything. What is committed stays.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        if let Some(journal) = self.journal() {
            // One that was aborted because the volume is corrupt has that on disk.
            if !journal.is_aborted() {
                journal.abort(ESHUTDOWN);
            }
        }
    }

    /// Does what the `errors=` option says about a volume found to be corrupt.
    pub(crate) fn corrupt(&self, sb: &Super) {
        match self.options.on_error() {
            OnError::Continue => {}
            OnError::RemountRo => {
                let writable = !sb.is_read_only() || self.opening.load(Relaxed);
                let Some(journal) = self.journal() else {
                    return;
                };
                if writable && !self.given_up.xchg(true, Relaxed) {
                    pr_err!("cowfs ({}): going read-only\n", sb.name());
                    journal.abort(EUCLEAN);
                }
            }
            OnError::Panic => panic::panic(
                sb.name(),
                c"the volume is corrupt and was mounted with errors=panic",
            ),
        }
    }

    /// The most inodes that its groups may have.
    pub(crate) fn most_inodes(&self) -> u64 {
        let geometry = &self.geometry;
        let limit = |ag| u64::from(inode_block_limit(geometry.group_len(AgNumber(ag))));
        let last = geometry.ag_count.saturating_sub(1);
        let blocks = u64::from(last)
            .saturating_mul(limit(0))
            .saturating_add(limit(last));
        blocks.saturating_mul(geometry.inodes_in_block())
    }

    /// The first file block at or after the byte `pos`, going up.
    pub(crate) fn blocks_up(&self, bytes: u64) -> u64 {
        div_up(bytes, self.geometry.block_size() as u64)
    }
}
