// SPDX-License-Identifier: GPL-2.0

//! What the oracle allows and what it does not, operation by operation.

use std::io::Write;

use cowfs_crash::files::Contents;
use cowfs_crash::log::WriteLog;
use cowfs_crash::oracle::names::Found;
use cowfs_crash::oracle::Oracle;
use cowfs_crash::stamp::Verdict;
use cowfs_crash::testlog::Builder;
use cowfs_crash::trace::Trace;
use tempfile::NamedTempFile;

const BLOCK: u64 = 4096;

/// The trace of these marks.
fn trace(marks: &[&str]) -> Trace {
    let mut log = Builder::default();
    marks.iter().for_each(|mark| {
        log.mark(mark);
    });
    let bytes = log.bytes(true);
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let log = WriteLog::open(file.path(), 0, bytes.len() as u64).unwrap();
    Trace::read(&log).unwrap()
}

/// A file of these blocks: the number of the write and the block it was made for, or (0, 0) for zeroes.
fn contents(blocks: &[(u64, u64)]) -> Contents {
    let stamped = blocks.iter().zip(0..).filter(|((write, _), _)| *write > 0);
    Contents {
        size: blocks.len() as u64 * BLOCK,
        blocks: stamped
            .map(|((write, block), at)| {
                let verdict = Verdict::Good {
                    write: *write,
                    offset: block * BLOCK,
                };
                (at, verdict)
            })
            .collect(),
    }
}

/// What is said of file `object` with these contents after the first `end` marks.
fn said(trace: &Trace, end: usize, object: u32, found: &Contents) -> Result<(), String> {
    let mut oracle = Oracle::new(trace, BLOCK);
    oracle.advance(end);
    oracle.file(object).unwrap().check(found, BLOCK)
}

const NO: (u64, u64) = (0, 0);

#[test]
fn what_was_synced_is_there_exactly() {
    let trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:1:write:5:0:2:0", // 2
        "e:2:2:0",             // 3
        "b:3:1:sync:5:1",
        "e:3:0:0", // 5
        "b:4:1:write:5:1:1:0",
        "b:5:1:sync:5:0", // began before the write returned
        "e:4:1:0",        // 8
        "e:5:0:0",        // 9
    ]);
    let ok = |end, blocks: &[(u64, u64)]| said(&trace, end, 5, &contents(blocks)).is_ok();
    // Under way and returned: each block is there or not, but the size does not go beyond what is.
    for end in [3, 4] {
        assert!(ok(end, &[]));
        assert!(ok(end, &[(2, 0)]));
        assert!(ok(end, &[NO, (2, 1)]));
        assert!(!ok(end, &[NO]));
        assert!(!ok(end, &[(2, 0), NO]));
    }
    // Of another place, of nobody, or too long.
    assert!(!ok(4, &[(2, 1), NO]));
    assert!(!ok(4, &[(9, 0), NO]));
    assert!(!ok(4, &[(2, 0), (2, 1), NO]));
    assert!(ok(6, &[(2, 0), (2, 1)]));
    assert!(!ok(6, &[(2, 0), NO]));
    assert!(!ok(6, &[(2, 0)]));
    // That sync promised nothing about write 4.
    assert!(ok(10, &[(2, 0), (2, 1)]));
    assert!(ok(10, &[(2, 0), (4, 1)]));
    assert!(!ok(10, &[(4, 0), (4, 1)]));
}

#[test]
fn damage_is_told_from_age() {
    let trace = trace(&["b:1:0:start", "e:1:0:0", "b:2:1:write:5:0:1:1", "e:2:1:0"]);
    for (verdict, text) in [
        (Verdict::Poison, "POISON"),
        (Verdict::Torn, "torn"),
        (Verdict::Garbage, "garbage"),
        (Verdict::Zero, "zeroes, but"),
    ] {
        let mut found = contents(&[(2, 0)]);
        assert_eq!(said(&trace, 4, 5, &found), Ok(()));
        found.blocks.insert(0, verdict);
        let error = said(&trace, 4, 5, &found).unwrap_err();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn a_write_that_failed_may_be_there_or_not() {
    let trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:1:write:5:0:2:1",
        "e:2:2:0",
        "b:3:1:write:5:1:3:1",
        "e:3:-28:0",
        "b:4:1:sync:5:1",
        "e:4:0:0",
    ]);
    let ok = |blocks: &[(u64, u64)]| said(&trace, 8, 5, &contents(blocks)).is_ok();
    assert!(ok(&[(2, 0), (2, 1)]));
    assert!(ok(&[(2, 0), (3, 1)]));
    assert!(ok(&[(2, 0), (3, 1), (3, 2)]));
    assert!(ok(&[(2, 0), (3, 1), NO, (3, 3)]));
    assert!(!ok(&[(2, 0), (3, 1), (3, 2), NO]));
    assert!(!ok(&[(3, 0), (3, 1)]));
}

#[test]
fn what_a_short_write_did_is_promised() {
    let trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:1:write:5:0:2:1",
        "e:2:2:0",
        "b:3:1:write:5:1:3:1",
        "e:3:1:0", // one block of three
        "b:4:1:sync:5:1",
        "e:4:0:0",
    ]);
    let ok = |blocks: &[(u64, u64)]| said(&trace, 8, 5, &contents(blocks)).is_ok();
    assert!(ok(&[(2, 0), (3, 1)]));
    assert!(!ok(&[(2, 0), (2, 1)]));
    assert!(!ok(&[(2, 0), NO]));
    assert!(!ok(&[(2, 0), (3, 1), (3, 2)]));
}

/// Where the file was long enough before, what a short write did not do may be there or not.
#[test]
fn the_rest_of_a_short_write_is_there_or_not() {
    let trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:1:write:5:0:3:1",
        "e:2:3:0",
        "b:3:1:write:5:0:3:0",
        "e:3:1:0", // one block of three
        "b:4:1:sync:5:1",
        "e:4:0:0",
        "b:5:1:write:5:1:1:1",
        "e:5:1:0",
    ]);
    let ok = |end, blocks: &[(u64, u64)]| said(&trace, end, 5, &contents(blocks)).is_ok();
    assert!(ok(8, &[(3, 0), (2, 1), (3, 2)]));
    assert!(!ok(8, &[(2, 0), (2, 1), (2, 2)]));
    assert!(ok(10, &[(3, 0), (5, 1), (2, 2)]));
    assert!(!ok(10, &[(3, 0), (3, 1), (2, 2)]));
}

#[test]
fn what_was_cut_does_not_come_back() {
    let trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:1:write:5:0:4:1",
        "e:2:4:0",
        "b:3:1:truncate:5:1",
        "e:3:0:0", // 5
        "b:4:1:truncate:5:3",
        "e:4:0:0", // 7
        "b:5:1:sync:5:1",
        "e:5:0:0", // 9
        "b:6:1:zero:5:0:1",
        "e:6:0:0",
    ]);
    let ok = |end, blocks: &[(u64, u64)]| said(&trace, end, 5, &contents(blocks)).is_ok();
    let all = [(2, 0), (2, 1), (2, 2), (2, 3)];
    assert!(ok(8, &all));
    assert!(ok(8, &all[..1]));
    assert!(ok(8, &[(2, 0), NO, NO]));
    assert!(!ok(10, &all));
    assert!(!ok(10, &all[..1]));
    assert!(!ok(10, &[(2, 0), (2, 1), NO]));
    assert!(ok(10, &[(2, 0), NO, NO]));
    assert!(!ok(10, &[NO, NO, NO]));
    assert!(ok(12, &[NO, NO, NO]));
}

/// A promise of what made the file grow is one that it was cut before that, and holds when that is settled.
#[test]
fn what_was_cut_and_has_grown_was_cut() {
    let trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:1:write:5:0:3:1",
        "e:2:3:0", // 3
        "b:3:1:truncate:5:1",
        "e:3:0:0",             // 5
        "b:4:1:write:5:0:1:1", // of what the cut left
        "e:4:1:0",             // 7
        "b:5:1:write:5:3:1:1",
        "e:5:1:0", // 9
        "b:6:1:sync:5:0",
        "e:6:0:0", // 11
    ]);
    let ok = |end, blocks: &[(u64, u64)]| said(&trace, end, 5, &contents(blocks)).is_ok();
    for blocks in [&[(4, 0)][..], &[(4, 0), (2, 1), (2, 2)]] {
        assert!(ok(8, blocks));
        assert!(!ok(10, blocks));
    }
    for end in [10, 12] {
        assert!(ok(end, &[(4, 0), NO, NO, (5, 3)]));
        assert!(!ok(end, &[(4, 0), (2, 1), NO, (5, 3)]));
        assert!(!ok(end, &[(4, 0)]));
    }
}

#[test]
fn a_clone_is_whole() {
    let trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:1:write:5:0:3:1",
        "e:2:3:0",
        "b:3:1:write:6:0:3:1",
        "e:3:3:0",
        "b:4:2:write:5:1:1:0", // 6: under way while it is cloned
        "b:5:1:clone:6:5",
        "b:6:3:write:5:2:1:0", // 8: as is this
        "e:5:0:0",             // 9
        "e:4:1:0",
        "e:6:1:0",
        "b:7:1:sync:6:1",
        "e:7:0:0", // 13
    ]);
    let said = |end, blocks: &[(u64, u64)]| said(&trace, end, 6, &contents(blocks));
    let old = [(3, 0), (3, 1), (3, 2)];
    for end in [8, 9, 12] {
        assert_eq!(said(end, &old), Ok(()));
        assert_eq!(said(end, &[(2, 0), (2, 1), (2, 2)]), Ok(()));
        assert_eq!(said(end, &[(2, 0), (4, 1), (2, 2)]), Ok(()));
        let error = said(end, &[(2, 0), (3, 1), (2, 2)]).unwrap_err();
        assert!(error.contains("in part"), "{error}");
        assert!(said(end, &[NO, NO, NO]).is_err());
    }
    assert!(said(8, &[(2, 0), (4, 1), (6, 2)]).is_err());
    assert_eq!(said(9, &[(2, 0), (4, 1), (6, 2)]), Ok(()));
    assert!(said(14, &old).is_err());
    assert_eq!(said(14, &[(2, 0), (2, 1), (6, 2)]), Ok(()));
}

#[test]
fn a_range_has_the_blocks_of_another_place() {
    let trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:1:write:5:0:3:1",
        "e:2:3:0",
        "b:3:1:range:6:1:2:5:0",
        "e:3:2:0",
    ]);
    let ok = |end, blocks: &[(u64, u64)]| said(&trace, end, 6, &contents(blocks)).is_ok();
    assert!(ok(6, &[]));
    assert!(ok(6, &[NO, (2, 0), NO]));
    assert!(ok(6, &[NO, (2, 0), (2, 1)]));
    assert!(!ok(6, &[NO, (2, 1), (2, 1)]));
    assert!(!ok(6, &[(2, 0), (2, 0), (2, 1)]));
}

/// A directory and what is done in it by actor 1: op 3 makes a, 4 b, 5 renames a over b, 6 links b as c.
fn storm() -> Trace {
    let mut trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:0:link:0:home:1",
        "e:2:0:50",
        "b:3:1:link:1:a:2",
        "e:3:0:51", // 5
        "b:4:1:link:1:b:3",
        "e:4:0:52", // 7
        "b:5:1:sync:3:1",
        "e:5:0:0", // 9
        "b:6:1:rename:1:a:1:b",
        "e:6:0:0", // 11
        "b:7:1:link:1:c:2",
        "e:7:0:0", // 13
        "b:8:1:unlink:1:x",
        "e:8:-2:0", // 15: there was none
        "b:9:1:sync:1:1",
        "e:9:0:0", // 17
    ]);
    trace.inodes.insert(0, 7);
    trace
}

fn names_said(trace: &Trace, end: usize, names: &[(&str, u64)]) -> bool {
    let mut oracle = Oracle::new(trace, BLOCK);
    oracle.advance(end);
    let found: Found = names
        .iter()
        .map(|(name, inode)| ((50, (*name).to_owned()), *inode))
        .collect();
    let domains: Vec<_> = oracle.domains().collect();
    let (tops, domain) = domains.last().unwrap();
    assert_eq!(*tops, [1]);
    domain.matches(&found, oracle.inodes()).is_ok()
}

#[test]
fn names_are_as_after_some_operation() {
    let trace = storm();
    let ok = |end, names: &[(&str, u64)]| names_said(&trace, end, names);
    assert!(ok(8, &[]));
    assert!(ok(8, &[("a", 51)]));
    assert!(ok(8, &[("a", 51), ("b", 52)]));
    // Not b without a, which came before, nor what nobody made.
    assert!(!ok(8, &[("b", 52)]));
    assert!(!ok(8, &[("a", 51), ("z", 52)]));
    assert!(!ok(8, &[("a", 52)]));
    // The fsync of b implies its name, and what came before that.
    assert!(!ok(10, &[("a", 51)]));
    assert!(ok(10, &[("a", 51), ("b", 52)]));
    // A rename is whole: never both names, never none.
    assert!(ok(14, &[("b", 51)]));
    assert!(!ok(14, &[("a", 51), ("b", 51)]));
    assert!(!ok(14, &[("b", 52)]));
    assert!(!ok(14, &[("a", 51)]));
    assert!(ok(14, &[("b", 51), ("c", 51)]));
    assert!(!ok(12, &[("b", 51), ("c", 51)]));
    // The fsync of the directory.
    assert!(!ok(18, &[("b", 51)]));
    assert!(ok(18, &[("b", 51), ("c", 51)]));
}

#[test]
fn durable_contents_imply_that_the_file_was_made() {
    let mut trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:0:link:0:home:1",
        "e:2:0:50",
        "b:3:1:link:1:a:2",
        "e:3:0:51",
        "b:4:1:link:1:b:3",
        "e:4:0:52", // 7
        "b:5:1:write:2:0:1:1",
        "e:5:1:0", // 9
        "b:6:1:unlink:1:a",
        "e:6:0:0",
    ]);
    trace.inodes.insert(0, 7);
    let ok = |end, names: &[(&str, u64)]| names_said(&trace, end, names);
    assert!(ok(8, &[]));
    assert!(!ok(10, &[]));
    assert!(ok(10, &[("a", 51)]));
    assert!(ok(12, &[("b", 52)]));
}

#[test]
fn a_sync_promises_nothing_of_names_that_come_while_it_is_under_way() {
    let mut trace = trace(&[
        "b:1:0:start",
        "e:1:0:0",
        "b:2:0:link:0:home:1",
        "e:2:0:50",
        "b:3:1:link:1:a:2",
        "b:4:2:syncall",
        "e:3:0:51",
        "e:4:0:0", // 7
        "b:5:2:syncall",
        "e:5:0:0", // 9
    ]);
    trace.inodes.insert(0, 7);
    assert!(names_said(&trace, 8, &[]));
    assert!(!names_said(&trace, 10, &[]));
    assert!(names_said(&trace, 10, &[("a", 51)]));
}
