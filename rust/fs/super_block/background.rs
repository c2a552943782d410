// SPDX-License-Identifier: GPL-2.0

//! What a file system does on its own account, now and then, such as giving back what is held for
//! later and has not been asked for.
//!
//! Each super block has one delayed work item. It runs on a queue of the system's, as a timer does
//! not know when a queue of one's own goes; and it is stopped for good before `put_super`, so the
//! super block and its data are there whenever it runs:
//!
//! ```text
//!   schedule_background ─► (delay) ─► SuperOperations::background ─► perhaps schedules itself again
//!   clean_up:  waits for it, and refuses it from now on ─► put_super ─► F::Info dropped
//! ```
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::{operations::SuperOperations, SuperBlock};
use crate::linux::{bindings, fs::FileSystem};
use core::marker::PhantomData;
use kernel::{container_of, prelude::*, time::Jiffies, types::Opaque};

/// The work item of a super block.
///
/// # Invariants
///
/// `sb` is the super block in whose data this is. Its data stays as it is until [`Self::stop`] has
/// returned, after which the work does not run.
#[pin_data]
pub(super) struct Background<F: FileSystem> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    sb: *mut bindings::super_block,
    _file_system: PhantomData<F>,
}

impl<F: FileSystem> Background<F> {
    /// # Safety
    ///
    /// This must be made for the data of `sb`, and [`Self::stop`] be called before that goes.
    pub(super) unsafe fn new(sb: *mut bindings::super_block) -> impl PinInit<Self> {
        // INVARIANT: As promised by the caller.
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes and will stay where it is; only this work item
            // runs the function.
            work <- Opaque::ffi_init(|slot| unsafe {
                bindings::init_delayed_work(slot, Some(Self::run))
            }),
            sb,
            _file_system: PhantomData,
        })
    }

    /// Waits for the work and lets it never run again.
    pub(super) fn stop(&self) {
        // SAFETY: The work item is initialised.
        unsafe { bindings::disable_delayed_work_sync(self.work.get()) };
    }

    /// # Safety
    ///
    /// Only to be called for the work item of a `Background<F>`.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: By the safety requirement, in both steps.
        let sb = unsafe {
            let delayed = container_of!(work, bindings::delayed_work, work);
            let this = container_of!(Opaque::cast_from(delayed), Self, work);
            (*this).sb
        };
        if F::SuperOps::HAS_BACKGROUND {
            // SAFETY: By the type invariants, the super block and its data stay as long as this runs.
            F::SuperOps::background(unsafe { SuperBlock::from_raw(sb) });
        }
    }
}

impl<F: FileSystem> SuperBlock<F> {
    /// Has [`SuperOperations::background`] called after `delay`, unless it waits for its time
    /// already.
    pub fn schedule_background(&self, delay: Jiffies) {
        let work = self.private().background.work.get();
        // SAFETY: The work item is initialised. If it was stopped, nothing happens.
        unsafe { bindings::queue_delayed_work_unbound(work, delay) };
    }

    /// As [`Self::schedule_background`], but if it waits already, it is for `delay` from now on.
    pub fn reschedule_background(&self, delay: Jiffies) {
        let work = self.private().background.work.get();
        // SAFETY: As above.
        unsafe { bindings::mod_delayed_work_unbound(work, delay) };
    }
}
