// SPDX-License-Identifier: GPL-2.0

//! Reading logs, and the disk as they leave it, against a disk that is an array.

use std::io::Write;
use std::sync::Arc;

use cowfs_crash::disk::{Disk, Scattered};
use cowfs_crash::log::{Action, LogError, WriteLog};
use cowfs_crash::points::{self, How, Loss, Part, Point, Walk};
use cowfs_crash::stamp::{self, POISON};
use cowfs_crash::testlog::Builder;
use cowfs_image::device::Image;
use proptest::prelude::*;
use tempfile::NamedTempFile;

/// Opens a log that begins some way into its file.
fn open(bytes: &[u8], len: u64) -> Result<WriteLog, LogError> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&[0xee; 4096]).unwrap();
    file.write_all(bytes).unwrap();
    WriteLog::open(file.path(), 4096, len)
}

fn log_of(build: impl FnOnce(&mut Builder)) -> Arc<WriteLog> {
    let mut builder = Builder::default();
    build(&mut builder);
    let bytes = builder.bytes(true);
    Arc::new(open(&bytes, bytes.len() as u64).unwrap())
}

fn poison(sectors: usize) -> Vec<u8> {
    POISON.to_le_bytes().repeat(sectors * 64)
}

#[test]
fn entries_are_read_in_order() {
    let log = log_of(|log| {
        log.write(8, &[1; 1024], 0).mark("b:1:0:start").flush();
        log.write(16, &[2; 512], 2).discard(100, 50);
    });
    let entries = log.entries();
    assert_eq!(entries.len(), 6);
    assert!(matches!(
        entries[0].action,
        Action::Write {
            to: 8,
            sectors: 2,
            ..
        }
    ));
    assert_eq!(entries[1].action, Action::Mark("b:1:0:start".to_owned()));
    assert!(entries[2].flush && entries[2].action == Action::Nothing);
    assert!(entries[3].fua && !entries[3].flush);
    assert_eq!(
        entries[4].action,
        Action::Discard {
            to: 100,
            sectors: 50
        }
    );
    let Action::Write { data, .. } = entries[3].action else {
        panic!("{:?}", entries[3]);
    };
    let mut bytes = [0; 512];
    log.read(data, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [2; 512]);
}

#[test]
fn what_is_no_log_is_refused() {
    let good = Builder::default().write(8, &[1; 512], 0).bytes(true);
    let len = good.len() as u64;
    assert!(open(&good, len).is_ok());
    // Without the recorder's last mark: the log device was too small, or nobody waited for it.
    let cut = Builder::default().write(8, &[1; 512], 0).bytes(false);
    assert!(matches!(open(&cut, len), Err(LogError::Incomplete)));
    assert!(matches!(
        open(&Builder::default().bytes(false), len),
        Err(LogError::Incomplete)
    ));
    // The slice ends before the log does.
    assert!(matches!(open(&good, len - 512), Err(LogError::Io(_))));
    for (at, byte) in [(0, 0), (8, 2), (24, 1), (25, 3)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert!(
            matches!(open(&bad, len), Err(LogError::Foreign(_))),
            "byte {at}"
        );
    }
    // Sectors beyond any device, data beyond the log, a mark longer than its sector.
    for (at, sector) in [(7, 1), (8 + 7, 1), (24 + 1, 3)] {
        let mut bad = good.clone();
        bad[sector * 512 + at] = 0xff;
        assert!(open(&bad, len).is_err(), "byte {at} of sector {sector}");
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, u64, u8),
    Discard(u64, u64),
}

fn change() -> impl Strategy<Value = Change> {
    // Around the border of two leaves of the index.
    let place = (4070..4120u64, 1..30u64);
    prop_oneof![
        4 => (place.clone(), any::<u8>()).prop_map(|((to, n), byte)| Change::Write(to, n, byte)),
        1 => place.prop_map(|(to, n)| Change::Discard(to, n)),
    ]
}

proptest! {
    /// Every copy of the disk keeps what it held, whatever is done to the others.
    #[test]
    fn a_disk_is_an_array(
        changes in proptest::collection::vec(change(), 1..20),
        reads in proptest::collection::vec((0..4200u64 * 512, 1..9000usize), 8),
    ) {
        let log = log_of(|log| for change in &changes {
            match change {
                Change::Write(to, n, byte) => log.write(*to, &vec![*byte; *n as usize * 512], 2),
                Change::Discard(to, n) => log.discard(*to, *n),
            };
        });
        let mut array = poison(4300);
        let mut disk = Disk::new(log.clone());
        let mut kept = vec![(disk.clone(), array.clone())];
        for (change, entry) in changes.iter().zip(log.entries()) {
            match (change, &entry.action) {
                (Change::Write(to, n, byte), Action::Write { data, .. }) => {
                    disk.write(*to, *n, *data);
                    array[*to as usize * 512..][..*n as usize * 512].fill(*byte);
                }
                (Change::Discard(to, n), _) => {
                    disk.discard(*to, *n);
                    let len = *n as usize;
                    array[*to as usize * 512..][..len * 512].copy_from_slice(&poison(len));
                }
                other => panic!("{other:?}"),
            }
            kept.push((disk.clone(), array.clone()));
        }
        for (disk, array) in kept {
            for (at, len) in &reads {
                let mut bytes = vec![0; *len];
                disk.read_at(*at, &mut bytes).unwrap();
                prop_assert!(bytes == array[*at as usize..][..*len]);
            }
        }
    }
}

#[test]
fn sectors_written_together_are_told() {
    let log = log_of(|log| {
        log.write(8, &[1; 4096], 0)
            .write(16, &[2; 4096], 0)
            .write(20, &[3; 512], 0);
    });
    let end = Point {
        applied: 3,
        acknowledged: 3,
        loss: None,
    };
    let disk = Walk::new(log).disk_at(&end);
    assert!(disk.origin_of_all(8, 8).unwrap().is_some());
    assert_eq!(disk.origin_of_all(24, 8), Ok(None));
    assert_eq!(disk.origin_of_all(16, 8), Err(Scattered));
    assert_eq!(disk.origin_of_all(12, 8), Err(Scattered));
}

/// A block made by write number `write`.
fn stamped(write: u64) -> Vec<u8> {
    let mut block = vec![0; 1024];
    stamp::make(&mut block, 1, write, 0);
    block
}

#[test]
fn what_is_recorded_too_late_is_left_out() {
    let first_sectors = |log: &WriteLog| -> Vec<(u64, u64)> {
        let writes = log.entries().iter().filter_map(|entry| match entry.action {
            Action::Write { to, sectors, .. } => Some((to, sectors)),
            _ => None,
        });
        writes.collect()
    };
    // Write 3 was there before write 4, in the middle of a longer one; write 5 came after it.
    let log = log_of(|log| {
        let older = [stamped(2), stamped(3), vec![7; 512], stamped(9)].concat();
        log.write(10, &stamped(4), 2)
            .write(8, &older, 0)
            .write(10, &stamped(5), 0)
            .flush();
    });
    assert_eq!(first_sectors(&log), [(10, 2), (8, 2), (12, 3), (10, 2)]);
    let end = Point {
        applied: log.entries().len(),
        acknowledged: 0,
        loss: None,
    };
    let mut bytes = vec![0; 7 * 512];
    let disk = Walk::new(log).disk_at(&end);
    disk.read_at(8 * 512, &mut bytes).unwrap();
    let there = [stamped(2), stamped(5), vec![7; 512], stamped(9)].concat();
    assert!(bytes == there);

    // A flush was on its way meanwhile; but not two.
    for (flushes, left) in [(0, 1), (1, 1), (2, 2)] {
        let log = log_of(|log| {
            log.write(10, &stamped(4), 2);
            for _ in 0..flushes {
                log.flush();
            }
            log.write(10, &stamped(3), 0).flush();
        });
        assert_eq!(first_sectors(&log).len(), left, "{flushes} flushes between");
    }
    // What has no number is as the log says.
    let log = log_of(|log| {
        log.write(10, &stamped(4), 2).write(10, &[7; 1024], 0);
        log.write(20, &[7; 1024], 2).write(20, &stamped(3), 0);
    });
    assert_eq!(first_sectors(&log).len(), 4);
}

const JOURNAL: Part = Part { from: 64, to: 128 };

/// Two batches, with a write with FUA and marks between.
fn two_batches() -> Arc<WriteLog> {
    log_of(|log| {
        log.mark("start")
            .write(8, &[1; 4096], 0)
            .write(64, &[2; 8192], 0)
            .flush();
        log.mark("one").write(80, &[3; 4096], 2).mark("two").flush();
        log.write(8, &[4; 4096], 0).flush().mark("three");
    })
}

#[test]
fn points_are_where_something_became_durable() {
    let log = two_batches();
    let points = points::all(&log, 0, 5, 1, JOURNAL);
    let whole: Vec<_> = points.iter().filter(|point| point.loss.is_none()).collect();
    // The flush at 7 changes nothing; what is acknowledged counts up to the next write.
    let seen: Vec<_> = whole
        .iter()
        .map(|point| (point.applied, point.acknowledged))
        .collect();
    assert_eq!(seen, [(4, 5), (6, 8), (10, 12)]);
    // One batch has three blocks; the other has one, which is there or not.
    let losses: Vec<_> = points
        .iter()
        .filter_map(|point| point.loss.as_ref())
        .collect();
    assert_eq!(losses.len(), 5);
    assert!(losses.iter().all(|loss| loss.batch == (1..3)));
    assert!(points
        .iter()
        .filter(|point| point.loss.is_some())
        .all(|point| point.applied == 1 && point.acknowledged == 3));
    // Nothing before the start.
    assert_eq!(points::all(&log, 5, 5, 1, JOURNAL).len(), 2);
}

#[test]
fn lost_writes_are_lost_block_by_block() {
    let log = two_batches();
    let after = |how, seed| {
        let point = Point {
            applied: 1,
            acknowledged: 3,
            loss: Some(Loss {
                batch: 1..3,
                how,
                seed,
            }),
        };
        let disk = Walk::new(log.clone()).disk_at(&point);
        [8, 64, 72].map(|sector| disk.origin_of_all(sector, 8).unwrap().is_some())
    };
    assert_eq!(after(How::Only(JOURNAL), 1), [false, true, true]);
    assert_eq!(after(How::AllBut(JOURNAL), 1), [true, false, false]);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        seen.insert(after(How::Any, seed));
        assert_eq!(
            after(How::OnlyOne, seed)
                .iter()
                .filter(|there| **there)
                .count(),
            1
        );
        assert_eq!(
            after(How::AllButOne, seed)
                .iter()
                .filter(|there| !**there)
                .count(),
            1
        );
        let ordered = after(How::Ordered, seed);
        assert!(ordered.is_sorted_by(|a, b| a >= b), "{ordered:?}");
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn a_walk_goes_on_where_it_was() {
    let log = two_batches();
    let points = points::all(&log, 0, 3, 1, JOURNAL);
    let mut walk = Walk::new(log.clone());
    for point in &points {
        let (mut one, mut other) = (vec![0; 100 * 512], vec![0; 100 * 512]);
        walk.disk_at(point).read_at(0, &mut one).unwrap();
        Walk::new(log.clone())
            .disk_at(point)
            .read_at(0, &mut other)
            .unwrap();
        assert!(one == other, "{point}");
    }
}
