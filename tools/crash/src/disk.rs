// SPDX-License-Identifier: GPL-2.0

//! The device as some part of the log leaves it.
//!
//! No data is copied: for every sector it is known where in the log what it holds was written. The
//! index is a tree of two levels whose leaves are shared between copies of the disk until one of them changes:
//!
//! ```text
//!   disk A   [ 0 | 2 MiB | 4 MiB | ... ]       disk B, a copy with one write more
//!              |     |       \______________________ |
//!              v     v                              \v
//!            leaf   leaf: sector -> log sector      leaf'
//! ```
//!
//! So the state at each of thousands of points costs a list of pointers, and a leaf for each place
//! where it differs. What was never written, or was discarded, holds poison.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use cowfs_image::device::Image;

use crate::log::{LogSector, WriteLog, SECTOR};
use crate::stamp::POISON;

/// Sectors of a leaf.
const LEAF: u64 = 4096;

type Leaf = [Option<LogSector>; LEAF as usize];

/// A state of the device.
#[derive(Clone, Debug)]
pub struct Disk {
    log: Arc<WriteLog>,
    leaves: BTreeMap<u64, Rc<Leaf>>,
}

impl Disk {
    /// The device before anything was recorded.
    pub fn new(log: Arc<WriteLog>) -> Disk {
        Disk {
            log,
            leaves: BTreeMap::new(),
        }
    }

    /// `sectors` from `to` on hold what is in the log from `data` on.
    pub fn write(&mut self, to: u64, sectors: u64, data: LogSector) {
        let data = u64::from(data.get());
        // All of the entry's data is in the log, whose sectors were checked to fit into 32 bits.
        self.set(to, sectors, |n| {
            u32::try_from(data + n).ok().and_then(LogSector::new)
        });
    }

    /// Nothing is known any more of `sectors` from `to` on.
    pub fn discard(&mut self, to: u64, sectors: u64) {
        self.set(to, sectors, |_| None);
    }

    fn set(&mut self, to: u64, sectors: u64, value: impl Fn(u64) -> Option<LogSector>) {
        let mut done = 0;
        while done < sectors {
            let at = to + done;
            let first = at % LEAF;
            let len = (LEAF - first).min(sectors - done);
            let empty = || Rc::new([None; LEAF as usize]);
            let leaf = Rc::make_mut(self.leaves.entry(at / LEAF).or_insert_with(empty));
            for n in 0..len {
                leaf[(first + n) as usize] = value(done + n);
            }
            done += len;
        }
    }

    /// Where in the log what the sector holds was written.
    pub fn origin(&self, sector: u64) -> Option<LogSector> {
        self.leaves.get(&(sector / LEAF))?[(sector % LEAF) as usize]
    }

    /// The same for `sectors` of them, if they were written as one piece, or none of them was.
    pub fn origin_of_all(&self, from: u64, sectors: u64) -> Result<Option<LogSector>, Scattered> {
        let first = self.origin(from);
        for n in 1..sectors {
            let here = self.origin(from + n).map(|at| u64::from(at.get()));
            if here != first.map(|at| u64::from(at.get()) + n) {
                return Err(Scattered);
            }
        }
        Ok(first)
    }

    /// The log that the data is in.
    pub fn log(&self) -> &WriteLog {
        &self.log
    }
}

/// Sectors that were not written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scattered;

impl Image for Disk {
    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < to.len() {
            let (sector, skip) = ((at + done as u64) / SECTOR, (at + done as u64) % SECTOR);
            let first = self.origin(sector);
            // As far as the log goes on as the disk does.
            let mut sectors = 1;
            let left = (skip + (to.len() - done) as u64).div_ceil(SECTOR);
            while sectors < left {
                let next = self.origin(sector + sectors).map(|at| u64::from(at.get()));
                if next != first.map(|at| u64::from(at.get()) + sectors) {
                    break;
                }
                sectors += 1;
            }
            let len = ((sectors * SECTOR - skip) as usize).min(to.len() - done);
            let part = &mut to[done..done + len];
            match first {
                Some(from) => self.log.read(from, skip, part)?,
                None => {
                    let word = POISON.to_le_bytes();
                    for (n, byte) in part.iter_mut().enumerate() {
                        *byte = word[(skip as usize + n) % word.len()];
                    }
                }
            }
            done += len;
        }
        Ok(())
    }
}
