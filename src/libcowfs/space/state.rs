// SPDX-License-Identifier: GPL-2.0

//! What is known in memory of one allocation group.
//!
//! Every block is in one state, and moves along the arrows:
//!
//! ```text
//!                stage                  commit_staged
//!    available ---------> staged ----------------------------> used on disk
//!      |    ^  <---------                                        |   ^
//!      |    |   unstage                                    free  |   | tree takes it again
//!      |    |                                                    v   |
//!      |    +--- give_back (the commit is on disk) -------- pending  |
//!      |                                                             |
//!      +--- trees of the group ---> used on disk <---> spare --------+
//! ```
//!
//! Only *used on disk* is on disk; a crash turns all the others to available. Staging is therefore
//! nothing but a bit in memory. `Pending` blocks are free on disk by a transaction that may not be
//! on disk yet, so that overwriting them could destroy what a crash brings back. `Spare` ones are the
//! same for blocks of the group's own trees; those trees may take them again at once, as what
//! they write goes through the journal. They never count as available again while the state is in
//! memory, since they are part of the reserve, which only these trees may use.
//!
//! A state may be dropped and loaded again when nothing is staged or pending ([`GroupState::is_idle`]): all else is
//! what the disk says, but for the spares. A spare that was forgotten could become data and then, after a crash, be
//! overwritten with the node it was, by the replay of a transaction that logged it. So they are kept
//! ([`Remains`]) until no replay would, as are references that a crash brings back ([`super::lingering`]).

use super::super::block::Block;
use super::super::btree::Root;
use super::super::error::{Error, Result};
use super::super::ondisk::{group, summary, Kind};
use super::super::platform::Vec;
use super::super::store::Reader;
use super::super::units::{AgBlock, AgNumber, FsBlock};
use super::bitmap::Bitmap;
use super::hints::Hints;
use super::lingering::Lingering;
use super::reserve;
use super::root;

/// Part of a group that is left to metadata at first.
const METADATA: u32 = 32;

/// When a group is good enough to stop searching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// When it has all that is wanted (or a quarter of a group) in one run, or half of that
    /// exactly at the goal.
    Whole,
    /// When it has anything: its longest run.
    Any,
}

/// What is known in memory of one allocation group.
///
/// # Invariants
///
/// - `available` is the number of blocks in `free`, and none of them is used on disk, staged,
///   pending or spare.
/// - No run in `free` is longer than `longest`; no block of `free` is below `low`.
/// - `available >= reserve - tree_blocks - spares`, on a sound disk: see [`super`].
#[derive(Debug)]
pub struct GroupState {
    pub(super) ag: AgNumber,
    /// The group's first block.
    pub(super) start: FsBlock,
    free: Bitmap,
    available: u32,
    staged: u32,
    pending: u32,
    /// Blocks the group's trees gave up, and the last transaction that did.
    spares: Vec<AgBlock>,
    spared_by: u64,
    /// Blocks with one reference that had more.
    pub(super) lingering: Lingering,
    /// Blocks set aside for the trees, and those of them the trees use.
    reserve: u32,
    pub(super) tree_blocks: u32,
    longest: u32,
    low: u32,
    /// Where the last data allocation ended. At first beyond a part of the group that is left to
    /// metadata as long as there is room elsewhere.
    cursor: u32,
    /// Whether the group has a header on disk.
    pub(super) initialised: bool,
    /// Inode block with a free slot, or 0: where the next inode is looked for first.
    pub(super) inode_hint: AgBlock,
    /// The roots in the header.
    pub(super) refcounts: Root,
    pub(super) inode_map: Root,
    pub(super) free_inodes: Root,
}

/// What is to be remembered of a group whose state was dropped: its spares, and references that a
/// crash would bring back.
#[derive(Debug)]
pub struct Remains {
    spares: Vec<AgBlock>,
    spared_by: u64,
    lingering: Lingering,
}

impl Remains {
    /// Whether there is no need to, as `settled` says of a transaction if no replay of the journal
    /// would write again what it or an earlier one logged.
    pub fn is_settled(&self, settled: impl Fn(u64) -> bool) -> bool {
        (self.spares.is_empty() || settled(self.spared_by)) && self.lingering.is_over(settled)
    }
}

impl GroupState {
    /// Loads the state of group `ag`. Its lock must be held.
    ///
    /// # Errors
    ///
    /// `Corrupt` if there is no such group or its header contradicts itself, `Io`, `NoMemory`.
    pub fn load<R: Reader>(reader: &R, ag: AgNumber) -> Result<GroupState> {
        let geometry = reader.geometry();
        let start = geometry.group_start(ag);
        if ag.0 >= geometry.ag_count {
            return Err(Error::Corrupt(start, "no such allocation group"));
        }
        let len = geometry.group_len(ag);
        let mut state = GroupState {
            ag,
            start,
            free: Bitmap::new(len)?,
            available: 0,
            staged: 0,
            pending: 0,
            spares: Vec::new(),
            spared_by: 0,
            lingering: Lingering::default(),
            reserve: reserve::reserve(geometry, ag),
            tree_blocks: 0,
            longest: len,
            low: 0,
            cursor: len / METADATA,
            initialised: false,
            inode_hint: AgBlock(0),
            refcounts: Root::default(),
            inode_map: Root::default(),
            free_inodes: Root::default(),
        };
        let (at, byte) = summary::place(geometry, ag);
        if reader.read(at, Kind::Summary)?.u8(byte) == summary::UNUSED {
            let usable = reserve::usable(geometry, ag);
            state.available = state.free.insert(len - usable, usable);
            return Ok(state);
        }
        let header = reader.read(start, Kind::Group)?;
        for index in 0..len.div_ceil(u64::BITS) as usize {
            let used = header.u64(group::BITMAP + index * 8);
            state.free.put_word(index, !used);
        }
        state.available = state.free.count();
        if state.available != header.u32(group::FREE) {
            return Err(Error::Corrupt(start, "wrong count of free blocks"));
        }
        state.initialised = true;
        state.tree_blocks = header.u32(group::TREE_BLOCKS);
        if state.tree_blocks > state.reserve {
            return Err(Error::Corrupt(start, "impossible count of tree nodes"));
        }
        let levels = reserve::tree_levels(geometry);
        let tree = |at| {
            let is_home = |block| geometry.locate(block).is_some_and(|(home, _)| home == ag);
            let root = root::get(&header, at, levels, is_home);
            root.ok_or(Error::Corrupt(start, "group with an impossible tree root"))
        };
        state.refcounts = tree(group::REFCOUNT_ROOT)?;
        state.inode_map = tree(group::INODE_ROOT)?;
        state.free_inodes = tree(group::FREE_INODE_ROOT)?;
        Ok(state)
    }

    /// The group's number.
    pub fn ag(&self) -> AgNumber {
        self.ag
    }

    /// Blocks that are free on disk and neither staged nor pending nor spare.
    pub fn available(&self) -> u32 {
        self.available
    }

    /// Blocks of the group.
    pub(super) fn blocks(&self) -> u32 {
        self.free.len()
    }

    /// Blocks staged.
    pub fn staged(&self) -> u32 {
        self.staged
    }

    /// Blocks freed by transactions that are not known to be on disk.
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// Blocks used by the group's own trees.
    pub fn tree_blocks(&self) -> u32 {
        self.tree_blocks
    }

    /// Blocks that anything but the group's own trees may take now.
    pub fn room(&self) -> u32 {
        let used = self.tree_blocks.saturating_add(self.spares.len() as u32);
        self.available
            .saturating_sub(self.reserve.saturating_sub(used))
    }

    /// Whether the state may be dropped from memory, all but what [`GroupState::into_remains`] keeps.
    pub fn is_idle(&self) -> bool {
        self.staged == 0 && self.pending == 0
    }

    /// Drops the state.
    pub fn into_remains(self) -> Remains {
        Remains {
            spares: self.spares,
            spared_by: self.spared_by,
            lingering: self.lingering,
        }
    }

    /// Takes up what remained when the state, which was loaded anew just now, was dropped.
    pub fn recall(&mut self, remains: &mut Remains) {
        self.spares = core::mem::replace(&mut remains.spares, Vec::new());
        self.spared_by = remains.spared_by;
        self.lingering = core::mem::take(&mut remains.lingering);
        for at in 0..self.spares.len() {
            if let Some(&AgBlock(block)) = self.spares.get(at) {
                self.take(block, 1);
            }
        }
    }

    /// The transaction that freed `[at, at + len)` is on disk: the blocks become available.
    ///
    /// Also adds to the volume's `hints` that there is something new to find, so this must come
    /// before the blocks are promised to anybody.
    pub fn give_back(&mut self, hints: &Hints, at: FsBlock, len: u32) {
        self.pending = self.pending.saturating_sub(self.put(at, len));
        hints.given_back();
    }

    /// Staged blocks become available again. To be followed by [`Hints::given_back`].
    pub(super) fn unstage(&mut self, at: FsBlock, len: u32) {
        self.staged = self.staged.saturating_sub(self.put(at, len));
    }

    /// Staged blocks became used on disk.
    pub(super) fn commit(&mut self, len: u32) {
        self.staged = self.staged.saturating_sub(len);
    }

    /// Used blocks became free on disk.
    pub(super) fn freed(&mut self, len: u32) {
        self.pending = self.pending.saturating_add(len);
    }

    /// Makes blocks available and returns how many of them were not.
    fn put(&mut self, at: FsBlock, len: u32) -> u32 {
        let Ok(first) = u32::try_from(at.since(self.start)) else {
            return 0;
        };
        let new = self.free.insert(first, len);
        self.available = self.available.saturating_add(new);
        self.low = self.low.min(first);
        if self.longest < self.available {
            let before = self.free.run_before(first);
            let run = before.saturating_add(self.free.run_at(first, u32::MAX));
            self.longest = self.longest.max(run);
        }
        new
    }

    /// Takes blocks out of those available.
    fn take(&mut self, first: u32, len: u32) {
        self.available = self.available.saturating_sub(self.free.remove(first, len));
    }

    /// Stages up to `want` blocks in a row, near block `goal` of the group; `goal` 0 means where
    /// the last search ended. What counts as success is up to `fit`.
    pub(super) fn stage(&mut self, goal: AgBlock, want: u32, fit: Fit) -> Option<(FsBlock, u32)> {
        let room = self.room();
        // More than this in one run is asked of no group that has been used.
        let enough = want.min(self.free.len() / 4).max(1);
        if room == 0 || (room < enough && fit == Fit::Whole) {
            return None;
        }
        let want = want.clamp(1, room);
        let enough = enough.min(want);
        let (goal, at_goal) = match goal.0 {
            0 => (self.cursor, enough),
            goal => (goal, enough.div_ceil(2)),
        };
        let run = match self.free.run_at(goal, want) {
            len if len >= at_goal => (goal, len),
            _ => self.choose(goal, want, enough, fit)?,
        };
        let (first, len) = run;
        self.take(first, len);
        self.staged = self.staged.saturating_add(len);
        self.cursor = first.saturating_add(len);
        Some((self.start.add(u64::from(first)), len))
    }

    /// Like [`GroupState::stage`] for one metadata block: at `goal`, or where the first is free,
    /// so that a group's metadata stays together.
    pub(super) fn stage_node(&mut self, goal: AgBlock) -> Option<FsBlock> {
        if self.room() == 0 {
            return None;
        }
        let first = match self.free.run_at(goal.0, 1) {
            0 => self.lowest()?,
            _ => goal.0,
        };
        self.take(first, 1);
        self.staged = self.staged.saturating_add(1);
        Some(self.start.add(u64::from(first)))
    }

    fn lowest(&mut self) -> Option<u32> {
        let first = self.free.next(self.low)?;
        self.low = first;
        Some(first)
    }

    /// The run that [`GroupState::stage`] takes if not the one at `goal`: the next one that is
    /// enough, else, if it may be any, the longest.
    fn choose(&mut self, goal: u32, want: u32, enough: u32, fit: Fit) -> Option<(u32, u32)> {
        if enough <= self.longest {
            let found = match self.free.find(goal, u32::MAX, enough) {
                None => self.free.find(0, goal, enough),
                some => some,
            };
            if let Some(first) = found {
                return Some((first, self.free.run_at(first, want)));
            }
            self.longest = enough - 1;
        }
        if fit == Fit::Whole {
            return None;
        }
        let (first, len) = self.free.longest();
        self.longest = len;
        (len > 0).then_some((first, len.min(want)))
    }

    /// A block that a tree of the group could take: a spare, else an available one, those of the
    /// reserve included.
    pub(super) fn tree_block(&mut self) -> Option<FsBlock> {
        let block = match self.spares.last() {
            Some(spare) => spare.0,
            None => self.lowest()?,
        };
        Some(self.start.add(u64::from(block)))
    }

    /// A tree of the group took the block that [`GroupState::tree_block`] named.
    pub(super) fn take_tree_block(&mut self) {
        if self.spares.pop().is_none() {
            if let Some(first) = self.lowest() {
                self.take(first, 1);
            }
        }
        self.tree_blocks = self.tree_blocks.saturating_add(1);
    }

    /// Makes a block that a tree of the group gives up in transaction `id` a spare.
    ///
    /// # Errors
    ///
    /// `NoMemory`; nothing is changed then.
    pub(super) fn spare(&mut self, at: FsBlock, id: u64) -> Result {
        let block = u32::try_from(at.since(self.start)).unwrap_or(u32::MAX);
        self.spares.push(AgBlock(block))?;
        self.spared_by = id;
        self.tree_blocks = self.tree_blocks.saturating_sub(1);
        Ok(())
    }
}
