// SPDX-License-Identifier: GPL-2.0

//! The page cache of an inode.
//!
//! Offsets are in bytes; the end of a range is its last byte, as in the C interfaces, so that
//! `i64::MAX` means to the end of the file.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use super::Inode;
use crate::linux::{bindings, fs::FileSystem};
use kernel::{error::to_result, ffi::c_ulong, prelude::*};

impl<F: FileSystem> Inode<F> {
    /// The mapping whose pages are the contents: the inode's own.
    pub(in crate::linux::fs) fn mapping_raw(&self) -> *mut bindings::address_space {
        // SAFETY: The inode is valid by its type invariants.
        unsafe { &raw mut (*self.as_raw()).i_data }
    }

    /// The size in bytes of the largest folio that the page cache may use: a power of two.
    pub fn max_folio_size(&self) -> usize {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        unsafe { bindings::mapping_max_folio_size(self.mapping_raw()) }
    }

    /// Takes pages beyond `size` out of the page cache and of mappings.
    pub fn truncate_pages(&self, size: i64) {
        // SAFETY: The inode is valid by its type invariants.
        unsafe { bindings::truncate_pagecache(self.as_raw(), size) };
    }

    /// Takes pages of the range out of the page cache and of mappings, zeroing what of the
    /// first and last page is in the range.
    ///
    /// Changes not written are lost: to be called with the invalidate lock held exclusively.
    pub fn punch_pages(&self, start: i64, last: i64) {
        if last < start {
            return;
        }
        // SAFETY: The inode is valid by its type invariants.
        unsafe { bindings::truncate_pagecache_range(self.as_raw(), start, last) };
    }

    /// Makes page faults notice that the file grew from `from` to `to` bytes, so that a last
    /// block that was partly beyond the end is allocated by the next write to its page.
    pub fn size_extended(&self, from: i64, to: i64) {
        // SAFETY: The inode is valid by its type invariants.
        unsafe { bindings::pagecache_isize_extended(self.as_raw(), from, to) };
    }

    /// Writes dirty pages of the range and waits for them.
    pub fn write_and_wait_range(&self, start: i64, last: i64) -> Result {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        to_result(unsafe {
            bindings::filemap_write_and_wait_range(self.mapping_raw(), start, last)
        })
    }

    /// Starts writing dirty pages of the range.
    pub fn start_write_range(&self, start: i64, last: i64) -> Result {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        to_result(unsafe { bindings::filemap_fdatawrite_range(self.mapping_raw(), start, last) })
    }

    /// Waits for pages of the range that are being written.
    pub fn wait_range(&self, start: i64, last: i64) -> Result {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        to_result(unsafe { bindings::filemap_fdatawait_range(self.mapping_raw(), start, last) })
    }

    /// Starts writing all dirty pages, without waiting.
    pub fn flush(&self) -> Result {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        to_result(unsafe { bindings::filemap_flush(self.mapping_raw()) })
    }

    /// Takes clean pages of the range out of the page cache and of mappings; `EBUSY` if a page
    /// could not be taken.
    pub fn invalidate_range(&self, start: i64, last: i64) -> Result {
        let page = |offset: i64| (offset.max(0) as u64 >> bindings::PAGE_SHIFT) as c_ulong;
        // SAFETY: The mapping of an inode is valid as long as the inode.
        to_result(unsafe {
            bindings::invalidate_inode_pages2_range(self.mapping_raw(), page(start), page(last))
        })
    }

    /// Whether any page of the range is in the page cache.
    pub fn has_pages(&self, start: i64, last: i64) -> bool {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        unsafe { bindings::filemap_range_has_page(self.mapping_raw(), start, last) }
    }

    /// Whether any page of the range is locked, dirty or being written.
    ///
    /// If a page is locked when this is called, and dirty when it is unlocked, it is not missed.
    pub fn has_busy_pages(&self, start: i64, last: i64) -> bool {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        unsafe { bindings::filemap_range_is_busy(self.mapping_raw(), start, last) }
    }

    /// Records that writing pages failed, to be told at the next `fsync`, and by nothing else.
    pub fn set_write_error(&self, error: Error) {
        // SAFETY: The mapping of an inode is valid as long as the inode.
        unsafe { bindings::filemap_set_wb_err(self.mapping_raw(), error.to_errno()) };
    }
}
