// SPDX-License-Identifier: GPL-2.0

//! File types, permission bits and device numbers.
//!
//! C header: [`include/uapi/linux/stat.h`](srctree/include/uapi/linux/stat.h)

use crate::linux::bindings;

/// What kind of file an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum FileType {
    /// A named pipe.
    Fifo = bindings::S_IFIFO as u16,
    /// A character device.
    CharDevice = bindings::S_IFCHR as u16,
    /// A directory.
    Directory = bindings::S_IFDIR as u16,
    /// A block device.
    BlockDevice = bindings::S_IFBLK as u16,
    /// A regular file.
    Regular = bindings::S_IFREG as u16,
    /// A symbolic link.
    Symlink = bindings::S_IFLNK as u16,
    /// A local socket.
    Socket = bindings::S_IFSOCK as u16,
}

/// Type and permission bits of a file, `umode_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u16);

impl Mode {
    /// The bits that are not the type: permissions, set-user-id, set-group-id, sticky.
    pub const PERMISSIONS: u16 = 0o7777;

    /// The mode of these raw bits.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// A file of this type with these permissions; other bits of `permissions` are ignored.
    pub const fn new(file_type: FileType, permissions: u16) -> Self {
        Self(file_type as u16 | (permissions & Self::PERMISSIONS))
    }

    /// The raw bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The permission bits.
    pub const fn permissions(self) -> u16 {
        self.0 & Self::PERMISSIONS
    }

    /// The file type, if the bits name one.
    pub const fn file_type(self) -> Option<FileType> {
        Some(match self.0 as u32 & bindings::S_IFMT {
            bindings::S_IFIFO => FileType::Fifo,
            bindings::S_IFCHR => FileType::CharDevice,
            bindings::S_IFDIR => FileType::Directory,
            bindings::S_IFBLK => FileType::BlockDevice,
            bindings::S_IFREG => FileType::Regular,
            bindings::S_IFLNK => FileType::Symlink,
            bindings::S_IFSOCK => FileType::Socket,
            _ => return None,
        })
    }
}

/// A device number, `dev_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceNumber(u32);

impl DeviceNumber {
    /// Bits of the minor number in the kernel's representation, `MINORBITS`.
    const MINOR_BITS: u32 = 20;
    const MINOR_MASK: u32 = (1 << Self::MINOR_BITS) - 1;

    /// The device of the kernel's own representation.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The kernel's own representation.
    pub const fn as_raw(self) -> u32 {
        self.0
    }

    /// The device with these numbers; bits beyond 12 of `major` and 20 of `minor` are ignored.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self((major << Self::MINOR_BITS) | (minor & Self::MINOR_MASK))
    }

    /// The form that goes on disk, as other file systems write it: 12 bits of the major number
    /// between the lower 8 and the upper 12 of the minor.
    pub const fn encode(self) -> u32 {
        (self.minor() & 0xff) | ((self.major() & 0xfff) << 8) | ((self.minor() & !0xff) << 12)
    }

    /// The device of that form.
    pub const fn decode(encoded: u32) -> Self {
        Self::new(
            (encoded >> 8) & 0xfff,
            (encoded & 0xff) | ((encoded >> 12) & 0xfff00),
        )
    }

    /// The major number.
    pub const fn major(self) -> u32 {
        self.0 >> Self::MINOR_BITS
    }

    /// The minor number.
    pub const fn minor(self) -> u32 {
        self.0 & Self::MINOR_MASK
    }
}
