// SPDX-License-Identifier: GPL-2.0

//! The B+tree against `BTreeMap`: any mix of changes gives the same records, and a tree that is sound.
//!
//! * `tree`: trees to be tested, and what a sound one is.
//! * `model`: any mix of changes, beside a map.
//! * `cases`: how full nodes are, and trees that contradict themselves.

mod cases;
mod model;
mod tree;
