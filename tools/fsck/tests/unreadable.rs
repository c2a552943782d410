// SPDX-License-Identifier: GPL-2.0

//! Blocks the device fails to read: what follows from others is made anew; what does not is left for an attempt
//! that can read it.

mod common;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use common::{sample, Image, Lines};
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
    assert_eq!(volume.unreadable(), None);
    let mut lines = Lines::default();
    check(&volume, &mut lines).unwrap();
    assert_ne!(lines.wrong, [""; 0]);
    assert_eq!(volume.unreadable(), Some(bad));
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
fn a_summary_that_cannot_be_read_is_made_anew() {
    let image = sample();
    let bad = image.geometry.summary_start;
    let volume = open(&image, bad);
    repair(&volume, &mut Lines::default()).unwrap();
    assert_eq!(volume.unreadable(), Some(bad));
    let mut left = Lines::default();
    check(&volume, &mut left).unwrap();
    assert_eq!(left.wrong, [""; 0]);
}
