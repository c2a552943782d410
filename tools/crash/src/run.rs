// SPDX-License-Identifier: GPL-2.0

//! All points of a log, checked by several threads: each walks through the log on its own, which costs
//! an index, and looks at every so many points.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use cowfs_core::store::Reader;
use cowfs_image::device::Device;
use cowfs_image::volume::Volume;

use crate::check::{check, promises, Compared, Faults};
use crate::files::Reading;
use crate::log::{WriteLog, SECTOR};
use crate::oracle::Oracle;
use crate::points::{self, Part, Point, Walk};
use crate::trace::{Trace, ROOT};

/// Points that one thread looks at in a row.
const TURN: usize = 16;

/// A recorded workload.
#[derive(Debug)]
pub struct Recording {
    /// What was written.
    pub log: Arc<WriteLog>,
    /// What was done.
    pub trace: Trace,
    /// Bytes of the device.
    pub bytes: u64,
    /// The points to look at.
    pub points: Vec<Point>,
    block_size: u64,
}

impl Recording {
    /// Reads a log of a device of `bytes` bytes. Between two flushes, `losses` points are chosen by `seed`.
    ///
    /// # Errors
    ///
    /// A log or marks that make no sense, or no volume where they say it is.
    pub fn new(log: WriteLog, bytes: u64, losses: u32, seed: u64) -> Result<Recording> {
        let mut trace = Trace::read(&log)?;
        let log = Arc::new(log);
        let start = Point {
            applied: trace.start,
            acknowledged: trace.start,
            loss: None,
        };
        let disk = Walk::new(log.clone()).disk_at(&start);
        let volume = Volume::open(Device::of_image(Box::new(disk), bytes))
            .context("where the marks begin")?;
        let geometry = volume.geometry();
        trace.inodes.insert(ROOT, geometry.root.0);
        let sector = |block: u64| (block << geometry.block_shift) / SECTOR;
        let journal = Part {
            from: sector(geometry.journal_start.0),
            to: sector(geometry.journal_start.0 + u64::from(geometry.journal_blocks)),
        };
        Ok(Recording {
            points: points::all(&log, trace.start, losses, seed, journal),
            block_size: geometry.block_size() as u64,
            log,
            trace,
            bytes,
        })
    }

    /// Keeps `most` of the points, evenly spread.
    pub fn thin(&mut self, most: usize) {
        let all = self.points.len();
        if most == 0 || all <= most {
            return;
        }
        let mut n = 0;
        self.points.retain(|_| {
            // Point n stays if it is the first of its share.
            let keep = n == 0 || n * most / all != (n - 1) * most / all;
            n += 1;
            keep
        });
    }

    /// Whether there is anything to check by.
    pub fn promises(&self) -> usize {
        promises(&self.trace)
    }

    /// Checks one point.
    pub fn check_one(&self, point: &Point) -> (Faults, Compared) {
        let mut oracle = Oracle::new(&self.trace, self.block_size);
        oracle.advance(point.acknowledged);
        let disk = Walk::new(self.log.clone()).disk_at(point);
        check(&disk, self.bytes, &oracle, &Reading::default())
    }

    /// Checks all points with so many threads.
    pub fn check(&self, threads: NonZeroUsize) -> Report {
        let next = AtomicUsize::new(0);
        let report = Mutex::new(Report::default());
        std::thread::scope(|scope| {
            for _ in 0..threads.get() {
                scope.spawn(|| {
                    let own = self.check_turns(&next);
                    if let Ok(mut report) = report.lock() {
                        report.add(own);
                    }
                });
            }
        });
        let mut report = report.into_inner().unwrap_or_default();
        report.bad.sort_by_key(|(number, _)| *number);
        report
    }

    fn check_turns(&self, next: &AtomicUsize) -> Report {
        let mut report = Report::default();
        let mut oracle = Oracle::new(&self.trace, self.block_size);
        let mut walk = Walk::new(self.log.clone());
        let reading = Reading::default();
        loop {
            let first = next.fetch_add(TURN, Ordering::Relaxed);
            let points = self.points.iter().enumerate().skip(first).take(TURN);
            if points.len() == 0 {
                return report;
            }
            for (number, point) in points {
                oracle.advance(point.acknowledged);
                let disk = walk.disk_at(point);
                let (faults, compared) = check(&disk, self.bytes, &oracle, &reading);
                report.points += 1;
                report.compared += compared;
                if !faults.is_empty() {
                    report.bad.push((number, faults));
                }
            }
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Points that were looked at.
    pub points: usize,
    /// What was compared at them.
    pub compared: Compared,
    /// Points, by number, at which something is wrong.
    pub bad: Vec<(usize, Faults)>,
}

impl Report {
    fn add(&mut self, other: Report) {
        self.points += other.points;
        self.compared += other.compared;
        self.bad.extend(other.bad);
    }
}
