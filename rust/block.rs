// SPDX-License-Identifier: GPL-2.0

//! Block devices, as a file system on them uses them.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*};

use super::{
    bindings,
    fs::{FileSystem, NewSuperBlock, SuperBlock},
};

/// The unit in which the block layer counts, as a power of two.
pub const SECTOR_SHIFT: u32 = bindings::SECTOR_SHIFT;

/// An open block device.
///
/// # Invariants
///
/// `file` is the file of an open block device with a reference of our own, so that the device stays
/// open.
pub struct BlockDevice {
    file: NonNull<bindings::file>,
}

// SAFETY: A file's reference may be used and dropped by any task.
unsafe impl Send for BlockDevice {}

// SAFETY: The methods only read what does not change, or call functions that lock what they need.
unsafe impl Sync for BlockDevice {}

/// A run of bytes on a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// Where it starts.
    pub start: u64,
    /// How long it is.
    pub len: u64,
}

impl ByteRange {
    /// First sector and number of sectors. Fails with `EINVAL` unless both are whole.
    fn sectors(self) -> Result<(u64, u64)> {
        let mask = (1 << SECTOR_SHIFT) - 1;
        if (self.start | self.len) & mask != 0 {
            return Err(EINVAL);
        }
        Ok((self.start >> SECTOR_SHIFT, self.len >> SECTOR_SHIFT))
    }
}

impl BlockDevice {
    /// The device on which the file system is. Fails with `ENODEV` if there is none.
    pub fn of<F: FileSystem>(sb: &SuperBlock<F>) -> Result<Self> {
        // SAFETY: The super block is valid.
        unsafe { Self::of_raw(sb.as_raw()) }
    }

    /// The device on which the file system is that is being mounted. Fails with `ENODEV` if there is
    /// none.
    pub fn of_new<F: FileSystem>(sb: &NewSuperBlock<'_, F>) -> Result<Self> {
        // SAFETY: The super block is valid.
        unsafe { Self::of_raw(sb.as_raw()) }
    }

    /// # Safety
    ///
    /// `sb` must be a valid super block.
    unsafe fn of_raw(sb: *mut bindings::super_block) -> Result<Self> {
        // SAFETY: A valid super block; its device's file stays open as long as it.
        let file = unsafe { (*sb).s_bdev_file };
        let file = NonNull::new(file).ok_or(ENODEV)?;
        // SAFETY: The file is open.
        unsafe { bindings::get_file(file.as_ptr()) };
        // INVARIANT: The file of a block device, with a reference more.
        Ok(Self { file })
    }

    /// The C object, valid as long as `self`.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::block_device {
        // SAFETY: By the type invariant.
        unsafe { bindings::file_bdev(self.file.as_ptr()) }
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_nr_bytes(self.as_raw()) }
    }

    /// The size in bytes of its blocks in the buffer cache, which a file system sets.
    pub fn block_size(&self) -> u32 {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_block_size(self.as_raw()) }
    }

    /// The least unit of I/O in bytes.
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_logical_block_size(self.as_raw()) }
    }

    /// The unit in which the device can write without reading first.
    pub fn physical_block_size(&self) -> u32 {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_physical_block_size(self.as_raw()) }
    }

    /// How memory for direct I/O must be aligned, in bytes.
    pub fn memory_alignment(&self) -> u32 {
        // SAFETY: The device is open.
        // OVERFLOW: The C function gives a mask below a page.
        unsafe { bindings::bdev_dma_alignment(self.as_raw()) }.saturating_add(1)
    }

    /// Whether the device seeks.
    pub fn rotational(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_rot(self.as_raw()) }
    }

    /// Whether the device may lose what it acknowledged, unless it is flushed.
    pub fn has_write_cache(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_write_cache(self.as_raw()) }
    }

    /// Whether the device accepts no writes.
    pub fn read_only(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_read_only(self.as_raw()) }
    }

    /// Whether [`BlockDevice::discard`] has a chance.
    pub fn can_discard(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_max_discard_sectors(self.as_raw()) != 0 }
    }

    /// The unit in which the device discards, in bytes.
    pub fn discard_granularity(&self) -> u32 {
        // SAFETY: The device is open.
        unsafe { bindings::bdev_discard_granularity(self.as_raw()) }
    }

    /// Has the device write everything it acknowledged to stable storage. Sleeps.
    pub fn issue_flush(&self) -> Result {
        // SAFETY: The device is open.
        to_result(unsafe { bindings::blkdev_issue_flush(self.as_raw()) })
    }

    /// Tells the device that what is in `range` is of no interest any more. Sleeps.
    pub fn discard(&self, range: ByteRange) -> Result {
        let (start, len) = range.sectors()?;
        // SAFETY: The device is open.
        to_result(unsafe {
            bindings::blkdev_issue_discard(self.as_raw(), start, len, bindings::GFP_NOFS)
        })
    }

    /// Writes zeroes to `range`, or has the device make it read as such. Sleeps.
    pub fn zero(&self, range: ByteRange) -> Result {
        let (start, len) = range.sectors()?;
        // SAFETY: The device is open.
        to_result(unsafe {
            bindings::blkdev_issue_zeroout(self.as_raw(), start, len, bindings::GFP_NOFS, 0)
        })
    }

    /// Makes sure that no buffer of the `count` blocks from `block` on will be written any more.
    ///
    /// For blocks that were metadata once and now get data, which bypass the buffers.
    pub fn clean_aliases(&self, block: u64, count: u64) {
        // SAFETY: The device is open.
        unsafe { bindings::clean_bdev_aliases(self.as_raw(), block, count) };
    }

    /// Writes all dirty buffers of the device and waits. Sleeps.
    pub fn sync(&self) -> Result {
        // SAFETY: The device is open.
        to_result(unsafe { bindings::sync_blockdev(self.as_raw()) })
    }

    /// Drops all clean buffers that nobody uses.
    pub fn invalidate(&self) {
        // SAFETY: The device is open.
        unsafe { bindings::invalidate_bdev(self.as_raw()) };
    }

    /// Freezes the file system on the device, as `fsfreeze` does, and syncs the device.
    ///
    /// Returns a guard that thaws it.
    pub fn freeze(&self) -> Result<Frozen> {
        // SAFETY: The device is open.
        to_result(unsafe { bindings::bdev_freeze(self.as_raw()) })?;
        // INVARIANT: Frozen just now.
        Ok(Frozen {
            device: self.clone(),
        })
    }
}

impl Clone for BlockDevice {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant.
        unsafe { bindings::get_file(self.file.as_ptr()) };
        // INVARIANT: The new reference.
        Self { file: self.file }
    }
}

impl Drop for BlockDevice {
    fn drop(&mut self) {
        // SAFETY: The reference of the type invariant is given back.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}

/// Prints the device's name, such as `sda1`.
impl kernel::fmt::Display for BlockDevice {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        // SAFETY: The device is open, so its disk is there, whose name ends with a NUL.
        let (name, partition) = unsafe {
            let bdev = self.as_raw();
            let name = &raw const (*(*bdev).bd_disk).disk_name;
            (
                CStr::from_char_ptr(name.cast()),
                (*bdev).__bd_flags.counter & i32::from(u8::MAX),
            )
        };
        let name = name.to_bytes();
        for &byte in name {
            kernel::fmt::Write::write_char(f, byte.into())?;
        }
        if partition != 0 {
            // As `bdev_name()`: `sda1`, but `nvme0n1p1`.
            if name.last().is_some_and(u8::is_ascii_digit) {
                kernel::fmt::Write::write_char(f, 'p')?;
            }
            write!(f, "{partition}")?;
        }
        Ok(())
    }
}

/// A frozen device, thawed when this is dropped.
///
/// # Invariants
///
/// The device has been frozen once for this.
#[must_use = "the device is thawed when the guard is dropped"]
pub struct Frozen {
    device: BlockDevice,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::bdev_thaw(self.device.as_raw()) };
    }
}
