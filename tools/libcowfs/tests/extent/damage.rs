// SPDX-License-Identifier: GPL-2.0

//! Nodes that are not what we wrote, but have good checksums: whatever they say, an operation
//! answers or fails, and neither panics nor goes on for ever.

use crate::model::config;
use crate::world::{volume_of, End, Tx, World};
use cowfs_core::error::Error;
use cowfs_core::extent::Fork;
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::{FileBlock, FsBlock, Ino};
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
