// SPDX-License-Identifier: GPL-2.0

//! The choice of the group in which space is taken.
//!
//! Groups are tried one at a time, each under its own lock, in passes that lower the demand:
//!
//! ```text
//!   Goal       the goal's group, for all that is wanted in one run
//!   Elsewhere  a few groups that should have it by their summary byte: first the one where the
//!              last such search ended, then on from the goal
//!   Rest       the goal's group, for its longest run
//!   Any        all groups with room by their summary byte, for their longest run
//!   Exact      the same once more without trusting hints
//! ```
//!
//! The summary is read without a lock. It tells what is on disk, so a group that seems to have
//! room may have staged it; but never does a group with room seem to have none, and if room
//! was given back behind the search's back while it went round, it goes round again. So whoever was
//! promised a block finds it.
//!
//! Finding a group is cheap because whole summary blocks, 4032 groups of 123 MiB each with 4 KiB
//! blocks, are skipped on a hint of the best byte in them ([`Hints`]), and because
//! within one, 8 bytes are compared at a time.

use super::super::block::Block;
use super::super::error::Result;
use super::super::ondisk::{header, summary, Geometry, Kind};
use super::super::store::Reader;
use super::super::units::{div, rem, AgBlock, AgNumber, FsBlock};
use super::hints::{Hints, BEST};
use super::state::Fit;

/// Groups looked at for a whole run before a smaller one is taken.
const TRIES: u32 = 8;

/// Times a search goes round again because something was given back meanwhile.
const ROUNDS: u32 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Goal,
    Hinted,
    Elsewhere,
    Rest,
    Any,
    Exact,
    Over,
}

/// A group to be tried, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) ag: AgNumber,
    /// Block of the group to begin at; 0 for anywhere.
    pub(super) goal: AgBlock,
    pub(super) fit: Fit,
}

/// Where a pass over the summary is: it begins at the goal's group, goes to the end of that
/// summary block, then takes the part of it before the goal, then the blocks that follow, in a
/// circle.
#[derive(Default)]
struct Scan {
    /// The summary block, and how many have been seen completely.
    block: u32,
    seen: u32,
    /// Groups of the block, counted in it, to be looked at now and after them.
    now: (u32, u32),
    then: (u32, u32),
    /// Whether a group of this block was found to have the byte.
    hit: bool,
}

/// A search for a group with room.
pub(super) struct Search {
    goal: (AgNumber, AgBlock),
    /// Least summary byte of a group that can have all that is wanted.
    class: u8,
    pass: Pass,
    /// Where the pass is.
    scan: Scan,
    tries: u32,
    returns: u32,
    rounds: u32,
}

/// The rank of a summary byte: the byte, but that of a never used group is above all others.
fn rank(byte: u8) -> u8 {
    match byte {
        summary::UNUSED => BEST,
        byte => byte,
    }
}

/// A word with the top bit set in each byte of `word` that ranks `class` (below 128) or more.
/// Bytes above the lowest such one may have it set wrongly.
fn ranked(word: u64, class: u8) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let unused = word.wrapping_sub(ONES) & !word;
    let low = word & !TOPS;
    let enough = (low + ONES * u64::from(0x80 - class)) | word;
    (unused | enough) & TOPS
}

impl Search {
    /// A search for `want` blocks at `goal`, or anywhere in the group whose header `goal` is, or
    /// anywhere if `goal` is in no group.
    pub(super) fn new(geometry: &Geometry, hints: &Hints, goal: FsBlock, want: u32) -> Self {
        let goal = geometry.locate(goal).unwrap_or((AgNumber(0), AgBlock(0)));
        Self {
            goal,
            class: summary::class(want.clamp(1, geometry.ag_blocks)),
            pass: Pass::Goal,
            scan: Scan::default(),
            tries: 0,
            returns: hints.returns(),
            rounds: 0,
        }
    }

    /// The next group to try; `None` if there is no room on the volume.
    pub(super) fn next<R: Reader>(&mut self, reader: &R) -> Result<Option<Candidate>> {
        let (ag, goal) = self.goal;
        let candidate = |ag, goal, fit| Ok(Some(Candidate { ag, goal, fit }));
        loop {
            match self.pass {
                Pass::Goal => {
                    self.pass = Pass::Hinted;
                    return candidate(ag, goal, Fit::Whole);
                }
                Pass::Hinted => {
                    self.begin(Pass::Elsewhere, reader.geometry());
                    let elsewhere = reader.hints().elsewhere(ag);
                    if elsewhere != ag && elsewhere.0 < reader.geometry().ag_count {
                        self.tries = 1;
                        return candidate(elsewhere, AgBlock(0), Fit::Whole);
                    }
                }
                Pass::Elsewhere => {
                    if self.tries < TRIES {
                        self.tries += 1;
                        if let Some(ag) = self.scan(reader, self.class, true)? {
                            return candidate(ag, AgBlock(0), Fit::Whole);
                        }
                    }
                    self.pass = Pass::Rest;
                }
                Pass::Rest => {
                    self.begin(Pass::Any, reader.geometry());
                    return candidate(ag, goal, Fit::Any);
                }
                Pass::Any => match self.scan(reader, summary::class(1), true)? {
                    Some(ag) => return candidate(ag, AgBlock(0), Fit::Any),
                    None => self.begin(Pass::Exact, reader.geometry()),
                },
                Pass::Exact => match self.scan(reader, summary::class(1), false)? {
                    Some(ag) => return candidate(ag, AgBlock(0), Fit::Any),
                    None => {
                        let returns = reader.hints().returns();
                        if returns == self.returns || self.rounds == ROUNDS {
                            self.pass = Pass::Over;
                        } else {
                            self.returns = returns;
                            self.rounds += 1;
                            self.begin(Pass::Exact, reader.geometry());
                        }
                    }
                },
                Pass::Over => return Ok(None),
            }
        }
    }

    /// Group `ag` had what was wanted.
    pub(super) fn found(&self, hints: &Hints, ag: AgNumber) {
        if ag != self.goal.0 {
            hints.set_elsewhere(self.goal.0, ag);
        }
    }

    /// Goes over to a pass over the summary.
    fn begin(&mut self, pass: Pass, geometry: &Geometry) {
        let per = u64::from(geometry.groups_per_summary());
        let goal = u64::from(self.goal.0 .0);
        let (block, first) = (div(goal, per) as u32, rem(goal, per) as u32);
        self.pass = pass;
        self.scan = Scan {
            block,
            seen: 0,
            now: (first, in_block(geometry, block)),
            then: (0, first),
            hit: false,
        };
    }

    /// The next group in turn whose summary byte ranks at least `class`.
    fn scan<R: Reader>(&mut self, reader: &R, class: u8, trust: bool) -> Result<Option<AgNumber>> {
        let geometry = reader.geometry();
        let scan = &mut self.scan;
        while scan.seen < geometry.summary_blocks {
            let block = scan.block;
            if !trust || reader.hints().may_have(block, class) {
                let buf =
                    reader.read(geometry.summary_start.add(u64::from(block)), Kind::Summary)?;
                for range in [&mut scan.now, &mut scan.then] {
                    let Some(place) = find(&buf, *range, class) else {
                        *range = (0, 0);
                        continue;
                    };
                    range.0 = place + 1;
                    scan.hit = true;
                    if !trust {
                        let byte = buf.u8(header::SIZE + place as usize);
                        reader.hints().raise(block, rank(byte));
                    }
                    let ag = block * geometry.groups_per_summary() + place;
                    return Ok(Some(AgNumber(ag)));
                }
                if !scan.hit {
                    reader.hints().lower(block, class);
                }
            }
            scan.seen += 1;
            scan.block = match block + 1 {
                next if next < geometry.summary_blocks => next,
                _ => 0,
            };
            scan.now = (0, in_block(geometry, scan.block));
            scan.then = (0, 0);
            scan.hit = false;
        }
        Ok(None)
    }
}

/// The number of groups summary block `block` describes.
fn in_block(geometry: &Geometry, block: u32) -> u32 {
    let per = geometry.groups_per_summary();
    let before = block.saturating_mul(per);
    geometry.ag_count.saturating_sub(before).min(per)
}

/// The first group of `range`, counted from the first the block describes, whose byte ranks at
/// least `class`.
fn find(buf: &impl Block, range: (u32, u32), class: u8) -> Option<u32> {
    let (from, to) = range;
    let mut at = from & !7;
    while at < to {
        let mut hits = ranked(buf.u64(header::SIZE + at as usize), class);
        if at < from {
            hits &= u64::MAX << (8 * (from - at));
        }
        while hits != 0 {
            let place = at + hits.trailing_zeros() / 8;
            if place >= to {
                return None;
            }
            if rank(buf.u8(header::SIZE + place as usize)) >= class {
                return Some(place);
            }
            hits &= hits - 1;
        }
        at += 8;
    }
    None
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::{alloc, stage, Purpose};
    use super::*;
    use crate::mem::MemStore;
    use crate::{error, format};

    /// As if the hint had been lowered by a task that read the summary before the blocks were
    /// freed.
    #[test]
    fn room_is_found_though_all_hints_deny_it() {
        let plan = format::plan_with_groups(4 << 20, 1024, Some(1024), 64).unwrap();
        let store = MemStore::new(plan.geometry().unwrap()).unwrap();
        store.run(|tx| format::write(tx, 0)).unwrap();
        let mut taken = 0;
        loop {
            store.hints().lower(0, summary::class(1));
            match store.run(|tx| alloc(tx, FsBlock(0), 1000, Purpose::Data)) {
                Ok((_, len)) => taken += u64::from(len),
                Err(error) => break assert_eq!(error, error::Error::NoSpace),
            }
        }
        let reserve = super::super::total_reserve(store.geometry());
        assert!(taken > 1000);
        assert_eq!(store.volume(|volume| volume.free).unwrap(), reserve);
        assert!(stage(&store, FsBlock(0), 1).is_err());
    }

    #[test]
    fn ranked_finds_every_byte_that_ranks() {
        for class in 1..40u8 {
            for byte in 0..=255u8 {
                for other in [0u8, 1, 2, class - 1, class, 33, 127, 128, 255] {
                    for place in 0..8 {
                        let mut bytes = [other; 8];
                        bytes[place] = byte;
                        let hits = ranked(u64::from_le_bytes(bytes), class);
                        for (n, byte) in bytes.into_iter().enumerate() {
                            let hit = (hits >> (8 * n)) & 0x80 != 0;
                            assert!(hit || rank(byte) < class);
                        }
                        let first = bytes.iter().position(|&byte| rank(byte) >= class);
                        let hit = (hits != 0).then(|| hits.trailing_zeros() as usize / 8);
                        assert_eq!(hit, first, "{bytes:?} {class}");
                    }
                }
            }
        }
    }
}
