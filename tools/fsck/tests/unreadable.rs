// SPDX-License-Identifier: GPL-2.0

//! Blocks the device fails to read: what follows from others is made anew; what does not is left for an attempt
//! that can read it.

mod common;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use common::{sample, u64_at, Image, Lines};
use cowfs_core::ondisk::{group, header, inode, volume, Geometry, Superblock};
use cowfs_core::units::FsBlock;
use cowfs_fsck::{check, repair, RepairError};
use cowfs_image::device::{self, Device};
use cowfs_image::journal::JournalError;
use cowfs_image::volume::{Journal, Volume};

/// A device that cannot read what overlaps one block.
#[derive(Debug)]
struct BadBlock {
    file: File,
    /// In bytes.
    from: u64,
    to: u64,
}

impl device::Image for BadBlock {
    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        if at < self.to && self.from < at + to.len() as u64 {
            return Err(io::Error::other("medium error"));
        }
        self.file.read_exact_at(to, at)
    }
}

/// The sample with `bad` unreadable.
fn open(image: &Image, bad: FsBlock) -> Volume {
    let geometry = &image.geometry;
    let device = BadBlock {
        file: image.handle(),
        from: bad.0 << geometry.block_shift,
        to: (bad.0 + 1) << geometry.block_shift,
    };
    let bytes = geometry.blocks << geometry.block_shift;
    Volume::open(Device::of_image(Box::new(device), bytes)).unwrap()
}

#[test]
fn a_node_that_cannot_be_read_is_not_taken_for_lost() {
    let image = sample();
    let bad = image.tree("tree");
    let volume = open(&image, bad);
    let mut lines = Lines::default();
    check(&volume, &mut lines).unwrap();
    assert_ne!(lines.wrong, [""; 0]);
    let done = repair(&volume, &mut lines);
    assert!(matches!(done, Err(RepairError::Unreadable(at)) if at == bad));
}

#[test]
fn a_journal_that_cannot_be_read_is_not_taken_for_lost() {
    let image = sample();
    let bad = image.geometry.journal_start;
    let volume = open(&image, bad);
    assert!(matches!(
        volume.journal(),
        Journal::Unusable(JournalError::Io(0, _))
    ));
    let done = repair(&volume, &mut Lines::default());
    assert!(matches!(done, Err(RepairError::Unreadable(at)) if at == bad));
}

#[test]
fn an_orphan_list_that_cannot_be_read_is_not_taken_for_lost() {
    let image = sample();
    let root = FsBlock(u64_at(&image.block(Geometry::VOLUME), volume::ORPHAN_ROOT));
    for bad in [Geometry::VOLUME, root] {
        let done = repair(&open(&image, bad), &mut Lines::default());
        assert!(matches!(done, Err(RepairError::Unreadable(at)) if at == bad));
    }
}

/// Neither the root directory, which is made anew where there is none, nor what its group has freed.
#[test]
fn neither_the_root_nor_a_bitmap_is_taken_for_lost() {
    let image = sample();
    let (root, _) = image.geometry.inode_at(image.geometry.root).unwrap();
    for bad in [root, image.group(0)] {
        let done = repair(&open(&image, bad), &mut Lines::default());
        assert!(matches!(done, Err(RepairError::Unreadable(at)) if at == bad));
    }
}

/// Of some of these it is said that something may be lost, but not for want of what cannot be read.
#[test]
fn what_others_tell_is_made_anew() {
    let image = sample();
    let trees = [
        group::INODE_ROOT,
        group::FREE_INODE_ROOT,
        group::REFCOUNT_ROOT,
    ];
    let nodes = trees.map(|at| image.group_tree(0, at));
    let backup = Superblock::backups(&image.geometry).next().unwrap();
    for bad in [image.geometry.summary_start, backup]
        .into_iter()
        .chain(nodes)
    {
        let volume = open(&image, bad);
        repair(&volume, &mut Lines::default()).unwrap();
        let mut left = Lines::default();
        check(&volume, &mut left).unwrap();
        left.wrong.retain(|line| !line.starts_with("superblock"));
        assert_eq!(left.wrong, [""; 0], "{bad}");
    }
}

/// One that is lost anyway does not wait for another that is not.
#[test]
fn another_loss_is_no_reason_to_wait() {
    let image = sample();
    let backup = Superblock::backups(&image.geometry).next().unwrap();
    // The group's map is damaged, too, and everything in the group looked at; data there cannot be read.
    let data = FsBlock(u64_at(&image.inode("file"), inode::INLINE + 8));
    image.edit_inode("deep", |b| b[inode::FORMAT] = 0xff);
    let map = image.group_tree(0, group::INODE_ROOT);
    let mut bytes = image.block(map);
    bytes[header::SIZE] ^= 1;
    image.put(map, &bytes);
    for bad in [backup, data] {
        let volume = open(&image, bad);
        repair(&volume, &mut Lines::default()).unwrap();
    }
}
