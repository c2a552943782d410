// SPDX-License-Identifier: GPL-2.0

//! The type of a file.

use super::super::ondisk::inode::Format;

/// The type of a file. The numbers are those of `d_type` in `readdir(3)`, and of the highest four
/// bits of `st_mode`; directory entries store them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileType {
    /// A pipe.
    Fifo = 1,
    /// A character device.
    CharDevice = 2,
    /// A directory.
    Directory = 4,
    /// A block device.
    BlockDevice = 6,
    /// A regular file.
    Regular = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket.
    Socket = 12,
}

impl FileType {
    /// The type with this number.
    pub const fn from_u8(number: u8) -> Option<FileType> {
        Some(match number {
            1 => FileType::Fifo,
            2 => FileType::CharDevice,
            4 => FileType::Directory,
            6 => FileType::BlockDevice,
            8 => FileType::Regular,
            10 => FileType::Symlink,
            12 => FileType::Socket,
            _ => return None,
        })
    }

    /// The type in the mode of an inode.
    pub const fn in_mode(mode: u16) -> Option<FileType> {
        FileType::from_u8((mode >> 12) as u8)
    }

    /// The type in the mode of an inode in memory, which has one; that of a regular file if it has
    /// none after all.
    pub const fn from_mode(mode: u16) -> FileType {
        match FileType::in_mode(mode) {
            Some(file_type) => file_type,
            None => FileType::Regular,
        }
    }

    /// The part of the mode that says this type.
    pub const fn mode(self) -> u16 {
        (self as u16) << 12
    }

    /// Whether an inode of this type may find its contents so.
    pub const fn allows(self, format: Format) -> bool {
        match self {
            FileType::Regular => matches!(format, Format::Extents | Format::ExtentTree),
            FileType::Directory => matches!(format, Format::Directory),
            FileType::Symlink => matches!(format, Format::Symlink | Format::LongSymlink),
            FileType::Fifo | FileType::CharDevice | FileType::BlockDevice | FileType::Socket => {
                matches!(format, Format::None)
            }
        }
    }
}
