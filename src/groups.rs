// SPDX-License-Identifier: GPL-2.0

//! The allocation groups in memory: loaded when first needed, dropped when memory is short.
//!
//! ```text
//!   entries: XArray    group number -> Arc<Group>        found by everybody
//!   ring: Mutex        12  7  40  3  88  ...             looked through by the shrinker
//!                             ^ hand
//! ```
//!
//! The shrinker goes around the ring like the hand of a clock. A group that was used since the hand
//! last passed is let off; one with staged or pending blocks ([`GroupState::is_idle`]) has to stay; the
//! others go, entry and all. So what is in memory follows what is used, whatever the size of the
//! volume. Some leave their [`Remains`], most often a few bytes, until the journal has moved on.
//!
//! ```text
//!   New ---first use---> Loaded ---shrinker---> Gone
//!                          |  ^                   ^
//!                 shrinker v  | next use          |
//!                         Dormant ----shrinker----+
//! ```
//!
//! A task may have found a group and be about to lock it when it goes. It then sees that, as the slot
//! is locked when its entry is removed, and looks again.

use crate::libcowfs::space::{GroupState, Remains};
use crate::libcowfs::units::AgNumber;
use crate::linux::error::EUCLEAN;
use crate::linux::mm::{self, NofsScope};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::{Arc, Mutex};
use kernel::xarray::{self, XArray};

/// What there is of a group.
enum Slot {
    /// Nothing yet.
    New,
    /// Its state. In the ring.
    Loaded(GroupState),
    /// What its state left. In the ring.
    Dormant(Remains),
    /// This is not the group's slot any more.
    Gone,
}

/// One allocation group in memory.
#[pin_data]
pub(crate) struct Group {
    #[pin]
    place: Mutex<Slot>,
    /// Whether somebody used it since the shrinker last came by.
    used: Atomic<bool>,
}

/// The groups that are loaded or dormant, in no particular order.
#[derive(Default)]
struct Ring {
    members: KVVec<AgNumber>,
    hand: usize,
}

/// All groups of a volume that are in memory.
#[pin_data]
pub(crate) struct Groups {
    count: u32,
    #[pin]
    entries: XArray<Arc<Group>>,
    #[pin]
    ring: Mutex<Ring>,
    /// How many have their state in memory.
    loaded: Atomic<i64>,
}

impl Groups {
    /// Of a volume of `count` groups, none being in memory.
    pub(crate) fn new(count: u32) -> impl PinInit<Self> {
        pin_init!(Self {
            count,
            entries <- XArray::new(xarray::AllocKind::Alloc),
            ring <- new_mutex!(Ring::default(), "cowfs_ring"),
            loaded: Atomic::new(0),
        })
    }

    /// How many groups have their state in memory.
    pub(crate) fn loaded(&self) -> usize {
        usize::try_from(self.loaded.load(Relaxed)).unwrap_or(0)
    }

    /// Runs `f` with group `ag` locked and its state, which is got from `load` if it is not in
    /// memory.
    ///
    /// # Errors
    ///
    /// What `error` makes of `EUCLEAN` if there is no such group; and those of the two functions.
    pub(crate) fn with<R, E>(
        &self,
        ag: AgNumber,
        error: impl Fn(Error) -> E,
        load: impl FnOnce() -> Result<GroupState, E>,
        f: impl FnOnce(&mut GroupState) -> Result<R, E>,
    ) -> Result<R, E> {
        loop {
            let group = self.entry(ag).map_err(&error)?;
            let mut guard = group.place.lock();
            let slot: &mut Slot = &mut guard;
            if !group.used.load(Relaxed) {
                group.used.store(true, Relaxed);
            }
            match slot {
                Slot::Gone => continue,
                Slot::Loaded(_) => {}
                Slot::New => {
                    // Reclaim must not come back here.
                    let _nofs = NofsScope::enter();
                    let state = load()?;
                    let mut ring = self.ring.lock();
                    mm::retry(|| ring.members.push(ag, GFP_KERNEL));
                    drop(ring);
                    *slot = Slot::Loaded(state);
                    self.loaded.fetch_add(1, Relaxed);
                }
                Slot::Dormant(remains) => {
                    let _nofs = NofsScope::enter();
                    let mut state = load()?;
                    state.recall(remains);
                    *slot = Slot::Loaded(state);
                    self.loaded.fetch_add(1, Relaxed);
                }
            }
            return match slot {
                Slot::Loaded(state) => f(state),
                _ => Err(error(EUCLEAN)),
            };
        }
    }

    /// Runs `f` with the state of group `ag` if that is in memory.
    pub(crate) fn with_loaded(&self, ag: AgNumber, f: impl FnOnce(&mut GroupState)) {
        let group: Option<Arc<Group>> = self.entries.lock().get(ag.0 as usize).map(Arc::from);
        if let Some(group) = group {
            if let Slot::Loaded(state) = &mut *group.place.lock() {
                f(state);
            }
        }
    }

    /// The group's entry, made if there is none.
    fn entry(&self, ag: AgNumber) -> Result<Arc<Group>> {
        if ag.0 >= self.count {
            return Err(EUCLEAN);
        }
        let index = ag.0 as usize;
        if let Some(group) = self.entries.lock().get(index) {
            return Ok(group.into());
        }
        // Reclaim must not come back here.
        let _nofs = NofsScope::enter();
        let fresh = mm::retry(|| {
            Arc::pin_init(
                pin_init!(Group {
                    place <- new_mutex!(Slot::New, "cowfs_group"),
                    used: Atomic::new(false),
                }),
                GFP_KERNEL,
            )
        });
        Ok(mm::retry(|| {
            let mut entries = self.entries.lock();
            // Somebody may have been faster: what is there first stays, or there would be two states.
            // For the same reason not `GFP_KERNEL`: `store` would drop the lock to wait for memory.
            match entries.get(index) {
                Some(group) => Ok(group.into()),
                None => entries
                    .store(index, fresh.clone(), GFP_NOWAIT)
                    .map(|_| fresh.clone()),
            }
        }))
    }

    /// Looks at up to `count` groups, drops the state of those that can go, and returns how many that
    /// were. `settled` is as for [`Remains::is_settled`].
    ///
    /// Waits for nothing, so that whoever asks for memory may hold what it likes.
    pub(crate) fn shrink(&self, count: usize, settled: impl Fn(u64) -> bool) -> usize {
        let Some(mut guard) = self.ring.try_lock() else {
            return 0;
        };
        let ring: &mut Ring = &mut guard;
        let before = self.loaded();
        for _ in 0..count.min(ring.members.len()) {
            if ring.hand >= ring.members.len() {
                ring.hand = 0;
            }
            let Some(&ag) = ring.members.get(ring.hand) else {
                break;
            };
            if !self.unload(ag, &settled) {
                ring.hand += 1;
                continue;
            }
            // The last one takes its place.
            if let Some(last) = ring.members.pop() {
                if let Some(place) = ring.members.get_mut(ring.hand) {
                    *place = last;
                }
            }
        }
        before.saturating_sub(self.loaded())
    }

    /// Drops the state of group `ag` if it can go, and returns whether nothing of it is left. The ring is
    /// locked.
    fn unload(&self, ag: AgNumber, settled: impl Fn(u64) -> bool) -> bool {
        let index = ag.0 as usize;
        let group: Option<Arc<Group>> = self.entries.lock().get(index).map(Arc::from);
        let Some(group) = group else { return true };
        if group.used.load(Relaxed) {
            group.used.store(false, Relaxed);
            return false;
        }
        let Some(mut guard) = group.place.try_lock() else {
            return false;
        };
        let slot: &mut Slot = &mut guard;
        *slot = match core::mem::replace(slot, Slot::Gone) {
            Slot::Loaded(state) if state.is_idle() => {
                self.loaded.fetch_add(-1, Relaxed);
                Slot::Dormant(state.into_remains())
            }
            other => other,
        };
        match slot {
            Slot::Dormant(remains) if remains.is_settled(settled) => {
                *slot = Slot::Gone;
                let removed = self.entries.lock().remove(index);
                drop(guard);
                drop(removed);
                true
            }
            _ => false,
        }
    }
}
