// SPDX-License-Identifier: GPL-2.0

//! Crash consistency, point by point: what is left of a volume if the power goes at any moment of a
//! recorded workload, and whether that is what it may be.
//!
//! ```text
//!   in the guest                                        here
//!
//!   workload ──marks──┐                          marks ──► trace ──► oracle: what may be there
//!      |              v                         /                        |
//!    cowfs ──► dm-log-writes ──► log ──► writes                       compare
//!                    |                          \                        |
//!                  disk                          disk, point by point ──► volume, fsck, files
//! ```
//!
//! - [`log`] reads what dm-log-writes recorded: writes in the order in which they became durable,
//!   flushes, and the marks that the workload put in between.
//! - [`order`] leaves out what it recorded too late.
//! - [`disk`] is the device as the log leaves it: an index into the log, cheap to copy.
//! - [`points`] says which states of the device a crash could have left.
//! - [`trace`] makes operations of the marks: begun, and ended with a result.
//! - [`oracle`] keeps what those operations allow every name and every block to be.
//! - [`check`] opens the volume of a point, replays its journal in memory, has fsck look at it and
//!   holds names and contents against the oracle.
//! - [`run`] does that for all points of a log.
#![forbid(unsafe_code)]

pub mod check;
pub mod disk;
pub mod files;
pub mod log;
pub mod oracle;
pub mod order;
pub mod points;
pub mod run;
pub mod stamp;
#[doc(hidden)]
pub mod testlog;
pub mod trace;
