// SPDX-License-Identifier: GPL-2.0

//! One type for each unit, so that a file offset is never taken for a disk address.
//!
//! All arithmetic saturates or is checked: the numbers may come from a hostile disk.

use core::fmt;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $raw:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $raw);

        impl $name {
            /// The value moved up by `n`, stopping at the largest value.
            #[inline]
            pub const fn add(self, n: $raw) -> Self {
                Self(self.0.saturating_add(n))
            }

            /// The distance from `from` to `self`; 0 where `from` lies beyond `self`.
            #[inline]
            pub const fn since(self, from: Self) -> $raw {
                self.0.saturating_sub(from.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

unit! {
    /// A block of the volume, counted in file system blocks from its start.
    FsBlock, u64
}
unit! {
    /// A block of a file, counted in file system blocks from its start.
    FileBlock, u64
}
unit! {
    /// The number of an allocation group.
    AgNumber, u32
}
unit! {
    /// A block inside an allocation group, counted from the group's first block.
    AgBlock, u32
}
unit! {
    /// An inode number: the inode block's address times slots a block, plus the slot.
    Ino, u64
}

/// `a / b` where `b` is known not to be 0 by how it was made or checked, though not to the compiler.
/// (With 0 it is 0, where the operator would panic.)
#[inline]
pub const fn div(a: u64, b: u64) -> u64 {
    match a.checked_div(b) {
        Some(quotient) => quotient,
        None => 0,
    }
}

/// `a % b`, as [`div`].
#[inline]
pub const fn rem(a: u64, b: u64) -> u64 {
    match a.checked_rem(b) {
        Some(remainder) => remainder,
        None => 0,
    }
}

/// `a / b` rounded up, as [`div`].
#[inline]
pub const fn div_up(a: u64, b: u64) -> u64 {
    div(a, b).saturating_add((rem(a, b) != 0) as u64)
}

impl FsBlock {
    /// No block. Block 0 holds the superblock, so no pointer ever names it.
    pub const NULL: FsBlock = FsBlock(0);

    /// Whether this is [`FsBlock::NULL`].
    #[inline]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }
}
