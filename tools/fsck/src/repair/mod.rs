// SPDX-License-Identifier: GPL-2.0

//! Repair: what is left of a volume is made a sound one.
//!
//! The inodes, and the trees that begin in them, are what counts; all else follows from them. So
//! what is wrong with inodes is put right in place, by removing what makes no sense; what belongs to the
//! groups is not repaired at all, but made anew where it disagrees; and what needs new
//! blocks is done last, by the core's own operations, when everybody knows again which are free:
//!
//! ```text
//!   groups        which blocks hold inodes: the inode maps, or, where one is damaged, all of the group
//!   inodes        fields; nodes of extent trees, directories, links are claimed, and what is
//!    |            unreadable, out of place or claimed already is pruned (tree.rs)
//!   contents      file data is claimed, references counted; what lies over metadata is cut out
//!   marks         files that share blocks are marked; nodes of an epoch that tells a lie
//!   directories   entries that lead nowhere go, those in the wrong place are kept for later
//!  ---- from here on it is known which blocks are in use ------------------------------------------
//!   rebuild       headers, bitmaps, trees of groups that differ; summary; counters
//!   entries       those kept for later are entered where they belong
//!   links         who is not reachable goes to lost+found; parents and link counts
//!   orphans       what the kernel does when it mounts: inodes without a name are deleted, cuts finished
//! ```
//!
//! **Nothing is written.** All changes are staged ([`Overlay`]); the caller has the result checked, as any
//! volume, and only if not a single finding is left, has it written out in an order that a crash
//! does not harm ([`Volume::write_out`]). What cannot be made sound is therefore left alone
//! as it is.
//!
//! **Which of two is right.** Metadata wins over data that claims the same blocks, since it says itself
//! that it belongs there. Two files with the same data share it from then on: each of them reads what it read
//! before, and neither can change what the other reads. A tree node belongs to the first who claims
//! it, but for extent trees' nodes, which can be shared like data. A block with the right magic, UUID and address but a wrong
//! checksum is believed record by record, as far as the records make sense.
//!
//! Every change is told, with its [effect](Effect): *safe* ones follow from what is known, so `-p`
//! makes them; *losses* take something away or trust something damaged, and need `-y`. A block that could not
//! be read is no reason for a loss, as the next attempt may succeed: then all is left as it is.

mod contents;
mod directories;
mod extents;
mod groups;
mod inodes;
mod links;
mod marks;
mod order;
mod orphans;
mod rebuild;
mod slot;
mod tree;
mod types;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use cowfs_core::error::{Error, Result};
use cowfs_core::ondisk::Geometry;
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock, Ino};
use cowfs_image::journal::JournalError;
use cowfs_image::overlay::Overlay;
use cowfs_image::volume::{Journal, Volume};
use thiserror::Error as ThisError;

use crate::check::inodes::Inodes;
use crate::report::{Effect, Findings, Progress, Subject};
use crate::usage::Usage;
use directories::{Directory, Stray};
use tree::Span;

/// Why a volume is not repaired.
#[derive(Debug, ThisError)]
pub enum RepairError {
    /// Memory is short, or what is needed for it is damaged, too.
    #[error("{0}")]
    Core(#[from] Error),
    /// The device failed to read this block, and what it holds would be lost.
    #[error(
        "block {0} cannot be read, and what it holds would be lost: \
         copy the device, perhaps with ddrescue(1), and repair the copy"
    )]
    Unreadable(FsBlock),
}

/// What was known of a node when it was met.
#[derive(Clone, Copy, Debug)]
struct Met {
    level: usize,
    span: Option<Span>,
}

/// The state of a repair.
struct Repair<'a> {
    volume: &'a Volume,
    overlay: Overlay<'a>,
    geometry: Geometry,
    out: &'a mut dyn Findings,
    /// What the inodes claim; also inode blocks, headers and backups, and what is sound of the groups' own
    /// trees.
    usage: Usage,
    /// Only the latter.
    trees: Usage,
    /// Groups that have a header, or should have one.
    used: BTreeSet<AgNumber>,
    /// Those of them whose inode map agrees with the header on how many blocks of inodes there are.
    settled: BTreeSet<AgNumber>,
    /// Groups that agree with themselves, but not with others.
    outdated: BTreeSet<AgNumber>,
    /// Blocks of inodes, each with its number of free slots once that is known.
    inode_blocks: BTreeMap<FsBlock, u32>,
    inodes: Inodes,
    /// Nodes of extent trees.
    met: HashMap<FsBlock, Met>,
    directories: BTreeMap<Ino, Directory>,
    /// Entries to be entered again.
    strays: Vec<Stray>,
    /// Entries too many: directory and the inode they lead to.
    surplus: Vec<(Ino, Ino)>,
    /// Inodes the orphan tree names, and whether it is sound.
    orphans: BTreeSet<Ino>,
    orphans_sound: bool,
    orphan_nodes: Vec<FsBlock>,
    /// The greatest epoch that can be.
    epoch: u64,
    /// Whether there was a loss.
    loses: bool,
    /// Blocks that the device failed to read, where they may have been what nothing else tells.
    unread: RefCell<BTreeSet<FsBlock>>,
    /// Others it failed to read, which need not be anything.
    probed: RefCell<BTreeSet<FsBlock>>,
    /// Nodes of the groups' own trees that it failed to read.
    group_nodes: BTreeSet<FsBlock>,
}

/// Repairs the volume as far as it can be; what is to change is staged in it. The caller checks it
/// again before it is written.
///
/// # Errors
///
/// Why it cannot be done; what is staged is worth nothing then.
pub fn repair(volume: &Volume, out: &mut dyn Findings) -> std::result::Result<(), RepairError> {
    let mut repair = Repair::new(volume, out);
    repair.journal();
    repair.find_orphans();
    repair.find_groups()?;
    repair.inodes()?;
    repair.contents()?;
    repair.marks()?;
    repair.directories()?;
    let missing = repair.missing();
    repair.rebuild()?;
    repair.enter_strays()?;
    repair.links()?;
    repair.reclaim()?;
    if let (true, Some(at)) = (repair.loses, missing) {
        return Err(RepairError::Unreadable(at));
    }
    repair.overlay.stage();
    Ok(())
}

/// Does what the kernel does with the orphan list when it mounts a volume, which must be sound.
///
/// # Errors
///
/// As [`repair`].
pub fn reclaim(volume: &Volume, out: &mut dyn Findings) -> Result {
    let mut repair = Repair::new(volume, out);
    repair.find_orphans();
    repair.reclaim()?;
    repair.overlay.stage();
    Ok(())
}

impl<'a> Repair<'a> {
    fn new(volume: &'a Volume, out: &'a mut dyn Findings) -> Self {
        let geometry = volume.geometry().clone();
        Repair {
            volume,
            overlay: Overlay::new(volume),
            out,
            usage: Usage::new(&geometry),
            trees: Usage::new(&geometry),
            used: BTreeSet::new(),
            settled: BTreeSet::new(),
            outdated: BTreeSet::new(),
            inode_blocks: BTreeMap::new(),
            inodes: Inodes::new(&geometry),
            met: HashMap::new(),
            directories: BTreeMap::new(),
            strays: Vec::new(),
            surplus: Vec::new(),
            orphans: BTreeSet::new(),
            orphans_sound: false,
            orphan_nodes: Vec::new(),
            epoch: 0,
            loses: false,
            unread: RefCell::default(),
            probed: RefCell::default(),
            group_nodes: BTreeSet::new(),
            geometry,
        }
    }

    /// Something that follows from what is known was put right.
    fn safe(&mut self, subject: Subject, what: fmt::Arguments<'_>) {
        self.out.repaired(Effect::Safe, subject, what);
    }

    /// Something is gone, or not certain.
    fn lost(&mut self, subject: Subject, what: fmt::Arguments<'_>) {
        self.loses = true;
        self.out.repaired(Effect::Loss, subject, what);
    }

    fn progress(&mut self, phase: &'static str, done: u64, all: u64) {
        self.out.progress(Progress { phase, done, all });
    }

    /// What [`Volume::write_out`] does beyond what is staged.
    fn journal(&mut self) {
        match self.volume.journal() {
            Journal::Unusable(JournalError::Repair) => {
                self.safe(Subject::Journal, format_args!("made anew; it was empty"));
            }
            Journal::Unusable(_) => self.lost(
                Subject::Journal,
                format_args!("made anew; what it held is lost"),
            ),
            _ => {}
        }
        if !self.volume.replay().faults.is_empty() {
            self.lost(
                Subject::Journal,
                format_args!("replayed as far as it is sound; the rest of it is lost"),
            );
        }
    }

    /// A block that could not be read and may have held what is lost now: others do not tell that, nor is it data.
    fn missing(&self) -> Option<FsBlock> {
        let (unread, probed) = (self.unread.borrow(), self.probed.borrow());
        let probed = probed.iter().filter(|at| !self.usage.is_data(**at));
        let mut all = unread.iter().chain(probed);
        let missing = all.find(|at| !self.group_nodes.contains(at));
        self.volume.unreadable_in_journal().or(missing.copied())
    }

    /// Whether the journal tells all it ever held, so that no block is older than others say.
    fn is_journal_whole(&self) -> bool {
        let is_one = !matches!(self.volume.journal(), Journal::Unusable(_));
        is_one && self.volume.replay().faults.is_empty()
    }

    /// The number of a group's block `at`, if it is in one.
    fn group_of(&self, at: FsBlock) -> Option<AgNumber> {
        self.geometry.locate(at).map(|(ag, _)| ag)
    }
}
