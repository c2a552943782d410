// SPDX-License-Identifier: GPL-2.0

//! Any mix of changes, made to a tree and to a map.

use crate::tree::{check, load_name, store, Lost, Name, Names, Pair, Pairs, Pool};
use cowfs_core::btree::{self, Cursor, Fixed, Root, Tree};
use cowfs_core::error::{Error, Result};
use cowfs_core::mem::{Buf, MemStore, MemTx};
use cowfs_core::store::Transaction;
use cowfs_core::units::FsBlock;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A tree of pairs and the map it should be.
pub struct Model {
    pub store: MemStore,
    pub pool: Pool,
    pub root: Root,
    pub map: BTreeMap<u64, (u64, u64)>,
    pub stamp: u64,
    /// Where the last splice was made, if nothing else changed the tree since.
    pub cursor: Cursor<Pairs, Buf>,
}

impl Model {
    pub fn new(block_shift: u8) -> Self {
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
    pub fn run<V>(
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

    pub fn insert(&mut self, key: u64) {
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

    pub fn remove(&mut self, key: u64) {
        self.cursor.clear();
        let done = self.run(|tx, pool, root| btree::remove::<Pairs, _, _>(tx, pool, root, key));
        assert_eq!(done, Ok(self.map.remove(&key).is_some()));
    }

    pub fn lookup(&self, key: u64) {
        let found = btree::lookup::<Pairs, Pair, _>(&self.store, self.root, key).unwrap();
        let expected = self.map.get(&key).map(|value| Pair(key, value.0, value.1));
        assert_eq!(found, expected);
    }

    /// Exchanges up to `remove` records at and after `key` for up to four new ones.
    pub fn splice(&mut self, key: u64, remove: usize, add: usize) {
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
    pub fn walk(&self, from: u64, most: usize) {
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

    pub fn check(&self) {
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
