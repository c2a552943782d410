// SPDX-License-Identifier: GPL-2.0

//! The native build of libcowfs: the files of `src/libcowfs`, which the kernel module compiles
//! into itself, as a crate for the tools and the tests.
#![no_std]
#![forbid(unsafe_code)]

#[path = "../../../src/libcowfs/mod.rs"]
pub mod libcowfs;

pub mod mem;

pub use libcowfs::*;
