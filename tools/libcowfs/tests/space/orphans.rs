// SPDX-License-Identifier: GPL-2.0

//! The orphan tree against a set of numbers.

use super::{census, volume};
use cowfs_core::block::Block;
use cowfs_core::error::Error;
use cowfs_core::mem::{MemStore, MemTx};
use cowfs_core::ondisk::{volume as record, Geometry, Kind};
use cowfs_core::space::{alloc, credits, orphans, Purpose};
use cowfs_core::store::Transaction;
use cowfs_core::units::{FsBlock, Ino};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// All orphans, as mounting finds them.
fn all(tx: &mut MemTx<'_>) -> BTreeSet<Ino> {
    let mut found = BTreeSet::new();
    let mut at = Ino(0);
    while let Some(next) = orphans::first_after(tx, at).unwrap() {
        assert!(next > at);
        found.insert(next);
        at = next;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 30 } else { 600 }))]

    #[test]
    fn orphans_are_those_of_a_set(
        ops in prop::collection::vec((1u64..4000, prop::bool::weighted(0.6)), 1..1500),
        commit in 1usize..200,
    ) {
        let store = volume(1024, 64, 4, 0);
        let mut model = BTreeSet::new();
        let mut tx = store.begin(u32::MAX);
        for (n, (ino, add)) in ops.into_iter().enumerate() {
            tx.need(credits::ORPHAN).unwrap();
            // Ascending inserts as well as scattered ones.
            let ino = Ino(if n % 3 == 0 { 4000 + n as u64 } else { ino });
            if add {
                let added = orphans::add(&mut tx, ino);
                assert_eq!(added.is_ok(), model.insert(ino));
            } else {
                let removed = orphans::remove(&mut tx, ino);
                assert_eq!(removed.is_ok(), model.remove(&ino));
            }
            if n % commit == 0 {
                tx.commit().unwrap();
                tx = store.begin(u32::MAX);
            }
        }
        assert_eq!(all(&mut tx), model);
        tx.commit().unwrap();
        let census = census::take(&store);
        assert_eq!(&census.orphans, &model);
        assert!(census.data.is_empty());
        // A crash forgets what was not committed.
        let mut tx = store.begin_unlimited();
        for &ino in &model {
            orphans::remove(&mut tx, ino).unwrap();
        }
        assert!(all(&mut tx).is_empty());
        drop(tx);
        assert_eq!(store.run(|tx| Ok(all(tx))).unwrap(), model);
        // Removed for good, they leave no blocks behind.
        let mut tx = store.begin(u32::MAX);
        for &ino in &model {
            tx.need(credits::ORPHAN).unwrap();
            orphans::remove(&mut tx, ino).unwrap();
        }
        tx.commit().unwrap();
        let census = census::take(&store);
        assert!(census.orphans.is_empty() && census.data.is_empty());
    }
}

#[test]
fn the_tree_keeps_its_root() {
    let store = volume(4096, 64, 1, 0);
    store.run(|tx| orphans::add(tx, Ino(77))).unwrap();
    let root = store.volume(|volume| volume.orphans).unwrap();
    store.run(|tx| orphans::remove(tx, Ino(77))).unwrap();
    assert_eq!(store.volume(|volume| volume.orphans).unwrap(), root);
    for ino in [Ino(0), Ino(77)] {
        let removed = store.run(|tx| orphans::remove(tx, ino));
        assert_eq!(removed, Err(Error::NotFound));
    }
    assert_eq!(store.run(|tx| Ok(all(tx))).unwrap(), BTreeSet::new());
}

/// A tree of more levels would not be accepted by the next mount.
#[test]
fn the_tree_is_no_higher_than_it_may_be() {
    // Small nodes, so that it does not take millions.
    let store = MemStore::new(Geometry {
        uuid: [7; 16],
        block_shift: 9,
        blocks: 4 + 12 * 1024,
        ag_start: FsBlock(4),
        ag_blocks: 1024,
        ag_count: 12,
        summary_start: FsBlock(2),
        summary_blocks: 1,
        journal_start: FsBlock(3),
        journal_blocks: 1,
        root: Ino(0),
        hash_seed: [0; 16],
    })
    .unwrap();
    store
        .run(|tx| {
            tx.create(FsBlock(2), Kind::Summary, 0)?;
            let counters = tx.create(Geometry::VOLUME, Kind::Volume, 0)?;
            counters.set_u64(record::FREE, 12 * 1000);
            Ok(())
        })
        .unwrap();
    let mut tx = store.begin_unlimited();
    // In descending order, which leaves all nodes half empty.
    let mut ino = Ino(1 << 20);
    while orphans::add(&mut tx, ino) != Err(Error::NoSpace) {
        ino.0 -= 1;
    }
    tx.commit().unwrap();
    let height = store.volume(|volume| volume.orphans.height).unwrap();
    assert_eq!(u32::from(height), credits::ORPHAN_LEVELS);
    assert!(ino.0 > 1 << 19, "there are more than half of these");
    // It was not for want of blocks.
    store
        .run(|tx| alloc(tx, FsBlock(4), 1, Purpose::Tree))
        .unwrap();
}
