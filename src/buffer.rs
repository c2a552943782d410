// SPDX-License-Identifier: GPL-2.0

//! A buffer head as the core's [`Block`].

use crate::libcowfs::block::Block;
use crate::libcowfs::ondisk::header;
use crate::linux::buffer_head::BufferHead;
use crate::linux::shared_bytes::SharedBytes;

/// A metadata block in the block device's page cache.
#[derive(Clone)]
pub(crate) struct Buffer(pub BufferHead);

/// The checksum of `data` as the format has it: over all bytes, those of the checksum field taken as zero.
pub(crate) fn checksum(data: SharedBytes<'_>) -> u32 {
    let after = header::CHECKSUM + 4;
    let head = data.crc32c(!0, 0, header::CHECKSUM).unwrap_or(0);
    let field = crate::linux::crc32c::crc32c(head, &[0; 4]);
    data.crc32c(field, after, data.len().saturating_sub(after))
        .unwrap_or(0)
}

impl Block for Buffer {
    #[inline]
    fn size(&self) -> usize {
        self.0.data().len()
    }

    #[inline]
    fn u8(&self, at: usize) -> u8 {
        self.0.data().load_u8(at).unwrap_or(0)
    }

    #[inline]
    fn u16(&self, at: usize) -> u16 {
        self.0.data().load_u16(at).unwrap_or(0)
    }

    #[inline]
    fn u32(&self, at: usize) -> u32 {
        self.0.data().load_u32(at).unwrap_or(0)
    }

    #[inline]
    fn u64(&self, at: usize) -> u64 {
        self.0.data().load_u64(at).unwrap_or(0)
    }

    #[inline]
    fn set_u8(&self, at: usize, value: u8) {
        self.0.data().store_u8(at, value);
    }

    #[inline]
    fn set_u16(&self, at: usize, value: u16) {
        self.0.data().store_u16(at, value);
    }

    #[inline]
    fn set_u32(&self, at: usize, value: u32) {
        self.0.data().store_u32(at, value);
    }

    #[inline]
    fn set_u64(&self, at: usize, value: u64) {
        self.0.data().store_u64(at, value);
    }

    fn load(&self, at: usize, to: &mut [u8]) {
        self.0.data().read_bytes(at, to);
    }

    fn store(&self, at: usize, from: &[u8]) {
        self.0.data().write_bytes(at, from);
    }

    fn copy_within(&self, from: usize, to: usize, len: usize) {
        self.0.data().copy_within(from, to, len);
    }

    fn copy_from(&self, other: &Self, from: usize, to: usize, len: usize) {
        self.0.data().copy_from(to, other.0.data(), from, len);
    }

    fn clear(&self, at: usize, len: usize) {
        self.0.data().fill(at, len, 0);
    }

    fn checksum(&self) -> u32 {
        checksum(self.0.data())
    }
}
