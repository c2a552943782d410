// SPDX-License-Identifier: GPL-2.0

//! CRC32C (Castagnoli) checksums, with the CPU's own instructions where it has them.
//!
//! C header: [`include/linux/crc32.h`](srctree/include/linux/crc32.h)

use super::bindings;

/// Continues the checksum `crc` with `data`.
///
/// Neither the start value nor the result is inverted: the checksum of RFC 3720 is
/// `!crc32c(!0, data)`, and checksums of parts can be chained.
#[inline]
pub fn crc32c(crc: u32, data: &[u8]) -> u32 {
    // SAFETY: `data` is valid for reads of its length.
    unsafe { crc32c_raw(crc, data.as_ptr(), data.len()) }
}

/// As [`crc32c`], for memory that others may write to.
///
/// # Safety
///
/// `data` must point to `len` bytes valid for reads.
#[inline]
pub(super) unsafe fn crc32c_raw(crc: u32, data: *const u8, len: usize) -> u32 {
    // SAFETY: By this function's safety requirements.
    unsafe { bindings::crc32c(crc, data.cast(), len) }
}
