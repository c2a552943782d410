// SPDX-License-Identifier: GPL-2.0

//! The protocol holds under the cure in every setting, and not without it, nor without any of the
//! rules by which a write chooses its fork.

use cowfs_core::cow::{AllStaged, WrittenOnly};
use cowfs_model::story::explore;
use cowfs_model::{scenario, Config, Policy};

/// All invariants hold in this setting; at least so many states were seen, so something happened.
fn holds(name: &str, config: Config, least: usize) {
    let outcome = explore::<WrittenOnly>(config);
    eprintln!("{name}: {} states, {} deep", outcome.states, outcome.depth);
    if let Some((property, story)) = outcome.violation {
        panic!("{name}: {property}\n{story}");
    }
    assert!(outcome.states >= least, "{name}: {} states", outcome.states);
}

#[test]
fn the_race() {
    holds("race", scenario::race(), 90);
}

#[test]
fn any_writes() {
    holds("any writes", scenario::any_writes(), 10_000);
}

#[test]
fn with_deletion() {
    holds("with deletion", scenario::with_deletion(), 20_000);
}

#[test]
fn everything() {
    holds("everything", scenario::everything(), 50_000);
}

#[test]
fn failures() {
    holds("failures", scenario::failures(), 50_000);
}

#[test]
fn three_writers() {
    holds("three writers", scenario::three_writers(), 50_000);
}

#[test]
fn three_writers_fail() {
    holds("three writers fail", scenario::three_writers_fail(), 50_000);
}

#[test]
fn buffered() {
    holds("buffered", scenario::buffered(), 20_000);
}

/// The shortest way to the race is the one that `protocol.md` tells: the window of writer 2 reaches
/// into the range of writer 1, whose end_io then maps a block that nobody wrote.
#[test]
fn without_the_cure_the_race_is_found() {
    let (property, story) = explore::<AllStaged>(scenario::race())
        .violation
        .expect("the race");
    assert!(property.starts_with("I1"), "{property}");
    let events: Vec<_> = story.lines().filter(|line| !line.contains("D: ")).collect();
    let at = |what: &str| {
        let at = events.iter().position(|event| event.contains(what));
        at.unwrap_or_else(|| panic!("no {what:?} in\n{story}"))
    };
    let in_place = at("Writer 1: block 1 written in place");
    let real = at("block 2 marked real");
    let window = at("Writer 2: blocks 0-1 allocated unwritten");
    let moved = at("Writer 1's end_io moves block 1 from C to D");
    assert!(
        in_place < real && window < moved && moved == events.len() - 1,
        "{story}"
    );
    assert!(story.ends_with("D: S!SS    C: R-RU\n"), "{story}");
}

#[test]
fn without_the_cure_one_writer_suffices() {
    let alone = Config {
        direct: 1,
        ..scenario::any_writes()
    };
    let (property, _) = explore::<AllStaged>(alone).violation.expect("a violation");
    assert!(property.starts_with("I1"), "{property}");
}

/// A write that goes through C although D has a block of its own there lets the end_io of a write
/// in place take a block that is not written yet.
#[test]
fn every_rule_of_choice_is_needed() {
    let staged_first = Config {
        policy: Policy::StagedFirst,
        ..scenario::any_writes()
    };
    assert!(explore::<WrittenOnly>(staged_first).violation.is_some());
    let in_place_first = Config {
        policy: Policy::InPlaceFirst,
        ..scenario::with_deletion()
    };
    assert!(explore::<WrittenOnly>(in_place_first).violation.is_some());
}
