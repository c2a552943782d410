// SPDX-License-Identifier: GPL-2.0

//! Space, as far as memory is concerned: the groups in memory, what is available, and what
//! becomes available with the next commit.
//!
//! ```text
//!   available = free on disk - reserve of the groups - promised
//!
//!   promise(n)  ->  stage / allocate (paid from the promise)  ->  rest returned
//!   freed in transaction t  ->  pending[t]  ->  commit of t  ->  available again
//! ```
//!
//! A promise is a number: blocks that were taken off `available` for somebody. [`Promise`] returns
//! what is left of it when dropped; an inode that keeps one across calls stores the number
//! ([`Promise::keep`]) and takes it up again later ([`Space::kept`]).
//!
//! Some blocks are kept from everybody, the slack: on a full volume names are removed with them, and the
//! nodes found that preallocated blocks take when they are written here and there. (XFS and ext4 have such a
//! pool, too.) When half of it is gone, no more such writes are accepted, so that nobody uses up what others
//! were promised. It is not known what those need that are in the page cache; so when not much else is left, a
//! `write` is on disk before the next. Stores to mapped pages are not counted.

use crate::groups::Groups;
use crate::libcowfs::ondisk::Geometry;
use crate::libcowfs::space::Hints;
use crate::libcowfs::units::FsBlock;
use crate::linux::jbd2::{Journal, JournalOps, Tid};
use crate::linux::mm;
use crate::linux::shared_bytes::SharedBytes;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::{CondVar, Mutex};
use kernel::{new_condvar, new_mutex};

/// The most blocks kept from everybody.
const MOST_SLACK: u64 = 8192;

/// Blocks that were freed on disk by one transaction: they become available when it is committed.
#[derive(Default)]
struct Freed {
    tid: Tid,
    ranges: KVVec<(FsBlock, u32)>,
    /// Whether some are not available yet.
    waits: bool,
}

/// What is known of a volume's space in memory.
#[pin_data]
pub(crate) struct Space {
    geometry: Geometry,
    /// Where to look for groups with room.
    pub(crate) hints: Hints,
    /// See the picture above. Negative when transactions dipped below what was promised to them.
    available: Atomic<i64>,
    /// Blocks freed on disk that become available with a commit.
    waiting: Atomic<i64>,
    /// The groups in memory.
    #[pin]
    pub(crate) groups: Groups,
    /// Blocks freed by the running and by the committing transaction, one entry each: entry
    /// `tid % 2`. A third transaction starts only when the first is over.
    #[pin]
    freed: Mutex<[Freed; 2]>,
    /// Those of a transaction became available.
    #[pin]
    released: CondVar,
}

impl Space {
    /// Of a volume with this layout, nothing being available yet.
    pub(crate) fn new(geometry: Geometry, hints: Hints) -> impl PinInit<Self> {
        let count = geometry.ag_count;
        pin_init!(Self {
            geometry,
            hints,
            available: Atomic::new(0),
            waiting: Atomic::new(0),
            groups <- Groups::new(count),
            freed <- new_mutex!(<[Freed; 2]>::default(), "cowfs_freed"),
            released <- new_condvar!("cowfs_released"),
        })
    }

    /// The number of blocks that can be promised once all commits are on disk.
    pub(crate) fn available(&self) -> u64 {
        let waiting = self.waiting.load(Relaxed).max(0);
        self.available.load(Relaxed).saturating_add(waiting).max(0) as u64
    }

    /// Blocks kept from everybody.
    pub(crate) fn slack(&self) -> u64 {
        let groups = self
            .geometry
            .blocks
            .saturating_sub(self.geometry.ag_start.0);
        (groups / 128).min(MOST_SLACK)
    }

    /// Whether less is available than the slack.
    pub(crate) fn is_low(&self) -> bool {
        let slack = i64::try_from(self.slack()).unwrap_or(i64::MAX);
        self.available.load(Relaxed) < slack
    }

    /// Whether half of the slack is gone.
    pub(crate) fn is_overdrawn(&self) -> bool {
        let half = i64::try_from(self.slack() / 2).unwrap_or(i64::MAX);
        self.available.load(Relaxed) < -half
    }

    /// The number of blocks that become available with the next commits.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed).max(0) as u64
    }

    /// Of a volume that is being mounted, with `free` blocks, of which `held` are nobody's: begins with what is
    /// beyond those, or with what is missing, as it was before it was unmounted.
    pub(crate) fn begin(&self, free: u64, held: u64) {
        match free.checked_sub(held) {
            Some(more) => self.give(more),
            None => self.take(held.saturating_sub(free)),
        }
    }

    /// Makes `blocks` more blocks available.
    pub(crate) fn give(&self, blocks: u64) {
        self.available
            .fetch_add(i64::try_from(blocks).unwrap_or(i64::MAX), Relaxed);
    }

    /// Takes `blocks` blocks off what is available, even if fewer are: for what must not fail, and
    /// what is held back at mount for nodes beyond those promised.
    fn take(&self, blocks: u64) {
        self.available
            .fetch_add(-i64::try_from(blocks).unwrap_or(i64::MAX), Relaxed);
    }

    /// Promises `blocks` blocks, if so many are available.
    pub(crate) fn promise(&self, blocks: u64) -> Option<Promise<'_>> {
        let want = i64::try_from(blocks).ok()?;
        let mut available = self.available.load(Relaxed);
        // Not taken and put back, which would look like a full disk to others.
        loop {
            let left = available.checked_sub(want)?;
            if left < 0 && want > 0 {
                return None;
            }
            match self.available.cmpxchg(available, left, Relaxed) {
                Ok(_) => break,
                Err(now) => available = now,
            }
        }
        Some(Promise {
            space: self,
            blocks,
        })
    }

    /// Takes up a promise that was [kept](Promise::keep).
    pub(crate) fn kept(&self, blocks: u64) -> Promise<'_> {
        Promise {
            space: self,
            blocks,
        }
    }

    /// The blocks `[at, at + len)`, which lie in one group, were freed by transaction `tid`.
    pub(crate) fn freed(&self, tid: Tid, at: FsBlock, len: u32) {
        self.waiting.fetch_add(i64::from(len), Relaxed);
        let mut freed = self.freed.lock();
        let Some(entry) = freed.get_mut((tid.into_raw() % 2) as usize) else {
            return;
        };
        entry.tid = tid;
        entry.waits = true;
        if let Some((start, count)) = entry.ranges.last_mut() {
            let together = self.geometry.locate(*start).map(|(ag, _)| ag)
                == self.geometry.locate(at).map(|(ag, _)| ag);
            if together && start.add(u64::from(*count)) == at {
                if let Some(sum) = count.checked_add(len) {
                    *count = sum;
                    return;
                }
            }
        }
        mm::retry(|| entry.ranges.push((at, len), GFP_KERNEL));
    }

    /// Commits what was freed, so that it is available when this returns unless the journal failed. No `map` may be
    /// locked and no transaction open.
    pub(crate) fn reap(&self, journal: &Journal<Space>) {
        if self.waiting() > 0 {
            let _ = journal.force_commit();
        }
        // A transaction counts as committed a moment before we are told.
        let mut freed = self.freed.lock();
        while freed
            .iter()
            .any(|entry| entry.waits && journal.is_committed(entry.tid))
        {
            self.released.wait(&mut freed);
        }
    }

    /// What transaction `tid` freed is available, or never will be.
    fn over(&self, tid: Tid) {
        let mut freed = self.freed.lock();
        if let Some(entry) = freed.get_mut((tid.into_raw() % 2) as usize) {
            if entry.tid == tid {
                entry.waits = false;
            }
        }
        drop(freed);
        self.released.notify_all();
    }

    /// Transaction `tid` is on disk: what it freed may be used.
    fn release(&self, tid: Tid) {
        let ranges = {
            let mut freed = self.freed.lock();
            match freed.get_mut((tid.into_raw() % 2) as usize) {
                Some(entry) if entry.tid == tid => core::mem::take(&mut entry.ranges),
                _ => return,
            }
        };
        for &(at, len) in ranges.iter() {
            let Some((ag, _)) = self.geometry.locate(at) else {
                continue;
            };
            // A group with pending blocks stays in memory.
            self.groups
                .with_loaded(ag, |state| state.give_back(&self.hints, at, len));
            self.waiting.fetch_add(-i64::from(len), Relaxed);
            self.give(u64::from(len));
        }
    }
}

/// Blocks promised to whoever holds this. What is left is returned when it is dropped.
#[must_use = "the blocks are returned when the promise is dropped"]
pub(crate) struct Promise<'a> {
    space: &'a Space,
    blocks: u64,
}

impl Promise<'_> {
    /// Pays for `blocks` blocks that were allocated. If that is more than was promised, the rest is
    /// taken off what is available.
    pub(crate) fn pay(&mut self, blocks: u64) {
        if blocks > self.blocks {
            self.space.take(blocks - self.blocks);
        }
        self.blocks = self.blocks.saturating_sub(blocks);
    }

    /// The blocks that are left.
    pub(crate) fn left(&self) -> u64 {
        self.blocks
    }

    /// Takes up to `blocks` blocks out of this promise, as one of their own.
    pub(crate) fn split(&mut self, blocks: u64) -> Promise<'_> {
        let part = blocks.min(self.blocks);
        self.blocks -= part;
        Promise {
            space: self.space,
            blocks: part,
        }
    }

    /// Adds the blocks of `other`.
    pub(crate) fn join(&mut self, other: Promise<'_>) {
        self.blocks = self.blocks.saturating_add(other.keep());
    }

    /// Gives up this object but not the promise, whose blocks the caller stores.
    pub(crate) fn keep(mut self) -> u64 {
        core::mem::take(&mut self.blocks)
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if self.blocks > 0 {
            self.space.give(self.blocks);
        }
    }
}

#[vtable]
impl JournalOps for Space {
    fn frozen(&self, _block: u64, data: SharedBytes<'_>) {
        data.store_u32(
            crate::libcowfs::ondisk::header::CHECKSUM,
            crate::buffer::checksum(data),
        );
    }

    fn committed(&self, tid: Tid, result: Result) {
        if result.is_ok() {
            self.release(tid);
        }
        self.over(tid);
    }
}
