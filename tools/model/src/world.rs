// SPDX-License-Identifier: GPL-2.0

//! Everything but the CoW fork: the data forks of the file and its clone, the device, and what
//! readers are entitled to see.

use crate::config::Config;
use crate::fork::Fork;
use crate::write::Write;
use cowfs_core::cow::{FileRange, Gap, Rule, Staged};
use cowfs_core::units::{FileBlock, FsBlock};

/// What a block holds, and who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Whatever somebody else left there: nobody may ever see it.
    Foreign,
    /// What it held when the story began.
    Old,
    /// Nothing: zeros of a hole.
    Zeros,
    /// What this writer wrote.
    New(u8),
}

/// A set of contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Contents(u16);

impl Contents {
    fn bit(content: Content) -> u16 {
        1 << match content {
            Content::Foreign => 0,
            Content::Old => 1,
            Content::Zeros => 2,
            Content::New(writer) => 3 + writer,
        }
    }

    /// Whether it holds `content`.
    pub fn has(self, content: Content) -> bool {
        self.0 & Self::bit(content) != 0
    }

    /// Adds `content`.
    pub fn add(&mut self, content: Content) {
        self.0 |= Self::bit(content);
    }

    /// Adds all of `others`.
    pub fn add_all(&mut self, others: Contents) {
        self.0 |= others.0;
    }
}

/// A file's mapping: the block of the device that each of its blocks is at.
pub type Data = Vec<Option<u8>>;

/// A state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World<R: Rule> {
    /// The file's data fork.
    pub data: Data,
    /// The file's CoW fork.
    pub cow: Fork<R>,
    /// The clone's data fork; empty if there is none.
    pub clone: Data,
    /// What the clone has to show, for ever.
    pub cloned: Vec<Content>,
    /// What each block of the device holds.
    pub device: Vec<Content>,
    /// The blocks of the device that are free.
    pub free: Vec<bool>,
    /// The writers.
    pub writers: Vec<Write>,
    /// What is over: the file's first contents, and the writes that ended.
    pub past: Contents,
    /// What each of the file's blocks may not show any more.
    pub stale: Vec<Contents>,
}

/// The blocks `[start, start + len)` of the file.
pub fn range(start: u8, len: u8) -> FileRange {
    FileRange::new(FileBlock(start.into()), len.into())
}

/// A staged run as pairs of file block and device block.
pub fn pairs(run: Staged) -> impl Iterator<Item = (usize, u8)> {
    (0..u64::from(run.len)).map(move |i| ((run.file.0 + i) as usize, (run.disk.0 + i) as u8))
}

impl<R: Rule> World<R> {
    /// How it begins.
    pub fn new(config: &Config) -> Self {
        let blocks = config.file.len();
        // The file, its clone and all that can be staged at once have room.
        let mut device = vec![Content::Foreign; 3 * blocks];
        let mut free = vec![true; device.len()];
        let (mut data, mut clone) = (vec![None; blocks], vec![None; blocks]);
        for (at, letter) in config.file.bytes().enumerate() {
            if letter == b'-' {
                continue;
            }
            data[at] = Some(at as u8);
            device[at] = Content::Old;
            free[at] = false;
            if letter == b'S' {
                clone[at] = data[at];
            }
        }
        let mut past = Contents::default();
        past.add(Content::Old);
        past.add(Content::Zeros);
        let mut world = World {
            data,
            cow: Fork::new(),
            clone,
            cloned: Vec::new(),
            device,
            free,
            writers: vec![Write::default(); config.direct + config.buffered],
            past,
            stale: vec![Contents::default(); blocks],
        };
        world.cloned = world.contents(&world.clone);
        world
    }

    /// What a reader of a file sees.
    pub fn contents(&self, data: &Data) -> Vec<Content> {
        let content = |at: &Option<u8>| at.map_or(Content::Zeros, |at| self.device[at as usize]);
        data.iter().map(content).collect()
    }

    /// How often a block of the device is mapped.
    pub fn references(&self, block: u8) -> usize {
        let files = [&self.data, &self.clone];
        files
            .into_iter()
            .flatten()
            .filter(|at| **at == Some(block))
            .count()
    }

    /// Whether the file's block `at` is mapped to a block that is the file's alone.
    pub fn is_exclusive(&self, at: u8) -> bool {
        self.data[at as usize].is_some_and(|block| self.references(block) == 1)
    }

    /// Gives a block of the device back if nobody maps it.
    pub fn release(&mut self, block: Option<u8>) {
        if let Some(block) = block.filter(|&block| self.references(block) == 0) {
            self.give_back(block);
        }
    }

    /// Gives a block of the device back; somebody else writes it at once.
    pub fn give_back(&mut self, block: u8) {
        self.free[block as usize] = true;
        self.device[block as usize] = Content::Foreign;
    }

    /// Gives back a run that was staged.
    pub fn give_back_run(&mut self, run: Staged) {
        for (_, block) in pairs(run) {
            self.give_back(block);
        }
    }

    /// Stages blocks for `gap`: as many in a row as are free, up to its window.
    pub fn stage(&mut self, gap: Gap) {
        let (mut start, mut len) = (0, 0);
        for first in 0..self.free.len() {
            let run = self.free[first..].iter().take_while(|free| **free).count();
            let run = run.min(gap.window.len as usize);
            if run > len {
                (start, len) = (first, run);
            }
        }
        assert!(len > 0, "the device is large enough");
        let place = gap.place(len as u32);
        let run = Staged {
            file: place.start,
            disk: FsBlock(start as u64),
            len: place.len as u32,
        };
        self.free[start..start + len].fill(false);
        self.cow.allocate(run).expect("a gap has nothing staged");
    }

    /// Maps the blocks of a run that was taken out of the CoW fork.
    pub fn map(&mut self, run: Staged) {
        for (at, block) in pairs(run) {
            let old = self.data[at].replace(block);
            self.release(old);
        }
    }

    /// Gives back all of `range` that is staged and that nobody wrote.
    pub fn cancel(&mut self, mut range: FileRange) {
        while let Some(run) = self.cow.cancel_unwritten(&mut range).expect("memory") {
            self.give_back_run(run);
        }
    }

    /// Whether no write is under way: what clone and truncate wait for, holding the inode's lock.
    pub fn is_quiet(&self) -> bool {
        self.writers.iter().all(|write| !write.is_under_way())
    }

    /// Deletes the clone.
    pub fn delete_clone(&mut self) {
        for block in std::mem::take(&mut self.clone) {
            self.release(block);
        }
        self.cloned.clear();
    }

    /// Makes a clone of the file, in the place of the one there was.
    pub fn make_clone(&mut self) {
        self.delete_clone();
        self.clone = self.data.clone();
        self.cloned = self.contents(&self.clone);
    }

    /// Truncates the file to `len` blocks.
    pub fn truncate(&mut self, len: u8) {
        let rest = range(len, self.data.len() as u8 - len);
        self.cow.cancel_delalloc(rest).expect("memory");
        self.cancel(rest);
        for at in len as usize..self.data.len() {
            let old = self.data[at].take();
            self.release(old);
            // Zeros are news here; all that was before is gone.
            self.stale[at] = Contents::default();
            self.stale[at].add(Content::Old);
            let writers = 0..self.writers.len() as u8;
            for new in writers.map(Content::New).filter(|new| self.past.has(*new)) {
                self.stale[at].add(new);
            }
        }
    }
}

/// The invariants. See `protocol.md`.
impl<R: Rule> World<R> {
    /// I1. No unwritten block is ever reachable through `D`.
    pub fn no_unwritten_block_is_mapped(&self) -> bool {
        let files = [&self.data, &self.clone];
        files
            .into_iter()
            .all(|data| !self.contents(data).contains(&Content::Foreign))
    }

    /// I2. A write that was acknowledged is read back until something newer replaces it.
    pub fn acknowledged_writes_are_seen(&self) -> bool {
        let contents = self.contents(&self.data);
        let mut blocks = contents.into_iter().zip(&self.stale);
        blocks.all(|(content, stale)| !stale.has(content))
    }

    /// I2. A clone never changes because its source was written.
    pub fn the_clone_is_as_it_was(&self) -> bool {
        self.contents(&self.clone) == self.cloned
    }

    /// I3. Every block is free, mapped or staged, and in one way only.
    pub fn every_block_has_one_owner(&self) -> bool {
        let mut staged = vec![0; self.free.len()];
        for piece in self.cow.pieces() {
            let Some(first) = piece.state.disk() else {
                continue;
            };
            for block in (first.0..).take(piece.len as usize) {
                staged[block as usize] += 1;
            }
        }
        (0..self.free.len()).all(|block| {
            let mapped = self.references(block as u8) > 0;
            u8::from(self.free[block]) + u8::from(mapped) + staged[block] == 1
        })
    }

    /// I3. An I/O in flight writes a block that is the file's, in that place.
    pub fn writes_go_to_the_files_own_blocks(&self) -> bool {
        let parts = self.writers.iter().flat_map(|write| &write.parts);
        let mut blocks = parts.flat_map(|part| pairs(part.run()));
        blocks.all(|(at, block)| {
            let staged = self.cow.lookup(FileBlock(at as u64), 1).0;
            let staged = staged.and_then(|state| state.disk());
            self.data[at] == Some(block) && self.is_exclusive(at as u8)
                || staged == Some(FsBlock(block.into()))
        })
    }

    /// I3. When all writes have ended, nothing is real or reserved any more: what is left can be
    /// given back at any time.
    pub fn nothing_is_left_behind(&self) -> bool {
        !self.is_quiet() || self.cow.real() + self.cow.delalloc() == 0
    }
}
