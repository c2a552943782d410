// SPDX-License-Identifier: GPL-2.0

//! Recognises what else a device may hold, so that it is not destroyed by mistake.
//!
//! A small part of what libblkid knows: the file systems, volume managers and partition tables
//! that are likely on a Linux machine.

use std::io;

use crate::device::Device;
use cowfs_core::ondisk::superblock;

/// A name, a byte offset and the bytes found there.
type Signature = (&'static str, u64, &'static [u8]);

const SIGNATURES: &[Signature] = &[
    ("cowfs", 0, &superblock::MAGIC),
    ("ext2/3/4", 0x438, &[0x53, 0xef]),
    ("xfs", 0, b"XFSB"),
    ("btrfs", 0x10040, b"_BHRfS_M"),
    (
        "bcachefs",
        0x1018,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    (
        "bcache",
        0x1018,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
    ),
    ("f2fs", 0x400, &[0x10, 0x20, 0xf5, 0xf2]),
    ("erofs", 0x400, &[0xe2, 0xe1, 0xf5, 0xe0]),
    ("squashfs", 0, b"hsqs"),
    ("zonefs", 0, b"SFOZ"),
    ("jfs", 0x8000, b"JFS1"),
    ("reiserfs", 0x10034, b"ReIsEr"),
    ("nilfs2", 0x406, b"44"),
    ("gfs2", 0x10000, &[0x01, 0x16, 0x19, 0x70]),
    ("ocfs2", 0x400, b"OCFSV2"),
    ("ocfs2", 0x800, b"OCFSV2"),
    ("ocfs2", 0x1000, b"OCFSV2"),
    ("zfs", 0x20000, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]),
    ("zfs", 0x21000, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]),
    ("ntfs", 3, b"NTFS    "),
    ("exfat", 3, b"EXFAT   "),
    ("fat", 0x36, b"FAT12   "),
    ("fat", 0x36, b"FAT16   "),
    ("fat", 0x52, b"FAT32   "),
    ("hfs+", 0x400, b"H+"),
    ("apfs", 0x20, b"NXSB"),
    ("iso9660", 0x8001, b"CD001"),
    ("udf", 0x8001, b"BEA01"),
    ("swap", 4086, b"SWAPSPACE2"),
    ("swap (suspended system)", 4086, b"S1SUSPEND"),
    ("LUKS", 0, b"LUKS\xba\xbe"),
    ("LVM2 physical volume", 0x218, b"LVM2 001"),
    ("LVM2 physical volume", 0x18, b"LVM2 001"),
    ("VDO", 0, b"dmvdo001"),
    ("Linux RAID", 0, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ("Linux RAID", 0x1000, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ("GPT partition table", 512, b"EFI PART"),
    ("GPT partition table", 4096, b"EFI PART"),
    // The least telling comes last: some of the above have it, too.
    ("DOS partition table or boot sector", 510, &[0x55, 0xaa]),
];

/// What the device seems to hold; `None` if nothing known.
///
/// # Errors
///
/// Those of reading the device.
pub fn find(device: &Device) -> io::Result<Option<&'static str>> {
    let mut bytes = [0; 16];
    for (name, at, magic) in SIGNATURES {
        let there = &mut bytes[..magic.len()];
        if device.bytes() < at + magic.len() as u64 {
            continue;
        }
        device.read_at(*at, there)?;
        if there == *magic {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_is_found_where_it_belongs() {
        for (name, at, magic) in SIGNATURES {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(1 << 20).unwrap();
            let device = Device::open_exclusively(file.path()).unwrap();
            assert_eq!(find(&device).unwrap(), None);
            device.write_at(*at, magic).unwrap();
            assert_eq!(find(&device).unwrap(), Some(*name));
        }
    }

    #[test]
    fn a_device_shorter_than_the_offsets_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(515).unwrap();
        let device = Device::open(file.path()).unwrap();
        assert_eq!(find(&device).unwrap(), None);
    }
}
