// SPDX-License-Identifier: GPL-2.0

//! The fuzzer: libFuzzer chooses the damage, guided by what code it reaches. `make fuzz` runs it; what it finds
//! is added to `corpus/` and run by `mutants.rs` with every other test.

#![no_main]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mutant.rs"]
mod mutant;

use mutant::Sample;

thread_local! {
    static SAMPLE: Sample = Sample::new();
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| SAMPLE.with(|sample| sample.run(input)));
