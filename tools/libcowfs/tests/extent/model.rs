// SPDX-License-Identifier: GPL-2.0

//! Random operations on files and their clones.

use crate::check::check;
use crate::world::{volume_of, End, World};
use cowfs_core::error::Error;
use cowfs_core::extent::most_credits;
use cowfs_core::store::Reader;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Create,
    Clone(usize),
    Remove(usize),
    Write(usize, u64, u64),
    Scatter(usize, u64, u64),
    Preallocate(usize, u64, u64),
    WriteInPlace(usize, u64, u64),
    Unmap(usize, u64, u64),
    Truncate(usize, u64),
    Share(usize, u64, usize, u64, u64),
    Forget(bool),
}

const SIZE: u64 = 600;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let file = || 0..8usize;
    let at = || 0..SIZE;
    let len = || prop_oneof![3 => 1..4u64, 1 => 1..100u64];
    let op = prop_oneof![
        1 => Just(Op::Create),
        4 => file().prop_map(Op::Clone),
        2 => file().prop_map(Op::Remove),
        8 => (file(), at(), len()).prop_map(|(f, a, l)| Op::Write(f, a, l)),
        3 => (file(), at(), 1..400u64).prop_map(|(f, a, l)| Op::Scatter(f, a, l)),
        2 => (file(), at(), len()).prop_map(|(f, a, l)| Op::Preallocate(f, a, l)),
        3 => (file(), at(), len()).prop_map(|(f, a, l)| Op::WriteInPlace(f, a, l)),
        3 => (file(), at(), len()).prop_map(|(f, a, l)| Op::Unmap(f, a, l)),
        2 => (file(), at()).prop_map(|(f, a)| Op::Truncate(f, a)),
        3 => (file(), at(), file(), at(), len())
            .prop_map(|(f, a, g, b, l)| Op::Share(f, a, g, b, l)),
        1 => any::<bool>().prop_map(Op::Forget),
    ];
    prop::collection::vec(op, 1..60)
}

fn run(world: &mut World, op: Op) -> End {
    if world.files.is_empty() {
        world.create();
    }
    let count = world.files.len();
    let cut = |at: u64, len: u64| len.min(SIZE - at);
    match op {
        Op::Create | Op::Clone(_) if count >= 12 => world.remove(0),
        Op::Create => {
            world.create();
            End::Finished
        }
        Op::Clone(file) => world.clone_file(file % count),
        Op::Remove(file) => world.remove(file % count),
        Op::Write(file, at, len) => world.write(file % count, at, cut(at, len)),
        Op::Scatter(file, at, len) => {
            // Every other block for itself, so that extents do not join.
            let mut ended = End::Finished;
            for at in (at..at + cut(at, len)).step_by(2) {
                ended = world.write(file % count, at, 1);
                if ended != End::Finished {
                    break;
                }
            }
            ended
        }
        Op::Preallocate(file, at, len) => world.preallocate(file % count, at, cut(at, len)),
        Op::WriteInPlace(file, at, len) => world.write_in_place(file % count, at, cut(at, len)),
        Op::Unmap(file, at, len) => world.unmap(file % count, at, cut(at, len)),
        Op::Truncate(file, at) => world.truncate(file % count, at),
        Op::Share(source, from, target, to, len) => {
            let len = cut(from.max(to), len);
            let (source, target) = (source % count, target % count);
            if source == target && from.abs_diff(to) < len {
                return End::Finished;
            }
            world.share(source, from, target, to, len)
        }
        Op::Forget(settled) => {
            world.store.forget_groups(settled);
            End::Finished
        }
    }
}

fn play(block_shift: u8, groups: u32, group: u32, ops: Vec<Op>, seed: u64, crashes: u64) {
    let mut world = World::new(volume_of(block_shift, groups, group), SIZE, seed);
    world.crashes = crashes;
    for op in ops {
        match run(&mut world, op) {
            End::Failed(error) => assert_eq!(error, Error::NoSpace),
            End::Finished | End::Crashed => {}
        }
        check(&world);
    }
    while !world.files.is_empty() {
        world.remove(0);
    }
    check(&world);
    let (asked, most) = (
        world.store.most_asked(),
        most_credits(world.store.geometry()),
    );
    assert!(
        asked <= most,
        "{asked} blocks asked for, no more than {most} promised"
    );
}

/// A sample; `PROPTEST_CASES` asks for more.
pub fn config(cases: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(cases),
    }
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn clones_are_as_good_as_copies(ops in ops(), seed in any::<u64>()) {
        play(9, 6, 1024, ops, seed, 0);
    }

    #[test]
    fn a_crash_takes_back_the_last_transaction(ops in ops(), seed in any::<u64>()) {
        play(9, 6, 1024, ops, seed, 12);
    }

    #[test]
    fn a_full_volume_fails_cleanly(ops in ops(), seed in any::<u64>()) {
        play(9, 2, 640, ops, seed, 40);
    }

    #[test]
    fn with_real_blocks(ops in ops(), seed in any::<u64>()) {
        play(10, 3, 2048, ops, seed, 20);
    }
}
