// SPDX-License-Identifier: GPL-2.0

//! Inode blocks and the inodes in them.
//!
//! An inode block is cut into slots of [`SIZE`] bytes. Slot 0 is the block's common header (owner =
//! group number), with the set of slots in use at byte [`IN_USE`]; each other slot is an inode:
//!
//! ```text
//!    0  u16   magic 0x4e49
//!    2  u16   mode (type and permissions as in stat(2))
//!    4  u32   links
//!    8  u32   uid
//!   12  u32   gid
//!   16  u64   size in bytes (directories: sum of the sizes of their entries)
//!   24  u64   blocks: data and tree nodes this inode points to, shared or not, as stat(2) counts
//!   32  i64   atime, mtime, ctime, btime: seconds
//!   64  u32   atime, mtime, ctime, btime: nanoseconds
//!   80  u32   generation
//!   84  u32   flags: see FLAG_*
//!   88  u32   device number of a device node
//!   92  u32   CoW extent size in blocks, 0 for the mount's default
//!   96  u64   directories: inode of the parent
//!  104  u64   root: address of the tree's root node
//!  112  u8    format: see Format
//!  113  u8    height: levels of the tree, 0 for none
//!  114  u16   count: inline records (extents), bytes (symbolic link), or blocks (long one)
//!  116  u32   zero
//!  120  u64   epoch of the extent tree, see extent/
//!  128        inline area, 128 bytes: up to 5 extents of 24 bytes as in an extent leaf; or the
//!             link's target; or the addresses of a long link's blocks
//! ```

/// Size of an inode, in bytes.
pub const SIZE: usize = 256;
/// Byte offset, in the inode block, of the 16-bit set of slots in use (bit 0, the header's, is set).
pub const IN_USE: usize = 64;

/// Magic of an inode in use.
pub const MAGIC_VALUE: u16 = u16::from_le_bytes(*b"IN");

/// Byte offset of the magic, from the inode's start as are all that follow.
pub const MAGIC: usize = 0;
/// Byte offset of the mode.
pub const MODE: usize = 2;
/// Byte offset of the link count.
pub const LINKS: usize = 4;
/// Byte offset of the user id.
pub const UID: usize = 8;
/// Byte offset of the group id.
pub const GID: usize = 12;
/// Byte offset of the size in bytes.
pub const SIZE_BYTES: usize = 16;
/// Byte offset of the count of blocks.
pub const BLOCKS: usize = 24;
/// Byte offset of the seconds of the access, modification, change and birth times.
pub const SECONDS: usize = 32;
/// Byte offset of the nanoseconds of the same.
pub const NANOSECONDS: usize = 64;
/// Byte offset of the generation.
pub const GENERATION: usize = 80;
/// Byte offset of the flags.
pub const FLAGS: usize = 84;
/// Byte offset of the device number.
pub const RDEV: usize = 88;
/// Byte offset of the CoW extent size in blocks.
pub const COW_EXTENT_SIZE: usize = 92;
/// Byte offset of a directory's parent.
pub const PARENT: usize = 96;
/// Byte offset of the root node's address.
pub const ROOT: usize = 104;
/// Byte offset of the format.
pub const FORMAT: usize = 112;
/// Byte offset of the tree's height.
pub const HEIGHT: usize = 113;
/// Byte offset of the count of inline records.
pub const COUNT: usize = 114;
/// Byte offset of the extent tree's epoch.
pub const EPOCH: usize = 120;
/// Byte offset of the inline area.
pub const INLINE: usize = 128;
/// Size of the inline area in bytes.
pub const INLINE_SIZE: usize = SIZE - INLINE;
/// Most extents the inline area holds.
pub const INLINE_EXTENTS: usize = 5;

/// Set when the file may share blocks with another: its writes must look up reference counts.
pub const FLAG_SHARED: u32 = 1 << 0;
/// All flags of this version.
pub const FLAGS_KNOWN: u32 = FLAG_SHARED;

/// How the inode finds its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// Nothing to find: device nodes, pipes, sockets.
    None = 0,
    /// Regular file, extents in the inline area.
    Extents = 1,
    /// Regular file, extents in a B+tree.
    ExtentTree = 2,
    /// Directory: B+tree of entries; root 0 while it is empty.
    Directory = 3,
    /// Symbolic link, target in the inline area.
    Symlink = 4,
    /// Symbolic link, target in blocks whose addresses are in the inline area.
    LongSymlink = 5,
}

impl Format {
    /// The format with this number.
    pub const fn from_u8(number: u8) -> Option<Format> {
        match number {
            0 => Some(Format::None),
            1 => Some(Format::Extents),
            2 => Some(Format::ExtentTree),
            3 => Some(Format::Directory),
            4 => Some(Format::Symlink),
            5 => Some(Format::LongSymlink),
            _ => None,
        }
    }
}
