// SPDX-License-Identifier: GPL-2.0

//! The data fork against a model that keeps every file as a plain array of blocks: any number of
//! generations of clones, and after each step every count recomputed from the trees.

#[path = "../space/census.rs"]
mod census;
mod check;
mod damage;
mod limits;
mod model;
mod promise;
mod race;
mod world;
