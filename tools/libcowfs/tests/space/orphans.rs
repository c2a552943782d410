// SPDX-License-Identifier: GPL-2.0

//! The orphan tree against a set of numbers.

use super::{census, volume};
use cowfs_core::error::Error;
use cowfs_core::mem::MemTx;
use cowfs_core::space::{credits, orphans};
use cowfs_core::store::Transaction;
use cowfs_core::units::Ino;
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
