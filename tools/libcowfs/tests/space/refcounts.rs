// SPDX-License-Identifier: GPL-2.0

//! Reference counts against an array of counts.

use super::{census, volume};
use cowfs_core::block::Block;
use cowfs_core::error::Error;
use cowfs_core::mem::MemStore;
use cowfs_core::ondisk::{group, header, Kind};
use cowfs_core::space::refcount::When;
use cowfs_core::space::{self, credits, refcount, Purpose};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgNumber, FsBlock};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Allocates all of group 0 that can be, in one run if possible, and returns the blocks.
fn fill(store: &MemStore) -> Vec<FsBlock> {
    let geometry = store.geometry();
    let start = geometry.group_start(AgNumber(0));
    let mut blocks = BTreeSet::new();
    loop {
        let found = store.run(|tx| space::alloc(tx, start, 1 << 20, Purpose::Data));
        match found {
            Ok((at, len)) => blocks.extend((0..u64::from(len)).map(|i| at.add(i))),
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                return blocks.into_iter().collect();
            }
        }
    }
}

/// Checks the counts on disk and as looked up against the model's.
fn check(store: &MemStore, counts: &BTreeMap<FsBlock, u32>) {
    let census = census::take(store);
    let shared = counts.iter().filter(|(_, &count)| count > 1);
    assert_eq!(census.counts, shared.map(|(&at, &n)| (at, n)).collect());
    let used = counts.keys().copied().collect();
    assert_eq!(census.data, used);
    let geometry = store.geometry();
    let mut left = counts.iter().peekable();
    while let Some((&at, &count)) = left.peek() {
        // As far as the blocks follow one another.
        let mut len = 1;
        while geometry.in_one_group(at, len + 1) && counts.contains_key(&at.add(u64::from(len))) {
            len += 1;
        }
        let (found, run) = refcount::lookup(store, at, len, When::Now).unwrap();
        assert_eq!(found, count, "block {at}");
        assert!(run >= 1 && run <= len);
        for _ in 0..run {
            let (at, &next) = left.next().unwrap();
            assert_eq!(next, count, "block {at}");
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Share(usize, u32),
    ShareAll(Vec<(usize, u32)>),
    Release(usize, u32),
    End,
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![3 => Just(1u32), 2 => 1u32..9, 1 => 1u32..2000];
    prop_oneof![
        20 => (any::<usize>(), len.clone()).prop_map(|(n, len)| Op::Share(n, len)),
        16 => (any::<usize>(), len).prop_map(|(n, len)| Op::Release(n, len)),
        4 => prop::collection::vec((any::<usize>(), 1u32..9), 1..20).prop_map(Op::ShareAll),
        1 => Just(Op::End),
    ]
}

/// How many blocks from the `n`th of those in use on, up to `len`, are in use and in one group.
fn range(
    store: &MemStore,
    counts: &BTreeMap<FsBlock, u32>,
    n: usize,
    len: u32,
) -> Option<(FsBlock, u32)> {
    let (&at, _) = counts.iter().nth(n % counts.len().max(1))?;
    let mut range = 0;
    while range < len
        && store.geometry().in_one_group(at, range + 1)
        && counts.contains_key(&at.add(u64::from(range)))
    {
        range += 1;
    }
    Some((at, range))
}

fn run(store: &MemStore, ops: Vec<Op>) {
    let blocks = fill(store);
    let mut counts: BTreeMap<_, _> = blocks.iter().map(|&at| (at, 1u32)).collect();
    let mut tx = store.begin(u32::MAX);
    for op in ops {
        match op {
            Op::Share(n, len) | Op::Release(n, len) => {
                let Some((at, range)) = range(store, &counts, n, len) else {
                    continue;
                };
                let mut done = 0;
                while done < range {
                    let at = at.add(u64::from(done));
                    let count = counts[&at];
                    let step = if matches!(op, Op::Share(..)) {
                        tx.need(credits::share(store.geometry())).unwrap();
                        refcount::share(&mut tx, at, range - done).unwrap()
                    } else {
                        tx.need(credits::release(store.geometry())).unwrap();
                        let released = refcount::release(&mut tx, at, range - done).unwrap();
                        assert_eq!(released.freed, count == 1);
                        released.done
                    };
                    assert!(step >= 1 && step <= range - done);
                    for at in (0..u64::from(step)).map(|i| at.add(i)) {
                        assert_eq!(counts[&at], count, "prefix of one count");
                        match op {
                            Op::Share(..) => counts.insert(at, count + 1),
                            _ if count == 1 => counts.remove(&at),
                            _ => counts.insert(at, count - 1),
                        };
                    }
                    done += step;
                }
            }
            Op::ShareAll(runs) => {
                let runs: Vec<_> = runs
                    .into_iter()
                    .filter_map(|(n, len)| range(store, &counts, n, len))
                    .collect();
                let blocks: u32 = runs.iter().map(|run| run.1).sum();
                tx.need(blocks * credits::share(store.geometry())).unwrap();
                refcount::share_all(&mut tx, runs.iter().copied()).unwrap();
                for (at, len) in runs {
                    for at in (0..u64::from(len)).map(|i| at.add(i)) {
                        *counts.get_mut(&at).unwrap() += 1;
                    }
                }
            }
            Op::End => {
                tx.commit().unwrap();
                tx = store.begin(u32::MAX);
            }
        }
    }
    tx.commit().unwrap();
    check(store, &counts);
    // To the last one.
    let mut tx = store.begin_unlimited();
    for (at, count) in counts {
        for left in (0..count).rev() {
            let released = refcount::release(&mut tx, at, 1).unwrap();
            assert_eq!((released.done, released.freed), (1, left == 0));
        }
    }
    tx.commit().unwrap();
    let census = census::take(store);
    assert!(census.data.is_empty() && census.counts.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 60 } else { 600 }))]

    #[test]
    fn counts_are_those_of_an_array(ops in prop::collection::vec(op(), 1..400)) {
        run(&volume(1024, 64, 3, 0), ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 12 } else { 200 }))]

    #[test]
    fn counts_are_those_of_an_array_in_large_trees(ops in prop::collection::vec(op(), 1000..3000)) {
        run(&volume(1024, 1024, 1, 0), ops);
    }
}

#[test]
fn free_blocks_and_metadata_have_no_counts() {
    let store = volume(1024, 64, 2, 0);
    let geometry = store.geometry();
    let start = geometry.group_start(AgNumber(0));
    for at in [
        start,
        start.add(40),
        geometry.group_start(AgNumber(1)),
        FsBlock(1),
    ] {
        let shared = store.run(|tx| refcount::share(tx, at, 1));
        assert!(matches!(shared, Err(Error::Corrupt(..))), "{at}");
        let released = store.run(|tx| refcount::release(tx, at, 1));
        assert!(matches!(released, Err(Error::Corrupt(..))), "{at}");
    }
    assert!(refcount::lookup(&store, start.add(10), 1000, When::Now).is_err());
}

#[test]
fn a_count_cannot_pass_its_limit() {
    let store = volume(1024, 64, 1, 0);
    let (at, _) = store
        .run(|tx| space::alloc(tx, FsBlock(0), 1, Purpose::Data))
        .unwrap();
    store.run(|tx| refcount::share(tx, at, 1)).unwrap();
    store.with_bytes(root(&store), |bytes| {
        bytes[64 + 12..64 + 16].fill(0xff);
        cowfs_core::ondisk::header::seal(bytes);
    });
    assert_eq!(
        refcount::lookup(&store, at, 1, When::Now).unwrap(),
        (u32::MAX, 1)
    );
    let shared = store.run(|tx| refcount::share(tx, at, 1));
    assert_eq!(shared, Err(Error::TooBig));
    let shared = store.run(|tx| refcount::share_all(tx, [(at, 1)].into_iter()));
    assert!(matches!(shared, Err(Error::Corrupt(..))));
    let released = store.run(|tx| refcount::release(tx, at, 1)).unwrap();
    assert!(!released.freed);
    assert_eq!(
        refcount::lookup(&store, at, 1, When::Now).unwrap().0,
        u32::MAX - 1
    );
}

#[test]
fn what_a_crash_brings_back_counts_until_it_cannot() {
    let store = volume(1024, 64, 1, 0);
    let (at, len) = store
        .run(|tx| space::alloc(tx, FsBlock(0), 8, Purpose::Data))
        .unwrap();
    assert_eq!(len, 8);
    assert_eq!(store.run(|tx| refcount::share(tx, at, 8)), Ok(8));
    let mut tx = store.begin_unlimited();
    assert_eq!(refcount::release(&mut tx, at.add(2), 3).unwrap().done, 3);
    let look = |tx: &dyn Fn(FsBlock, When) -> (u32, u32)| {
        [0, 2, 4, 5].map(|n| (tx(at.add(n), When::Now), tx(at.add(n), When::AfterCrash)))
    };
    let within = look(&|at, when| refcount::lookup(&tx, at, 3, when).unwrap());
    assert_eq!(
        within,
        [
            ((2, 2), (2, 2)),
            ((1, 3), (2, 3)),
            ((1, 1), (2, 1)),
            ((2, 3), (2, 3)),
        ]
    );
    // Nor is it forgotten with the group.
    store.forget_groups(false);
    let again = look(&|at, when| refcount::lookup(&tx, at, 3, when).unwrap());
    assert_eq!(again, within);
    tx.commit().unwrap();
    let after = look(&|at, when| refcount::lookup(&store, at, 3, when).unwrap());
    for (now, later) in after {
        assert_eq!(now, later);
    }
    // One more transaction, of the same parity as the one after the next.
    for expected in [(2, 2), (1, 2)] {
        let mut tx = store.begin_unlimited();
        if expected.0 == 2 {
            refcount::release(&mut tx, at, 2).unwrap();
        }
        assert_eq!(refcount::lookup(&tx, at, 2, When::AfterCrash), Ok(expected));
        assert_eq!(
            refcount::lookup(&tx, at.add(2), 3, When::AfterCrash),
            Ok((1, 3))
        );
        tx.commit().unwrap();
    }
}

/// The root of group 0's reference counts; 0 if there are none.
fn root(store: &MemStore) -> FsBlock {
    let start = store.geometry().group_start(AgNumber(0));
    let header = store.read(start, Kind::Group).unwrap();
    FsBlock(header.u64(group::REFCOUNT_ROOT))
}

/// What was a node could be written again by a replay, so no data may be put there, however often the
/// group leaves memory, until the journal has moved on.
#[test]
fn a_node_that_was_does_not_become_data() {
    let store = volume(1024, 64, 1, 0);
    let (at, _) = store
        .run(|tx| space::alloc(tx, FsBlock(0), 1, Purpose::Data))
        .unwrap();
    store.run(|tx| refcount::share(tx, at, 1)).unwrap();
    let node = root(&store);
    assert!(!node.is_null());
    store.run(|tx| refcount::release(tx, at, 1)).unwrap();
    assert!(root(&store).is_null());

    for settled in [false, false, true] {
        store.forget_groups(settled);
        let goal = node;
        let staged = space::stage(&store, goal, 1).unwrap();
        assert_eq!(staged == (node, 1), settled, "{staged:?}");
        space::unstage(&store, staged.0, staged.1).unwrap();
    }
}

/// Else what is left of the first record would be entered behind the second one.
#[test]
fn records_that_overlap_are_an_error() {
    let store = volume(1024, 1024, 1, 0);
    let blocks = fill(&store);
    let (one, two) = (blocks[20], blocks[60]);
    store
        .run(|tx| {
            refcount::share(tx, one, 10)?;
            refcount::share(tx, two, 5)
        })
        .unwrap();
    let header = store.geometry().group_start(AgNumber(0));
    let leaf = {
        let buf = store.read(header, Kind::Group).unwrap();
        FsBlock(buf.u64(group::REFCOUNT_ROOT))
    };
    // The length of the first.
    store.with_bytes(leaf, |bytes| {
        bytes[header::SIZE + 8] = 100;
        header::seal(bytes);
    });
    let done = store.run(|tx| refcount::share(tx, one.add(5), 60));
    let what = "overlapping reference count records";
    assert_eq!(done.map(|_| ()), Err(Error::Corrupt(leaf, what)));
}

/// The rest of such a record would be entered under a key of the next leaf; and one without blocks lies beside another
/// of the same key.
#[test]
fn records_beyond_their_leaf_or_of_no_length_are_an_error() {
    let store = volume(1024, 1024, 1, 0);
    let blocks = fill(&store);
    for pair in blocks.chunks(2).take(150) {
        store.run(|tx| refcount::share(tx, pair[0], 1)).unwrap();
    }
    let root = {
        let header = store
            .read(store.geometry().group_start(AgNumber(0)), Kind::Group)
            .unwrap();
        FsBlock(header.u64(group::REFCOUNT_ROOT))
    };
    let node = store.read(root, Kind::Refcount).unwrap();
    assert!(node.u16(header::LEVEL) == 1 && node.u16(header::COUNT) > 1);
    // The first child's last record, whose first block is a key of 8 bytes.
    let leaf = FsBlock(node.u64(header::SIZE + 8));
    let (at, first) = {
        let buf = store.read(leaf, Kind::Refcount).unwrap();
        let at = header::SIZE + 16 * (usize::from(buf.u16(header::COUNT)) - 1);
        (at, buf.u64(at))
    };
    let first = store.geometry().group_start(AgNumber(0)).add(first);
    for len in [0, 100] {
        store.with_bytes(leaf, |bytes| {
            bytes[at + 8] = len;
            header::seal(bytes);
        });
        let done = store.run(|tx| refcount::share(tx, first, 30));
        let what = "overlapping reference count records";
        assert_eq!(done.map(|_| ()), Err(Error::Corrupt(root, what)), "{len}");
    }
}
