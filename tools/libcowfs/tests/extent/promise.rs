// SPDX-License-Identifier: GPL-2.0

//! What is promised for mapping staged blocks suffices, in whatever order they are mapped.

use crate::check::check;
use crate::world::{volume_of, End, World};
use cowfs_core::cow::{CowFork, FileRange};
use cowfs_core::store::Reader;
use cowfs_core::units::FileBlock;
use proptest::prelude::*;

/// Blocks of the file.
const SIZE: u64 = 6000;

/// Runs of the file, each as the blocks from the one before and its length.
fn runs() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let run = |gap: u64, len: u64| prop::collection::vec((1..gap, 1..len), 1..150);
    prop_oneof![
        4 => run(3, 3),
        4 => run(60, 2),
        1 => run(100, 40),
        1 => run(500, 1000),
    ]
}

/// Maps what `runs` says, every block for itself if `scattered`.
fn fill(world: &mut World, runs: &[(u64, u64)], scattered: bool) {
    let mut at = 0;
    for &(gap, len) in runs.iter().cycle() {
        at += gap;
        if at + len > SIZE {
            return;
        }
        let step = if scattered { 1 } else { len };
        for part in (at..at + len).step_by(step as usize) {
            assert_eq!(world.write(0, part, step), End::Finished);
        }
        at += len;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_is_promised_suffices(
        old in runs(),
        scattered in any::<bool>(),
        shared in any::<bool>(),
        new in runs(),
        part in 1..64u64,
        seed in 1..u64::MAX,
    ) {
        let mut world = World::new(volume_of(10, 16, 4096), SIZE, seed);
        world.create();
        fill(&mut world, &old, scattered);
        let file = if shared {
            prop_assert_eq!(world.clone_file(0), End::Finished);
            1
        } else {
            0
        };
        let mut staged: CowFork = CowFork::new();
        let mut parts = Vec::new();
        let mut at = 0;
        for (gap, len) in new {
            at += gap;
            if at + len > SIZE {
                break;
            }
            staged.reserve(FileRange::new(FileBlock(at), len)).unwrap();
            parts.extend((at..at + len).step_by(part as usize).map(|begin| {
                (begin, part.min(at + len - begin))
            }));
            at += len;
        }
        let (blocks, runs) = (staged.delalloc(), staged.runs());
        let fork = &world.files[file].fork;
        let promised = fork.nodes_to_map(world.store.geometry(), blocks, runs);
        let before = world.store.used();
        while !parts.is_empty() {
            let next = world.random(parts.len() as u64) as usize;
            let (at, len) = parts.swap_remove(next);
            prop_assert_eq!(world.write(file, at, len), End::Finished);
        }
        let taken = world.store.used() - before - blocks;
        prop_assert!(taken <= promised, "{taken} nodes for {blocks} blocks in {runs} runs, {promised} promised");
        check(&world);
    }
}
