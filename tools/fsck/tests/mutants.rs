// SPDX-License-Identifier: GPL-2.0

//! A sample of what the fuzzer does (`fuzz/main.rs`): the inputs in its corpus, and some at random,
//! the same ones each time.

mod common;
#[path = "common/mutant.rs"]
mod mutant;

use mutant::Sample;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn the_corpus_comes_to_an_end() {
    let sample = Sample::new();
    let mut inputs = 0;
    for file in std::fs::read_dir("tests/fuzz/corpus").unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        sample.run(&std::fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0);
}

#[test]
fn random_damage_comes_to_an_end() {
    let sample = Sample::new();
    let change = (any::<u16>(), 0u16..1024, any::<u8>(), any::<u8>());
    let input = prop::collection::vec(change, 1..12);
    let config = ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(100)
    };
    proptest!(config, |(changes in input)| {
        let bytes: Vec<u8> = changes
            .iter()
            .flat_map(|&(block, place, how, value)| {
                let [b0, b1] = block.to_le_bytes();
                let [p0, p1] = place.to_le_bytes();
                [b0, b1, p0, p1, how, value]
            })
            .collect();
        sample.run(&bytes);
    });
}
