// SPDX-License-Identifier: GPL-2.0

//! The bytes of one metadata block.
//!
//! In the kernel a block is a buffer head, which the journal's commit thread may read at any
//! time, so nobody ever holds a Rust slice of it. All access goes by value through this trait.
//! Integers are little-endian on disk and in the host's order here.

/// A reference to one metadata block in memory. Clones name the same block.
///
/// Offsets are in bytes. Callers derive them from headers they verified, so an access beyond the
/// block is a mistake of ours, not of the disk: loads give 0 and stores do nothing, rather than
/// harm memory or stop the machine. Native tests and the fuzzer stop there.
pub trait Block {
    /// The block's size in bytes.
    fn size(&self) -> usize;
    /// Loads the byte at `at`.
    fn u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(bytes(self, at))
    }
    /// Loads the 16-bit integer at `at`.
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(bytes(self, at))
    }
    /// Loads the 32-bit integer at `at`.
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(bytes(self, at))
    }
    /// Loads the 64-bit integer at `at`.
    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(bytes(self, at))
    }
    /// Stores a byte at `at`.
    fn set_u8(&self, at: usize, value: u8) {
        self.store(at, &[value]);
    }
    /// Stores a 16-bit integer at `at`.
    fn set_u16(&self, at: usize, value: u16) {
        self.store(at, &value.to_le_bytes());
    }
    /// Stores a 32-bit integer at `at`.
    fn set_u32(&self, at: usize, value: u32) {
        self.store(at, &value.to_le_bytes());
    }
    /// Stores a 64-bit integer at `at`.
    fn set_u64(&self, at: usize, value: u64) {
        self.store(at, &value.to_le_bytes());
    }
    /// Copies `to.len()` bytes from offset `at` to `to`.
    fn load(&self, at: usize, to: &mut [u8]);
    /// Copies `from` to offset `at`.
    fn store(&self, at: usize, from: &[u8]);
    /// Moves `len` bytes from offset `from` to offset `to` of this block; the two may overlap.
    fn copy_within(&self, from: usize, to: usize, len: usize);
    /// Copies `len` bytes at `from` of `other` to offset `to` of this block.
    fn copy_from(&self, other: &Self, from: usize, to: usize, len: usize);
    /// Sets `len` bytes from offset `at` to zero.
    fn clear(&self, at: usize, len: usize);
    /// CRC32C (seed all ones, not inverted) of the whole block, with the four bytes of its
    /// checksum field taken as zero.
    fn checksum(&self) -> u32;
}

fn bytes<B: Block + ?Sized, const N: usize>(block: &B, at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    block.load(at, &mut bytes);
    bytes
}
