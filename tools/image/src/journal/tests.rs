// SPDX-License-Identifier: GPL-2.0

//! Tests of replay: logs made by hand, sound, torn and hostile.

use std::io;

use super::testlog::TestLog;
use super::{write, JournalError, Log, Replay, MAGIC};

const SIZE: u32 = 1024;
const BLOCKS: u32 = 1024;

fn filled(byte: u8) -> Vec<u8> {
    vec![byte; SIZE as usize]
}

fn salvage(log: &TestLog) -> Replay {
    Replay::run(&log.sb, log, |home| home < 1 << 40)
}

/// The replay of a log without faults.
fn run(log: &TestLog) -> Replay {
    let replay = salvage(log);
    assert_eq!(replay.faults, []);
    replay
}

/// What is wrong with a log: one thing only.
fn fault(log: &TestLog) -> JournalError {
    let mut faults = salvage(log).faults;
    let fault = faults.pop().expect("sound");
    assert_eq!(faults, []);
    fault
}

/// What `home` holds after the replay, if the replay changes it.
fn after(log: &TestLog, home: u64) -> Option<Vec<u8>> {
    content(log, &run(log), home)
}

fn content(log: &TestLog, replay: &Replay, home: u64) -> Option<Vec<u8>> {
    let mut to = filled(0);
    replay.read(log, home, &mut to).unwrap().then_some(to)
}

#[test]
fn an_empty_log_changes_nothing() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(7))]);
    log.commit();
    log.sb.start = 0;
    assert_eq!(run(&log).blocks(), 0);
}

#[test]
fn the_newest_copy_wins() {
    let mut log = TestLog::new(SIZE, BLOCKS, 5, 41);
    log.data(&[(7, filled(1)), (8, filled(2)), (9, filled(3))]);
    log.commit();
    log.data(&[(8, filled(4))]);
    log.data(&[(9, filled(5))]);
    log.commit();
    let replay = run(&log);
    assert_eq!((replay.transactions, replay.blocks()), (2, 3));
    assert_eq!(after(&log, 7), Some(filled(1)));
    assert_eq!(after(&log, 8), Some(filled(4)));
    assert_eq!(after(&log, 9), Some(filled(5)));
    assert_eq!(after(&log, 10), None);
}

#[test]
fn addresses_have_64_bits() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(0x12_3456_789a, filled(1))]);
    log.commit();
    assert_eq!(after(&log, 0x12_3456_789a), Some(filled(1)));
    assert_eq!(after(&log, 0x3456_789a), None);
}

#[test]
fn an_escaped_magic_comes_back() {
    let mut block = filled(3);
    block[..4].copy_from_slice(&MAGIC.to_be_bytes());
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, block.clone())]);
    log.commit();
    assert_eq!(after(&log, 7), Some(block));
}

#[test]
fn a_revoked_block_keeps_only_later_copies() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(1)), (8, filled(2)), (9, filled(3))]);
    log.commit();
    log.revoke(&[7, 8]);
    log.commit();
    log.data(&[(8, filled(4))]);
    log.commit();
    assert_eq!(after(&log, 7), None);
    assert_eq!(after(&log, 8), Some(filled(4)));
    assert_eq!(after(&log, 9), Some(filled(3)));
    assert_eq!(run(&log).revoked, 2);
}

#[test]
fn a_revocation_holds_for_its_own_transaction() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.revoke(&[7]);
    log.data(&[(7, filled(1)), (8, filled(2))]);
    log.commit();
    assert_eq!(after(&log, 7), None);
    assert_eq!(after(&log, 8), Some(filled(2)));
}

#[test]
fn a_transaction_without_commit_never_happened() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(1))]);
    log.commit();
    log.revoke(&[7]);
    log.data(&[(7, filled(2)), (8, filled(3))]);
    assert_eq!(after(&log, 7), Some(filled(1)));
    assert_eq!(after(&log, 8), None);
}

#[test]
fn a_torn_commit_block_ends_the_log() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(1))]);
    log.commit();
    log.data(&[(7, filled(2))]);
    let commit = log.commit();
    log.blocks[commit as usize][..512].fill(0);
    assert_eq!(after(&log, 7), Some(filled(1)));
}

#[test]
fn a_commit_block_torn_behind_its_header_counts() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(1))]);
    let commit = log.commit();
    log.blocks[commit as usize][512..].fill(0xaa);
    assert_eq!(after(&log, 7), Some(filled(1)));
}

#[test]
fn what_an_earlier_lap_left_is_not_read() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(1))]);
    log.commit();
    // The block that follows is sound but of transaction 1 again.
    log.sequence = 1;
    log.data(&[(7, filled(9))]);
    log.commit();
    assert_eq!(after(&log, 7), Some(filled(1)));
}

#[test]
fn an_old_transaction_with_bad_checksum_is_a_leftover() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(1))]);
    log.commit();
    log.time = 500;
    let descriptor = log.data(&[(7, filled(9))]);
    log.commit();
    log.blocks[descriptor as usize][100] ^= 1;
    assert_eq!(after(&log, 7), Some(filled(1)));
}

#[test]
fn damage_in_a_committed_transaction_is_reported() {
    let mut sound = TestLog::new(SIZE, BLOCKS, 1, 1);
    let descriptor = sound.data(&[(7, filled(1))]);
    let revoke = sound.revoke(&[9]);
    let commit = sound.commit();
    run(&sound);
    for at in [descriptor, descriptor + 1, revoke] {
        let mut log = sound.clone();
        log.blocks[at as usize][100] ^= 1;
        let error = fault(&log);
        assert!(
            matches!(error, JournalError::Damaged(block, _) if block == at),
            "{error}"
        );
    }
    let mut log = sound.clone();
    log.blocks[commit as usize][52] ^= 1;
    assert!(matches!(fault(&log), JournalError::Damaged(at, _) if at == commit));
}

#[test]
fn of_a_damaged_data_block_an_older_copy_counts() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(1))]);
    log.commit();
    let descriptor = log.data(&[(7, filled(2)), (8, filled(3)), (9, filled(4))]);
    log.commit();
    log.data(&[(10, filled(5))]);
    log.commit();
    for copy in [1, 2] {
        log.blocks[(descriptor + copy) as usize][100] ^= 1;
    }
    let replay = salvage(&log);
    assert_eq!((replay.transactions, replay.faults.len()), (3, 2));
    assert_eq!(content(&log, &replay, 7), Some(filled(1)));
    assert_eq!(content(&log, &replay, 8), None);
    assert_eq!(content(&log, &replay, 9), Some(filled(4)));
    assert_eq!(content(&log, &replay, 10), Some(filled(5)));
}

#[test]
fn what_came_before_a_damaged_transaction_counts() {
    let mut sound = TestLog::new(SIZE, BLOCKS, 1, 1);
    sound.data(&[(7, filled(1)), (8, filled(1))]);
    sound.commit();
    let descriptor = sound.data(&[(7, filled(2))]);
    let revoke = sound.revoke(&[8]);
    let commit = sound.commit();
    sound.data(&[(7, filled(3))]);
    sound.commit();
    for at in [descriptor, revoke, commit] {
        let mut log = sound.clone();
        log.blocks[at as usize][52] ^= 1;
        let replay = salvage(&log);
        assert_eq!((replay.transactions, replay.faults.len()), (1, 1));
        assert_eq!(content(&log, &replay, 7), Some(filled(1)));
        assert_eq!(content(&log, &replay, 8), Some(filled(1)));
    }
}

/// A log on a device with a block that cannot be read.
struct Failing<'a>(&'a TestLog, u32);

impl Log for Failing<'_> {
    fn read(&self, block: u32, to: &mut [u8]) -> io::Result<()> {
        match block == self.1 {
            true => Err(io::Error::from_raw_os_error(5)),
            false => self.0.read(block, to),
        }
    }
}

#[test]
fn a_block_that_cannot_be_read_is_as_good_as_damaged() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(1))]);
    log.commit();
    let descriptor = log.data(&[(7, filled(2)), (8, filled(3))]);
    log.commit();
    for (bad, transactions, at_8) in [(descriptor, 1, None), (descriptor + 1, 2, Some(filled(3)))] {
        let failing = Failing(&log, bad);
        let replay = Replay::run(&log.sb, &failing, |_| true);
        assert!(matches!(replay.faults[..], [JournalError::Io(at, _)] if at == bad));
        assert_eq!(replay.transactions, transactions);
        assert_eq!(content(&log, &replay, 7), Some(filled(1)));
        assert_eq!(content(&log, &replay, 8), at_8);
    }
}

#[test]
fn the_log_wraps_around() {
    let mut log = TestLog::new(SIZE, BLOCKS, BLOCKS - 2, u32::MAX);
    log.data(&[(7, filled(1)), (8, filled(2)), (9, filled(3))]);
    log.commit();
    log.data(&[(9, filled(4))]);
    log.commit();
    assert_eq!(log.sequence, 1, "the sequence wraps, too");
    assert_eq!(after(&log, 7), Some(filled(1)));
    assert_eq!(after(&log, 8), Some(filled(2)));
    assert_eq!(after(&log, 9), Some(filled(4)));
}

#[test]
fn many_tags_fill_many_descriptors() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    for group in 0..15u64 {
        let blocks: Vec<_> = (0..60)
            .map(|n| (group * 60 + n, filled((group * 60 + n) as u8)))
            .collect();
        log.data(&blocks);
    }
    log.commit();
    let replay = run(&log);
    assert_eq!(replay.blocks(), 900);
    let mut to = filled(0);
    for home in 0..900u64 {
        assert!(replay.read(&log, home, &mut to).unwrap());
        assert_eq!(to, filled(home as u8), "block {home}");
    }
}

#[test]
fn a_log_that_chases_its_tail_ends() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    for _ in 1..BLOCKS {
        log.revoke(&[7]);
    }
    assert!(matches!(
        fault(&log),
        JournalError::Damaged(_, "the log has no end")
    ));
}

#[test]
fn a_change_outside_the_volume_is_refused() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(1 << 41, filled(1))]);
    log.commit();
    assert_eq!(fault(&log), JournalError::Outside(1, 1 << 41));
}

#[test]
fn a_revoke_block_of_impossible_size_is_damage() {
    for used in [0u32, 15, SIZE - 3, u32::MAX] {
        let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
        let revoke = log.revoke(&[7]) as usize;
        log.commit();
        let end = SIZE as usize - 4;
        log.blocks[revoke][12..16].copy_from_slice(&used.to_be_bytes());
        log.blocks[revoke][end..].fill(0);
        let sum = cowfs_core::platform::crc32c(log.sb.checksum_seed(), &log.blocks[revoke]);
        log.blocks[revoke][end..].copy_from_slice(&sum.to_be_bytes());
        assert!(matches!(fault(&log), JournalError::Damaged(1, _)), "{used}");
    }
}

/// What is written for a repair, replay reads back: also when it takes several descriptors, and when a
/// block looks like one of the journal's own.
#[test]
fn a_transaction_written_is_read_back() {
    for count in [1, 61, 62, 63, 64, 200] {
        let mut log = TestLog::new(SIZE, BLOCKS, 1, 77);
        let contents: Vec<Vec<u8>> = (0..count)
            .map(|n| {
                let mut block = filled(n as u8);
                if n % 10 == 3 {
                    block[..4].copy_from_slice(&MAGIC.to_be_bytes());
                }
                block
            })
            .collect();
        let home = |n: usize| 0x12_0000_0000 + 3 * n as u64;
        let blocks: Vec<(u64, &[u8])> = contents
            .iter()
            .enumerate()
            .map(|(n, block)| (home(n), block.as_slice()))
            .collect();
        let mut put = 0;
        write::transaction(&log.sb.clone(), &blocks, 1000, |at, bytes| {
            log.blocks[at as usize] = bytes.to_vec();
            put += 1;
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(put, write::log_blocks(SIZE as usize, count));
        let replay = Replay::run(&log.sb, &log, |_| true);
        assert_eq!((replay.transactions, replay.blocks()), (1, count));
        assert_eq!(replay.end, 78);
        for (n, block) in contents.iter().enumerate() {
            let mut to = filled(0);
            assert!(replay.read(&log, home(n), &mut to).unwrap());
            assert_eq!(&to, block, "{n} of {count}");
        }
    }
}
