// SPDX-License-Identifier: GPL-2.0

//! Looks at the volume of one point: the journal is replayed in memory, fsck checks everything, and names and
//! contents are held against the oracle.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;

use cowfs_core::space::{total_reserve, VolumeState};
use cowfs_core::store::Reader;
use cowfs_fsck::{Findings, Progress, Subject};
use cowfs_image::device::Device;
use cowfs_image::volume::Volume;

use crate::disk::Disk;
use crate::files::{directories, Contents, Directories, Reading};
use crate::oracle::file::File;
use crate::oracle::names::{Found, Names};
use crate::oracle::Oracle;
use crate::trace::{Kind, Object, Trace};

/// Findings of one point that are told.
const TOLD: usize = 6;

/// What was compared, so that nobody passes by having nothing to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Names.
    pub names: u64,
    /// Blocks of files.
    pub blocks: u64,
    /// Transactions that were replayed.
    pub transactions: u64,
}

impl std::ops::AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.names += other.names;
        self.blocks += other.blocks;
        self.transactions += other.transactions;
    }
}

/// Everything that is wrong at a point.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    told: Vec<String>,
    more: usize,
}

impl Faults {
    fn add(&mut self, what: String) {
        if self.told.len() < TOLD {
            self.told.push(what);
        } else {
            self.more += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// The first few, a line each, and how many more there are.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let more = (self.more > 0).then(|| format!("... and {} more", self.more));
        self.told.iter().cloned().chain(more)
    }
}

impl Findings for Faults {
    fn wrong(&mut self, subject: Subject, what: fmt::Arguments<'_>) {
        self.add(format!("fsck: {subject}: {what}"));
    }

    fn note(&mut self, _what: fmt::Arguments<'_>) {}

    fn progress(&mut self, _progress: Progress) {}
}

/// Checks the volume on `disk`, a device of `bytes` bytes.
pub fn check(
    disk: &Disk,
    bytes: u64,
    oracle: &Oracle<'_>,
    reading: &Reading,
) -> (Faults, Compared) {
    let mut faults = Faults::default();
    let mut compared = Compared::default();
    let volume = match Volume::open(Device::of_image(Box::new(disk.clone()), bytes)) {
        Ok(volume) => volume,
        Err(error) => {
            faults.add(format!("cannot be opened: {error}"));
            return (faults, compared);
        }
    };
    compared.transactions = u64::from(volume.replay().transactions);
    let sight = Sight {
        volume: &volume,
        disk,
        oracle,
        reading,
    };
    if sight.check(&mut faults, &mut compared) > 0 {
        // What the next mount does first.
        match cowfs_fsck::reclaim(&volume, &mut faults) {
            Ok(()) => match sight.check(&mut faults, &mut compared) {
                0 => {}
                left => faults.add(format!("{left} orphans are left by a mount")),
            },
            Err(error) => faults.add(format!("orphans cannot be reclaimed: {error}")),
        }
    }
    (faults, compared)
}

/// A volume and what it may be.
struct Sight<'a> {
    volume: &'a Volume,
    disk: &'a Disk,
    oracle: &'a Oracle<'a>,
    reading: &'a Reading,
}

impl Sight<'_> {
    /// Has the volume checked, and compares what is in it. Returns the number of orphans.
    fn check(&self, faults: &mut Faults, compared: &mut Compared) -> u64 {
        let orphans = match cowfs_fsck::check(self.volume, faults) {
            Ok(outcome) => outcome.orphans,
            Err(error) => {
                faults.add(format!("cannot be checked: {error}"));
                0
            }
        };
        match VolumeState::load(self.volume) {
            Ok(state) if state.free < total_reserve(self.volume.geometry()) => {
                faults.add("less is free than the groups' own trees may need".to_owned());
            }
            Ok(_) => {}
            Err(error) => faults.add(format!("counters: {error}")),
        }
        match directories(self.volume) {
            Ok(found) => self.compare(&found, faults, compared),
            Err(error) => faults.add(format!("directories cannot be read: {error}")),
        }
        orphans
    }

    fn compare(&self, directories: &Directories, faults: &mut Faults, compared: &mut Compared) {
        let inodes = self.oracle.inodes();
        let inode_of = |object: &Object| inodes.get(object).copied();
        let others: HashSet<u64> = self.oracle.all_tops().iter().filter_map(inode_of).collect();
        let mut contents = HashMap::new();
        for (tops, domain) in self.oracle.domains() {
            let mut found = Found::new();
            for top in tops.iter().filter_map(inode_of) {
                collect(directories, top, &others, &mut found);
            }
            compared.names += found.len() as u64;
            match domain.matches(&found, inodes) {
                // Mostly there is one. Any will do whose files are as they should be.
                Ok(states) => {
                    let results: Vec<_> = states
                        .iter()
                        .map(|names| {
                            self.compare_contents(names, directories, &mut contents, compared)
                        })
                        .collect();
                    if !results.iter().any(Result::is_ok) {
                        results
                            .into_iter()
                            .filter_map(Result::err)
                            .for_each(|error| faults.add(error));
                    }
                }
                Err(error) => faults.add(error),
            }
        }
    }

    fn compare_contents(
        &self,
        names: &Names,
        directories: &Directories,
        known: &mut HashMap<u64, Contents>,
        compared: &mut Compared,
    ) -> Result<(), String> {
        let block_size = self.volume.geometry().block_size() as u64;
        let empty = File::default();
        for (name, object) in names {
            let ino = self.oracle.inodes().get(object).copied().unwrap_or(0);
            if directories.contains_key(&ino) {
                continue;
            }
            let file = self.oracle.file(*object).unwrap_or(&empty);
            let tell =
                |what: String| format!("{:?} (file {object}, inode {ino}): {what}", name.name);
            let found = match known.entry(ino) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let contents = self.reading.contents(self.volume, self.disk, ino);
                    unknown.insert(contents.map_err(|error| tell(error.to_string()))?)
                }
            };
            compared.blocks += found.blocks.len() as u64;
            file.check(found, block_size).map_err(tell)?;
        }
        Ok(())
    }
}

/// The names below a directory, down to directories that are somebody else's.
fn collect(directories: &Directories, top: u64, others: &HashSet<u64>, into: &mut Found) {
    let mut rest = vec![top];
    while let Some(dir) = rest.pop() {
        for (name, entry) in directories.get(&dir).into_iter().flatten() {
            let key = (dir, String::from_utf8_lossy(name).into_owned());
            if into.insert(key, entry.ino).is_some() {
                continue;
            }
            if entry.directory && !others.contains(&entry.ino) {
                rest.push(entry.ino);
            }
        }
    }
}

/// How many operations a trace has that make something durable.
pub fn promises(trace: &Trace) -> usize {
    let promises = trace.ops.values().filter(|op| {
        !op.failed()
            && matches!(
                op.kind,
                Kind::Sync(..) | Kind::SyncAll | Kind::Write(.., true)
            )
    });
    promises.count()
}
