// SPDX-License-Identifier: GPL-2.0

//! What is remembered about where space may be found, read and changed without a lock.
//!
//! A wrong hint costs time and nothing else: the last pass of a search ignores them.

use super::super::error::Result;
use super::super::ondisk::Geometry;
use super::super::platform::{Hint, Vec};
use super::super::units::AgNumber;

/// Tasks whose goals are in different groups remember different groups elsewhere.
const SHARDS: usize = 8;

/// The byte of the summary a never used group is taken to have: the best there is.
pub(super) const BEST: u8 = 0x7f;

/// Hints of one mounted volume.
#[derive(Debug)]
pub struct Hints {
    /// For each summary block: no group in it has a greater byte.
    best: Vec<Hint>,
    /// The group where the last search that had to leave its goal's group ended.
    elsewhere: [Hint; SHARDS],
    /// Grows whenever blocks become available.
    returns: Hint,
    /// Turns over the groups, for spreading directories.
    pub(super) rotor: Hint,
}

impl Hints {
    /// The hints of a volume about which nothing is known.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn new(geometry: &Geometry) -> Result<Self> {
        let mut best = Vec::new();
        for _ in 0..geometry.summary_blocks {
            best.push(Hint::new(u32::from(BEST)))?;
        }
        Ok(Self {
            best,
            elsewhere: [const { Hint::new(0) }; SHARDS],
            returns: Hint::new(0),
            rotor: Hint::new(0),
        })
    }

    /// Blocks became available that were not.
    pub fn given_back(&self) {
        self.returns.bump();
    }

    /// Changes when blocks become available.
    pub(super) fn returns(&self) -> u32 {
        self.returns.get()
    }

    /// Whether a group described by summary block `index` may have a byte of at least `class`.
    pub(super) fn may_have(&self, index: u32, class: u8) -> bool {
        match self.best.get(index as usize) {
            Some(best) => best.get() >= u32::from(class),
            None => true,
        }
    }

    /// All groups described by summary block `index` were seen to be below `class`.
    pub(super) fn lower(&self, index: u32, class: u8) {
        if let Some(best) = self.best.get(index as usize) {
            best.set(u32::from(class.saturating_sub(1)));
        }
    }

    /// A group described by summary block `index` now has the byte `class`.
    pub(super) fn raise(&self, index: u32, class: u8) {
        if let Some(best) = self.best.get(index as usize) {
            if best.get() < u32::from(class) {
                best.set(u32::from(class));
            }
        }
    }

    fn shard(&self, goal: AgNumber) -> Option<&Hint> {
        self.elsewhere.get(goal.0 as usize % SHARDS)
    }

    /// Where a search with a goal in group `goal` should go on.
    pub(super) fn elsewhere(&self, goal: AgNumber) -> AgNumber {
        AgNumber(self.shard(goal).map_or(0, Hint::get))
    }

    /// Where a search with a goal in group `goal` found something.
    pub(super) fn set_elsewhere(&self, goal: AgNumber, found: AgNumber) {
        if let Some(hint) = self.shard(goal) {
            hint.set(found.0);
        }
    }
}
