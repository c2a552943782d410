// SPDX-License-Identifier: GPL-2.0

//! The header every metadata block but the superblock begins with.
//!
//! ```text
//!    0  u32   magic        what the block is
//!    4  u32   checksum     CRC32C of the whole block, this field taken as zero
//!    8  [16]  uuid         the volume's
//!   24  u64   address      the block's own
//!   32  u64   owner        inode or group it was made for (tree nodes shared by clones keep the
//!                          inode that wrote them; it is a hint for repair, not a promise)
//!   40  u64   epoch        extent tree nodes: that of the file when it made the node; else zero
//!   48  u16   level        B+tree nodes: 0 in leaves
//!   50  u16   count        B+tree nodes: records in this node
//!   52  u32   zero         reserved (directory leaves: see dir/leaf.rs)
//!   56  u64   zero         reserved
//!   64        contents
//! ```

use super::super::block::Block;
use super::super::error::{Error, Result};
use super::super::units::FsBlock;
use super::Geometry;

/// Byte offset of the magic.
pub const MAGIC: usize = 0;
/// Byte offset of the checksum.
pub const CHECKSUM: usize = 4;
/// Byte offset of the volume's UUID.
pub const UUID: usize = 8;
/// Byte offset of the block's own address.
pub const ADDRESS: usize = 24;
/// Byte offset of the owner.
pub const OWNER: usize = 32;
/// Byte offset of an extent tree node's epoch (see `extent/`).
pub const EPOCH: usize = 40;
/// Byte offset of a tree node's level.
pub const LEVEL: usize = 48;
/// Byte offset of a tree node's record count.
pub const COUNT: usize = 50;
/// Size of the header in bytes; the contents begin here.
pub const SIZE: usize = 64;

/// What a metadata block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Counters and the orphan tree's root: `ondisk/volume.rs`.
    Volume,
    /// One byte for each group: `ondisk/summary.rs`.
    Summary,
    /// First block of an initialised allocation group: `ondisk/group.rs`.
    Group,
    /// A block of inodes: `ondisk/inode.rs`.
    Inodes,
    /// Node of a file's extent tree.
    Extent,
    /// Node of a group's reference count tree.
    Refcount,
    /// Node of a group's tree of inode blocks.
    InodeMap,
    /// Node of a group's tree of inode blocks with a free slot.
    FreeInode,
    /// Node of the volume's orphan tree.
    Orphan,
    /// Node of a directory tree.
    Directory,
    /// A piece of a symbolic link's target too long for the inode.
    Symlink,
}

impl Kind {
    /// All kinds, for tools that look at blocks of unknown kind.
    pub const ALL: [Kind; 11] = [
        Kind::Volume,
        Kind::Summary,
        Kind::Group,
        Kind::Inodes,
        Kind::Extent,
        Kind::Refcount,
        Kind::InodeMap,
        Kind::FreeInode,
        Kind::Orphan,
        Kind::Directory,
        Kind::Symlink,
    ];

    /// The magic of this kind of block.
    pub const fn magic(self) -> u32 {
        u32::from_le_bytes(match self {
            Kind::Volume => *b"cwVO",
            Kind::Summary => *b"cwSU",
            Kind::Group => *b"cwAG",
            Kind::Inodes => *b"cwIN",
            Kind::Extent => *b"cwEX",
            Kind::Refcount => *b"cwRC",
            Kind::InodeMap => *b"cwIM",
            Kind::FreeInode => *b"cwFI",
            Kind::Orphan => *b"cwOR",
            Kind::Directory => *b"cwDI",
            Kind::Symlink => *b"cwSL",
        })
    }

    /// The kind with this magic.
    pub fn from_magic(magic: u32) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.magic() == magic)
    }

    /// Whether a block of this kind can be at `at`. Above all none of a tree lies in the journal, where it would
    /// be changed under the journal's own hands.
    fn may_be_at(self, geometry: &Geometry, at: FsBlock) -> bool {
        match self {
            Kind::Volume => at == Geometry::VOLUME,
            Kind::Summary => {
                let start = geometry.summary_start;
                at >= start && at.since(start) < u64::from(geometry.summary_blocks)
            }
            // Its own check looks at it.
            Kind::Group => true,
            _ => geometry.in_one_group(at, 1),
        }
    }

    /// What a message calls a block of this kind.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Volume => "volume block",
            Kind::Summary => "summary block",
            Kind::Group => "group header",
            Kind::Inodes => "inode block",
            Kind::Extent => "extent tree node",
            Kind::Refcount => "reference count tree node",
            Kind::InodeMap => "inode map node",
            Kind::FreeInode => "free inode tree node",
            Kind::Orphan => "orphan tree node",
            Kind::Directory => "directory node",
            Kind::Symlink => "symbolic link block",
        }
    }
}

/// Writes the header of a new, otherwise zeroed block.
pub fn init(buf: &impl Block, geometry: &Geometry, at: FsBlock, kind: Kind, owner: u64) {
    buf.set_u32(MAGIC, kind.magic());
    buf.store(UUID, &geometry.uuid);
    buf.set_u64(ADDRESS, at.0);
    buf.set_u64(OWNER, owner);
}

/// Checks that `buf`, read from `at`, is a sound block of `kind` of this volume: magic, UUID,
/// address, checksum, and whatever of the contents the code relies on without looking again
/// (record counts, record offsets).
///
/// # Errors
///
/// `Corrupt`, saying what is wrong.
pub fn verify(buf: &impl Block, geometry: &Geometry, at: FsBlock, kind: Kind) -> Result {
    let bad = |what| Err(Error::Corrupt(at, what));
    if buf.u32(MAGIC) != kind.magic() {
        return bad(match kind {
            Kind::Volume => "not a volume block",
            Kind::Summary => "not a summary block",
            Kind::Group => "not a group header",
            Kind::Inodes => "not an inode block",
            Kind::Extent => "not an extent tree node",
            Kind::Refcount => "not a reference count tree node",
            Kind::InodeMap => "not an inode map node",
            Kind::FreeInode => "not a free inode tree node",
            Kind::Orphan => "not an orphan tree node",
            Kind::Directory => "not a directory node",
            Kind::Symlink => "not a symbolic link block",
        });
    }
    if buf.u64(ADDRESS) != at.0 {
        return bad("block of another address");
    }
    let mut uuid = [0u8; 16];
    buf.load(UUID, &mut uuid);
    if uuid != geometry.uuid {
        return bad("block of another volume");
    }
    if !kind.may_be_at(geometry, at) {
        return bad("metadata where its kind cannot be");
    }
    if buf.u32(CHECKSUM) != buf.checksum() {
        return bad("bad checksum");
    }
    match kind {
        Kind::Extent
        | Kind::Refcount
        | Kind::InodeMap
        | Kind::FreeInode
        | Kind::Orphan
        | Kind::Directory => super::super::btree::verify(buf, at, kind),
        Kind::Group => super::group::verify(buf, geometry, at),
        Kind::Volume | Kind::Summary | Kind::Inodes | Kind::Symlink => Ok(()),
    }
}

/// Fills in the checksum of a block about to be written.
pub fn seal(bytes: &mut [u8]) {
    if bytes.len() < SIZE {
        return;
    }
    bytes[CHECKSUM..CHECKSUM + 4].fill(0);
    let sum = super::super::platform::crc32c(!0, bytes);
    bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_le_bytes());
}
