// SPDX-License-Identifier: GPL-2.0

//! The part of an inode that all types of files have.

use super::super::block::Block;
use super::super::error::{Error, Result};
use super::super::ondisk::inode::*;
use super::super::units::{FsBlock, Ino};
use super::symlink::MAX_TARGET;
use super::FileType;

/// Largest CoW extent size, in blocks.
pub const MAX_COW_EXTENT_SIZE: u32 = 1 << 16;

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds beyond the second, less than 10^9.
    pub nanoseconds: u32,
}

/// The part of an inode that all types of files have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Core {
    /// Type and permissions as in `stat(2)`.
    pub mode: u16,
    /// Names of the inode; 0 while it is on the orphan list.
    pub links: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Access, modification, change and birth time.
    pub times: [Time; 4],
    /// Tells this inode from others that had its number.
    pub generation: u32,
    /// Flags other than `FLAG_SHARED`, which belongs to the extent fork.
    pub flags: u32,
    /// Device number of a device node.
    pub rdev: u32,
    /// CoW extent size in blocks, 0 for the mount's default.
    pub cow_extent_size: u32,
    /// Directories: inode of the parent.
    pub parent: Ino,
}

impl Core {
    /// Loads and checks the inode in the slot at byte `at` of `buf`, which was read from `block`.
    ///
    /// # Errors
    ///
    /// `Corrupt`, saying what is wrong.
    pub fn load(buf: &impl Block, at: usize, block: FsBlock) -> Result<Core> {
        let bad = |what| Err(Error::Corrupt(block, what));
        let mode = buf.u16(at + MODE);
        let Some(file_type) = FileType::in_mode(mode) else {
            return bad("inode of no known type");
        };
        match Format::from_u8(buf.u8(at + FORMAT)) {
            Some(format) if file_type.allows(format) => {}
            _ => return bad("inode of a format that does not fit its type"),
        }
        let flags = buf.u32(at + FLAGS);
        if flags & !FLAGS_KNOWN != 0 {
            return bad("inode with unknown flags");
        }
        if flags & FLAG_SHARED != 0 && file_type != FileType::Regular {
            return bad("inode with shared blocks that is no regular file");
        }
        let size = buf.u64(at + SIZE_BYTES);
        if i64::try_from(size).is_err() {
            return bad("inode too large");
        }
        if file_type == FileType::Symlink && !(1..=MAX_TARGET as u64).contains(&size) {
            return bad("symbolic link of impossible length");
        }
        let cow_extent_size = buf.u32(at + COW_EXTENT_SIZE);
        if cow_extent_size > MAX_COW_EXTENT_SIZE {
            return bad("inode with an impossible CoW extent size");
        }
        let mut times = [Time::default(); 4];
        for (index, time) in times.iter_mut().enumerate() {
            time.seconds = buf.u64(at + SECONDS + index * 8) as i64;
            time.nanoseconds = buf.u32(at + NANOSECONDS + index * 4);
            if time.nanoseconds >= NANOSECONDS_PER_SECOND {
                return bad("inode with nanoseconds out of range");
            }
        }
        Ok(Core {
            mode,
            links: buf.u32(at + LINKS),
            uid: buf.u32(at + UID),
            gid: buf.u32(at + GID),
            size,
            times,
            generation: buf.u32(at + GENERATION),
            flags: flags & !FLAG_SHARED,
            rdev: buf.u32(at + RDEV),
            cow_extent_size,
            parent: Ino(buf.u64(at + PARENT)),
        })
    }

    /// Stores it in the slot at byte `at` of `buf`, which is part of the transaction.
    pub fn store(&self, buf: &impl Block, at: usize) {
        let shared = buf.u32(at + FLAGS) & FLAG_SHARED;
        buf.set_u16(at + MODE, self.mode);
        buf.set_u32(at + LINKS, self.links);
        buf.set_u32(at + UID, self.uid);
        buf.set_u32(at + GID, self.gid);
        buf.set_u64(at + SIZE_BYTES, self.size);
        for (index, time) in self.times.iter().enumerate() {
            buf.set_u64(at + SECONDS + index * 8, time.seconds as u64);
            buf.set_u32(at + NANOSECONDS + index * 4, time.nanoseconds);
        }
        buf.set_u32(at + GENERATION, self.generation);
        buf.set_u32(at + FLAGS, (self.flags & !FLAG_SHARED) | shared);
        buf.set_u32(at + RDEV, self.rdev);
        buf.set_u32(at + COW_EXTENT_SIZE, self.cow_extent_size);
        buf.set_u64(at + PARENT, self.parent.0);
    }
}
