// SPDX-License-Identifier: GPL-2.0

//! Bytes in memory that others may read and write at the same time.
//!
//! The content of a block device's page cache belongs to nobody: several tasks look at the same
//! buffer, the journal's commit thread updates checksums in it, and root may write to the device
//! underneath. A `&[u8]` (no one writes) or `&mut [u8]` (no one else looks) would claim what nobody
//! can promise. [`SharedBytes`] claims less: the memory stays there. Each access is either one
//! volatile load or store of at most eight bytes, or a call of a C function that Rust cannot see
//! into; that is what `READ_ONCE()`, `WRITE_ONCE()` and `memcpy()` are to C code which does the
//! same. What a racing load returns is some mix of old and new bytes; who needs more must hold a
//! lock.
//!
//! # Why this is sound
//!
//! The kernel's memory model (`tools/memory-model/`) gives a meaning to volatile accesses that race
//! with each other and with plain C accesses, and the Rust code of the kernel uses
//! [`core::ptr::read_volatile`] and [`core::ptr::write_volatile`] as `READ_ONCE()` and
//! `WRITE_ONCE()` on that ground (see `rust/kernel/dma.rs`). No value is ever assumed to stay: a
//! loaded integer has no invalid bit patterns, and no reference into the memory is made.

use core::{marker::PhantomData, ptr::NonNull};

use super::{bindings, crc32c};

/// The least length of a [`SharedBytes`].
pub const MIN_LEN: usize = 8;

/// A bounded view of memory that others may access at the same time.
///
/// All accesses are checked against the length: loads outside give [`None`], stores outside change
/// nothing and give `false`. Multi-byte integers may stand at any offset, yet only those at a
/// multiple of their size are loaded and stored at once.
///
/// # Invariants
///
/// For `'a`, `ptr` points to `len` bytes valid for reads and writes through volatile and C accesses,
/// is aligned to eight bytes, and `len` is at least [`MIN_LEN`].
#[derive(Clone, Copy)]
pub struct SharedBytes<'a> {
    ptr: NonNull<u8>,
    len: usize,
    _memory: PhantomData<&'a ()>,
}

// SAFETY: All methods tolerate that others access the same memory at the same time, from any task.
unsafe impl Send for SharedBytes<'_> {}

// SAFETY: As above.
unsafe impl Sync for SharedBytes<'_> {}

/// Defines load and store of an integer: at a multiple of its size inline, else from two halves.
macro_rules! scalar {
    (
        $int:ident: $load:ident, $load_halves:ident, $store:ident, $store_halves:ident;
        $half:ident: $load_half:ident, $store_half:ident
    ) => {
        #[doc = concat!("Loads the little-endian `", stringify!($int), "` at `offset`.")]
        #[inline(always)]
        pub fn $load(self, offset: usize) -> Option<$int> {
            const SIZE: usize = size_of::<$int>();
            // OVERFLOW: `len >= MIN_LEN >= SIZE` by the type invariant.
            if offset > self.len.wrapping_sub(SIZE) {
                return None;
            }
            if offset % SIZE != 0 {
                return self.$load_halves(offset);
            }
            // SAFETY: `offset + SIZE <= len`, so the pointer stays within the memory of the type
            // invariant; it is aligned, since `ptr` and `offset` both are. Races are dealt with in the
            // module's documentation.
            let value = unsafe { self.ptr.as_ptr().add(offset).cast::<$int>().read_volatile() };
            Some($int::from_le(value))
        }

        #[cold]
        #[inline(never)]
        fn $load_halves(self, offset: usize) -> Option<$int> {
            const HALF: usize = size_of::<$half>();
            let low = $int::from(self.$load_half(offset)?);
            let high = $int::from(self.$load_half(offset.wrapping_add(HALF))?);
            Some(low | high << $half::BITS)
        }

        #[doc = concat!("Stores `value` as little-endian `", stringify!($int), "` at `offset`.")]
        ///
        /// Returns whether that is inside.
        #[inline(always)]
        pub fn $store(self, offset: usize, value: $int) -> bool {
            const SIZE: usize = size_of::<$int>();
            // OVERFLOW: `len >= MIN_LEN >= SIZE` by the type invariant.
            if offset > self.len.wrapping_sub(SIZE) {
                return false;
            }
            if offset % SIZE != 0 {
                return self.$store_halves(offset, value);
            }
            // SAFETY: As for the load.
            let at = unsafe { self.ptr.as_ptr().add(offset).cast::<$int>() };
            // SAFETY: As for the load.
            unsafe { at.write_volatile(value.to_le()) };
            true
        }

        #[cold]
        #[inline(never)]
        fn $store_halves(self, offset: usize, value: $int) -> bool {
            const HALF: usize = size_of::<$half>();
            // CAST: The low half is meant.
            self.$store_half(offset, value as $half)
                && self.$store_half(offset.wrapping_add(HALF), (value >> $half::BITS) as $half)
        }
    };
}

impl<'a> SharedBytes<'a> {
    /// Makes a view.
    ///
    /// # Safety
    ///
    /// For `'a`, `ptr` must point to `len` bytes that are valid for reads and writes, to which there
    /// are no Rust references. `ptr` must be aligned to eight bytes, `len` at least [`MIN_LEN`].
    #[inline]
    pub unsafe fn from_raw(ptr: NonNull<u8>, len: usize) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            ptr,
            len,
            _memory: PhantomData,
        }
    }

    /// The number of bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // Never empty, by the type invariant.
    pub fn len(self) -> usize {
        self.len
    }

    /// A pointer to the `len` bytes at `offset`, if they are inside.
    #[inline(always)]
    fn range(self, offset: usize, len: usize) -> Option<*mut u8> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: `offset <= self.len`, so the result is inside or one past the end.
        Some(unsafe { self.ptr.as_ptr().add(offset) })
    }

    /// Loads the byte at `offset`.
    #[inline(always)]
    pub fn load_u8(self, offset: usize) -> Option<u8> {
        let at = self.range(offset, 1)?;
        // SAFETY: `range` has checked the bounds; races as in the module's documentation.
        Some(unsafe { at.read_volatile() })
    }

    /// Stores `value` at `offset`. Returns whether that is inside.
    #[inline(always)]
    pub fn store_u8(self, offset: usize, value: u8) -> bool {
        let Some(at) = self.range(offset, 1) else {
            return false;
        };
        // SAFETY: `range` has checked the bounds; races as in the module's documentation.
        unsafe { at.write_volatile(value) };
        true
    }

    scalar!(u16: load_u16, load_u16_halves, store_u16, store_u16_halves; u8: load_u8, store_u8);
    scalar!(u32: load_u32, load_u32_halves, store_u32, store_u32_halves; u16: load_u16, store_u16);
    scalar!(u64: load_u64, load_u64_halves, store_u64, store_u64_halves; u32: load_u32, store_u32);

    /// Copies the bytes at `offset` to `to`. Returns whether they are all inside.
    #[inline]
    pub fn read_bytes(self, offset: usize, to: &mut [u8]) -> bool {
        let Some(from) = self.range(offset, to.len()) else {
            return false;
        };
        // SAFETY: `range` has checked the bounds of the source, `to` is exclusively ours. The call
        // is opaque, see the module's documentation.
        unsafe { bindings::shared_copy(to.as_mut_ptr().cast(), from.cast(), to.len()) };
        true
    }

    /// Copies `from` to `offset`. Returns whether it fits inside.
    #[inline]
    pub fn write_bytes(self, offset: usize, from: &[u8]) -> bool {
        let Some(to) = self.range(offset, from.len()) else {
            return false;
        };
        // SAFETY: `range` has checked the bounds of the destination. The call is opaque, see the
        // module's documentation.
        unsafe { bindings::shared_copy(to.cast(), from.as_ptr().cast(), from.len()) };
        true
    }

    /// Copies `len` bytes from `from` to `to`, which may overlap. Returns whether both are inside.
    #[inline]
    pub fn copy_within(self, from: usize, to: usize, len: usize) -> bool {
        let (Some(from), Some(to)) = (self.range(from, len), self.range(to, len)) else {
            return false;
        };
        // SAFETY: `range` has checked the bounds of both. The call is opaque, see the module's
        // documentation.
        unsafe { bindings::shared_copy(to.cast(), from.cast(), len) };
        true
    }

    /// Copies `len` bytes from `other`, at `from`, to `to`. Returns whether both are inside.
    #[inline]
    pub fn copy_from(self, to: usize, other: SharedBytes<'_>, from: usize, len: usize) -> bool {
        let (Some(from), Some(to)) = (other.range(from, len), self.range(to, len)) else {
            return false;
        };
        // SAFETY: `range` has checked the bounds of both. The call is opaque, see the module's
        // documentation.
        unsafe { bindings::shared_copy(to.cast(), from.cast(), len) };
        true
    }

    /// Sets `len` bytes at `offset` to `byte`. Returns whether they are inside.
    #[inline]
    pub fn fill(self, offset: usize, len: usize, byte: u8) -> bool {
        let Some(to) = self.range(offset, len) else {
            return false;
        };
        // SAFETY: `range` has checked the bounds. The call is opaque, see the module's
        // documentation.
        unsafe { bindings::shared_fill(to.cast(), byte.into(), len) };
        true
    }

    /// Whether the bytes at `offset` are these. [`None`] if they are not all inside.
    #[inline]
    pub fn equals(self, offset: usize, bytes: &[u8]) -> Option<bool> {
        let at = self.range(offset, bytes.len())?;
        // SAFETY: `range` has checked the bounds. The call is opaque, see the module's
        // documentation.
        let differ =
            unsafe { bindings::shared_compare(at.cast(), bytes.as_ptr().cast(), bytes.len()) };
        Some(differ == 0)
    }

    /// Continues the CRC32C `crc` with the `len` bytes at `offset`, as [`crc32c::crc32c`] does.
    ///
    /// [`None`] if they are not all inside.
    #[inline]
    pub fn crc32c(self, crc: u32, offset: usize, len: usize) -> Option<u32> {
        let at = self.range(offset, len)?;
        // SAFETY: `range` has checked the bounds; the C function is opaque to Rust.
        Some(unsafe { crc32c::crc32c_raw(crc, at, len) })
    }
}
