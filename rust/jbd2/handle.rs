// SPDX-License-Identifier: GPL-2.0

//! Handles: a task's part in a transaction.

use core::{marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
    types::NotThreadSafe,
};

use super::{Credits, Tid};
use crate::linux::{
    bindings,
    buffer_head::{BufferHead, BufferLock},
};

/// The part of a task in the running transaction.
///
/// All changes made under a handle reach the disk together, or none of them does. Dropping it ends
/// that part as [`Handle::stop`] does, except that nobody is told of an error; nothing is undone.
///
/// A handle is bound to its task, and memory allocations of that task do not enter file systems
/// (`GFP_NOFS`) while it is open.
///
/// # Invariants
///
/// `handle` is the current task's open handle on a loaded journal that lives for `'j`, with one of its
/// references ours, and `triggers` is null or what that journal's buffers get as triggers, valid as
/// long as the journal.
#[must_use = "the handle is stopped when it is dropped"]
pub struct Handle<'j> {
    handle: NonNull<bindings::handle_t>,
    triggers: *mut bindings::jbd2_buffer_trigger_type,
    _journal: PhantomData<&'j ()>,
    _task: NotThreadSafe,
}

/// Credits set aside to be used by a later handle.
///
/// Unlike [`Journal::start`](super::Journal::start), starting it does not wait for log space or for a
/// commit, so that it may be done where those would deadlock, as at the end of writeback.
///
/// # Invariants
///
/// `handle` is a reserved handle, not started, which is ours, of a journal that lives for `'j`;
/// `triggers` as for [`Handle`].
#[must_use = "the credits are given back when the reservation is dropped"]
pub struct Reservation<'j> {
    handle: NonNull<bindings::handle_t>,
    triggers: *mut bindings::jbd2_buffer_trigger_type,
    _journal: PhantomData<&'j ()>,
}

// SAFETY: A handle that has not been started belongs to no task, and its credits are counted
// atomically.
unsafe impl Send for Reservation<'_> {}

/// A reference to the journal head of a buffer.
///
/// The journal's own last until the transaction is over, or until any handle forgets the buffer.
///
/// # Invariants
///
/// `jh` is the journal head of a buffer that lives for `'a`, and a reference to it is ours.
struct Head<'a> {
    jh: NonNull<bindings::journal_head>,
    _buffer: PhantomData<&'a BufferHead>,
}

impl<'a> Head<'a> {
    /// The journal head of `buffer`, if there is one.
    fn grab(buffer: &'a BufferHead) -> Option<Self> {
        // SAFETY: The buffer head is valid.
        let jh = unsafe { bindings::jbd2_journal_grab_journal_head(buffer.as_raw()) };
        // INVARIANT: The reference was just taken.
        NonNull::new(jh).map(|jh| Self {
            jh,
            _buffer: PhantomData,
        })
    }

    /// Whether the buffer is part of `transaction`, be it that an older one still writes it.
    fn belongs_to(&self, transaction: NonNull<bindings::transaction_t>) -> bool {
        let (transaction, jh) = (transaction.as_ptr(), self.jh.as_ptr());
        // SAFETY: By the type invariant; the fields are read once.
        let (owner, next) = unsafe {
            (
                (&raw const (*jh).b_transaction).read_volatile(),
                (&raw const (*jh).b_next_transaction).read_volatile(),
            )
        };
        owner == transaction || next == transaction
    }

    /// Whether the buffer, which is part of the running transaction, has cost it its credit.
    fn is_modified(&self) -> bool {
        // SAFETY: By the type invariant; the field is read once.
        let modified = unsafe { (&raw const (*self.jh.as_ptr()).b_modified).read_volatile() };
        modified != 0
    }
}

impl Drop for Head<'_> {
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the type invariant.
        unsafe { bindings::jbd2_journal_put_journal_head(self.jh.as_ptr()) };
    }
}

impl<'j> Handle<'j> {
    /// Starts a handle, or joins the one that the task has open.
    ///
    /// # Safety
    ///
    /// `journal` must be a loaded journal that lives for `'j`, and so must `triggers` if not null.
    pub(super) unsafe fn start(
        journal: *mut bindings::journal_t,
        triggers: *mut bindings::jbd2_buffer_trigger_type,
        credits: Credits,
    ) -> Result<Self> {
        let (blocks, revokes) = credits.to_c()?;
        // SAFETY: Always callable in a task's context.
        let current = unsafe { bindings::journal_current_handle() };
        let nested = !current.is_null();
        if nested {
            // SAFETY: File systems keep nothing but their open handle there; it belongs to this task.
            let transaction = unsafe { (*current).__bindgen_anon_1.h_transaction };
            if transaction.is_null() {
                return Err(EROFS);
            }
            // SAFETY: An open handle keeps its transaction.
            if unsafe { (*transaction).t_journal } != journal {
                return Err(EINVAL);
            }
        }
        // SAFETY: By the safety requirements; if there is a current handle, it is of this journal.
        let handle = from_err_ptr(unsafe {
            bindings::jbd2__journal_start(journal, blocks, 0, revokes, bindings::GFP_NOFS, 0, 0)
        })?;
        // INVARIANT: Started just now, or the task's own with a reference more; the rest by the
        // safety requirements.
        let handle = Self {
            handle: NonNull::new(handle).ok_or(EROFS)?,
            triggers,
            _journal: PhantomData,
            _task: NotThreadSafe,
        };
        if nested && !handle.extend(credits)? {
            return Err(ENOSPC);
        }
        Ok(handle)
    }

    /// Starts a handle with a reservation for another.
    ///
    /// # Safety
    ///
    /// As for [`Handle::start`].
    pub(super) unsafe fn start_with_reservation(
        journal: *mut bindings::journal_t,
        triggers: *mut bindings::jbd2_buffer_trigger_type,
        credits: Credits,
        reserved: u32,
    ) -> Result<(Self, Reservation<'j>)> {
        let (blocks, revokes) = credits.to_c()?;
        let (reserved, _) = Credits::blocks(reserved.max(1)).to_c()?;
        // SAFETY: Always callable in a task's context.
        if unsafe { bindings::journal_info_set() } {
            return Err(EBUSY);
        }
        // SAFETY: By the safety requirements; there is no current handle.
        let handle = from_err_ptr(unsafe {
            bindings::jbd2__journal_start(
                journal,
                blocks,
                reserved,
                revokes,
                bindings::GFP_NOFS,
                0,
                0,
            )
        })?;
        // INVARIANT: Started just now; the rest by the safety requirements.
        let handle = Self {
            handle: NonNull::new(handle).ok_or(EROFS)?,
            triggers,
            _journal: PhantomData,
            _task: NotThreadSafe,
        };
        // SAFETY: The handle is ours; it came with a reserved one, which we take off it.
        let reserved = unsafe {
            core::mem::replace(&mut (*handle.as_raw()).h_rsv_handle, core::ptr::null_mut())
        };
        // INVARIANT: Taken off, it is ours.
        let reservation = Reservation {
            handle: NonNull::new(reserved).ok_or(EINVAL)?,
            triggers,
            _journal: PhantomData,
        };
        Ok((handle, reservation))
    }

    fn as_raw(&self) -> *mut bindings::handle_t {
        self.handle.as_ptr()
    }

    /// The transaction. [`None`] after a restart has failed.
    fn transaction(&self) -> Option<NonNull<bindings::transaction_t>> {
        // SAFETY: By the type invariant; only this task changes the field.
        NonNull::new(unsafe { (*self.as_raw()).__bindgen_anon_1.h_transaction })
    }

    /// The number of the transaction.
    ///
    /// Fails with `EROFS` after a restart has failed.
    pub fn tid(&self) -> Result<Tid> {
        let transaction = self.transaction().ok_or(EROFS)?;
        // SAFETY: An open handle keeps its transaction, whose number does not change.
        Ok(Tid(unsafe { (*transaction.as_ptr()).t_tid }))
    }

    /// Whether the journal, or the handle, has failed: nothing done under it will be on disk.
    pub fn is_aborted(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::is_handle_aborted(self.as_raw()) }
    }

    /// Has [`Handle::stop`] start the commit, for somebody who will wait for it.
    pub fn set_sync(&self) {
        // SAFETY: By the type invariant; only this task accesses the flags.
        unsafe { (*self.as_raw()).set_h_sync(1) };
    }

    /// Which credits are left.
    pub fn credits(&self) -> Credits {
        if self.transaction().is_none() {
            return Credits::default();
        }
        // SAFETY: By the type invariant, with a transaction; only this task accesses the fields.
        let (blocks, revokes) = unsafe {
            (
                bindings::jbd2_handle_buffer_credits(self.as_raw()),
                (*self.as_raw()).h_revoke_credits,
            )
        };
        Credits {
            blocks: u32::try_from(blocks).unwrap_or(0),
            revokes: u32::try_from(revokes).unwrap_or(0),
        }
    }

    /// Whether at least `credits` are left.
    pub fn has_credits(&self, credits: Credits) -> bool {
        let left = self.credits();
        left.blocks >= credits.blocks && left.revokes >= credits.revokes
    }

    /// Tries to get `more` credits.
    ///
    /// Gives `false` if the transaction has no room for them or is about to commit: then the
    /// operation must be brought to a state that may be on disk, and [`Handle::restart`].
    pub fn extend(&self, more: Credits) -> Result<bool> {
        let (blocks, revokes) = more.to_c()?;
        // SAFETY: By the type invariant; the C function checks for a failed restart itself.
        let ret = unsafe { bindings::jbd2_journal_extend(self.as_raw(), blocks, revokes) };
        if ret > 0 {
            return Ok(false);
        }
        to_result(ret)?;
        Ok(true)
    }

    /// Ends the part in this transaction and starts one in another, with new credits.
    ///
    /// What has been done up to here may be on disk without what follows, but need not: the handle may
    /// find itself in the same transaction. Access to buffers must be asked for again. Waits for log space: locks that others need to end their handles must not be
    /// held. Fails with `EBUSY` if the handle is nested. After another failure the handle can only
    /// be stopped.
    pub fn restart(&mut self, credits: Credits) -> Result {
        let (blocks, revokes) = credits.to_c()?;
        // SAFETY: By the type invariant; only this task accesses the field.
        if unsafe { (*self.as_raw()).h_ref } != 1 {
            return Err(EBUSY);
        }
        if self.is_aborted() {
            return Err(EROFS);
        }
        // SAFETY: By the type invariant; no other `Handle` of this task shares it.
        to_result(unsafe {
            bindings::jbd2__journal_restart(self.as_raw(), blocks, revokes, bindings::GFP_NOFS)
        })
    }

    /// Makes sure that `credits` are left, by extending or restarting the handle.
    ///
    /// Returns whether it was restarted; see [`Handle::restart`] for what that means.
    pub fn ensure(&mut self, credits: Credits) -> Result<bool> {
        if self.has_credits(credits) {
            return Ok(false);
        }
        let left = self.credits();
        let more = Credits {
            blocks: credits.blocks.saturating_sub(left.blocks),
            revokes: credits.revokes.saturating_sub(left.revokes),
        };
        if self.extend(more)? {
            return Ok(false);
        }
        self.restart(credits)?;
        Ok(true)
    }

    /// The journal head of `buffer`, if that is part of the running transaction.
    ///
    /// `EINVAL` if not, `EROFS` if the journal was aborted.
    fn granted<'a>(&self, buffer: &'a BufferHead) -> Result<Head<'a>> {
        let head = Head::grab(buffer);
        let transaction = self.transaction();
        match head.filter(|head| transaction.is_some_and(|it| head.belongs_to(it))) {
            Some(head) => Ok(head),
            None if self.is_aborted() => Err(EROFS),
            None => Err(EINVAL),
        }
    }

    /// Gives `buffer`, to which access was just got, the journal's triggers. Another handle may have
    /// forgotten it since: `EINVAL` then.
    fn set_triggers<'a>(&self, buffer: &'a BufferHead) -> Result<Head<'a>> {
        let head = Head::grab(buffer).ok_or(EINVAL)?;
        // SAFETY: The reference keeps the journal head. What is stored there stays valid as long as the
        // journal, by the type invariants.
        unsafe {
            let triggers = &raw mut (*head.jh.as_ptr()).b_triggers;
            if triggers.read_volatile() != self.triggers {
                triggers.write_volatile(self.triggers);
            }
        }
        Ok(head)
    }

    /// Calls `jbd2_journal_dirty_metadata()`, but not to have it complain of too few credits.
    fn dirty(&self, buffer: &BufferHead, head: &Head<'_>) -> Result {
        if self.is_aborted() {
            return Err(EROFS);
        }
        if self.credits().blocks == 0 && !head.is_modified() {
            return Err(ENOSPC);
        }
        // SAFETY: By the type invariants; the function takes no reference to the journal head, but we have
        // one. It looks whether that is part of the transaction.
        to_result(unsafe { bindings::jbd2_journal_dirty_metadata(self.as_raw(), buffer.as_raw()) })
    }

    /// Makes `buffer` part of the transaction, in order to change it.
    ///
    /// To be called before each change under a new handle or restart; then change the content, then
    /// [`Handle::dirty_metadata`]. Waits if the block is just being written to the log.
    pub fn get_write_access(&self, buffer: &BufferHead) -> Result {
        self.access(buffer).map(|_| ())
    }

    /// Checks that `buffer` is one of the device that the journal protects, and not of the log itself, which the
    /// journal changes as if nobody else had it. `EINVAL` if not.
    fn check_block(&self, buffer: &BufferHead) -> Result {
        let transaction = self.transaction().ok_or(EROFS)?;
        let buffer = buffer.as_raw();
        // SAFETY: An open handle keeps its transaction, and that its journal; the buffer is valid. None of the
        // fields changes after the journal was loaded.
        let (ours, in_log) = unsafe {
            let journal = (*transaction.as_ptr()).t_journal;
            let into = (*buffer).b_blocknr.checked_sub((*journal).j_blk_offset);
            (
                (*buffer).b_bdev == (*journal).j_fs_dev
                    && i64::try_from((*buffer).b_size) == Ok(i64::from((*journal).j_blocksize)),
                (*buffer).b_bdev == (*journal).j_dev
                    && into.is_some_and(|into| into < u64::from((*journal).j_total_len)),
            )
        };
        if !ours || in_log {
            return Err(EINVAL);
        }
        Ok(())
    }

    fn access<'a>(&self, buffer: &'a BufferHead) -> Result<Head<'a>> {
        self.check_block(buffer)?;
        // SAFETY: By the type invariants.
        to_result(unsafe {
            bindings::jbd2_journal_get_write_access(self.as_raw(), buffer.as_raw())
        })?;
        self.set_triggers(buffer)
    }

    /// Makes the buffer of a newly allocated block part of the transaction, its old content being
    /// of no interest.
    ///
    /// Its content is to be filled in, and declared valid, while the lock is held. Aborts the journal
    /// if the block is still in use by an older transaction, which means that the file system's idea
    /// of free space is wrong.
    pub fn get_create_access(&self, locked: &BufferLock<'_>) -> Result {
        let buffer = locked.buffer();
        self.check_block(buffer)?;
        // SAFETY: By the type invariants; the buffer is locked.
        to_result(unsafe {
            bindings::jbd2_journal_get_create_access(self.as_raw(), buffer.as_raw())
        })?;
        self.set_triggers(buffer).map(|_| ())
    }

    /// Makes the buffer of a newly allocated block part of the transaction, filled with zeroes.
    pub fn create_zeroed(&self, buffer: &BufferHead) -> Result {
        let locked = buffer.lock();
        self.get_create_access(&locked)?;
        locked.zero();
        Ok(())
    }

    /// Has the content of `buffer`, which has been changed, written with the transaction.
    ///
    /// The first time this is said of a buffer in a transaction costs a credit. Fails with `ENOSPC` if
    /// none is left, with `EINVAL` without access to the buffer.
    pub fn dirty_metadata(&self, buffer: &BufferHead) -> Result {
        let head = self.granted(buffer)?;
        self.dirty(buffer, &head)
    }

    /// [`Handle::get_write_access`] and [`Handle::dirty_metadata`] at once, which is faster: `buffer` may be
    /// changed until the handle ends or restarts, and is written with the transaction. Unless this fails:
    /// the buffer must not be changed then.
    pub fn modify(&self, buffer: &BufferHead) -> Result {
        let head = self.access(buffer)?;
        self.dirty(buffer, &head)
    }

    /// Takes `buffer` out of the transaction: its block has been freed, its content is never to be
    /// written to its place.
    ///
    /// If an earlier transaction may have it in the log, it must be [revoked](Handle::revoke) instead.
    pub fn forget(&self, buffer: BufferHead) -> Result {
        if self.transaction().is_none() {
            return Err(EROFS);
        }
        buffer.clear_verified();
        let bh = buffer.into_raw();
        // SAFETY: By the type invariant, and the buffer's reference is given away.
        let ret = unsafe { bindings::jbd2_journal_forget(self.as_raw(), bh) };
        let ret = to_result(ret);
        if ret == Err(EROFS) {
            // The one case in which the function does nothing at all.
            // SAFETY: The reference is still ours.
            unsafe { bindings::__brelse(bh) };
        }
        ret
    }

    /// Forgets `block`, which has been freed, and has recovery not replay what earlier transactions
    /// have of it in the log, as it may hold something else by then.
    ///
    /// Costs a revoke credit. Fails with `ENOSPC` if there is none, and with `EIO` if the block has
    /// been revoked already: it has been freed twice.
    pub fn revoke(&self, block: u64, buffer: Option<BufferHead>) -> Result {
        if self.is_aborted() {
            return Err(EROFS);
        }
        if self.credits().revokes == 0 {
            return Err(ENOSPC);
        }
        // The function would drop the buffer's reference in some cases of error and not in others:
        // it may find the buffer itself, and it is forgotten afterwards.
        // SAFETY: By the type invariant, and the handle has a transaction, as it is not aborted.
        to_result(unsafe {
            bindings::jbd2_journal_revoke(self.as_raw(), block, core::ptr::null_mut())
        })?;
        buffer.map_or(Ok(()), |buffer| self.forget(buffer))
    }

    /// Ends this part in the transaction.
    ///
    /// Fails with `EIO` if the journal has been aborted: what has been done will not be on disk.
    pub fn stop(self) -> Result {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariant; the reference is given back, and not once more by `drop`.
        to_result(unsafe { bindings::jbd2_journal_stop(this.as_raw()) })
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the reference is given back.
        unsafe { bindings::jbd2_journal_stop(self.as_raw()) };
    }
}

impl<'j> Reservation<'j> {
    /// Starts the handle.
    ///
    /// Fails with `EBUSY` if the task has a handle open.
    pub fn start(self) -> Result<Handle<'j>> {
        // SAFETY: Always callable in a task's context.
        if unsafe { bindings::journal_info_set() } {
            return Err(EBUSY);
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariant; the handle is either started or freed.
        to_result(unsafe { bindings::jbd2_journal_start_reserved(this.handle.as_ptr(), 0, 0) })?;
        // INVARIANT: Started just now; the rest by the type invariant.
        Ok(Handle {
            handle: this.handle,
            triggers: this.triggers,
            _journal: PhantomData,
            _task: NotThreadSafe,
        })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the handle is ours and not started.
        unsafe { bindings::jbd2_journal_free_reserved(self.handle.as_ptr()) };
    }
}
