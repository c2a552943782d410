// SPDX-License-Identifier: GPL-2.0

//! Journals.

use core::{cell::Cell, marker::PhantomData, mem::ManuallyDrop, ptr::NonNull, time::Duration};
use kernel::{
    error::{from_err_ptr, to_result},
    ffi::c_int,
    prelude::*,
    sync::Arc,
    types::{NotThreadSafe, Opaque},
};

use super::{Credits, Handle, JournalOps, Reservation, Tid};
use crate::linux::{
    bindings,
    block::BlockDevice,
    error::{EDEADLK, EOPNOTSUPP},
    shared_bytes::SharedBytes,
};

/// Features of a journal that make it unreadable for who does not know them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// Freed blocks are revoked.
    pub const REVOKE: Self = Self(bindings::JBD2_FEATURE_INCOMPAT_REVOKE);
    /// Block numbers have 64 bits.
    pub const BITS64: Self = Self(bindings::JBD2_FEATURE_INCOMPAT_64BIT);
    /// All blocks of the log have checksums.
    pub const CSUM_V3: Self = Self(bindings::JBD2_FEATURE_INCOMPAT_CSUM_V3);
    /// A part of the log is used for fast commits.
    pub const FAST_COMMIT: Self = Self(bindings::JBD2_FEATURE_INCOMPAT_FAST_COMMIT);
}

impl core::ops::BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Size of a journal's super block in bytes.
const JOURNAL_SUPER_BLOCK: u32 = size_of::<bindings::journal_superblock_t>() as u32;

/// What the journal's callbacks need, at an address that stays.
#[repr(C)]
struct Shared<T> {
    triggers: Opaque<bindings::jbd2_buffer_trigger_type>,
    ops: Arc<T>,
}

/// A journal.
///
/// Dropping it is [`Journal::destroy`] with the error lost.
///
/// # Invariants
///
/// `journal` is a journal of ours, loaded unless it is inside [`Unloaded`]; its `j_private` points to
/// `shared`. `device`, where it and its file system are, stays open.
pub struct Journal<T: JournalOps> {
    journal: NonNull<bindings::journal_t>,
    shared: NonNull<Shared<T>>,
    device: ManuallyDrop<BlockDevice>,
    _owned: PhantomData<Shared<T>>,
}

// SAFETY: A journal is meant to be used by many tasks, and locks what it needs to. `T` is `Send` and
// `Sync`, and so is the device.
unsafe impl<T: JournalOps> Send for Journal<T> {}

// SAFETY: As above.
unsafe impl<T: JournalOps> Sync for Journal<T> {}

/// A journal whose log has not been looked at yet.
///
/// Dropping it leaves the journal on disk as it is. It is not shared between threads.
pub struct Unloaded<T: JournalOps>(Journal<T>, PhantomData<Cell<()>>);

impl<T: JournalOps> Journal<T> {
    /// Reads the super block of the journal in the `blocks` blocks of `block_size` bytes from `start` on,
    /// which is on the same device as the blocks that it protects.
    ///
    /// The journal's super block must be there, with all block numbers in it counted from `start`, so that
    /// the log begins at 1: `EINVAL` if not. `block_size` is what the file system has set for the device.
    /// `ops` is what the journal calls back.
    pub fn init_dev(
        device: &BlockDevice,
        start: u64,
        blocks: u32,
        block_size: u32,
        ops: Arc<T>,
    ) -> Result<Unloaded<T>> {
        let shared = KBox::new(
            Shared {
                triggers: Opaque::new(bindings::jbd2_buffer_trigger_type {
                    t_frozen: if T::HAS_FROZEN {
                        Some(Shared::<T>::frozen)
                    } else {
                        None
                    },
                    t_abort: None,
                }),
                ops,
            },
            GFP_KERNEL,
        )?;
        let len = i32::try_from(blocks).map_err(|_| EFBIG)?;
        if block_size != device.block_size() || block_size < JOURNAL_SUPER_BLOCK {
            return Err(EINVAL);
        }
        let block_size = i32::try_from(block_size).map_err(|_| EINVAL)?;
        let device = device.clone();
        let bdev = device.as_raw();
        // SAFETY: The device is open, and stays so, see below.
        let journal = from_err_ptr(unsafe {
            bindings::jbd2_journal_init_dev(bdev, bdev, start, len, block_size)
        })?;
        let journal = NonNull::new(journal).ok_or(EINVAL)?;
        let shared = NonNull::from(KBox::leak(shared));
        // SAFETY: The journal is ours alone yet.
        unsafe {
            (*journal.as_ptr()).j_private = shared.as_ptr().cast();
            // Without it, jbd2 takes the numbers of log blocks for those of the device.
            (*journal.as_ptr()).j_bmap = Some(Shared::<T>::bmap);
            if T::HAS_COMMITTED {
                (*journal.as_ptr()).j_commit_callback = Some(Shared::<T>::committed);
            }
        }
        // INVARIANT: Initialised, with `j_private`, just now; not loaded, but inside `Unloaded`.
        let unloaded = Unloaded(
            Self {
                journal,
                shared,
                device: ManuallyDrop::new(device),
                _owned: PhantomData,
            },
            PhantomData,
        );
        // One that begins later may be shorter than the largest transaction.
        // SAFETY: The journal is ours alone yet.
        match unsafe { (*journal.as_ptr()).j_first } {
            1 => Ok(unloaded),
            _ => Err(EINVAL),
        }
    }

    fn as_raw(&self) -> *mut bindings::journal_t {
        self.journal.as_ptr()
    }

    fn triggers(&self) -> *mut bindings::jbd2_buffer_trigger_type {
        if T::HAS_FROZEN {
            // SAFETY: `shared` lives as long as the journal.
            unsafe { (*self.shared.as_ptr()).triggers.get() }
        } else {
            core::ptr::null_mut()
        }
    }

    /// Starts a handle with `credits`, or joins the task's open one, see the [module](super).
    ///
    /// Waits until the log has room. Fails with `EROFS` once the journal has been aborted, and with
    /// `ENOSPC` if no transaction could ever hold so much.
    pub fn start(&self, credits: Credits) -> Result<Handle<'_>> {
        if !self.could_hold(credits, 0) {
            return Err(ENOSPC);
        }
        // SAFETY: By the type invariant, the journal is loaded; it lives as long as we do.
        unsafe { Handle::start(self.as_raw(), self.triggers(), credits) }
    }

    /// Starts a handle with `credits` and sets `reserved` blocks aside for a later one.
    ///
    /// Fails with `EBUSY` if the task has a handle open.
    pub fn start_with_reservation(
        &self,
        credits: Credits,
        reserved: u32,
    ) -> Result<(Handle<'_>, Reservation<'_>)> {
        if !self.could_hold(credits, reserved) {
            return Err(ENOSPC);
        }
        // SAFETY: As for `start`.
        unsafe { Handle::start_with_reservation(self.as_raw(), self.triggers(), credits, reserved) }
    }

    /// The most blocks that one handle may ask for.
    pub fn max_credits(&self) -> u32 {
        // SAFETY: By the type invariant; the fields do not change once the journal is loaded.
        let (max, overhead) = unsafe {
            (
                (*self.as_raw()).j_max_transaction_buffers,
                (*self.as_raw()).j_transaction_overhead_buffers,
            )
        };
        u32::try_from(max.saturating_sub(overhead)).unwrap_or(0)
    }

    /// The most blocks that a transaction may have, with the journal's own.
    pub fn max_transaction_blocks(&self) -> u32 {
        // SAFETY: By the type invariant; the field does not change once the journal is loaded.
        u32::try_from(unsafe { (*self.as_raw()).j_max_transaction_buffers }).unwrap_or(0)
    }

    /// Whether a transaction could hold that at all, which `start_this_handle()` would complain about.
    fn could_hold(&self, credits: Credits, reserved: u32) -> bool {
        // SAFETY: By the type invariant; the field does not change once the journal is loaded.
        let per_block = unsafe { (*self.as_raw()).j_revoke_records_per_block };
        let per_block = u32::try_from(per_block).unwrap_or(1).max(1);
        let max = self.max_credits();
        let total = credits
            .blocks
            .saturating_add(credits.revokes.div_ceil(per_block))
            .saturating_add(reserved);
        total <= max && reserved <= max / 2
    }

    /// Commits the running transaction, if there is one, and waits. Fails with `EDEADLK` under an
    /// open handle.
    pub fn force_commit(&self) -> Result {
        Self::no_handle()?;
        // SAFETY: By the type invariant; the task has no handle open.
        to_result(unsafe { bindings::jbd2_journal_force_commit(self.as_raw()) })
    }

    /// Starts committing the running transaction.
    ///
    /// Returns the transaction that is now being committed, if any.
    pub fn start_commit(&self) -> Option<Tid> {
        let mut tid = 0;
        // SAFETY: By the type invariant.
        let started = unsafe { bindings::jbd2_journal_start_commit(self.as_raw(), &mut tid) };
        (started != 0).then_some(Tid(tid))
    }

    /// Has transaction `tid` committed, if it is not yet, and waits. Fails with `EDEADLK` under an
    /// open handle, and if the journal has been aborted.
    pub fn complete(&self, tid: Tid) -> Result {
        Self::no_handle()?;
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::jbd2_complete_transaction(self.as_raw(), tid.0) })?;
        // The function does not look at how a transaction has ended that is over.
        if self.is_aborted() {
            return Err(EIO);
        }
        Ok(())
    }

    /// Waits for transaction `tid`, whose commit has been started, and fails if the journal was
    /// aborted.
    pub fn wait_commit(&self, tid: Tid) -> Result {
        Self::no_handle()?;
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::jbd2_log_wait_commit(self.as_raw(), tid.0) })
    }

    /// Whether transaction `tid` has committed. Once the journal has been aborted nobody knows that of any.
    pub fn is_committed(&self, tid: Tid) -> bool {
        // SAFETY: By the type invariant.
        let over = unsafe { bindings::jbd2_transaction_committed(self.as_raw(), tid.0) != 0 };
        // One that an abort ended counts as over, too, but not before the journal does as aborted.
        // SAFETY: Always callable.
        unsafe { bindings::load_barrier() };
        over && !self.is_aborted()
    }

    /// Whether all that transaction `tid` changed is in its place, so that replaying the journal after
    /// a crash would not write it again.
    pub fn is_checkpointed(&self, tid: Tid) -> bool {
        // SAFETY: By the type invariant. The field is advanced, by a single store, after the
        // journal's superblock on disk was.
        let tail = unsafe { (&raw const (*self.as_raw()).j_tail_sequence).read_volatile() };
        // As `tid_gt`: transaction numbers wrap.
        (tail.wrapping_sub(tid.0) as i32) > 0
    }

    /// Whether committing `tid`, which is not over yet, will flush the device's write cache, so that
    /// data written up to now need no flush of their own.
    pub fn will_send_data_barrier(&self, tid: Tid) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::jbd2_trans_will_send_data_barrier(self.as_raw(), tid.0) != 0 }
    }

    /// The newest transaction: the running one, or else the last that was asked to commit.
    pub fn latest_tid(&self) -> Tid {
        // SAFETY: By the type invariant.
        Tid(unsafe { bindings::jbd2_get_latest_transaction(self.as_raw()) })
    }

    /// Stops journaling for good because of `error`, which is recorded on disk.
    ///
    /// From now on handles fail with `EROFS`; those open fail when they stop.
    pub fn abort(&self, error: Error) {
        // SAFETY: By the type invariant.
        unsafe { bindings::jbd2_journal_abort(self.as_raw(), error.to_errno()) };
    }

    /// Whether the journal has been aborted.
    #[inline]
    pub fn is_aborted(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::is_journal_aborted(self.as_raw()) }
    }

    /// The error for which the journal was aborted when last in use, or `EROFS` if it is aborted now.
    pub fn error(&self) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::jbd2_journal_errno(self.as_raw()) })
    }

    /// Lets handles be started although an error is recorded.
    pub fn ack_error(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::jbd2_journal_ack_err(self.as_raw()) };
    }

    /// Forgets the recorded error. Fails with `EROFS` if the journal has been aborted.
    pub fn clear_error(&self) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::jbd2_journal_clear_err(self.as_raw()) })
    }

    /// Calls `f` with the journal's state locked, so that it can change settings.
    fn locked(&self, f: impl FnOnce(*mut bindings::journal_t)) {
        let journal = self.as_raw();
        // SAFETY: By the type invariant, the lock is initialised.
        unsafe { bindings::write_lock(&raw mut (*journal).j_state_lock) };
        f(journal);
        // SAFETY: Locked above.
        unsafe { bindings::write_unlock(&raw mut (*journal).j_state_lock) };
    }

    /// Sets after which time a transaction is committed without being asked for.
    pub fn set_commit_interval(&self, interval: Duration) {
        // SAFETY: No requirements.
        let jiffies = unsafe {
            bindings::__msecs_to_jiffies(u32::try_from(interval.as_millis()).unwrap_or(u32::MAX))
        };
        // SAFETY: The journal is valid, and the field's lock is held.
        self.locked(|journal| unsafe { (*journal).j_commit_interval = jiffies });
    }

    /// Sets how long a synchronous operation waits for others to join its transaction.
    pub fn set_batch_time(&self, min: Duration, max: Duration) {
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        // SAFETY: The journal is valid, and the fields' lock is held.
        self.locked(|journal| unsafe {
            (*journal).j_min_batch_time = micros(min);
            (*journal).j_max_batch_time = micros(max);
        });
    }

    /// Keeps new handles from starting and waits for those open to end. Fails with `EDEADLK` under
    /// an open handle.
    pub fn lock_updates(&self) -> Result<UpdatesLocked<'_, T>> {
        Self::no_handle()?;
        // SAFETY: By the type invariant.
        unsafe { bindings::jbd2_journal_lock_updates(self.as_raw()) };
        // INVARIANT: Locked just now.
        Ok(UpdatesLocked {
            journal: self,
            _task: NotThreadSafe,
        })
    }

    /// Commits what is running, writes all blocks to their places and marks the journal as empty.
    ///
    /// Fails with `EIO` if the journal has been aborted, in which case it is left to be replayed.
    pub fn destroy(self) -> Result {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: Not used, and not dropped, afterwards.
        unsafe { this.do_destroy() }
    }

    /// # Safety
    ///
    /// Nothing of `self` may be used or dropped afterwards.
    unsafe fn do_destroy(&mut self) -> Result {
        // SAFETY: By the type invariant. There are no handles, which would borrow us.
        let ret = to_result(unsafe { bindings::jbd2_journal_destroy(self.as_raw()) });
        // The final commit has called back; now nobody does any more.
        // SAFETY: `shared` comes from a `KBox`.
        drop(unsafe { KBox::from_raw(self.shared.as_ptr()) });
        // SAFETY: Dropped once, by this function's safety requirement.
        unsafe { ManuallyDrop::drop(&mut self.device) };
        ret
    }

    /// Fails if the task has a handle open, under which waiting for a commit never ends.
    fn no_handle() -> Result {
        // SAFETY: Always callable in a task's context.
        if unsafe { bindings::journal_info_set() } {
            return Err(EDEADLK);
        }
        Ok(())
    }
}

impl<T: JournalOps> Drop for Journal<T> {
    fn drop(&mut self) {
        // SAFETY: `self` is gone afterwards.
        let _ = unsafe { self.do_destroy() };
    }
}

impl<T: JournalOps> Unloaded<T> {
    /// Whether the log has transactions to replay.
    pub fn needs_recovery(&self) -> bool {
        // SAFETY: By the type invariant; nobody else uses the journal yet.
        unsafe { (*self.0.as_raw()).j_tail != 0 }
    }

    /// The error for which the journal was aborted when last in use.
    pub fn recorded_error(&self) -> Result {
        // SAFETY: By the type invariant; nobody else uses the journal yet.
        let errno = unsafe { (*self.0.as_raw()).j_errno };
        match errno {
            0 => Ok(()),
            ..0 => Err(Error::from_errno(errno)),
            // The disk may say anything.
            1.. => Err(EIO),
        }
    }

    /// Whether the journal has all these features.
    pub fn has_features(&self, features: Features) -> bool {
        // SAFETY: By the type invariant; nobody else uses the journal yet.
        unsafe {
            bindings::jbd2_journal_check_used_features(self.0.as_raw(), 0, 0, features.0 as usize)
                != 0
        }
    }

    /// Turns features on. Fails with `EOPNOTSUPP` if the kernel or the journal's format cannot.
    pub fn set_features(&self, features: Features) -> Result {
        // SAFETY: By the type invariant; nobody else uses the journal yet.
        let done = unsafe {
            bindings::jbd2_journal_set_features(self.0.as_raw(), 0, 0, features.0 as usize)
        };
        if done == 0 {
            return Err(EOPNOTSUPP);
        }
        Ok(())
    }

    /// Sets whether the device's write cache is flushed where the order of writes matters: before and with a
    /// commit, after recovery, and before the log is cut. jbd2 does not unless told so.
    pub fn set_barrier(&self, on: bool) {
        let flag = bindings::JBD2_BARRIER as usize;
        // SAFETY: The journal is valid, and the field's lock is held.
        self.0.locked(|journal| unsafe {
            if on {
                (*journal).j_flags |= flag;
            } else {
                (*journal).j_flags &= !flag;
            }
        });
    }

    /// Has [`Unloaded::load`] skip recovery; with `write`, also on disk.
    pub fn wipe(&self, write: bool) -> Result {
        // SAFETY: By the type invariant; not loaded yet.
        to_result(unsafe { bindings::jbd2_journal_wipe(self.0.as_raw(), write.into()) })
    }

    /// Replays the log and starts the journal's thread.
    ///
    /// On failure the journal is left on disk as it is.
    pub fn load(self) -> Result<Journal<T>> {
        // SAFETY: By the type invariant; not loaded yet.
        to_result(unsafe { bindings::jbd2_journal_load(self.0.as_raw()) })?;
        // INVARIANT: Loaded just now.
        Ok(self.0)
    }
}

/// A time without open handles.
///
/// # Invariants
///
/// Updates of the journal are locked, by this task.
#[must_use = "updates are unlocked when the guard is dropped"]
pub struct UpdatesLocked<'j, T: JournalOps> {
    journal: &'j Journal<T>,
    _task: NotThreadSafe,
}

impl<T: JournalOps> UpdatesLocked<'_, T> {
    /// Writes everything to its place and marks the journal as empty on disk.
    pub fn flush(&self) -> Result {
        // SAFETY: By the type invariant, there are no handles that the function could meet.
        to_result(unsafe { bindings::jbd2_journal_flush(self.journal.as_raw(), 0) })
    }
}

impl<T: JournalOps> Drop for UpdatesLocked<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::jbd2_journal_unlock_updates(self.journal.as_raw()) };
    }
}

impl<T: JournalOps> Shared<T> {
    /// Finds the block of the device for a block of the log.
    ///
    /// # Safety
    ///
    /// Only to be called by a journal.
    unsafe extern "C" fn bmap(
        journal: *mut bindings::journal_t,
        block: *mut bindings::sector_t,
    ) -> c_int {
        // SAFETY: The journal is valid; the fields do not change once it is initialised.
        let (start, len) = unsafe { ((*journal).j_blk_offset, (*journal).j_total_len) };
        // SAFETY: The number is for us to read and write.
        let in_log = unsafe { *block };
        match start.checked_add(in_log) {
            Some(on_device) if in_log < len.into() => {
                // SAFETY: As above.
                unsafe { *block = on_device };
                0
            }
            _ => EIO.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Only to be called by a journal whose `j_private` is a `Shared<T>`.
    unsafe extern "C" fn committed(
        journal: *mut bindings::journal_t,
        transaction: *mut bindings::transaction_t,
    ) {
        // SAFETY: By this function's safety requirement; `shared` outlives the journal.
        let shared = unsafe { &*(*journal).j_private.cast::<Self>() };
        // SAFETY: The transaction is valid during the call.
        let tid = Tid(unsafe { (*transaction).t_tid });
        // SAFETY: The journal is valid.
        let aborted = unsafe { bindings::is_journal_aborted(journal) };
        shared
            .ops
            .committed(tid, if aborted { Err(EIO) } else { Ok(()) });
    }

    /// # Safety
    ///
    /// Only to be called by a journal for the triggers of a `Shared<T>`.
    unsafe extern "C" fn frozen(
        triggers: *mut bindings::jbd2_buffer_trigger_type,
        bh: *mut bindings::buffer_head,
        data: *mut kernel::ffi::c_void,
        size: usize,
    ) {
        // SAFETY: `triggers` is the first field of a `Shared<T>`, which outlives the journal.
        let shared = unsafe { &*triggers.cast::<Self>() };
        let Some(data) = NonNull::new(data.cast::<u8>()) else {
            return;
        };
        // SAFETY: The journal gives the mapped content of the buffer or a copy of it: `size` bytes,
        // a block size and aligned to that or at least as the allocator does, during the call. The
        // content of a buffer is in use by others too, so it is not turned into a slice.
        let data = unsafe { SharedBytes::from_raw(data, size) };
        // SAFETY: The buffer head is valid, and its number does not change.
        let block = unsafe { (*bh).b_blocknr };
        shared.ops.frozen(block, data);
    }
}
