// SPDX-License-Identifier: GPL-2.0

//! Big-endian integers of journal blocks. Offsets come from code, never from disk; beyond the
//! block there are zeroes.

/// The 32-bit integer at `at`.
pub fn be32(bytes: &[u8], at: usize) -> u32 {
    array(bytes, at).map_or(0, u32::from_be_bytes)
}

/// The 64-bit integer at `at`.
pub fn be64(bytes: &[u8], at: usize) -> u64 {
    array(bytes, at).map_or(0, u64::from_be_bytes)
}

/// Stores a 32-bit integer at `at`.
pub fn put32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(to) = bytes.get_mut(at..at.saturating_add(4)) {
        to.copy_from_slice(&value.to_be_bytes());
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
