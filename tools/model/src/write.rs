// SPDX-License-Identifier: GPL-2.0

//! One write, from its system call to its `end_io`.
//!
//! ```text
//!   Idle ── begin ──► Mapping ── map, map, ... ──► InFlight ── all parts done ──► Ending ──► Over
//!                                (each part's I/O is submitted when it is mapped)   (step by step)
//! ```

use crate::config::Policy;
use crate::world::{pairs, range, Content, Contents, World};
use cowfs_core::cow::{FileRange, Rule, Staged, State};
use cowfs_core::units::{FileBlock, FsBlock};

/// A part of a write whose I/O is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Its first block in the file.
    pub file: u8,
    /// Its first block on the device.
    pub disk: u8,
    /// How many.
    pub len: u8,
    /// Whether it goes through the CoW fork.
    pub cow: bool,
}

impl Part {
    /// Where it writes.
    pub fn run(&self) -> Staged {
        Staged {
            file: FileBlock(self.file.into()),
            disk: FsBlock(self.disk.into()),
            len: self.len.into(),
        }
    }
}

/// How far a write is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It has not begun.
    #[default]
    Idle,
    /// It began; from block `next` on it is not mapped yet.
    Mapping,
    /// All of it is submitted.
    InFlight,
    /// `end_io` is moving blocks.
    Ending,
    /// The caller was told how it ended.
    Over,
}

/// One write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Write {
    /// How far it is.
    pub phase: Phase,
    /// Its first block.
    pub start: u8,
    /// The first block beyond it; earlier than at first if it became short.
    pub end: u8,
    /// The first block not mapped yet.
    pub next: u8,
    /// The first block that `end_io` has not looked at.
    pub done: u8,
    /// What is in flight.
    pub parts: Vec<Part>,
    /// Whether any part went through the CoW fork: `end_io` is called for it then.
    pub cow: bool,
    /// Whether any part failed.
    pub failed: bool,
    /// What was over when it began.
    pub before: Contents,
}

impl Write {
    /// Whether it has begun and is not over.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Over)
    }

    /// The blocks that are not mapped yet.
    fn rest(&self) -> FileRange {
        range(self.next, self.end - self.next)
    }
}

impl<R: Rule> World<R> {
    /// Writer `writer` begins to write `len` blocks from `start` on; if `buffered`, what it will
    /// need is reserved now, and the rest is writeback.
    pub fn begin(&mut self, writer: usize, start: u8, len: u8, buffered: bool) {
        self.writers[writer] = Write {
            phase: Phase::Mapping,
            start,
            end: start + len,
            next: start,
            done: start,
            before: self.past,
            ..Write::default()
        };
        for at in (start..start + len).filter(|_| buffered) {
            if !self.is_exclusive(at) {
                self.cow.reserve(range(at, 1)).expect("memory");
            }
        }
    }

    /// Where the write's next blocks go, and for how many of them that holds; `None`: in place.
    fn target(&self, writer: usize, policy: Policy) -> (bool, u8) {
        let write = &self.writers[writer];
        let joins = |at: u8| {
            let state = self.cow.lookup(FileBlock(at.into()), 1).0;
            let is_real = state.is_some_and(|state| state.is_real());
            match policy {
                Policy::Ours => is_real,
                Policy::StagedFirst => is_real || matches!(state, Some(State::Unwritten(_))),
                Policy::InPlaceFirst => false,
            }
        };
        let through_cow = |at: u8| joins(at) || !self.is_exclusive(at);
        let first = through_cow(write.next);
        let same = (write.next..write.end).take_while(|at| through_cow(*at) == first);
        (first, same.count() as u8)
    }

    /// Maps and submits the next part of a write, all under the fork's lock. Returns how many
    /// blocks that are.
    ///
    /// With `most`, only so many of the blocks mapped are submitted, and the write ends there: the
    /// rest of the caller's memory is not there.
    pub fn map_next(&mut self, writer: usize, hint: u32, policy: Policy, most: Option<u8>) -> u8 {
        let write = &self.writers[writer];
        let (next, rest) = (write.next, write.rest());
        let (cow, len) = self.target(writer, policy);
        let mut part = Part {
            file: next,
            disk: 0,
            len,
            cow,
        };
        if cow {
            let wanted = range(next, len);
            let whole = range(0, self.data.len() as u8);
            if let Some(gap) = self.cow.gap(wanted, hint, whole) {
                if gap.need.start == wanted.start {
                    self.stage(gap);
                }
            }
            let run = self.cow.mark(wanted).expect("the first block is staged");
            part.disk = run.disk.0 as u8;
            part.len = run.len as u8;
        } else {
            let first = self.data[next as usize].expect("exclusive blocks are mapped");
            let adjacent = |i: &u8| self.data[(next + i) as usize] == Some(first + i);
            part.disk = first;
            part.len = (0..len).take_while(adjacent).count() as u8;
        }
        let mapped = part.len;
        if let Some(most) = most.filter(|most| *most < mapped) {
            // What was marked and is not submitted ends here, as a failure.
            part.len = most;
            if cow {
                self.fail(range(next + most, mapped - most));
            }
        }
        let write = &mut self.writers[writer];
        write.next += part.len;
        write.cow |= cow;
        if part.len > 0 {
            write.parts.push(part);
        }
        if most.is_some() {
            write.end = write.next;
        }
        if write.next == write.end {
            write.phase = Phase::InFlight;
        }
        debug_assert!(rest.contains(FileBlock(next.into())));
        mapped
    }

    /// The device is done with part `part` of a write.
    pub fn complete(&mut self, writer: usize, part: usize, failed: bool) {
        let part = self.writers[writer].parts.remove(part);
        if failed {
            self.writers[writer].failed = true;
            return;
        }
        for (_, block) in pairs(part.run()) {
            self.device[block as usize] = Content::New(writer as u8);
        }
    }

    /// One step of `end_io`: moves the next run, or tells the caller that the write is over.
    pub fn end(&mut self, writer: usize, buffered: bool) {
        let write = &mut self.writers[writer];
        write.phase = Phase::Ending;
        let mut rest = range(write.done, write.end - write.done);
        let (cow, failed) = (write.cow, write.failed);
        if cow && failed {
            self.fail(rest);
        } else if cow {
            if let Some(run) = self.cow.take(&mut rest).expect("memory") {
                self.map(run);
                self.writers[writer].done = rest.start.0 as u8;
                return;
            }
        }
        self.over(writer, buffered);
    }

    fn fail(&mut self, range: FileRange) {
        self.cow.fail(range).expect("memory");
    }

    /// The caller is told how the write ended.
    fn over(&mut self, writer: usize, buffered: bool) {
        let write = std::mem::take(&mut self.writers[writer]);
        self.writers[writer].phase = Phase::Over;
        if buffered {
            // What it reserved where it could go in place after all.
            let range = range(write.start, write.end - write.start);
            self.cow.cancel_delalloc(range).expect("memory");
        }
        self.past.add(Content::New(writer as u8));
        for at in (write.start..write.end).filter(|_| !write.failed) {
            self.stale[at as usize].add_all(write.before);
        }
    }
}
