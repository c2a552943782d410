// SPDX-License-Identifier: GPL-2.0

//! Allocation groups: which blocks are free, how often the others are referenced, where inodes are.

/// What is known in memory of one allocation group.
#[derive(Default)]
pub struct GroupState {}

/// What is known in memory of the volume as a whole.
#[derive(Default)]
pub struct VolumeState {}
