// SPDX-License-Identifier: GPL-2.0

//! The B+tree against `BTreeMap`: any mix of changes gives the same records, and a tree that is sound.

use cowfs_core::block::Block;
use cowfs_core::btree::node::{self, Branch};
use cowfs_core::btree::{
    self, Array, Cursor, Fixed, Format, Layout, Owner, Record, Root, Slotted, Tree, MAX_HEIGHT,
};
use cowfs_core::error::{Error, Result};
use cowfs_core::mem::{Buf, MemStore, MemTx};
use cowfs_core::ondisk::{Geometry, Kind};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{FsBlock, Ino};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A store for trees only: nothing in it but their nodes.
fn store(block_shift: u8) -> MemStore {
    MemStore::new(Geometry {
        uuid: [7; 16],
        block_shift,
        blocks: 1 << 20,
        ag_start: FsBlock(8),
        ag_blocks: 1 << 10,
        ag_count: 1,
        summary_start: FsBlock(2),
        summary_blocks: 1,
        journal_start: FsBlock(3),
        journal_blocks: 1,
        root: Ino(0),
        hash_seed: [0; 16],
    })
    .unwrap()
}

/// Hands out blocks, and knows which it has handed out.
#[derive(Default)]
struct Pool {
    next: u64,
    used: BTreeSet<FsBlock>,
    /// Fail when this many blocks are in use.
    most: Option<usize>,
}

impl<'a> Owner<MemTx<'a>> for Pool {
    fn id(&self) -> u64 {
        42
    }

    fn alloc(&mut self, _tx: &mut MemTx<'a>, _near: FsBlock) -> Result<FsBlock> {
        if self.most.is_some_and(|most| self.used.len() >= most) {
            return Err(Error::NoSpace);
        }
        self.next += 1;
        let at = FsBlock(1000 + self.next);
        self.used.insert(at);
        Ok(at)
    }

    fn free(&mut self, tx: &mut MemTx<'a>, at: FsBlock) -> Result {
        assert!(self.used.remove(&at), "block {at} freed twice");
        // A block that was allocated but never made a node has nothing to forget.
        match tx.read(at, Kind::Extent).or(tx.read(at, Kind::Directory)) {
            Ok(_) => tx.forget(at),
            Err(_) => Ok(()),
        }
    }
}

/// Checks everything a tree promises, and returns the offsets of its records in order.
fn check<T: Tree>(store: &MemStore, pool: &Pool, root: Root) -> Vec<(Buf, usize)> {
    fn walk<T: Tree>(
        store: &MemStore,
        at: FsBlock,
        level: usize,
        from: u64,
        to: Option<u64>,
        nodes: &mut BTreeSet<FsBlock>,
        records: &mut Vec<(Buf, usize)>,
    ) {
        assert!(nodes.insert(at), "node {at} is in the tree twice");
        let buf = store.read(at, T::KIND).unwrap();
        assert_eq!(node::level(&buf), level);
        let count = node::count(&buf);
        assert!(count > 0, "empty node");
        let keys: Vec<u64> = (0..count)
            .map(|index| match level {
                0 => T::Leaf::key(&buf, index),
                _ => Array::<Branch>::key(&buf, index),
            })
            .collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(keys[0] >= from && to.is_none_or(|to| keys[count - 1] < to));
        if level == 0 {
            records.extend((0..count).map(|index| (buf.clone(), T::Leaf::place(&buf, index))));
            return;
        }
        for index in 0..count {
            let end = keys.get(index + 1).copied().or(to);
            let child = node::child(&buf, index);
            let from = if index > 0 { keys[index] } else { from };
            walk::<T>(store, child, level - 1, from, end, nodes, records);
        }
    }
    let (mut nodes, mut records) = (BTreeSet::new(), Vec::new());
    if root.height > 0 {
        let level = usize::from(root.height) - 1;
        walk::<T>(store, root.block, level, 0, None, &mut nodes, &mut records);
        if level > 0 {
            let top = store.read(root.block, T::KIND).unwrap();
            assert!(node::count(&top) > 1, "root with a single child");
        }
    } else {
        assert_eq!(root, Root::EMPTY);
    }
    assert_eq!(nodes, pool.used, "nodes leaked or lost");
    records
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair(u64, u64, u64);

impl Record for Pair {
    fn key(&self) -> u64 {
        self.0
    }

    fn size(&self) -> usize {
        24
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.0);
        buf.set_u64(at + 8, self.1);
        buf.set_u64(at + 16, self.2);
    }
}

impl Fixed for Pair {
    const SIZE: usize = 24;

    fn load<B: Block>(buf: &B, at: usize) -> Self {
        Pair(buf.u64(at), buf.u64(at + 8), buf.u64(at + 16))
    }
}

struct Pairs;

impl Tree for Pairs {
    const KIND: Kind = Kind::Extent;
    type Leaf = Array<Pair>;
}

#[derive(Clone, Copy)]
struct Name<'a>(u64, &'a [u8]);

impl Record for Name<'_> {
    fn key(&self) -> u64 {
        self.0
    }

    fn size(&self) -> usize {
        18 + self.1.len()
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.0);
        buf.store(at + 8, &[0x55; 9]);
        buf.set_u8(at + 17, self.1.len() as u8);
        buf.store(at + 18, self.1);
    }
}

struct NameFormat;

impl Format for NameFormat {
    type Record<'a> = Name<'a>;
}

struct Names;

impl Tree for Names {
    const KIND: Kind = Kind::Directory;
    type Leaf = Slotted<NameFormat>;
}

fn load_name(buf: &Buf, at: usize) -> (u64, Vec<u8>) {
    let mut name = vec![0; usize::from(buf.u8(at + 17))];
    buf.load(at + 18, &mut name);
    (buf.u64(at), name)
}

/// A tree of pairs and the map it should be.
struct Model {
    store: MemStore,
    pool: Pool,
    root: Root,
    map: BTreeMap<u64, (u64, u64)>,
    stamp: u64,
    /// Where the last splice was made, if nothing else changed the tree since.
    cursor: Cursor<Pairs, Buf>,
}

impl Model {
    fn new(block_shift: u8) -> Self {
        Model {
            store: store(block_shift),
            pool: Pool::default(),
            root: Root::EMPTY,
            map: BTreeMap::new(),
            stamp: 0,
            cursor: Cursor::new(),
        }
    }

    /// Runs `f` in a transaction with just the credits it may need.
    fn run<V>(
        &mut self,
        f: impl FnOnce(&mut MemTx<'_>, &mut Pool, &mut Root) -> Result<V>,
    ) -> Result<V> {
        let mut tx = self.store.begin(u32::MAX);
        tx.need(self.root.credits()).unwrap();
        let have = self.pool.used.len();
        let splits = self.root.splits() as usize;
        let done = f(&mut tx, &mut self.pool, &mut self.root);
        assert!(self.pool.used.len() <= have + splits);
        tx.commit().unwrap();
        done
    }

    fn insert(&mut self, key: u64) {
        self.cursor.clear();
        self.stamp += 1;
        let value = (self.stamp, !key);
        let record = Pair(key, value.0, value.1);
        let done = self.run(|tx, pool, root| btree::insert::<Pairs, _, _>(tx, pool, root, record));
        match self.map.contains_key(&key) {
            true => assert_eq!(done, Err(Error::Exists)),
            false => {
                done.unwrap();
                self.map.insert(key, value);
            }
        }
    }

    fn remove(&mut self, key: u64) {
        self.cursor.clear();
        let done = self.run(|tx, pool, root| btree::remove::<Pairs, _, _>(tx, pool, root, key));
        assert_eq!(done, Ok(self.map.remove(&key).is_some()));
    }

    fn lookup(&self, key: u64) {
        let found = btree::lookup::<Pairs, Pair, _>(&self.store, self.root, key).unwrap();
        let expected = self.map.get(&key).map(|value| Pair(key, value.0, value.1));
        assert_eq!(found, expected);
    }

    /// Exchanges up to `remove` records at and after `key` for up to four new ones.
    fn splice(&mut self, key: u64, remove: usize, add: usize) {
        let mut cursor = std::mem::take(&mut self.cursor);
        cursor.seek_on(&self.store, self.root, key).unwrap();
        let at = cursor.index() - usize::from(cursor.key() == Some(key));
        let remove = remove.min(cursor.count() - at);
        let (from, to) = cursor.bounds();
        assert!(from <= key && to.is_none_or(|to| key < to || key == u64::MAX));
        let low = match at {
            0 => from,
            _ => cursor.record(at - 1).unwrap().0 + 1,
        };
        let high = match cursor.record(at + remove) {
            Some(next) => next.0,
            None => to.unwrap_or(u64::MAX),
        };
        let step = (high - low) / 5;
        if step == 0 {
            return;
        }
        self.stamp += 1;
        let new: Vec<Pair> = (1..=add as u64)
            .map(|n| Pair(low + n * step, self.stamp, n))
            .collect();
        for index in at..at + remove {
            self.map.remove(&cursor.record(index).unwrap().0).unwrap();
        }
        self.map
            .extend(new.iter().map(|new| (new.0, (new.1, new.2))));
        self.run(|tx, pool, root| cursor.splice(tx, pool, root, at, remove, &new))
            .unwrap();
        self.cursor = cursor;
    }

    /// Compares a walk from the first record not below `from` with the map.
    fn walk(&self, from: u64, most: usize) {
        let mut cursor = Cursor::<Pairs, Buf>::new();
        cursor.seek_before(&self.store, self.root, from).unwrap();
        let mut expected = self.map.range(from..);
        for _ in 0..most {
            let (next, found) = (expected.next(), cursor.next(&self.store).unwrap());
            assert_eq!(found, next.is_some());
            let Some((&key, &value)) = next else { break };
            assert_eq!(cursor.get(), Some(Pair(key, value.0, value.1)));
            let (low, high) = cursor.bounds();
            assert!(low <= key && high.is_none_or(|high| key < high));
        }
    }

    fn check(&self) {
        let found: Vec<Pair> = check::<Pairs>(&self.store, &self.pool, self.root)
            .iter()
            .map(|(buf, at)| Pair::load(buf, *at))
            .collect();
        let expected: Vec<Pair> = self.map.iter().map(|(k, v)| Pair(*k, v.0, v.1)).collect();
        assert_eq!(found, expected);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Remove(u64),
    RemoveRange(u64, u8),
    Ascending(u64, u8),
    Descending(u64, u8),
    Splice(u64, usize, usize),
    Walk(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few enough keys that they meet; the largest one too.
    let key = || prop_oneof![20 => 0..2000u64, 1 => Just(u64::MAX)];
    let step = prop_oneof![
        6 => key().prop_map(Step::Insert),
        3 => key().prop_map(Step::Remove),
        1 => (key(), any::<u8>()).prop_map(|(k, n)| Step::RemoveRange(k, n)),
        1 => (key(), any::<u8>()).prop_map(|(k, n)| Step::Ascending(k, n)),
        1 => (key(), any::<u8>()).prop_map(|(k, n)| Step::Descending(k, n)),
        4 => (key(), 0..4usize, 0..5usize).prop_map(|(k, r, a)| Step::Splice(k, r, a)),
        1 => key().prop_map(Step::Walk),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_changes_give_the_same_map(steps in steps(), block_shift in 8..=10u8) {
        let mut model = Model::new(block_shift);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(key) => model.insert(key),
                Step::Remove(key) => model.remove(key),
                Step::RemoveRange(key, count) => {
                    let keys: Vec<u64> =
                        model.map.range(key..).take(count.into()).map(|(k, _)| *k).collect();
                    keys.into_iter().for_each(|key| model.remove(key));
                }
                Step::Ascending(key, count) => {
                    (0..u64::from(count)).for_each(|n| model.insert(key.saturating_add(n)));
                }
                Step::Descending(key, count) => {
                    (0..u64::from(count)).for_each(|n| model.insert(key.saturating_sub(n)));
                }
                Step::Splice(key, remove, add) => model.splice(key, remove, add),
                Step::Walk(key) => {
                    model.lookup(key);
                    model.walk(key, 50);
                }
            }
            if number % 8 == 0 {
                model.check();
            }
        }
        model.check();
        model.walk(0, usize::MAX);
        let keys: Vec<u64> = model.map.keys().copied().collect();
        keys.into_iter().for_each(|key| model.remove(key));
        model.check();
    }

    #[test]
    fn any_names_give_the_same_map(
        steps in prop::collection::vec(
            (0..300u64, prop::option::weighted(0.6, prop::collection::vec(any::<u8>(), 1..=255usize))),
            1..400,
        ),
    ) {
        let (store, mut pool, mut root) = (store(10), Pool::default(), Root::EMPTY);
        let mut map = BTreeMap::new();
        for (key, name) in steps {
            let mut tx = store.begin(root.credits());
            tx.need(root.credits()).unwrap();
            match name {
                Some(name) => {
                    let mut cursor = Cursor::<Names, Buf>::new();
                    cursor.seek(&tx, root, key).unwrap();
                    if cursor.key() == Some(key) {
                        cursor.update(&mut tx, &mut pool, &mut root, Name(key, &name)).unwrap();
                    } else {
                        cursor.insert(&mut tx, &mut pool, &mut root, Name(key, &name)).unwrap();
                    }
                    map.insert(key, name);
                }
                None => {
                    let done = btree::remove::<Names, _, _>(&mut tx, &mut pool, &mut root, key);
                    assert_eq!(done, Ok(map.remove(&key).is_some()));
                }
            }
            tx.commit().unwrap();
            let found: Vec<_> = check::<Names>(&store, &pool, root)
                .iter()
                .map(|(buf, at)| load_name(buf, *at))
                .collect();
            let expected: Vec<_> = map.iter().map(|(k, v)| (*k, v.clone())).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn without_space_nothing_changes(
        keys in prop::collection::vec(0..500u64, 1..300),
        most in 1..12usize,
    ) {
        let mut model = Model::new(8);
        model.pool.most = Some(most);
        let mut refused = 0;
        for key in keys {
            if model.map.contains_key(&key) {
                continue;
            }
            let (before, nodes) = (model.root, model.pool.used.clone());
            let record = Pair(key, key, key);
            let done =
                model.run(|tx, pool, root| btree::insert::<Pairs, _, _>(tx, pool, root, record));
            match done {
                Ok(()) => {
                    model.map.insert(key, (key, key));
                }
                Err(error) => {
                    assert_eq!(error, Error::NoSpace);
                    assert_eq!((model.root, &model.pool.used), (before, &nodes));
                    refused += 1;
                }
            }
            model.check();
        }
        prop_assert!(model.map.len() < 8 || refused > 0 || model.pool.used.len() <= most);
    }

    #[test]
    fn a_damaged_node_is_an_error_and_nothing_worse(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 48..256usize, any::<u8>()), 1..8),
        slotted in any::<bool>(),
        key in 0..600u64,
    ) {
        let (store, mut pool, mut root) = (store(8), Pool::default(), Root::EMPTY);
        store.run(|tx| {
            (0..600).try_for_each(|key| match slotted {
                true => btree::insert::<Names, _, _>(tx, &mut pool, &mut root, Name(key, b"name")),
                false => btree::insert::<Pairs, _, _>(tx, &mut pool, &mut root, Pair(key, 0, 0)),
            })
        }).unwrap();
        let mut nodes: Vec<FsBlock> = pool.used.iter().copied().collect();
        nodes.sort();
        for (node, at, byte) in damage {
            store.with_bytes(*node.get(&nodes), |bytes| {
                bytes[at] = byte;
                cowfs_core::ondisk::header::seal(bytes);
            });
        }
        // A reader that finds it broken says so; else every record it shows is in order.
        fn walk<T: Tree>(store: &MemStore, root: Root) -> Result<usize> {
            let mut cursor = Cursor::<T, Buf>::new();
            cursor.seek_before(store, root, 0)?;
            let (mut count, mut last) = (0, None);
            while cursor.next(store)? {
                assert!(last < cursor.key());
                last = cursor.key();
                count += 1;
            }
            Ok(count)
        }
        let walked = match slotted {
            true => walk::<Names>(&store, root),
            false => walk::<Pairs>(&store, root),
        };
        if let Err(error) = walked {
            prop_assert!(matches!(error, Error::Corrupt(..)));
        }
        // A writer may fail at any point, but comes back.
        let mut tx = store.begin_unlimited();
        let mut lost = Lost(5000);
        for key in key..key + 20 {
            let _ = match slotted {
                true => btree::remove::<Names, _, _>(&mut tx, &mut lost, &mut root, key),
                false => btree::remove::<Pairs, _, _>(&mut tx, &mut lost, &mut root, key),
            };
            let _ = match slotted {
                true => btree::insert::<Names, _, _>(&mut tx, &mut lost, &mut root, Name(key + 600, b"n")),
                false => btree::insert::<Pairs, _, _>(&mut tx, &mut lost, &mut root, Pair(key + 600, 0, 0)),
            };
        }
    }
}

/// An owner that takes what comes.
struct Lost(u64);

impl<'a> Owner<MemTx<'a>> for Lost {
    fn id(&self) -> u64 {
        1
    }

    fn alloc(&mut self, _tx: &mut MemTx<'a>, _near: FsBlock) -> Result<FsBlock> {
        self.0 += 1;
        Ok(FsBlock(self.0))
    }

    fn free(&mut self, _tx: &mut MemTx<'a>, _at: FsBlock) -> Result {
        Ok(())
    }
}

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
