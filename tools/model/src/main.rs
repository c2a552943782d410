// SPDX-License-Identifier: GPL-2.0

//! Shows the race that cowfs exists to cure, and that the cure works, by trying all there is.

use cowfs_core::cow::{AllStaged, WrittenOnly};
use cowfs_model::story::{explore, Outcome};
use cowfs_model::{scenario, Config, Policy};
use std::process::ExitCode;

fn show(title: &str, outcome: &Outcome) {
    println!("{title}");
    match &outcome.violation {
        Some((property, story)) => {
            println!("  VIOLATED: {property}\n  The shortest way there:\n\n{story}");
        }
        None => println!(
            "  All invariants hold in all {} states (up to {} events deep).\n",
            outcome.states, outcome.depth
        ),
    }
}

fn main() -> ExitCode {
    println!(
        "D: data fork, C: CoW fork. S shared block, R real (written) block, U unwritten block,\n\
         - hole, ! a block that holds whatever somebody else left on the device.\n"
    );
    let before = explore::<AllStaged>(scenario::race());
    show(
        "Before the cure: end_io moves whatever is staged in its range.",
        &before,
    );
    let alone = explore::<AllStaged>(Config {
        direct: 1,
        ..scenario::any_writes()
    });
    show(
        "Even one writer suffices, if the window is its own:",
        &alone,
    );
    let after = explore::<WrittenOnly>(scenario::any_writes());
    show("With the cure: end_io moves only what is real.", &after);
    let prefers = explore::<WrittenOnly>(Config {
        policy: Policy::StagedFirst,
        ..scenario::any_writes()
    });
    show(
        "With the cure, but if a write used what is staged although its block is not shared:",
        &prefers,
    );
    let ignores = explore::<WrittenOnly>(Config {
        policy: Policy::InPlaceFirst,
        ..scenario::with_deletion()
    });
    show(
        "With the cure, but if a write went in place although another one is in flight through C:",
        &ignores,
    );
    let expected = before.violation.is_some()
        && alone.violation.is_some()
        && after.violation.is_none()
        && prefers.violation.is_some()
        && ignores.violation.is_some();
    if expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
