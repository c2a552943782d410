// SPDX-License-Identifier: GPL-2.0

//! Buffer heads: one block of a block device in its page cache.
//!
//! C header: [`include/linux/buffer_head.h`](srctree/include/linux/buffer_head.h)

use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*};

use super::{
    bindings,
    fs::{FileSystem, NewSuperBlock, SuperBlock},
    shared_bytes::SharedBytes,
};

/// A reference to a buffer head.
///
/// The content is reached through [`BufferHead::data`]; it is shared with everyone who has a
/// reference to the same buffer, with the journal and with user space, see [`SharedBytes`].
///
/// # Invariants
///
/// `bh` points to a buffer head with a reference of our own. As long as that is held, the buffer is
/// neither freed nor migrated (`buffer_busy()` in `fs/buffer.c`), so `b_data`, which points into the
/// page cache's direct mapping (a block device's mapping has no highmem pages), and `b_size`, a power
/// of two from 512 to the page size, do not change.
pub struct BufferHead {
    bh: NonNull<bindings::buffer_head>,
}

// SAFETY: A buffer head's reference may be used and dropped by any task; `SharedBytes` deals with
// the content.
unsafe impl Send for BufferHead {}

// SAFETY: All methods that take `&self` may be called by several tasks at the same time: the state
// is an atomic bitmap, and the C functions lock what else they touch.
unsafe impl Sync for BufferHead {}

/// A state bit that a file system may use as it likes, see [`BufferHead::test_private`].
///
/// The bits start out clear when a block is read into a fresh buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PrivateBit {
    /// The first.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
}

impl PrivateBit {
    const fn nr(self) -> u32 {
        // OVERFLOW: The kernel leaves the bits from here to the width of `b_state` to file systems.
        bindings::jbd_state_bits_BH_JBDPrivateStart + self as u32
    }
}

impl BufferHead {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `bh` must be null or a buffer head of a block device's page cache with a reference that the
    /// caller gives away.
    unsafe fn from_raw(bh: *mut bindings::buffer_head) -> Option<Self> {
        // INVARIANT: By the safety requirements.
        Some(Self {
            bh: NonNull::new(bh)?,
        })
    }

    /// Gives the reference away.
    pub(super) fn into_raw(self) -> *mut bindings::buffer_head {
        let bh = self.bh.as_ptr();
        core::mem::forget(self);
        bh
    }

    /// The C object.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::buffer_head {
        self.bh.as_ptr()
    }

    /// The buffer of `block` of the super block's device, its content read from disk if it was not
    /// in memory.
    ///
    /// Fails with `EIO` if it cannot be read or does not exist. May sleep.
    pub fn bread<F: FileSystem>(sb: &SuperBlock<F>, block: u64) -> Result<Self> {
        let buffer = Self::getblk(sb, block)?;
        buffer.read()?;
        Ok(buffer)
    }

    /// As [`BufferHead::bread`], while the file system is being mounted.
    pub fn bread_new<F: FileSystem>(sb: &NewSuperBlock<'_, F>, block: u64) -> Result<Self> {
        const { assert!(F::REQUIRES_DEV, "needs a block device") };
        // SAFETY: `sb` is a valid super block; the function returns null or a new reference.
        unsafe { Self::from_raw(bindings::sb_bread(sb.as_raw(), block)) }.ok_or(EIO)
    }

    /// The buffer of `block` without reading it: for blocks that will be overwritten as a whole.
    ///
    /// Fails with `EIO` if there is no such block. May sleep.
    pub fn getblk<F: FileSystem>(sb: &SuperBlock<F>, block: u64) -> Result<Self> {
        const { assert!(F::REQUIRES_DEV, "needs a block device") };
        // SAFETY: As for `bread_new`.
        unsafe { Self::from_raw(bindings::sb_getblk(sb.as_raw(), block)) }.ok_or(EIO)
    }

    /// The buffer of `block` if it is in memory. May sleep.
    pub fn find<F: FileSystem>(sb: &SuperBlock<F>, block: u64) -> Option<Self> {
        const { assert!(F::REQUIRES_DEV, "needs a block device") };
        let sb = sb.as_raw();
        // SAFETY: A valid super block's device and block size may be read; the function returns null
        // or a new reference.
        unsafe {
            // CAST: A block size fits.
            let size = (*sb).s_blocksize as u32;
            let bh = bindings::__find_get_block_nonatomic((*sb).s_bdev, block, size);
            Self::from_raw(bh)
        }
    }

    /// Starts reading `block` in the background, if it is not in memory.
    pub fn readahead<F: FileSystem>(sb: &SuperBlock<F>, block: u64) {
        const { assert!(F::REQUIRES_DEV, "needs a block device") };
        let sb = sb.as_raw();
        // SAFETY: A valid super block's device and block size may be read.
        unsafe {
            // CAST: A block size fits.
            bindings::__breadahead((*sb).s_bdev, block, (*sb).s_blocksize as u32);
        }
    }

    /// The block's number on its device.
    #[inline]
    pub fn block(&self) -> u64 {
        // SAFETY: By the type invariant; the number of a device's buffer does not change.
        unsafe { (*self.as_raw()).b_blocknr }
    }

    /// The content.
    #[inline]
    pub fn data(&self) -> SharedBytes<'_> {
        // SAFETY: By the type invariant, the fields do not change, and `b_data` points to `b_size`
        // bytes, aligned to that, until the reference goes, which `'_` does not outlive. Nobody
        // makes Rust references to the page cache of a block device.
        unsafe {
            let data = NonNull::new_unchecked((*self.as_raw()).b_data.cast());
            SharedBytes::from_raw(data, (*self.as_raw()).b_size)
        }
    }

    /// Whether state bit `nr` is set.
    #[inline]
    pub(super) fn test_state(&self, nr: u32) -> bool {
        // SAFETY: By the type invariant; a volatile read, since others may change other bits.
        let state = unsafe { (&raw const (*self.as_raw()).b_state).read_volatile() };
        state & (1 << nr) != 0
    }

    #[inline]
    fn set_state(&self, nr: u32) {
        if !self.test_state(nr) {
            // SAFETY: By the type invariant; the bit operation is atomic.
            unsafe { bindings::set_bit(nr as usize, &raw mut (*self.as_raw()).b_state) };
        }
    }

    fn clear_state(&self, nr: u32) {
        // SAFETY: By the type invariant; the bit operation is atomic.
        unsafe { bindings::clear_bit(nr as usize, &raw mut (*self.as_raw()).b_state) };
    }

    /// Whether the content is valid: read from disk, or declared so by [`BufferLock::set_uptodate`].
    #[inline]
    pub fn uptodate(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::buffer_uptodate(self.as_raw()) }
    }

    /// Whether the buffer is waiting to be written to its place. Journaled buffers are not, until
    /// their transaction has committed.
    #[inline]
    pub fn dirty(&self) -> bool {
        self.test_state(bindings::bh_state_bits_BH_Dirty)
    }

    /// Whether writing the buffer to its place has failed.
    #[inline]
    pub fn write_error(&self) -> bool {
        self.test_state(bindings::bh_state_bits_BH_Write_EIO)
    }

    /// Whether somebody has found the content to be right, see [`BufferHead::set_verified`].
    #[inline]
    pub fn verified(&self) -> bool {
        self.test_state(bindings::jbd_state_bits_BH_Verified)
    }

    /// Remembers that the content has been checked, so that nobody needs to check it again while the
    /// buffer stays in memory.
    ///
    /// The bit orders nothing by itself: it is to be set after what it is about has been seen.
    #[inline]
    pub fn set_verified(&self) {
        self.set_state(bindings::jbd_state_bits_BH_Verified);
    }

    /// Forgets [`BufferHead::set_verified`], for a block that gets a new meaning.
    pub fn clear_verified(&self) {
        self.clear_state(bindings::jbd_state_bits_BH_Verified);
    }

    /// Whether the file system's own `bit` is set.
    #[inline]
    pub fn test_private(&self, bit: PrivateBit) -> bool {
        self.test_state(bit.nr())
    }

    /// Sets the file system's own `bit`.
    #[inline]
    pub fn set_private(&self, bit: PrivateBit) {
        self.set_state(bit.nr());
    }

    /// Clears the file system's own `bit`.
    pub fn clear_private(&self, bit: PrivateBit) {
        self.clear_state(bit.nr());
    }

    /// Reads the content from disk unless it is valid already. Sleeps.
    ///
    /// Content that could not be written to its place counts as valid: what is there is older.
    pub fn read(&self) -> Result {
        if self.uptodate() {
            return Ok(());
        }
        if self.write_error() {
            self.set_state(bindings::bh_state_bits_BH_Uptodate);
            return Ok(());
        }
        if !self.test_state(bindings::bh_state_bits_BH_Mapped) {
            return Err(EIO);
        }
        {
            // Under the lock, lest somebody has read and verified it already.
            let _lock = self.lock();
            if !self.uptodate() {
                self.clear_verified();
            }
        }
        // SAFETY: By the type invariant; the buffer belongs to a device, as it is mapped.
        let ret = unsafe { bindings::bh_read(self.as_raw(), 0) };
        to_result(ret.min(0))
    }

    /// Locks the buffer against I/O. Sleeps.
    pub fn lock(&self) -> BufferLock<'_> {
        // SAFETY: By the type invariant.
        unsafe { bindings::lock_buffer(self.as_raw()) };
        // INVARIANT: Locked just now.
        BufferLock { buffer: self }
    }

    /// Waits until nobody has the buffer locked, so that I/O in flight is over.
    pub fn wait(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::wait_on_buffer(self.as_raw()) };
    }

    /// Writes the content to its place now, if the buffer is dirty, and waits. Sleeps.
    pub fn sync(&self) -> Result {
        // SAFETY: By the type invariant we have a reference.
        to_result(unsafe { bindings::sync_dirty_buffer(self.as_raw()) })
    }

    /// As [`BufferHead::sync`], and neither this content nor what the device acknowledged before it
    /// is left in the device's volatile cache. Sleeps.
    pub fn sync_durable(&self) -> Result {
        let flags = 1 << bindings::req_flag_bits___REQ_SYNC
            | 1 << bindings::req_flag_bits___REQ_PREFLUSH
            | 1 << bindings::req_flag_bits___REQ_FUA;
        // SAFETY: By the type invariant we have a reference.
        to_result(unsafe { bindings::__sync_dirty_buffer(self.as_raw(), flags) })
    }

    /// Drops the reference and has the buffer's content not be written back. For blocks that have
    /// been freed and were never journaled.
    pub fn forget(self) {
        // SAFETY: The reference is given away.
        unsafe { bindings::__bforget(self.into_raw()) };
    }
}

impl Clone for BufferHead {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant.
        unsafe { bindings::get_bh(self.as_raw()) };
        // INVARIANT: The new reference.
        Self { bh: self.bh }
    }
}

impl Drop for BufferHead {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The reference of the type invariant is given back.
        unsafe { bindings::__brelse(self.as_raw()) };
    }
}

/// A locked buffer: no I/O of its content starts or is under way.
///
/// # Invariants
///
/// The buffer is locked, and it is for us to unlock it.
#[must_use = "the buffer is unlocked when the guard is dropped"]
pub struct BufferLock<'a> {
    buffer: &'a BufferHead,
}

impl BufferLock<'_> {
    /// The buffer.
    #[inline]
    pub fn buffer(&self) -> &BufferHead {
        self.buffer
    }

    /// Declares the content valid, after it has been filled in.
    #[inline]
    pub fn set_uptodate(&self) {
        // SAFETY: A valid buffer head by its type invariant, locked by ours.
        unsafe { bindings::set_buffer_uptodate(self.buffer.as_raw()) };
    }

    /// Fills the content with zeroes and declares it valid.
    pub fn zero(&self) {
        let data = self.buffer.data();
        data.fill(0, data.len(), 0);
        self.set_uptodate();
    }
}

impl Drop for BufferLock<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the lock is ours.
        unsafe { bindings::unlock_buffer(self.buffer.as_raw()) };
    }
}
