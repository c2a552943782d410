// SPDX-License-Identifier: GPL-2.0

//! What is checked is the state after the journal's replay, and nothing is written.

mod common;

use common::{put32, sample, u32_at, Image, Lines, SIZE};
use cowfs_core::ondisk::{group, header};
use cowfs_core::units::FsBlock;
use cowfs_fsck::check;
use cowfs_image::device::Device;
use cowfs_image::journal::testlog::TestLog;
use cowfs_image::volume::Volume;

/// An empty log for the image's journal.
fn log_of(image: &Image) -> TestLog {
    TestLog::new(SIZE as u32, image.geometry.journal_blocks, 7, 33)
}

fn put(image: &Image, log: &TestLog) {
    let start = image.geometry.journal_start.0;
    for (n, block) in log.image().chunks(SIZE).enumerate() {
        image.put(FsBlock(start + n as u64), block);
    }
}

fn check_lines(image: &Image) -> Lines {
    let before = std::fs::read(image.path()).unwrap();
    let volume = Volume::open(Device::open(image.path()).unwrap()).unwrap();
    let mut lines = Lines::default();
    check(&volume, &mut lines).unwrap();
    assert!(
        std::fs::read(image.path()).unwrap() == before,
        "the check wrote"
    );
    lines
}

/// The header of group 0 with a wrong count of free blocks.
fn wrong_header(image: &Image) -> Vec<u8> {
    let mut bytes = image.block(image.group(0));
    let free = u32_at(&bytes, group::FREE);
    put32(&mut bytes, group::FREE, free + 1);
    header::seal(&mut bytes);
    bytes
}

#[test]
fn a_clean_journal_is_not_mentioned() {
    let lines = check_lines(&sample());
    assert_eq!((lines.wrong, lines.notes), (vec![], vec![]));
}

#[test]
fn what_the_journal_holds_replaces_what_is_home() {
    let image = sample();
    let at = image.group(0);
    let mut log = log_of(&image);
    log.data(&[(at.0, image.block(at))]);
    log.commit();
    image.put(at, &wrong_header(&image));
    assert_ne!(image.check(), [""; 0]);
    put(&image, &log);
    let lines = check_lines(&image);
    assert_eq!(lines.wrong, [""; 0]);
    assert!(lines.notes[0].contains("needs replay (1 transactions, 1 blocks)"));
}

#[test]
fn damage_in_the_journal_s_copy_is_found() {
    let image = sample();
    let mut log = log_of(&image);
    log.data(&[(image.group(0).0, wrong_header(&image))]);
    log.commit();
    put(&image, &log);
    let lines = check_lines(&image);
    assert!(lines
        .wrong
        .iter()
        .any(|line| line.contains("group 0: counts")));
}

#[test]
fn a_revoked_copy_is_not_used() {
    let image = sample();
    let mut log = log_of(&image);
    log.data(&[(image.group(0).0, wrong_header(&image))]);
    log.commit();
    log.revoke(&[image.group(0).0]);
    log.commit();
    put(&image, &log);
    assert_eq!(check_lines(&image).wrong, [""; 0]);
}

#[test]
fn an_unfinished_transaction_is_not_used() {
    let image = sample();
    let mut log = log_of(&image);
    log.data(&[(image.group(0).0, wrong_header(&image))]);
    put(&image, &log);
    let lines = check_lines(&image);
    assert_eq!(lines.wrong, [""; 0]);
    assert!(lines.notes[0].contains("needs replay (0 transactions, 0 blocks)"));
}

#[test]
fn a_damaged_journal_is_a_finding_and_the_rest_is_checked_all_the_same() {
    let image = sample();
    let mut log = log_of(&image);
    let descriptor = log.data(&[(image.group(0).0, image.block(image.group(0)))]);
    log.commit();
    log.blocks[descriptor as usize][200] ^= 1;
    put(&image, &log);
    image.put(image.group(0), &wrong_header(&image));
    let lines = check_lines(&image);
    assert!(lines.wrong[0].starts_with("journal: journal block 7: bad checksum"));
    assert!(lines
        .wrong
        .iter()
        .any(|line| line.contains("group 0: counts")));
}

#[test]
fn a_journal_superblock_of_garbage_is_a_finding() {
    let image = sample();
    image.put(image.geometry.journal_start, &[0x55; SIZE]);
    let lines = check_lines(&image);
    assert_eq!(lines.wrong, ["journal: journal superblock: wrong magic"]);
}

#[test]
fn an_aborted_journal_is_a_finding() {
    let image = sample();
    let mut log = log_of(&image);
    log.sb.start = 0;
    log.sb.errno = -5;
    put(&image, &log);
    let lines = check_lines(&image);
    assert_eq!(
        lines.wrong,
        ["journal: aborted by the kernel after error -5"]
    );
}

#[test]
fn the_journal_may_not_change_itself() {
    let image = sample();
    let mut log = log_of(&image);
    log.data(&[(image.geometry.journal_start.0 + 3, vec![0; SIZE])]);
    log.commit();
    put(&image, &log);
    assert!(check_lines(&image).wrong[0].contains("outside the volume or in the journal"));
}
