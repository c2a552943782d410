// SPDX-License-Identifier: GPL-2.0

//! The check: its state, and the order of its phases.

mod directories;
mod extents;
mod groups;
pub mod inodes;
mod links;
mod superblocks;
mod totals;
pub mod tree;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use cowfs_core::btree::Root;
use cowfs_core::error::Result;
use cowfs_core::ondisk::Geometry;
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock, Ino};
use cowfs_image::volume::{Journal, Volume};

use crate::counts::Counts;
use crate::report::{Findings, Progress, Subject};
use crate::usage::Usage;
use extents::Span;
use inodes::Inodes;

/// Epochs from here on are damage: nobody counts so far.
pub(crate) const NEVER: u64 = 1 << 62;

/// What there is in a checked volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Inodes in use.
    pub inodes: u64,
    /// Directories among them.
    pub directories: u64,
    /// Inodes on the orphan list.
    pub orphans: u64,
    /// Blocks in use, of all groups.
    pub used: u64,
    /// Blocks of the volume.
    pub blocks: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} inodes, {} of them directories; {} of {} blocks in use",
            self.inodes, self.directories, self.used, self.blocks
        )?;
        match self.orphans {
            0 => Ok(()),
            n => write!(f, "; {n} inodes without a name, or being cut"),
        }
    }
}

/// What a group's header says, and what was found by following it.
#[derive(Debug)]
struct Group {
    /// The count of free blocks.
    free: u32,
    /// The count of blocks in the group's own trees.
    tree_blocks: u32,
    /// The count of free inode slots.
    free_inodes: u32,
    /// Blocks in the inode map.
    inode_blocks: Vec<u32>,
    /// Blocks in the free inode tree.
    with_free_slot: Vec<u32>,
    /// The reference count records.
    counts: Counts,
}

/// A directory, between the phases.
#[derive(Debug)]
struct Directory {
    root: Root,
    size: u64,
    blocks: u64,
    parent: Ino,
    /// Directories among its entries.
    children: u32,
    /// The directory with an entry for this one.
    found_in: Option<Ino>,
}

/// The state of a check.
struct Checker<'a> {
    volume: &'a Volume,
    geometry: Geometry,
    out: &'a mut dyn Findings,
    usage: Usage,
    /// The byte of each group in the summary.
    summary: Vec<Option<u8>>,
    groups: BTreeMap<AgNumber, Group>,
    inodes: Inodes,
    /// What is below each extent tree node.
    spans: HashMap<FsBlock, Span>,
    directories: BTreeMap<Ino, Directory>,
    /// The last epoch given to a file.
    last_epoch: Option<u64>,
    /// Inodes on the orphan list.
    orphans: Vec<Ino>,
    /// The volume block's count of free blocks and of inodes.
    counters: Option<(u64, u64)>,
    outcome: Outcome,
}

/// Checks the whole volume.
///
/// # Errors
///
/// `NoMemory`. Whatever is wrong with the volume is a finding, not an error.
pub fn check(volume: &Volume, out: &mut dyn Findings) -> Result<Outcome> {
    let geometry = volume.geometry().clone();
    let mut checker = Checker {
        volume,
        out,
        usage: Usage::new(&geometry),
        summary: Vec::new(),
        groups: BTreeMap::new(),
        inodes: Inodes::new(&geometry),
        spans: HashMap::new(),
        directories: BTreeMap::new(),
        last_epoch: None,
        orphans: Vec::new(),
        counters: None,
        outcome: Outcome {
            blocks: geometry.blocks,
            ..Outcome::default()
        },
        geometry,
    };
    checker.check_journal();
    checker.check_superblocks();
    checker.check_summary();
    checker.check_volume_block();
    checker.check_groups();
    checker.check_inodes();
    checker.check_directories();
    checker.check_links();
    checker.check_totals();
    Ok(checker.outcome)
}

impl Checker<'_> {
    fn wrong(&mut self, subject: Subject, what: fmt::Arguments<'_>) {
        self.out.wrong(subject, what);
    }

    fn progress(&mut self, phase: &'static str, done: u64, all: u64) {
        self.out.progress(Progress { phase, done, all });
    }

    fn check_journal(&mut self) {
        match self.volume.journal() {
            Journal::Clean(sb) => self.check_errno(sb.errno),
            Journal::NeedsReplay(sb) => {
                let replay = self.volume.replay();
                self.out.note(format_args!(
                    "not cleanly unmounted: the journal needs replay ({} transactions, {} blocks); \
                     checking the state after it, writing nothing",
                    replay.transactions,
                    replay.blocks()
                ));
                for fault in &replay.faults {
                    self.out.wrong(Subject::Journal, format_args!("{fault}"));
                }
                self.check_errno(sb.errno);
            }
            Journal::Unusable(error) => {
                self.out.wrong(Subject::Journal, format_args!("{error}"));
                self.out.note(format_args!(
                    "the journal is not replayed: what it holds is missing from the state checked"
                ));
            }
        }
    }

    fn check_errno(&mut self, errno: i32) {
        if errno != 0 {
            self.wrong(
                Subject::Journal,
                format_args!("aborted by the kernel after error {errno}"),
            );
        }
    }
}
