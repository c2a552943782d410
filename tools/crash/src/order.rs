// SPDX-License-Identifier: GPL-2.0

//! Where the order of the log is not that of the device.
//!
//! ```text
//!   sent         w1    f2    F          one block: a write without FUA, then one with it
//!   completed    w1    f2    F
//!   log          f2    w1    F          w1 would come back over f2
//! ```
//!
//! The recorder keeps a write without FUA until a flush that is sent after it returns, and records one
//! with FUA at once. While one flush is on its way, both can be complete; so the write recorded too late
//! comes at most one flush after the other.
//!
//! Blocks of the workloads' files carry the number of the write that made them, and a block has one
//! writer at a time: the lower number came first, and is left out here. Nothing else is
//! written with FUA and without between two flushes: the journal flushes before it writes with FUA.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use crate::log::{Action, Entry, LogSector, WriteLog, SECTOR};
use crate::stamp;

/// What was written with FUA a short time ago.
#[derive(Default)]
struct Recent {
    /// First sector of a block: the number of the write, and how many flushes came before it.
    blocks: HashMap<u64, (u64, u64)>,
    flushes: u64,
}

impl Recent {
    fn flush(&mut self) {
        let oldest = self.flushes;
        self.flushes += 1;
        self.blocks.retain(|_, (_, flushes)| *flushes >= oldest);
    }

    fn note(&mut self, to: u64, bytes: &[u8]) {
        for piece in pieces(bytes) {
            let place = to + piece.range.start;
            match piece.write {
                Some(write) => self.blocks.insert(place, (write, self.flushes)),
                None => self.blocks.remove(&place),
            };
        }
    }

    fn has_any(&self, mut sectors: Range<u64>) -> bool {
        !self.blocks.is_empty() && sectors.any(|sector| self.blocks.contains_key(&sector))
    }

    /// The parts of what is written to `to` that are not older than what is there.
    fn newer(&self, to: u64, bytes: &[u8]) -> Vec<Range<u64>> {
        let mut parts: Vec<Range<u64>> = Vec::new();
        for Piece { range, write } in pieces(bytes) {
            let there = self.blocks.get(&(to + range.start));
            let older = matches!((there, write), (Some((there, _)), Some(write)) if *there > write);
            match parts.last_mut() {
                _ if older => {}
                Some(last) if last.end == range.start => last.end = range.end,
                _ => parts.push(range),
            }
        }
        parts
    }
}

/// Sectors of a write: a block with the number of the write that made it, or one without.
struct Piece {
    range: Range<u64>,
    write: Option<u64>,
}

fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let (write, len) = stamp::find(rest).unzip();
        let start = at as u64 / SECTOR;
        at += len.unwrap_or(SECTOR as usize);
        let range = start..at as u64 / SECTOR;
        Some(Piece { range, write })
    })
}

/// The entries of `log` without the blocks that were overwritten before they were recorded.
///
/// # Errors
///
/// Those of reading the data of the log.
pub fn mended(log: &WriteLog) -> io::Result<Vec<Entry>> {
    let mut recent = Recent::default();
    let mut entries = Vec::with_capacity(log.entries().len());
    for entry in log.entries() {
        if entry.flush {
            recent.flush();
        }
        match entry.action {
            Action::Write { to, sectors, data } if entry.fua => {
                recent.note(to, &read(log, sectors, data)?);
            }
            Action::Write { to, sectors, data }
                if !entry.flush && recent.has_any(to..to + sectors) =>
            {
                for part in recent.newer(to, &read(log, sectors, data)?) {
                    // The log's sectors were checked to fit into 32 bits.
                    let skip = u32::try_from(part.start).ok();
                    entries.extend(skip.and_then(|skip| data.checked_add(skip)).map(|data| {
                        Entry {
                            action: Action::Write {
                                to: to + part.start,
                                sectors: part.end - part.start,
                                data,
                            },
                            ..*entry
                        }
                    }));
                }
                continue;
            }
            _ => {}
        }
        entries.push(entry.clone());
    }
    Ok(entries)
}

fn read(log: &WriteLog, sectors: u64, from: LogSector) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (sectors * SECTOR) as usize];
    log.read(from, 0, &mut bytes)?;
    Ok(bytes)
}
