// SPDX-License-Identifier: GPL-2.0

//! How full nodes are, and what becomes of trees that contradict themselves.

use crate::model::Model;
use crate::tree::{store, Name, Names, Pair, Pairs, Pool};
use cowfs_core::block::Block;
use cowfs_core::btree::node;
use cowfs_core::btree::{self, Array, Cursor, Root, MAX_HEIGHT};
use cowfs_core::error::Error;
use cowfs_core::mem::Buf;
use cowfs_core::ondisk::Kind;
use cowfs_core::store::Reader;

#[test]
fn ascending_inserts_fill_the_leaves() {
    let mut model = Model::new(8);
    (0..1000).for_each(|key| model.insert(key));
    model.check();
    let full = Array::<Pair>::capacity(256);
    let leaves = 1000usize.div_ceil(full);
    // Interior nodes of 12: at most a tenth more.
    assert!(model.pool.used.len() <= leaves + leaves / 10 + 2);
    assert!(model.root.height >= 3);
}

#[test]
fn descending_and_random_inserts_leave_nodes_half_full() {
    for stride in [999, 617] {
        let mut model = Model::new(8);
        (0..1000).for_each(|n| model.insert(n * stride % 1000));
        model.check();
        let half = Array::<Pair>::capacity(256) / 2;
        assert!(model.pool.used.len() <= 1000 / half + 1000 / half / 4);
    }
}

#[test]
fn removing_merges_nodes() {
    let mut model = Model::new(8);
    (0..2000).for_each(|key| model.insert(key));
    let before = model.pool.used.len();
    (0..2000)
        .filter(|key| key % 10 != 0)
        .for_each(|key| model.remove(key));
    model.check();
    assert!(
        model.pool.used.len() * 4 < before,
        "{} nodes of {before} left for a tenth of the records",
        model.pool.used.len()
    );
}

#[test]
fn ranges_emptied_and_filled_again_survive_merging() {
    let mut random = 88_172_645_463_325_252u64;
    let mut below = |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) % limit
    };
    for _ in 0..40 {
        let mut model = Model::new(8);
        (0..600).for_each(|n| model.insert(n * 10));
        // Nodes lose their first children, and the next ones get keys below their separators.
        for _ in 0..20 {
            let from = below(600) * 10;
            let gone: Vec<u64> = model
                .map
                .range(from..)
                .take(10 + below(100) as usize)
                .map(|(key, _)| *key)
                .collect();
            gone.iter().for_each(|key| model.remove(*key));
            if let Some(last) = gone.last() {
                model.insert(last - 3);
                model.insert(last - 5);
            }
            (0..20).for_each(|_| model.insert(below(6000)));
        }
        model.check();
        model.walk(0, usize::MAX);
        while !model.map.is_empty() {
            let from = below(6000);
            let gone: Vec<u64> = model.map.range(from..).take(5).map(|(k, _)| *k).collect();
            gone.into_iter().for_each(|key| model.remove(key));
            if model.map.range(..from).next().is_some() && below(4) == 0 {
                model.check();
            }
            if let Some((&first, _)) = model.map.iter().next() {
                model.remove(first);
            }
        }
        model.check();
    }
}

#[test]
fn splits_are_foretold() {
    let mut model = Model::new(8);
    for n in 0..3000u64 {
        let key = n * 7919 % 3001;
        let record = Pair(key, 0, 0);
        let mut cursor = Cursor::<Pairs, Buf>::new();
        cursor.seek(&model.store, model.root, key).unwrap();
        let expected = cursor.splits(cursor.index(), 0, &[record]);
        let have = model.pool.used.len();
        model
            .run(|tx, pool, root| cursor.insert(tx, pool, root, record))
            .unwrap();
        assert_eq!(model.pool.used.len() - have, expected);
    }
    assert!(model.root.height >= 4);
}

#[test]
fn a_loop_of_nodes_is_corrupt() {
    let mut model = Model::new(8);
    (0..200).for_each(|key| model.insert(key));
    let root = model.root;
    let top = root.block;
    // The root points to itself.
    model.store.with_bytes(top, |bytes| {
        bytes[72..80].copy_from_slice(&top.0.to_le_bytes());
        cowfs_core::ondisk::header::seal(bytes);
    });
    let found = btree::lookup::<Pairs, Pair, _>(&model.store, root, 0);
    assert_eq!(found, Err(Error::Corrupt(top, "tree node of wrong level")));
    let high = Root {
        block: top,
        height: MAX_HEIGHT as u8 + 1,
    };
    let found = btree::lookup::<Pairs, Pair, _>(&model.store, high, 0);
    assert_eq!(found, Err(Error::Corrupt(top, "tree too high")));
}

#[test]
fn a_leaf_in_the_place_of_another_is_corrupt() {
    let mut model = Model::new(8);
    (0..60).for_each(|key| model.insert(key));
    let (one, two) = {
        let top = model.store.read(model.root.block, Kind::Extent).unwrap();
        (node::child(&top, 1), node::child(&top, 2))
    };
    // The root's second and third child change places.
    model.store.with_bytes(model.root.block, |bytes| {
        bytes[64 + 24..64 + 32].copy_from_slice(&two.0.to_le_bytes());
        bytes[64 + 40..64 + 48].copy_from_slice(&one.0.to_le_bytes());
        cowfs_core::ondisk::header::seal(bytes);
    });
    let capacity = Array::<Pair>::capacity(256) as u64;
    for (key, leaf) in [(capacity, two), (2 * capacity, one)] {
        let found = btree::lookup::<Pairs, Pair, _>(&model.store, model.root, key);
        let what = "tree node with keys of its neighbour";
        assert_eq!(found, Err(Error::Corrupt(leaf, what)));
    }
}

#[test]
fn records_inside_each_other_are_corrupt() {
    let (store, mut pool, mut root) = (store(8), Pool::default(), Root::EMPTY);
    // The first one's name is a record itself.
    let mut name = [0; 20];
    name[0] = 2;
    name[17] = 1;
    store
        .run(|tx| {
            btree::insert::<Names, _, _>(tx, &mut pool, &mut root, Name(1, &name))?;
            btree::insert::<Names, _, _>(tx, &mut pool, &mut root, Name(2, b"b"))
        })
        .unwrap();
    let first = {
        let leaf = store.read(root.block, Kind::Directory).unwrap();
        leaf.u16(64)
    };
    let refused = |at: usize, value: u16| {
        let old = store.with_bytes(root.block, |bytes| {
            let old = [bytes[at], bytes[at + 1]];
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
            cowfs_core::ondisk::header::seal(bytes);
            old
        });
        let read = store.read(root.block, Kind::Directory);
        assert!(matches!(read, Err(Error::Corrupt(at, _)) if at == root.block));
        store.with_bytes(root.block, |bytes| {
            bytes[at..at + 2].copy_from_slice(&old.unwrap());
            cowfs_core::ondisk::header::seal(bytes);
        });
        assert!(store.read(root.block, Kind::Directory).is_ok());
    };
    // The second slot: into the first record, wherever.
    for shift in 0..38 {
        refused(66, first + shift);
    }
    // Beside its own one.
    for shift in 1..19 {
        refused(66, first - 19 + shift);
    }
    // The first record's length, in the high byte.
    for length in [0, 19, 21, 255] {
        refused(usize::from(first) + 16, (length << 8) | 0x55);
    }
}

#[test]
fn a_record_too_large_is_refused() {
    let (store, mut pool, mut root) = (store(8), Pool::default(), Root::EMPTY);
    store
        .run(|tx| btree::insert::<Names, _, _>(tx, &mut pool, &mut root, Name(1, b"a")))
        .unwrap();
    let long = [b'x'; 60];
    let done =
        store.run(|tx| btree::insert::<Names, _, _>(tx, &mut pool, &mut root, Name(2, &long)));
    assert_eq!(done, Err(Error::TooBig));
}
