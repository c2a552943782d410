// SPDX-License-Identifier: GPL-2.0

//! Tests of replay: logs made by hand, sound, torn and hostile.

use super::testlog::TestLog;
use super::{write, JournalError, Replay, MAGIC};

const SIZE: u32 = 1024;
const BLOCKS: u32 = 1024;

fn filled(byte: u8) -> Vec<u8> {
    vec![byte; SIZE as usize]
}

fn run(log: &TestLog) -> Result<Replay, JournalError> {
    Replay::run(&log.sb, log, |home| home < 1 << 40)
}

/// What `home` holds after the replay, if the replay changes it.
fn after(log: &TestLog, home: u64) -> Option<Vec<u8>> {
    let replay = run(log).unwrap();
    let mut to = filled(0);
    replay.read(log, home, &mut to).unwrap().then_some(to)
}

#[test]
fn an_empty_log_changes_nothing() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(7, filled(7))]);
    log.commit();
    log.sb.start = 0;
    assert_eq!(run(&log).unwrap().blocks(), 0);
}

#[test]
fn the_newest_copy_wins() {
    let mut log = TestLog::new(SIZE, BLOCKS, 5, 41);
    log.data(&[(7, filled(1)), (8, filled(2)), (9, filled(3))]);
    log.commit();
    log.data(&[(8, filled(4))]);
    log.data(&[(9, filled(5))]);
    log.commit();
    let replay = run(&log).unwrap();
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
    assert_eq!(run(&log).unwrap().revoked, 2);
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
    assert!(run(&sound).is_ok());
    for at in [descriptor, descriptor + 1, revoke] {
        let mut log = sound.clone();
        log.blocks[at as usize][100] ^= 1;
        let error = run(&log).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged(block, _) if block == at),
            "{error}"
        );
    }
    let mut log = sound.clone();
    log.blocks[commit as usize][52] ^= 1;
    assert!(matches!(run(&log), Err(JournalError::Damaged(at, _)) if at == commit));
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
    let replay = run(&log).unwrap();
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
        run(&log),
        Err(JournalError::Damaged(_, "the log has no end"))
    ));
}

#[test]
fn a_change_outside_the_volume_is_refused() {
    let mut log = TestLog::new(SIZE, BLOCKS, 1, 1);
    log.data(&[(1 << 41, filled(1))]);
    log.commit();
    assert_eq!(run(&log).unwrap_err(), JournalError::Outside(1, 1 << 41));
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
        assert!(
            matches!(run(&log), Err(JournalError::Damaged(1, _))),
            "{used}"
        );
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
        let replay = Replay::run(&log.sb, &log, |_| true).unwrap();
        assert_eq!((replay.transactions, replay.blocks()), (1, count));
        assert_eq!(replay.end, 78);
        for (n, block) in contents.iter().enumerate() {
            let mut to = filled(0);
            assert!(replay.read(&log, home(n), &mut to).unwrap());
            assert_eq!(&to, block, "{n} of {count}");
        }
    }
}
