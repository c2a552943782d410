// SPDX-License-Identifier: GPL-2.0

//! Inodes against a set of numbers.

use super::{census, volume};
use cowfs_core::block::Block;
use cowfs_core::error::Error;
use cowfs_core::mem::MemStore;
use cowfs_core::ondisk::inode;
use cowfs_core::space::{credits, inodes};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgNumber, Ino};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};

#[derive(Clone, Debug)]
enum Op {
    Alloc(usize, bool),
    Free(usize),
    End,
    Forget(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(n, dir)| Op::Alloc(n, dir)),
        9 => any::<usize>().prop_map(Op::Free),
        1 => Just(Op::End),
        1 => any::<bool>().prop_map(Op::Forget),
    ]
}

fn run(store: &MemStore, ops: Vec<Op>) {
    let root = store.geometry().root;
    let mut all = BTreeSet::from([root]);
    let mut generations: HashSet<(Ino, u32)> = HashSet::new();
    let mut tx = store.begin(u32::MAX);
    let nth = |all: &BTreeSet<Ino>, n: usize| *all.iter().nth(n % all.len()).unwrap();
    for op in ops {
        match op {
            Op::Alloc(n, is_dir) => {
                tx.need(credits::inode(store.geometry())).unwrap();
                match inodes::alloc(&mut tx, nth(&all, n), is_dir) {
                    Ok(ino) => {
                        assert!(all.insert(ino), "{ino} allocated twice");
                        let (buf, at) = inodes::read(&tx, ino).unwrap();
                        let generation = buf.u32(at + inode::GENERATION);
                        assert_eq!(buf.u16(at + inode::MODE), 0);
                        assert_eq!(buf.u64(at + inode::ROOT), 0);
                        // Never again, also when its block was something else meanwhile.
                        assert!(generations.insert((ino, generation)));
                        // Something to be found if the slot is not cleared.
                        tx.modify(&buf).unwrap();
                        buf.set_u16(at + inode::MODE, 0o100_644);
                        buf.set_u64(at + inode::ROOT, 4711);
                    }
                    Err(error) => assert_eq!(error, Error::NoSpace),
                }
            }
            Op::Free(n) => {
                let ino = nth(&all, n);
                if ino != root {
                    tx.need(credits::inode(store.geometry())).unwrap();
                    inodes::free(&mut tx, ino).unwrap();
                    all.remove(&ino);
                    let read = inodes::read(&tx, ino);
                    assert!(matches!(read, Err(Error::Corrupt(..))));
                }
            }
            Op::End => {
                tx.commit().unwrap();
                generations.clear();
                tx = store.begin(u32::MAX);
            }
            Op::Forget(settled) => store.forget_groups(settled),
        }
    }
    tx.commit().unwrap();
    let census = census::take(store);
    assert_eq!(census.inodes, all);
    assert!(census.data.is_empty());
    assert_eq!(
        store.volume(|volume| volume.inodes).unwrap(),
        all.len() as u64
    );
    for n in 0..=all.iter().map(|ino| ino.0).max().unwrap() + 20 {
        let known = inodes::exists(store, Ino(n)).unwrap();
        assert_eq!(known, all.contains(&Ino(n)), "inode {n}");
        assert_eq!(inodes::read(store, Ino(n)).is_ok(), known);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 60 } else { 1000 }))]

    #[test]
    fn inodes_are_those_of_a_set(
        ops in prop::collection::vec(op(), 1..500),
        block_size in prop_oneof![Just(1024u32), Just(2048), Just(4096)],
    ) {
        run(&volume(block_size, 64, 3, 0), ops);
    }

    #[test]
    fn inodes_are_those_of_a_set_in_large_groups(
        ops in prop::collection::vec(op(), 1..2000),
    ) {
        run(&volume(1024, 2048, 2, 0), ops);
    }
}

#[test]
fn files_stay_near_their_directory_and_directories_spread() {
    let store = volume(4096, 1024, 8, 0);
    let root = store.geometry().root;
    let group = |ino| {
        let (at, _) = store.geometry().inode_at(ino).unwrap();
        store.geometry().locate(at).unwrap().0
    };
    let mut tx = store.begin_unlimited();
    let mut dirs = BTreeSet::new();
    for _ in 0..8 {
        let dir = inodes::alloc(&mut tx, root, true).unwrap();
        dirs.insert(group(dir));
        for _ in 0..40 {
            let file = inodes::alloc(&mut tx, dir, false).unwrap();
            assert_eq!(group(file), group(dir));
        }
        let below = inodes::alloc(&mut tx, dir, true).unwrap();
        assert_eq!(group(below), group(dir));
    }
    assert_eq!(dirs, (0..8).map(AgNumber).collect());
    tx.commit().unwrap();
    census::take(&store);
}

#[test]
fn a_slot_is_cleared_whatever_was_in_it() {
    let store = volume(4096, 64, 1, 0);
    let (at, offset) = store.geometry().inode_at(store.geometry().root).unwrap();
    store.with_bytes(at, |bytes| {
        bytes[offset + inode::SIZE..].fill(0x5a);
        cowfs_core::ondisk::header::seal(bytes);
    });
    let root = store.geometry().root;
    let ino = store.run(|tx| inodes::alloc(tx, root, false)).unwrap();
    let (buf, at) = inodes::read(&store, ino).unwrap();
    for byte in (0..inode::SIZE).filter(|byte| !(80..84).contains(byte) && *byte > 1) {
        assert_eq!(buf.u8(at + byte), 0, "byte {byte}");
    }
}

#[test]
fn what_is_no_inode_is_told_from_one() {
    let store = volume(1024, 64, 2, 0);
    let geometry = store.geometry();
    let start = geometry.group_start(AgNumber(0));
    for ino in [
        Ino(0),
        Ino(u64::MAX),
        geometry.ino(start, 1),
        geometry.ino(start.add(1), 0),
        geometry.ino(start.add(1), 2),
        geometry.ino(start.add(30), 1),
        geometry.ino(geometry.group_start(AgNumber(1)).add(2), 1),
    ] {
        assert!(!inodes::exists(&store, ino).unwrap(), "{ino}");
        assert!(inodes::read(&store, ino).is_err(), "{ino}");
        let freed = store.run(|tx| inodes::free(tx, ino));
        assert!(matches!(freed, Err(Error::Corrupt(..))), "{ino}");
    }
    assert!(inodes::exists(&store, geometry.root).unwrap());
}
