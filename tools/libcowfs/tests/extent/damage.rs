// SPDX-License-Identifier: GPL-2.0

//! Nodes that are not what we wrote, but have good checksums: whatever they say, an operation
//! answers or fails, and neither panics nor goes on for ever.

use crate::model::config;
use crate::world::{volume_of, End, Tx, World};
use cowfs_core::btree::{node, Array, Layout};
use cowfs_core::error::{Error, Result};
use cowfs_core::extent::{Extent, Fork};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FileBlock, FsBlock, Ino};
use proptest::prelude::*;

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn any_damage_is_an_error_at_worst(
        damage in prop::collection::vec(
            (any::<prop::sample::Index>(), 40..512usize, prop_oneof![Just(0u8), Just(255), any::<u8>()]),
            1..6,
        ),
        counts in any::<bool>(),
        at in 0..300u64,
        len in 1..200u64,
    ) {
        let mut world = World::new(volume_of(9, 3, 1024), 300, 3);
        world.create();
        for n in (0..300).step_by(2) {
            prop_assert_eq!(world.write(0, n, 1), End::Finished);
        }
        prop_assert_eq!(world.clone_file(0), End::Finished);
        for n in (0..300).step_by(6) {
            prop_assert_eq!(world.write(1, n, 2), End::Finished);
        }
        let mut nodes: Vec<FsBlock> = world
            .store
            .metadata()
            .into_iter()
            .filter(|&at| {
                world.store.read(at, Kind::Extent).is_ok()
                    || counts && world.store.read(at, Kind::Refcount).is_ok()
            })
            .collect();
        nodes.sort();
        for (node, at, byte) in damage {
            world.store.with_bytes(*node.get(&nodes), |bytes| {
                bytes[at] = byte;
                header::seal(bytes);
            });
        }
        let ino = world.ino(1);
        let (one, two) = (FileBlock(at), FileBlock(at + len));
        for index in 0..2 {
            let fork = world.files[index].fork.clone();
            let mut at = 0;
            while at < 300 {
                match fork.lookup_shared(world.store, FileBlock(at), 300 - at) {
                    Ok((found, _)) => {
                        prop_assert!(found.len > 0);
                        at += found.len;
                    }
                    Err(error) => {
                        prop_assert!(matches!(error, Error::Corrupt(..)));
                        at += 1;
                    }
                }
            }
        }
        // Each by itself, the transaction being lost if it fails.
        type Change = fn(&mut Fork, &Fork, &mut Tx, Ino, FileBlock, FileBlock) -> bool;
        let changes: [Change; 6] = [
            |fork, _, tx, ino, at, to| fork.unmap(tx, ino, at, to.since(at)).is_ok(),
            |fork, _, tx, ino, at, _| fork.replace(tx, ino, at, FsBlock(1500), 3).is_ok(),
            |fork, _, tx, ino, at, to| fork.convert(tx, ino, at, to.since(at)).is_ok(),
            |fork, _, tx, ino, at, _| fork.insert_unwritten(tx, ino, at, FsBlock(1500), 3).is_ok(),
            |fork, other, tx, ino, at, to| fork.share_range(tx, ino, other, at, to, 9).is_ok(),
            |fork, _, tx, ino, at, _| {
                // Every step makes the file shorter.
                (0..1000).any(|_| fork.truncate(tx, ino, at) != Ok(false))
            },
        ];
        for change in changes {
            let mut fork = world.files[1].fork.clone();
            let other = world.files[0].fork.clone();
            let mut tx = world.store.begin_unlimited();
            for _ in 0..3 {
                if !change(&mut fork, &other, &mut tx, ino, one, two) {
                    break;
                }
            }
            drop(tx);
        }
        let mut fork = world.files[0].fork.clone();
        let mut tx = world.store.begin_unlimited();
        let ended = (0..1000).any(|_| fork.truncate(&mut tx, ino, FileBlock(0)) != Ok(false));
        prop_assert!(ended, "truncation goes on for ever");
    }
}

/// Changes record `index` of a leaf.
fn forge(world: &World, leaf: FsBlock, index: usize, record: Extent) {
    let buf = world.store.read(leaf, Kind::Extent).unwrap();
    let at = Array::<Extent>::place(&buf, index);
    drop(buf);
    world.store.with_bytes(leaf, |bytes| {
        bytes[at..at + 8].copy_from_slice(&record.file.0.to_le_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&record.disk.0.to_le_bytes());
        bytes[at + 16..at + 20].copy_from_slice(&record.len.to_le_bytes());
        header::seal(bytes);
    });
}

/// Records in the wrong order would be in memory what no check of a block that is read lets pass.
#[test]
fn a_neighbour_with_keys_of_others_is_not_merged_with() {
    let mut world = World::new(volume_of(9, 3, 1024), 300, 3);
    world.create();
    let full = Array::<Extent>::capacity(512) as u64;
    for n in 0..3 * full {
        assert_eq!(world.write(0, 2 * n, 1), End::Finished);
    }
    // Of the second of three leaves four records stay, the last with a key beyond the third.
    assert_eq!(world.unmap(0, 2 * full + 8, 2 * full - 8), End::Finished);
    let root = world
        .store
        .read(world.files[0].fork.root().block, Kind::Extent)
        .unwrap();
    assert_eq!((node::level(&root), node::count(&root)), (1, 3));
    let leaf = node::child(&root, 1);
    let last = Array::<Extent>::get(&world.store.read(leaf, Kind::Extent).unwrap(), 3);
    let file = FileBlock(5000);
    forge(&world, leaf, 3, Extent { file, ..last });

    let ino = world.ino(0);
    let mut fork = world.files[0].fork.clone();
    let mut tx = world.store.begin_unlimited();
    let ended = (0..1000)
        .map(|_| fork.truncate(&mut tx, ino, FileBlock(0)))
        .find(|done| *done != Ok(false));
    let what = "tree node with keys of its neighbour";
    assert_eq!(ended, Some(Err(Error::Corrupt(leaf, what))));
}

/// What copying a shared leaf takes is reckoned from records that nobody has looked at yet.
#[test]
fn lengths_that_cannot_be_are_not_added_up() {
    let mut world = World::new(volume_of(10, 16, 1024), 100, 3);
    world.create();
    let full = Array::<Extent>::capacity(1024) as u64;
    for n in 0..full {
        assert_eq!(world.write(0, 2 * n, 1), End::Finished);
    }
    assert_eq!(world.clone_file(0), End::Finished);
    let leaf = world.files[0].fork.root().block;
    for n in 2..full {
        // A dozen groups are told apart.
        let group = world
            .store
            .geometry()
            .group_start(AgNumber((n as u32 - 2).min(14)));
        let record = Extent {
            file: FileBlock(2 * n),
            disk: group.add(5),
            len: u32::MAX,
            unwritten: false,
        };
        forge(&world, leaf, n as usize, record);
    }
    let ino = world.ino(1);
    type Change = fn(&mut Fork, &mut Tx, Ino) -> Result<bool>;
    let changes: [Change; 2] = [
        |fork, tx, ino| fork.truncate(tx, ino, FileBlock(1)),
        |fork, tx, ino| fork.unmap(tx, ino, FileBlock(0), 1).map(|_| true),
    ];
    for change in changes {
        let mut fork = world.files[1].fork.clone();
        let done = change(&mut fork, &mut world.store.begin_unlimited(), ino);
        assert_eq!(done, Err(Error::Corrupt(leaf, "extent too long")));
    }
}

/// The rest of such an extent would be entered under a key of the next leaf.
#[test]
fn an_extent_that_reaches_into_the_next_leaf_is_not_cut() {
    let mut world = World::new(volume_of(9, 3, 1024), 300, 3);
    world.create();
    let full = Array::<Extent>::capacity(512) as u64;
    for n in 0..3 * full {
        assert_eq!(world.write(0, 2 * n, 1), End::Finished);
    }
    let root = world
        .store
        .read(world.files[0].fork.root().block, Kind::Extent)
        .unwrap();
    let leaf = node::child(&root, 0);
    let buf = world.store.read(leaf, Kind::Extent).unwrap();
    let index = node::count(&buf) - 1;
    let last = Array::<Extent>::get(&buf, index);
    drop(buf);
    forge(&world, leaf, index, Extent { len: 3, ..last });

    let corrupt = Error::Corrupt(leaf, "extent reaches into the next leaf");
    let fork = world.files[0].fork.clone();
    let found = fork.lookup_shared(world.store, last.file, 1);
    assert_eq!(found.map(|_| ()), Err(corrupt));
    let ino = world.ino(0);
    let done = fork
        .clone()
        .unmap(&mut world.store.begin_unlimited(), ino, last.file, 1);
    assert_eq!(done.map(|_| ()), Err(corrupt));
}
