// SPDX-License-Identifier: GPL-2.0

//! Which blocks are in use, by whom: what the walk over the volume has claimed so far.

use std::collections::HashMap;

use cowfs_core::ondisk::Geometry;
use cowfs_core::units::{AgNumber, FsBlock};

use crate::bits::Bits;
use crate::counts::Counts;

/// What is claimed of one group.
#[derive(Debug)]
struct GroupUsage {
    /// Blocks with an owner.
    used: Bits,
    /// Of these, file data.
    data: Bits,
    /// Blocks with several references.
    counts: Counts,
}

/// What is claimed of the volume. Groups nothing was claimed of take no memory.
#[derive(Debug)]
pub struct Usage {
    geometry: Geometry,
    groups: HashMap<AgNumber, GroupUsage>,
}

impl Usage {
    /// Nothing is claimed.
    pub fn new(geometry: &Geometry) -> Self {
        Usage {
            geometry: geometry.clone(),
            groups: HashMap::new(),
        }
    }

    /// The groups something is claimed of.
    pub fn groups(&self) -> impl Iterator<Item = AgNumber> + '_ {
        self.groups.keys().copied()
    }

    fn entry(&mut self, ag: AgNumber) -> &mut GroupUsage {
        let len = self.geometry.group_len(ag);
        self.groups.entry(ag).or_insert_with(|| GroupUsage {
            used: Bits::new(len),
            data: Bits::new(len),
            counts: Counts::default(),
        })
    }

    /// Claims the block `at` for one owner alone; false if it has one already, or is in no group.
    pub fn claim(&mut self, at: FsBlock) -> bool {
        match self.geometry.locate(at) {
            Some((ag, block)) => self.entry(ag).used.insert(block.0),
            None => false,
        }
    }

    /// Takes back a claim, the only reference to block `at`.
    pub fn release(&mut self, at: FsBlock) {
        if let Some((ag, block)) = self.geometry.locate(at) {
            self.entry(ag).used.remove(block.0);
        }
    }

    /// Forgets all claims of group `ag`.
    pub fn forget_group(&mut self, ag: AgNumber) {
        self.groups.remove(&ag);
    }

    /// Whether block `at` has an owner.
    pub fn is_claimed(&self, at: FsBlock) -> bool {
        let Some((ag, block)) = self.geometry.locate(at) else {
            return false;
        };
        let group = self.groups.get(&ag);
        group.is_some_and(|group| group.used.has(block.0))
    }

    /// Whether block `at` is claimed as data.
    pub fn is_data(&self, at: FsBlock) -> bool {
        let place = self.geometry.locate(at);
        place.is_some_and(|(ag, block)| {
            let group = self.groups.get(&ag);
            group.is_some_and(|group| group.data.has(block.0))
        })
    }

    /// Which of the 64 blocks from block `64 * index` of group `ag` on are claimed.
    pub fn used_word(&self, ag: AgNumber, index: usize) -> u64 {
        let group = self.groups.get(&ag);
        group.map_or(0, |group| group.used.word(index))
    }

    /// The first run of blocks at or after `from` of group `ag` with two or more references.
    pub fn counted(&self, ag: AgNumber, from: u32) -> Option<(u32, u32, u32)> {
        self.groups.get(&ag)?.counts.next(from)
    }

    /// The runs among the blocks `[at, at + len)`, which lie in one group, that hold no metadata: how far from
    /// `at` each begins, and how long it is.
    pub fn data_runs(&self, at: FsBlock, len: u32) -> Vec<(u32, u32)> {
        let located = self.geometry.locate(at);
        let Some((group, first)) =
            located.and_then(|(ag, first)| Some((self.groups.get(&ag)?, first.0)))
        else {
            return vec![(0, len)];
        };
        let (mut runs, mut start) = (Vec::new(), 0);
        for n in 0..=len {
            let block = first + n;
            if n == len || (group.used.has(block) && !group.data.has(block)) {
                if n > start {
                    runs.push((start, n - start));
                }
                start = n + 1;
            }
        }
        runs
    }

    /// Whether any of the blocks `[at, at + len)`, which lie in one group, has several references.
    pub fn is_shared(&self, at: FsBlock, len: u32) -> bool {
        let Some((ag, first)) = self.geometry.locate(at) else {
            return false;
        };
        let next = self.groups.get(&ag).and_then(|g| g.counts.next(first.0));
        next.is_some_and(|(start, _, _)| start < first.0.saturating_add(len))
    }

    /// Counts another reference to the node `at`, which was claimed before.
    pub fn again(&mut self, at: FsBlock) {
        if let Some((ag, block)) = self.geometry.locate(at) {
            self.entry(ag).counts.add(block.0, 1);
        }
    }

    /// Counts a reference to the data blocks `[at, at + len)`, which lie in one group. Returns the
    /// blocks among them that hold something else than data: the first, and how many.
    pub fn refer_to_data(&mut self, at: FsBlock, len: u32) -> Option<(FsBlock, u32)> {
        let (ag, first) = self.geometry.locate(at)?;
        let start = self.geometry.group_start(ag);
        let group = self.entry(ag);
        let mut conflict: Option<(FsBlock, u32)> = None;
        // The run of blocks just before `n` that had a reference already.
        let mut again = 0;
        let end = first.0 + len;
        for n in first.0..end {
            if group.used.insert(n) {
                group.data.insert(n);
            } else if group.data.has(n) {
                again += 1;
                continue;
            } else {
                let block = start.add(u64::from(n));
                conflict = Some(conflict.map_or((block, 1), |(first, count)| (first, count + 1)));
            }
            if again > 0 {
                group.counts.add(n - again, again);
                again = 0;
            }
        }
        if again > 0 {
            group.counts.add(end - again, again);
        }
        conflict
    }

    /// How often block `block` of group `ag` was referred to, and for how many blocks below `end` that
    /// holds.
    pub fn references(&self, ag: AgNumber, block: u32, end: u32) -> (u32, u32) {
        let Some(group) = self.groups.get(&ag) else {
            return (0, end - block);
        };
        let same = group.used.run(block, end);
        if !group.used.has(block) {
            return (0, same);
        }
        group.counts.at(block, block + same)
    }
}
