// SPDX-License-Identifier: GPL-2.0

//! How many blocks each step may make part of a transaction. Callers ask
//! [`Transaction::need`](super::super::store::Transaction::need) for the sum of what their step
//! consists of, before its first change.

/// The volume's counters, settled at the end of a transaction.
pub const SETTLE: u32 = 1;

/// [`commit_staged`](super::commit_staged), [`alloc`](super::alloc()) or [`free`](super::free):
/// the group's header and its summary block.
pub const COMMIT: u32 = 2;
