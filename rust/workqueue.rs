// SPDX-License-Identifier: GPL-2.0

//! Work queues of one's own.
//!
//! The `kernel` crate knows work items and the system's queues; this adds queues that live and end
//! with their owner, and taking back work that has not run.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::Arc,
    workqueue::{HasDelayedWork, Queue, RawWorkItem, Work, WorkItem},
};

use super::bindings;

/// Properties of a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Work runs on any CPU, at the scheduler's choice.
    pub const UNBOUND: Self = Self(bindings::wq_flags_WQ_UNBOUND);
    /// Work runs on the CPU that queued it.
    pub const PERCPU: Self = Self(bindings::wq_flags_WQ_PERCPU);
    /// Progress is guaranteed when memory is short: a must for what writeback waits for.
    pub const MEM_RECLAIM: Self = Self(bindings::wq_flags_WQ_MEM_RECLAIM);
    /// Work stops while the system is being suspended.
    pub const FREEZABLE: Self = Self(bindings::wq_flags_WQ_FREEZABLE);
    /// Work goes before that of other queues.
    pub const HIGHPRI: Self = Self(bindings::wq_flags_WQ_HIGHPRI);
    /// The queue shows up in sysfs, where it can be tuned.
    pub const SYSFS: Self = Self(bindings::wq_flags_WQ_SYSFS);
}

impl core::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A work queue of one's own.
///
/// Dropping the queue waits for all work on it, so what is queued must not own the queue. Delayed work
/// must be put on one of the system's queues, from which it can queue other work here: a timer does not
/// know when its queue goes.
///
/// # Invariants
///
/// The queue is ours.
pub struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: A work queue may be used, and destroyed, from any task.
unsafe impl Send for OwnedQueue {}

// SAFETY: As above.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Makes a queue. At most `max_active` work items, or a sensible number if zero, run on it at a
    /// time (per CPU, if it is not unbound).
    pub fn new(name: &CStr, flags: Flags, max_active: u16) -> Result<Self> {
        // SAFETY: The name is copied.
        let queue =
            unsafe { bindings::alloc_workqueue(name.as_char_ptr(), flags.0, max_active.into()) };
        // INVARIANT: Made just now.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }

    /// The C object.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::workqueue_struct {
        self.0.as_ptr()
    }

    /// Queues a work item, as [`Queue::enqueue`] does.
    pub fn enqueue<W, const ID: u64>(&self, work: W) -> W::EnqueueOutput
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        // SAFETY: By the type invariant, the queue is valid; it is used here only.
        unsafe { Queue::from_raw(self.0.as_ptr()) }.enqueue(work)
    }

    /// Waits for all work queued up to now.
    pub fn flush(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) };
    }

    /// Waits until no work is left, including what the work itself queues.
    ///
    /// Meanwhile, nobody else may queue work.
    pub fn drain(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::drain_workqueue(self.0.as_ptr()) };
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; work left is run before.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// Takes back the work item of `item`, if it is queued or waiting for its time, and waits for it, if it is running.
///
/// Returns whether it was queued. Must not be called by the work itself. The work may be queued again
/// meanwhile, by others or by itself; that is for the caller to exclude.
pub fn cancel_delayed_sync<T, const ID: u64>(item: &Arc<T>) -> bool
where
    T: HasDelayedWork<T, ID> + WorkItem<ID, Pointer = Arc<T>>,
{
    let ptr = Arc::as_ptr(item).cast_mut();
    // SAFETY: `item` is valid.
    let work = unsafe { Work::raw_get(T::raw_get_work(ptr)) };
    // SAFETY: By the safety requirement of `HasDelayedWork`, the work item is inside a delayed one,
    // initialised since it can be queued.
    let cancelled = unsafe {
        let delayed = kernel::container_of!(work, bindings::delayed_work, work);
        bindings::cancel_delayed_work_sync(delayed)
    };
    if cancelled {
        // SAFETY: The queue owned a reference, as `Arc`s are queued by `Arc::into_raw`, and now the
        // work will not take it.
        drop(unsafe { Arc::from_raw(ptr) });
    }
    cancelled
}
