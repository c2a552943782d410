// SPDX-License-Identifier: GPL-2.0

//! fsck.cowfs as a program: its exit codes, and what it does with what is hardly a volume.

mod common;

use common::{fsck, sample, Image};
use cowfs_core::ondisk::{inode, superblock, Superblock};
use cowfs_core::units::FsBlock;
use cowfs_image::device::{self, Device};
use cowfs_image::volume::find_backup;
use rustix::pipe::{fcntl_setpipe_size, pipe};
use rustix::process::{kill_process, Pid, Signal};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn damaged() -> Image {
    let image = sample();
    image.edit_inode("deep", |b| b[inode::LINKS] += 1);
    image
}

#[test]
fn clean_is_0() {
    let image = sample();
    for options in [&["-n"][..], &["-f", "-n"], &[]] {
        let (code, text) = fsck(image.path(), options);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("clean"), "{text}");
    }
    assert_eq!(fsck(image.path(), &["-n", "-q"]), (Some(0), String::new()));
}

#[test]
fn errors_left_is_4() {
    let (code, text) = fsck(damaged().path(), &["-n"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("has 202 links, but 201 were found"), "{text}");
    assert!(text.contains("1 error found and left"), "{text}");
}

#[test]
fn quiet_prints_findings_all_the_same() {
    let (code, text) = fsck(damaged().path(), &["-n", "-q"]);
    assert_eq!(code, Some(4));
    assert!(text.contains("has 202 links"), "{text}");
}

#[test]
fn no_device_is_8() {
    let (code, text) = fsck(Path::new("/nonexistent"), &["-n"]);
    assert_eq!(code, Some(8), "{text}");
    let (code, text) = fsck(Path::new("/dev/null"), &["-n"]);
    assert_eq!(code, Some(8), "{text}");
}

#[test]
fn wrong_usage_is_16() {
    let image = sample();
    assert_eq!(fsck(image.path(), &["--no-such-option"]).0, Some(16));
    assert_eq!(fsck(image.path(), &["-n", "-y"]).0, Some(16));
    assert_eq!(fsck(image.path(), &["-p", "-y"]).0, Some(16));
    let help = Command::new(env!("CARGO_BIN_EXE_fsck-cowfs"))
        .output()
        .unwrap();
    assert_eq!(help.status.code(), Some(16));
}

#[test]
fn corrected_is_1_and_then_0() {
    for option in ["-p", "-a", "-y"] {
        let image = damaged();
        let (code, text) = fsck(image.path(), &[option]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("had 202 links, has 201"), "{text}");
        assert!(
            text.contains("1 error found and corrected; nothing is lost"),
            "{text}"
        );
        let before = std::fs::read(image.path()).unwrap();
        assert_eq!(fsck(image.path(), &[option]).0, Some(0));
        assert!(
            std::fs::read(image.path()).unwrap() == before,
            "wrote again"
        );
    }
}

/// What takes something away is not done unasked; what is done is all or nothing.
#[test]
fn preening_loses_nothing() {
    let image = damaged();
    image.put(image.tree("many"), &[0; common::SIZE]);
    let before = std::fs::read(image.path()).unwrap();
    let (code, text) = fsck(image.path(), &["-p"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("nothing was written"), "{text}");
    assert!(text.contains("run fsck.cowfs -y"), "{text}");
    assert!(std::fs::read(image.path()).unwrap() == before);
    let (code, text) = fsck(image.path(), &["-y"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("repair, lossy: "), "{text}");
    assert_eq!(fsck(image.path(), &["-n"]).0, Some(0));
}

#[test]
fn what_is_clean_is_not_written() {
    let image = sample();
    assert_eq!(fsck(image.path(), &["-y"]).0, Some(0));
    let before = std::fs::read(image.path()).unwrap();
    for option in ["-p", "-y"] {
        let (code, text) = fsck(image.path(), &[option]);
        assert_eq!(code, Some(0), "{text}");
        assert!(std::fs::read(image.path()).unwrap() == before);
    }
}

/// Features from the future that forbid writing, and a volume in use.
#[test]
fn what_must_not_be_written_is_8() {
    let image = damaged();
    let mut bytes = image.block(FsBlock(0));
    let mut sb = image.superblock.clone();
    sb.ro_compat = 1;
    bytes[..512].copy_from_slice(&sb.encode());
    image.put(FsBlock(0), &bytes);
    let before = std::fs::read(image.path()).unwrap();
    let (code, text) = fsck(image.path(), &["-y"]);
    assert_eq!(code, Some(8), "{text}");
    assert!(text.contains("features"), "{text}");
    assert!(std::fs::read(image.path()).unwrap() == before);
}

/// A backup does not know what a later version wrote into the superblock.
#[test]
fn what_is_newer_is_8() {
    let image = damaged();
    let mut bytes = image.block(FsBlock(0));
    let mut sb = image.superblock.clone();
    sb.incompat = 1 << 40;
    bytes[..512].copy_from_slice(&sb.encode());
    image.put(FsBlock(0), &bytes);
    let before = std::fs::read(image.path()).unwrap();
    for option in ["-n", "-p", "-y"] {
        let (code, text) = fsck(image.path(), &[option]);
        assert_eq!(code, Some(8), "{text}");
        assert!(text.contains("newer"), "{text}");
    }
    assert!(std::fs::read(image.path()).unwrap() == before);
}

/// Backups survive where another file system is made.
#[test]
fn another_file_system_over_an_old_volume_is_8() {
    let image = sample();
    let mut bytes = vec![0; common::SIZE * 2];
    bytes[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    image.put(FsBlock(0), &bytes[..common::SIZE]);
    image.put(FsBlock(1), &bytes[common::SIZE..]);
    let before = std::fs::read(image.path()).unwrap();
    let (code, text) = fsck(image.path(), &["-y"]);
    assert_eq!(code, Some(8), "{text}");
    assert!(text.contains("ext2/3/4"), "{text}");
    assert!(std::fs::read(image.path()).unwrap() == before);
}

#[test]
fn something_else_is_8() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for len in [0, 100, 1 << 20] {
        file.as_file().set_len(len).unwrap();
        let (code, text) = fsck(file.path(), &["-n"]);
        assert_eq!(code, Some(8), "{text}");
        assert!(text.contains("not a cowfs volume"), "{text}");
    }
}

#[test]
fn a_lost_superblock_is_found_again_in_its_backup() {
    let image = sample();
    image.put(FsBlock(0), &[0; common::SIZE]);
    let (code, text) = fsck(image.path(), &["-n"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(
        text.contains("superblock in block 0: not a cowfs volume"),
        "{text}"
    );
    assert!(text.contains("going on with the backup in block"), "{text}");
    assert!(text.contains("1 error found and left"), "{text}");
}

#[test]
fn a_damaged_superblock_is_replaced_by_its_backup() {
    let image = sample();
    let mut block = image.block(FsBlock(0));
    block[100] ^= 1;
    image.put(FsBlock(0), &block);
    let (code, text) = fsck(image.path(), &["-n"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("superblock in block 0: superblock: block 0: bad superblock checksum"));
    assert!(text.contains("1 error found and left"), "{text}");
}

/// The device held another volume before, of another layout.
#[test]
fn the_backup_of_the_latest_volume_is_taken() {
    let image = sample();
    let found = Superblock::backups(&image.geometry).next().unwrap();
    let mut old = Superblock::decode(image.block(found).first_chunk().unwrap(), found).unwrap();
    old.made -= 1;
    old.meta_uuid[0] ^= 1;
    old.address = FsBlock(found.0 - 16);
    let mut block = vec![0; common::SIZE];
    block[..superblock::SIZE].copy_from_slice(&old.encode());
    image.put(old.address, &block);
    image.put(FsBlock(0), &[0; common::SIZE]);
    let (code, text) = fsck(image.path(), &["-n"]);
    assert_eq!(code, Some(4), "{text}");
    let taken = format!("going on with the backup in block {found}");
    assert!(text.contains(&taken), "{text}");
}

/// A device of which the first MiB cannot be read.
#[derive(Debug)]
struct Beyond(File);

impl device::Image for Beyond {
    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        match at {
            ..0x10_0000 => Err(io::Error::other("unreadable")),
            _ => self.0.read_exact_at(to, at),
        }
    }
}

#[test]
fn a_backup_is_found_beyond_what_cannot_be_read() {
    let image = sample();
    let found = Superblock::backups(&image.geometry).next().unwrap();
    assert!(found.0 * common::SIZE as u64 > 1 << 20);
    let bytes = image.geometry.blocks << image.geometry.block_shift;
    let device = Device::of_image(Box::new(Beyond(image.handle())), bytes);
    assert_eq!(find_backup(&device).map(|it| it.address), Some(found));
}

#[test]
fn a_device_that_is_too_short_is_4() {
    let image = sample();
    image.file.as_file().set_len(3 << 20).unwrap();
    let (code, text) = fsck(image.path(), &["-n"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("but the device only 3145728"), "{text}");
}

/// Whatever byte of the metadata is lost, the check ends, and says so.
#[test]
fn no_lost_block_goes_unnoticed() {
    let image = sample();
    let geometry = &image.geometry;
    let zero = vec![0; common::SIZE];
    let groups = geometry.ag_start.0..geometry.ag_start.0 + 160;
    for at in (1..4).chain(groups).map(FsBlock) {
        let block = image.block(at);
        // Only metadata was written to the image: files' data is zero.
        if block == zero {
            continue;
        }
        image.put(at, &zero);
        let found = image.check();
        assert!(!found.is_empty(), "block {at} is missing");
        image.put(at, &block);
    }
    assert_eq!(image.check(), [""; 0]);
}

#[test]
fn interrupted_is_32_and_nothing_is_written() {
    let image = damaged();
    let before = std::fs::read(image.path()).unwrap();
    // A full pipe: it cannot say what it found.
    let (reader, writer) = pipe().unwrap();
    let room = fcntl_setpipe_size(&writer, 4096).unwrap();
    (&File::from(writer.try_clone().unwrap()))
        .write_all(&vec![b'.'; room])
        .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_fsck-cowfs"))
        .arg("-y")
        .arg(image.path())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let call = format!("/proc/{}/syscall", child.id());
    while !std::fs::read_to_string(&call)
        .unwrap()
        .starts_with("1 0x1 ")
    {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(32), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(std::fs::read(image.path()).unwrap() == before, "wrote");
    drop(reader);
}
