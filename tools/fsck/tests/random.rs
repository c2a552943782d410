// SPDX-License-Identifier: GPL-2.0

//! Much damage at once, at random: repaired, or refused in words with nothing written; never a panic, nor
//! an end that does not come.
//!
//! Undamaged files survive, unless blocks of an older state are among the damage: where an old inode map does not know a
//! file, and the directory that names it is lost, nothing tells it from one that was deleted.
//!
//! The cases are the same each time; `PROPTEST_CASES=n` runs n others.

mod common;

use std::collections::BTreeSet;

use common::{put64, sample_with_history, Image, SIZE};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::units::FsBlock;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// What is done to a metadata block; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Damage {
    /// Bytes overwritten, with a right checksum or with what it was.
    Bytes {
        block: usize,
        edits: Vec<(u16, u8)>,
        sealed: bool,
    },
    Zeros(usize),
    Garbage(usize, u64),
    /// What the block held some time ago.
    Old(usize),
    /// What another block holds, as if it belonged there.
    Other(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let block = || any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    // Mostly where structure is: the header, the first records, the end.
    let place = prop_oneof![0..SIZE as u16, 40..160u16, (SIZE as u16 - 64)..SIZE as u16];
    let value = prop_oneof![Just(0), Just(1), Just(0xff), any::<u8>()];
    let edits = prop::collection::vec((place, value), 1..5);
    prop_oneof![
        6 => (block(), edits, any::<bool>())
            .prop_map(|(block, edits, sealed)| Damage::Bytes { block, edits, sealed }),
        1 => block().prop_map(Damage::Zeros),
        1 => (block(), any::<u64>()).prop_map(|(block, seed)| Damage::Garbage(block, seed)),
        2 => block().prop_map(Damage::Old),
        1 => (block(), block()).prop_map(|(to, from)| Damage::Other(to, from)),
    ]
}

fn metadata(image: &Image) -> Vec<FsBlock> {
    (0..image.geometry.blocks)
        .map(FsBlock)
        .filter(|at| Kind::from_magic(common::u32_at(&image.block(*at), 0)).is_some())
        .collect()
}

fn apply(
    image: &Image,
    blocks: &[FsBlock],
    history: &std::collections::HashMap<FsBlock, Vec<u8>>,
    damage: &Damage,
) {
    let at = |n: &usize| blocks[n % blocks.len()];
    match damage {
        Damage::Bytes {
            block,
            edits,
            sealed,
        } => {
            let mut bytes = image.block(at(block));
            for (place, value) in edits {
                bytes[usize::from(*place)] = *value;
            }
            if *sealed {
                header::seal(&mut bytes);
            }
            image.put(at(block), &bytes);
        }
        Damage::Zeros(block) => image.put(at(block), &[0; SIZE]),
        Damage::Garbage(block, seed) => {
            let words =
                (0..SIZE as u64 / 8).map(|n| (n ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
            image.put(at(block), &bytes);
        }
        Damage::Old(block) => {
            if let Some(old) = history.get(&at(block)) {
                image.put(at(block), old);
            }
        }
        Damage::Other(to, from) => {
            let mut bytes = image.block(at(from));
            put64(&mut bytes, header::ADDRESS, at(to).0);
            header::seal(&mut bytes);
            image.put(at(to), &bytes);
        }
    }
}

fn cases() -> Option<u32> {
    Some(std::env::var("PROPTEST_CASES").ok()?.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases().unwrap_or(60),
        rng_seed: match cases() {
            Some(_) => RngSeed::Random,
            None => RngSeed::Fixed(1),
        },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn damage_is_repaired_or_refused(damages in prop::collection::vec(damage(), 1..8)) {
        let (image, history) = sample_with_history();
        image.mark_data();
        let before = image.snapshot();
        let good = std::fs::read(image.path()).unwrap();
        let blocks = metadata(&image);
        for damage in &damages {
            apply(&image, &blocks, &history, damage);
        }
        let changed: BTreeSet<FsBlock> = image.changed(&good);
        let told_apart = damages.len() == 1
            || !damages
                .iter()
                .any(|damage| matches!(damage, Damage::Old(_) | Damage::Other(..)));
        let damaged = std::fs::read(image.path()).unwrap();

        let (code, text) = image.fsck(&["-p"]);
        prop_assert!(matches!(code, Some(0 | 1 | 4)), "{code:?} {text}");
        if code == Some(4) {
            prop_assert!(text.contains("nothing was written"), "{text}");
            prop_assert!(std::fs::read(image.path()).unwrap() == damaged, "{text}");
        } else if told_apart {
            before.survives_in(&image.snapshot(), &changed);
        }

        std::fs::write(image.path(), &damaged).unwrap();
        let (code, text) = image.fsck(&["-y"]);
        prop_assert!(matches!(code, Some(0 | 1)), "{code:?} {text}");
        let (code, again) = image.fsck(&["-n"]);
        prop_assert_eq!(code, Some(0), "{}\nafter\n{}", again, text);
        let repaired = std::fs::read(image.path()).unwrap();
        let (code, again) = image.fsck(&["-y"]);
        prop_assert_eq!(code, Some(0), "{}", again);
        prop_assert!(std::fs::read(image.path()).unwrap() == repaired);
        if told_apart {
            before.survives_in(&image.snapshot(), &changed);
        }
    }
}
