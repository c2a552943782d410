// SPDX-License-Identifier: GPL-2.0

//! Directories against a map from names to inodes.

use cowfs_core::btree::Root;
use cowfs_core::dir::{self, tree, Entry, EntryType};
use cowfs_core::error::{Error, Result};
use cowfs_core::format;
use cowfs_core::inode;
use cowfs_core::mem::{MemStore, MemTx};
use cowfs_core::ondisk::{header, Geometry};
use cowfs_core::space::{self, inodes, Purpose};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{FsBlock, Ino};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

const KINDS: [EntryType; 7] = [
    EntryType::Fifo,
    EntryType::CharDevice,
    EntryType::Directory,
    EntryType::BlockDevice,
    EntryType::Regular,
    EntryType::Symlink,
    EntryType::Socket,
];

fn volume(bytes: u64, block_size: u32) -> MemStore {
    let mut plan = format::plan(bytes, block_size, None).unwrap();
    plan.hash_seed = *b"0123456789abcdef";
    let store = MemStore::new(plan.geometry().unwrap()).unwrap();
    store.run(|tx| format::write(tx, 0)).unwrap();
    store
}

/// An inode number that can be one.
fn ino(geometry: &Geometry, n: u32) -> Ino {
    let block = geometry.ag_start.add(1 + u64::from(n) / 3);
    geometry.ino(block, n % 3 + 1)
}

fn entry(geometry: &Geometry, n: u32) -> Entry {
    Entry {
        ino: ino(geometry, n),
        kind: KINDS[n as usize % KINDS.len()],
    }
}

/// All entries from position `from` on: position, name, entry.
fn entries(store: &impl Reader, root: &Root, from: u64) -> Vec<(u64, Vec<u8>, Entry)> {
    let mut all = Vec::new();
    let end = dir::read(store, root, from, |at, name, ino, kind| {
        all.push((at, name.to_vec(), Entry { ino, kind }));
        true
    });
    assert_eq!(end, Ok(dir::END));
    all
}

/// A change as the kernel makes it: with no more credits than are known beforehand.
fn change<V>(store: &MemStore, f: impl FnOnce(&mut MemTx<'_>) -> Result<V>) -> Result<V> {
    let mut tx = store.begin(dir::CREDITS + 1);
    tx.need(dir::CREDITS + 1)?;
    let done = f(&mut tx);
    match done {
        Ok(_) => tx.commit()?,
        Err(_) => drop(tx),
    }
    done
}

/// How a test finds the home of a name.
type Home = fn(&Geometry, &[u8]) -> u64;

/// Homes that many names share, and that border on each other.
fn crowded(_: &Geometry, name: &[u8]) -> u64 {
    0x4000 + 0x100 * (name.iter().map(|&byte| u64::from(byte)).sum::<u64>() % 3)
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>, u32),
    Remove(Vec<u8>),
    Replace(Vec<u8>, u32),
    /// Reads so many entries and remembers the position.
    Read(usize),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(b'a'..b'e', 1..4),
        ("[xyz]{1}", 1usize..=255).prop_map(|(s, n)| s.repeat(n).into_bytes()),
        prop::collection::vec(prop_oneof![1u8..=b'.', b'0'..=255], 3..60),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (name(), 0u32..5000).prop_map(|(name, n)| Op::Insert(name, n)),
        2 => name().prop_map(Op::Remove),
        1 => (name(), 0u32..5000).prop_map(|(name, n)| Op::Replace(name, n)),
        1 => (0usize..40).prop_map(Op::Read),
    ]
}

/// A pass over the directory that goes on while it changes.
struct Pass {
    at: u64,
    seen: BTreeSet<Vec<u8>>,
    /// What was there when it began and was never taken away: it must be seen, once.
    stays: BTreeSet<Vec<u8>>,
}

impl Pass {
    fn new(model: &BTreeMap<Vec<u8>, Entry>) -> Self {
        Pass {
            at: 0,
            seen: BTreeSet::new(),
            stays: model.keys().cloned().collect(),
        }
    }

    fn step(&mut self, store: &MemStore, root: &Root, model: &BTreeMap<Vec<u8>, Entry>, n: usize) {
        let mut left = n;
        let (seen, stays) = (&mut self.seen, &self.stays);
        self.at = dir::read(store, root, self.at, |_, name, ino, kind| {
            if left == 0 {
                return false;
            }
            left -= 1;
            assert_eq!(model.get(name), Some(&Entry { ino, kind }));
            let new = seen.insert(name.to_vec());
            assert!(new || !stays.contains(name), "seen twice: {name:?}");
            true
        })
        .unwrap();
        if self.at == dir::END {
            for name in &self.stays {
                assert!(self.seen.contains(name), "missed: {name:?}");
            }
            *self = Pass::new(model);
        }
    }
}

fn run(block_size: u32, home: Home, ops: &[Op]) {
    let store = volume(16 << 20, block_size);
    let geometry = store.geometry();
    let (dir, free) = (geometry.root, store.volume(|v| v.free).unwrap());
    let mut root = Root::EMPTY;
    let mut model = BTreeMap::<Vec<u8>, Entry>::new();
    let mut pass = Pass::new(&model);
    for op in ops {
        match op {
            Op::Insert(name, n) => {
                let new = entry(geometry, *n);
                let at = home(geometry, name);
                let before = root;
                let done = change(&store, |tx| tree::insert(tx, dir, &mut root, at, name, new));
                if model.contains_key(name) {
                    assert_eq!((done, root), (Err(Error::Exists), before));
                } else {
                    assert_eq!(done, Ok(()));
                    model.insert(name.clone(), new);
                }
            }
            Op::Remove(name) => {
                let at = home(geometry, name);
                let done = change(&store, |tx| tree::remove(tx, dir, &mut root, at, name));
                assert_eq!(done, model.remove(name).ok_or(Error::NotFound));
                pass.stays.remove(name);
            }
            Op::Replace(name, n) => {
                let new = entry(geometry, *n);
                let at = home(geometry, name);
                let done = change(&store, |tx| {
                    tree::replace(tx, dir, &mut root, at, name, new)
                });
                match model.get_mut(name) {
                    Some(old) => assert_eq!(done, Ok(std::mem::replace(old, new))),
                    None => assert_eq!(done, Err(Error::NotFound)),
                }
            }
            Op::Read(n) => pass.step(&store, &root, &model, *n),
        }
        let name = match op {
            Op::Insert(name, _) | Op::Remove(name) | Op::Replace(name, _) => name,
            Op::Read(_) => continue,
        };
        let found = tree::lookup(&store, &root, home(geometry, name), name);
        assert_eq!(found, Ok(model.get(name).copied()));
    }
    pass.step(&store, &root, &model, usize::MAX);
    for (name, entry) in &model {
        let found = tree::lookup(&store, &root, home(geometry, name), name);
        assert_eq!(found, Ok(Some(*entry)));
    }
    let all = entries(&store, &root, 0);
    let named = all.iter().map(|(_, name, entry)| (name.clone(), *entry));
    assert_eq!(named.collect::<BTreeMap<_, _>>(), model);
    assert_eq!(all.len(), model.len());
    for (at, name, _) in &all {
        let home = home(geometry, name);
        assert!((home..home + dir::COLLISIONS).contains(at));
    }
    // The inode counts the nodes, and they all go with the last entry.
    let blocks = || {
        let (buf, at) = inodes::read(&store, dir).unwrap();
        inode::blocks(&buf, at)
    };
    let used = free - store.volume(|v| v.free).unwrap();
    assert_eq!(blocks(), used);
    for name in model.keys() {
        let at = home(geometry, name);
        change(&store, |tx| tree::remove(tx, dir, &mut root, at, name)).unwrap();
    }
    assert!(root.is_empty());
    assert_eq!(store.volume(|v| v.free), Ok(free));
    assert_eq!(blocks(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_the_map(ops in prop::collection::vec(op(), 1..400)) {
        run(1024, dir::home, &ops);
    }

    #[test]
    fn agrees_with_the_map_when_names_collide(ops in prop::collection::vec(op(), 1..400)) {
        run(1024, crowded, &ops);
    }

    #[test]
    fn agrees_with_the_map_in_large_blocks(ops in prop::collection::vec(op(), 1..400)) {
        run(4096, crowded, &ops);
    }
}

/// As many names as a hash can have, and one more.
#[test]
fn a_hash_with_all_its_positions_taken() {
    let store = volume(16 << 20, 1024);
    let geometry = store.geometry();
    let mut root = Root::EMPTY;
    let names: Vec<_> = (0..257).map(|n| format!("name {n}").into_bytes()).collect();
    let new = entry(geometry, 4);
    let home = 0x7000;
    let insert = |root: &mut Root, name: &[u8]| {
        change(&store, |tx| {
            tree::insert(tx, geometry.root, root, home, name, new)
        })
    };
    for name in &names[..256] {
        assert_eq!(insert(&mut root, name), Ok(()));
    }
    // The next hash's entry is none of theirs.
    let next = home + dir::COLLISIONS;
    change(&store, |tx| {
        tree::insert(tx, geometry.root, &mut root, next, &names[256], new)
    })
    .unwrap();
    assert_eq!(tree::lookup(&store, &root, home, &names[256]), Ok(None));
    assert_eq!(insert(&mut root, &names[256]), Err(Error::NoSpace));
    assert_eq!(insert(&mut root, &names[255]), Err(Error::Exists));
    let positions = |root: &Root| {
        let all = entries(&store, root, 0);
        all.into_iter().map(|(at, name, _)| (name, at))
    };
    let before: BTreeMap<_, _> = positions(&root).collect();

    // A position that becomes free is taken again, and no other entry moves.
    change(&store, |tx| {
        tree::remove(tx, geometry.root, &mut root, home, &names[77])
    })
    .unwrap();
    assert_eq!(insert(&mut root, b"instead"), Ok(()));
    for (name, at) in positions(&root) {
        let was = if name == b"instead" {
            &names[77]
        } else {
            &name
        };
        assert_eq!(before[was], at);
    }
}

#[test]
fn names_that_cannot_be() {
    let store = volume(16 << 20, 1024);
    let geometry = store.geometry();
    let (mut root, some) = (Root::EMPTY, ino(geometry, 7));
    let mut insert = |name: &[u8], ino: Ino| {
        change(&store, |tx| {
            dir::insert(tx, geometry.root, &mut root, name, ino, EntryType::Regular)
        })
    };
    for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0"] {
        assert_eq!(insert(name, some), Err(Error::Invalid), "{name:?}");
    }
    assert_eq!(insert(&[b'x'; 256], some), Err(Error::TooBig));
    assert_eq!(insert(b"x", Ino(0)), Err(Error::Invalid));
    for name in [&b"..."[..], b".a", b" ", b"\xff\xfe", &[b'x'; 255]] {
        assert_eq!(insert(name, some), Ok(()), "{name:?}");
    }
    assert_eq!(entries(&store, &root, 0).len(), 5);
}

/// The reference vectors of SipHash-2-4, as far as a home shows the hash: key 00 .. 0f, input
/// 00 .. n-1.
#[test]
fn homes_are_siphash() {
    let mut geometry = volume(16 << 20, 1024).geometry().clone();
    geometry.hash_seed = std::array::from_fn(|byte| byte as u8);
    let input: Vec<u8> = (0..64).collect();
    for (len, hash) in [
        (0, 0x726f_db47_dd0e_0e31_u64),
        (1, 0x74f8_39c5_93dc_67fd),
        (7, 0xab02_00f5_8b01_d137),
        (8, 0x93f5_f579_9a93_2462),
        (15, 0xa129_ca61_49be_45e5),
        (63, 0x958a_324c_eb06_4572),
    ] {
        assert_eq!(dir::home(&geometry, &input[..len]), (hash >> 1) & !0xff);
    }
}

/// No directory grows beyond the volume, and the refusal changes nothing.
#[test]
fn a_full_volume() {
    let store = volume((1028 + 128) * 1024, 1024);
    let geometry = store.geometry();
    let mut root = Root::EMPTY;
    let mut count = 0u32;
    let name = |n: u32| format!("{n:0200}").into_bytes();
    let error = loop {
        let before = root;
        let new = entry(geometry, count % 100);
        let done = change(&store, |tx| {
            dir::insert(
                tx,
                geometry.root,
                &mut root,
                &name(count),
                new.ino,
                new.kind,
            )
        });
        if let Err(error) = done {
            assert_eq!(root, before);
            break error;
        }
        count += 1;
    };
    assert_eq!(error, Error::NoSpace);
    assert!(count > 50);
    assert_eq!(entries(&store, &root, 0).len(), count as usize);
    for n in 0..count {
        change(&store, |tx| {
            dir::remove(tx, geometry.root, &mut root, &name(n))
        })
        .unwrap();
    }
    assert!(root.is_empty());
    // All of it can be had again.
    let mut again = 0;
    while store
        .run(|tx| space::alloc(tx, FsBlock(0), 1, Purpose::Data))
        .is_ok()
    {
        again += 1;
    }
    assert!(again > 50, "{again}");
}

/// Every byte of a leaf, damaged in turn under a right checksum: errors, but no panic and no
/// impossible name.
#[test]
fn damaged_leaves() {
    let store = volume(16 << 20, 1024);
    let geometry = store.geometry();
    let mut root = Root::EMPTY;
    for n in 0..20 {
        let (name, new) = (format!("name {n}"), entry(geometry, n));
        change(&store, |tx| {
            dir::insert(
                tx,
                geometry.root,
                &mut root,
                name.as_bytes(),
                new.ino,
                new.kind,
            )
        })
        .unwrap();
    }
    assert_eq!(root.height, 1);
    let mut errors = 0;
    for at in header::LEVEL..1024 {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut was = Vec::new();
            store.with_bytes(root.block, |bytes| {
                was = bytes.to_vec();
                bytes[at] ^= flip;
                header::seal(bytes);
            });
            let mut last = 0;
            let done = dir::read(&store, &root, 0, |at, name, ino, _| {
                assert!(at > last && at < dir::END);
                assert!(!name.is_empty() && !name.contains(&b'/') && !name.contains(&0));
                assert!(name != b"." && name != b"..");
                assert!(geometry.inode_at(ino).is_some());
                last = at;
                true
            });
            errors += u32::from(done.is_err());
            let _ = dir::lookup(&store, &root, b"name 3");
            let _ = store.run(|tx| {
                let mut root = root;
                let _ = dir::insert(
                    tx,
                    geometry.root,
                    &mut root,
                    b"new",
                    ino(geometry, 3),
                    KINDS[0],
                );
                Err::<(), _>(Error::Invalid)
            });
            store.with_bytes(root.block, |bytes| bytes.copy_from_slice(&was));
        }
    }
    assert!(errors > 500, "{errors}");
}

/// A million entries in one directory.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes long without optimisation")]
fn a_million_entries() {
    const COUNT: u32 = 1_000_000;
    /// Changes in one transaction.
    const BATCH: u32 = 20_000;
    let store = volume(4 << 30, 4096);
    let geometry = store.geometry();
    let (dir, free) = (geometry.root, store.volume(|v| v.free).unwrap());
    let name = |n: u32| format!("file-{n:07}.dat").into_bytes();
    let start = Instant::now();
    let mut root = Root::EMPTY;
    for chunk in 0..COUNT / BATCH {
        store
            .run(|tx| {
                for n in chunk * BATCH..(chunk + 1) * BATCH {
                    let new = entry(geometry, n % 1000);
                    dir::insert(tx, dir, &mut root, &name(n), new.ino, new.kind)?;
                }
                Ok(())
            })
            .unwrap();
    }
    assert!(root.height <= 4, "height {}", root.height);
    let used = free - store.volume(|v| v.free).unwrap();
    // 35 bytes and a slot each, in nodes that are on average at least 60 % full.
    assert!(
        used < 37 * u64::from(COUNT) * 10 / 6 / 4032 + 1000,
        "{used} blocks"
    );
    // One more costs no more than its path.
    let mut tx = store.begin(2 * u32::from(root.height) + 4);
    tx.need(2 * u32::from(root.height) + 4).unwrap();
    let new = entry(geometry, 1);
    dir::insert(&mut tx, dir, &mut root.clone(), b"more", new.ino, new.kind).unwrap();
    drop(tx);
    for n in (0..COUNT).step_by(17) {
        let found = dir::lookup(&store, &root, &name(n)).unwrap();
        assert_eq!(found, Some(entry(geometry, n % 1000)));
    }
    assert_eq!(dir::lookup(&store, &root, b"file-0000000.dax"), Ok(None));
    // Read in pieces, each of which begins where the last one ended.
    let (mut at, mut count, mut last) = (0, 0, 0);
    while at != dir::END {
        let mut left = 1000;
        at = dir::read(&store, &root, at, |at, _, _, _| {
            if left == 0 {
                return false;
            }
            assert!(at > last);
            last = at;
            left -= 1;
            count += 1;
            true
        })
        .unwrap();
    }
    assert_eq!(count, COUNT);
    for chunk in 0..COUNT / BATCH {
        store
            .run(|tx| {
                for n in chunk * BATCH..(chunk + 1) * BATCH {
                    // In an order that is neither that of the names nor its reverse.
                    let n = (n * 7) % COUNT;
                    dir::remove(tx, dir, &mut root, &name(n))?;
                }
                Ok(())
            })
            .unwrap();
    }
    assert!(root.is_empty());
    assert_eq!(store.volume(|v| v.free), Ok(free));
    eprintln!("{COUNT} entries: {:?}", start.elapsed());
}
