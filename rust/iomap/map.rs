// SPDX-License-Identifier: GPL-2.0

//! Mappings: where an extent of a file is, and in which state.

use crate::linux::bindings;

/// Defines a set of flags, all of which have the same C type.
macro_rules! flags {
    (
        $(#[$meta:meta])*
        $name:ident($int:ident) { $($(#[$flag_meta:meta])* $flag:ident = $value:ident,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name($int);

        impl $name {
            /// No flag.
            pub const NONE: Self = Self(0);
            $(
                $(#[$flag_meta])*
                // CAST: All flags fit into the field they are for.
                pub const $flag: Self = Self($crate::linux::bindings::$value as $int);
            )*

            /// The flags as C has them.
            #[allow(dead_code)] // Not every set of flags goes both ways.
            pub(super) const fn from_raw(raw: $int) -> Self {
                Self(raw)
            }

            /// The flags as C takes them.
            #[allow(dead_code)] // Not every set of flags goes both ways.
            pub(super) const fn into_raw(self) -> $int {
                self.0
            }

            /// Whether all of `flags` are set.
            #[inline]
            pub const fn contains(self, flags: Self) -> bool {
                self.0 & flags.0 == flags.0
            }

            /// Whether any of `flags` is set.
            #[inline]
            pub const fn intersects(self, flags: Self) -> bool {
                self.0 & flags.0 != 0
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;

            #[inline]
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    };
}
pub(super) use flags;

flags! {
    /// What a mapping is asked for. No flag: to read.
    Flags(u32) {
        /// To write: what is needed must be allocated or reserved.
        WRITE = IOMAP_WRITE,
        /// To write zeroes: holes may stay.
        ZERO = IOMAP_ZERO,
        /// To report it to the user.
        REPORT = IOMAP_REPORT,
        /// For a page fault.
        FAULT = IOMAP_FAULT,
        /// For direct I/O.
        DIRECT = IOMAP_DIRECT,
        /// Fail with `EAGAIN` rather than block.
        NOWAIT = IOMAP_NOWAIT,
        /// Fail with `EAGAIN` unless nothing needs to be allocated or zeroed.
        OVERWRITE_ONLY = IOMAP_OVERWRITE_ONLY,
        /// To have the range not shared any more.
        UNSHARE = IOMAP_UNSHARE,
        /// For a write that must not be torn.
        ATOMIC = IOMAP_ATOMIC,
        /// For data that is not to stay in the page cache.
        DONTCACHE = IOMAP_DONTCACHE,
    }
}

flags! {
    /// Properties of a mapping.
    MapFlags(u16) {
        /// Newly allocated: what a write leaves of its blocks must be zeroed.
        NEW = IOMAP_F_NEW,
        /// Metadata must be written before the data can be found again after a crash.
        DIRTY = IOMAP_F_DIRTY,
        /// The blocks are shared; a write needs work on completion.
        SHARED = IOMAP_F_SHARED,
        /// Made of several extents.
        MERGED = IOMAP_F_MERGED,
        /// I/O is never merged with that of the mapping before.
        BOUNDARY = IOMAP_F_BOUNDARY,
        /// The write is to be untorn by the device.
        ATOMIC_BIO = IOMAP_F_ATOMIC_BIO,
        /// For the file system's own use.
        PRIVATE = IOMAP_F_PRIVATE,
        /// Set by iomap: the write made the file longer.
        SIZE_CHANGED = IOMAP_F_SIZE_CHANGED,
        /// Set by iomap: the mapping had become invalid.
        STALE = IOMAP_F_STALE,
    }
}

/// What there is of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// Nothing.
    Hole,
    /// Reserved space, no blocks yet.
    Delalloc,
    /// Blocks with data.
    Mapped,
    /// Blocks, but no data in them yet: reads as zeroes.
    Unwritten,
}

/// A mapping: an extent of a file and where it is.
///
/// It is a hole without length until the file system sets it. The device is that of the super block.
#[repr(transparent)]
pub struct Iomap(bindings::iomap);

/// `IOMAP_NULL_ADDR`, which bindgen does not evaluate.
const NULL_ADDR: u64 = u64::MAX;

impl Iomap {
    /// # Safety
    ///
    /// For `'a`, `map` must be valid and only be used through the result.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(map: *mut bindings::iomap) -> &'a mut Self {
        // SAFETY: By the safety requirements; the type is transparent.
        unsafe { &mut *map.cast() }
    }

    /// # Safety
    ///
    /// For `'a`, `map` must be valid and not be changed.
    #[inline]
    pub(super) unsafe fn from_raw_ref<'a>(map: *const bindings::iomap) -> &'a Self {
        // SAFETY: By the safety requirements; the type is transparent.
        unsafe { &*map.cast() }
    }

    /// The C object.
    #[inline]
    pub(super) fn as_raw(&mut self) -> *mut bindings::iomap {
        &mut self.0
    }

    #[inline]
    fn set(&mut self, map_type: u32, offset: i64, length: u64, addr: u64) {
        // CAST: The types are small numbers.
        self.0.type_ = map_type as u16;
        self.0.flags = 0;
        self.0.offset = offset;
        self.0.length = length;
        self.0.addr = addr;
    }

    /// There is nothing in the `length` bytes from `offset` on. Clears the flags, as all setters do.
    #[inline]
    pub fn set_hole(&mut self, offset: i64, length: u64) {
        self.set(bindings::IOMAP_HOLE, offset, length, NULL_ADDR);
    }

    /// Space is reserved for the `length` bytes from `offset` on.
    #[inline]
    pub fn set_delalloc(&mut self, offset: i64, length: u64) {
        self.set(bindings::IOMAP_DELALLOC, offset, length, NULL_ADDR);
    }

    /// The `length` bytes from `offset` on are at byte `addr` of the device.
    #[inline]
    pub fn set_mapped(&mut self, offset: i64, length: u64, addr: u64) {
        self.set(bindings::IOMAP_MAPPED, offset, length, addr);
    }

    /// The `length` bytes from `offset` on have blocks at byte `addr` of the device, but no data yet.
    #[inline]
    pub fn set_unwritten(&mut self, offset: i64, length: u64, addr: u64) {
        self.set(bindings::IOMAP_UNWRITTEN, offset, length, addr);
    }

    /// Adds flags.
    #[inline]
    pub fn add_flags(&mut self, flags: MapFlags) {
        self.0.flags |= flags.into_raw();
    }

    /// Remembers something by which [`Operations::is_valid`](super::Operations::is_valid) can tell later
    /// whether the mapping still is right, such as the number of changes made to the file's extents.
    #[inline]
    pub fn set_cookie(&mut self, cookie: u64) {
        self.0.validity_cookie = cookie;
    }

    /// The type. [`None`] if it is one that the setters here do not make.
    #[inline]
    pub fn map_type(&self) -> Option<MapType> {
        match self.0.type_.into() {
            bindings::IOMAP_HOLE => Some(MapType::Hole),
            bindings::IOMAP_DELALLOC => Some(MapType::Delalloc),
            bindings::IOMAP_MAPPED => Some(MapType::Mapped),
            bindings::IOMAP_UNWRITTEN => Some(MapType::Unwritten),
            _ => None,
        }
    }

    /// Where in the file it starts.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    /// How long it is.
    #[inline]
    pub fn length(&self) -> u64 {
        self.0.length
    }

    /// Where on the device it starts, if it is there.
    #[inline]
    pub fn addr(&self) -> Option<u64> {
        (self.0.addr != NULL_ADDR).then_some(self.0.addr)
    }

    /// The flags.
    #[inline]
    pub fn flags(&self) -> MapFlags {
        MapFlags::from_raw(self.0.flags)
    }

    /// What [`Iomap::set_cookie`] remembered.
    #[inline]
    pub fn cookie(&self) -> u64 {
        self.0.validity_cookie
    }

    /// Whether the byte at `pos` is inside.
    #[inline]
    pub fn covers(&self, pos: u64) -> bool {
        // CAST: The offset of a mapping that iomap uses is not negative; one that is covers nothing.
        pos.checked_sub(self.0.offset as u64)
            .is_some_and(|into| into < self.0.length)
    }

    /// Whether the mapping is as iomap made it.
    #[inline]
    pub(super) fn is_unset(&self) -> bool {
        u32::from(self.0.type_) == bindings::IOMAP_HOLE
    }

    /// Whether iomap can use the mapping at `pos`, or would trip over it.
    #[inline]
    pub(super) fn is_sane(&self, pos: i64) -> bool {
        let end = u64::try_from(self.0.offset)
            .ok()
            .and_then(|offset| offset.checked_add(self.0.length));
        u64::try_from(pos).is_ok_and(|pos| self.covers(pos))
            // The last block that a file can have ends one byte beyond the largest offset.
            && end.is_some_and(|end| end <= 1 << 63)
    }
}
