// SPDX-License-Identifier: GPL-2.0

//! The states that a crash can leave the device in.
//!
//! ```text
//!   log      F  m  f  m  w w w w F  m  f  m  w w w F          F flush, f write with FUA,
//!            |     |     \_____/ |     |     \___/ |          w other write, m mark
//!   points   A     A        L    A     A       L   A
//! ```
//!
//! **A**: after a flush or a write with FUA, nothing later has reached the medium. Everything acknowledged
//! before the next write in the log must be there: had the power gone just then, this is all there is.
//!
//! **L**: the next flush does not come; some of the writes that would have become durable with it are on the medium
//! and some are lost, block by block, in no order. Writes with FUA recorded before that flush are there. (The recorder puts
//! a write right before the first flush sent after its completion, so all these may be on their way at
//! one moment.)

use std::ops::Range;
use std::sync::Arc;

use crate::disk::Disk;
use crate::log::{Action, LogSector, WriteLog};

/// Sectors that reach the medium together: the largest block size.
const ATOM: u64 = 8;

/// A state to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Entries before this one are on the medium.
    pub applied: usize,
    /// Marks before this entry count: what they acknowledge must be there.
    pub acknowledged: usize,
    /// Writes of which a part is on the medium, too.
    pub loss: Option<Loss>,
}

/// Writes between two flushes of which some are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The entries.
    pub batch: Range<usize>,
    /// How those that are lost are chosen.
    pub how: How,
    /// What makes the choice.
    pub seed: u64,
}

/// How lost writes are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Each block is on the medium or not.
    Any,
    /// All up to some block are there.
    Ordered,
    /// One block is lost.
    AllButOne,
    /// One block is there.
    OnlyOne,
    /// Nothing but blocks of a range of the device, say the journal, is there.
    Only(Part),
    /// Nothing of that range is there.
    AllBut(Part),
}

/// A range of the device, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first sector.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
}

/// The points of `log` from entry `start` on: every one after a flush, and `losses` between two flushes,
/// chosen by `seed`. The journal is in `journal`.
pub fn all(log: &WriteLog, start: usize, losses: u32, seed: u64, journal: Part) -> Vec<Point> {
    let entries = log.entries();
    let mut points = Vec::new();
    // The first entry since the last flush that changes something.
    let mut batch: Option<usize> = None;
    let mut changed = true;
    for (n, entry) in entries.iter().enumerate() {
        if !entry.flush && !entry.fua {
            if entry.changes() {
                batch.get_or_insert(n);
            }
            continue;
        }
        changed |= entry.changes() || (entry.flush && batch.is_some());
        if entry.flush {
            if let (Some(first), true) = (batch.take(), n >= start) {
                add_losses(&mut points, log, first..n, losses, seed, journal);
            }
        }
        if changed && n >= start {
            let next = entries[n + 1..].iter().position(|entry| entry.changes());
            points.push(Point {
                applied: n + 1,
                acknowledged: next.map_or(entries.len(), |more| n + 1 + more),
                loss: None,
            });
        }
        changed = false;
    }
    points
}

fn add_losses(
    points: &mut Vec<Point>,
    log: &WriteLog,
    batch: Range<usize>,
    losses: u32,
    seed: u64,
    journal: Part,
) {
    if atoms(log, &batch).nth(1).is_none() {
        // All or nothing: the points before and after say it.
        return;
    }
    let mut random = fastrand::Rng::with_seed(seed ^ ((batch.start as u64) << 20));
    for _ in 0..losses {
        let how = match random.u8(..8) {
            0..4 => How::Any,
            4 => How::Ordered,
            5 => How::AllButOne,
            6 => How::Only(journal),
            7 if random.bool() => How::AllBut(journal),
            _ => How::OnlyOne,
        };
        points.push(Point {
            applied: batch.start,
            acknowledged: batch.end,
            loss: Some(Loss {
                batch: batch.clone(),
                how,
                seed: random.u64(..),
            }),
        });
    }
}

/// A piece of a write that reaches the medium as a whole.
#[derive(Clone, Copy, Debug)]
struct Atom {
    to: u64,
    sectors: u64,
    /// `None`: it is discarded.
    data: Option<LogSector>,
}

fn atoms<'a>(log: &'a WriteLog, batch: &Range<usize>) -> impl Iterator<Item = Atom> + 'a {
    log.entries()[batch.clone()]
        .iter()
        .filter_map(|entry| match entry.action {
            Action::Write { to, sectors, data } => Some((to, sectors, Some(data))),
            Action::Discard { to, sectors } => Some((to, sectors, None)),
            Action::Nothing | Action::Mark(_) => None,
        })
        .flat_map(|(to, sectors, data)| {
            // Cut where blocks of the device begin. A discard is one piece.
            let first = match data {
                Some(_) => (ATOM - to % ATOM).min(sectors),
                None => sectors,
            };
            let rest = (first..sectors).step_by(ATOM as usize);
            std::iter::once(0).chain(rest).map(move |skip| Atom {
                to: to + skip,
                sectors: if skip == 0 {
                    first
                } else {
                    ATOM.min(sectors - skip)
                },
                data: data.and_then(|at| at.checked_add(skip as u32)),
            })
        })
}

impl Loss {
    /// Puts on `disk` what is not lost; returns how many pieces were, and of how many.
    pub fn apply(&self, disk: &mut Disk, log: &WriteLog) -> (usize, usize) {
        let atoms: Vec<Atom> = atoms(log, &self.batch).collect();
        let mut random = fastrand::Rng::with_seed(self.seed);
        let chosen = random.usize(..atoms.len().max(1));
        let mut lost = 0;
        for (n, atom) in atoms.iter().enumerate() {
            let inside = |part: Part| (part.from..part.to).contains(&atom.to);
            let kept = match self.how {
                How::Any => random.bool(),
                How::Ordered => n < chosen,
                How::AllButOne => n != chosen,
                How::OnlyOne => n == chosen,
                How::Only(part) => inside(part),
                How::AllBut(part) => !inside(part),
            };
            match (kept, atom.data) {
                (true, Some(data)) => disk.write(atom.to, atom.sectors, data),
                (true, None) => disk.discard(atom.to, atom.sectors),
                (false, _) => lost += 1,
            }
        }
        (lost, atoms.len())
    }
}

/// Walks through the points of a log in their order.
#[derive(Debug)]
pub struct Walk {
    log: Arc<WriteLog>,
    disk: Disk,
    applied: usize,
}

impl Walk {
    /// Before the first entry.
    pub fn new(log: Arc<WriteLog>) -> Walk {
        Walk {
            disk: Disk::new(log.clone()),
            log,
            applied: 0,
        }
    }

    /// The disk at `point`, which must not come before the last one asked for.
    pub fn disk_at(&mut self, point: &Point) -> Disk {
        for entry in &self.log.entries()[self.applied..point.applied.max(self.applied)] {
            match entry.action {
                Action::Write { to, sectors, data } => self.disk.write(to, sectors, data),
                Action::Discard { to, sectors } => self.disk.discard(to, sectors),
                Action::Nothing | Action::Mark(_) => {}
            }
        }
        self.applied = self.applied.max(point.applied);
        let mut disk = self.disk.clone();
        if let Some(loss) = &point.loss {
            loss.apply(&mut disk, &self.log);
        }
        disk
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.loss {
            None => write!(f, "after entry {}", self.applied - 1),
            Some(loss) => {
                let how = match loss.how {
                    How::Any => "any lost",
                    How::Ordered => "in order, then cut",
                    How::AllButOne => "one lost",
                    How::OnlyOne => "all but one lost",
                    How::Only(_) => "all but the journal lost",
                    How::AllBut(_) => "the journal lost",
                };
                let Range { start, end } = loss.batch;
                write!(
                    f,
                    "within entries {start}..{end} ({how}, seed {})",
                    loss.seed
                )
            }
        }
    }
}
