// SPDX-License-Identifier: GPL-2.0

//! The protocol of cowfs, explored exhaustively.
//!
//! A file of a few blocks, some of them shared with a clone, is written by two or three writers at
//! once. Every order of events is tried: where a write goes, when the device is done with each
//! part of it, whether that fails, when `end_io` moves what, and what else may happen meanwhile
//! (the clone is made or deleted, the file truncated, staging given back). In every state the
//! invariants of the protocol are checked.
//!
//! ```text
//!   Model ─── picks a write or event ───► World ─── reserve, gap, allocate, mark, ───► CowFork
//!     │                                     │       take, fail, cancel                 (the real
//!     │ stateright: all orders,             │                                           one)
//!     │ shortest way to a violation         └─── data fork, device, readers: as simple as can be
//! ```
//!
//! The CoW fork is not modelled: it is [`cowfs_core::cow::CowFork`], the code the kernel module
//! runs, under either [rule](cowfs_core::cow::Rule).

#![forbid(unsafe_code)]

mod config;
mod fork;
mod model;
pub mod scenario;
pub mod story;
mod world;
mod write;

pub use config::{Config, Events, Policy, Writes};
pub use fork::Fork;
pub use model::{Action, Model};
pub use world::World;
