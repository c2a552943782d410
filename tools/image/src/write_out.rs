// SPDX-License-Identifier: GPL-2.0

//! How the replay of the journal and what is staged get to the device, so that whenever the machine
//! stops, the volume is as it was or as it is to be.
//!
//! ```text
//!   1  copies in the journal -> home | flush | journal empty | flush
//!   2  staged blocks -> journal      | flush | journal begins there | flush      <- this is when it happens
//!   3  staged blocks -> home         | flush | journal empty | flush
//!   4  superblock's backups          | flush | superblock | flush
//! ```
//!
//! Stopped in 1 or 3, the next mount, or check, replays the journal again.
//!
//! That is not enough where what is home is not right before 3 is over: after 1, if a part of the journal was
//! lost, and during 3, if the journal has not as many blocks as are staged, so that there is no 2. Then the
//! journal's superblock is zeroes from 1 on, until 2 has happened or 3 is over. No kernel mounts such a volume,
//! and repair must be run again. Where nothing but that was the matter with the journal, the superblock says so.
//!
//! The superblock comes last, as it has no place in the journal; all that may change in it are errors that are
//! no more, and what a backup says better.

use std::io;
use std::time::SystemTime;

use cowfs_core::ondisk::{superblock, Superblock};
use cowfs_core::store::Reader;
use cowfs_core::units::FsBlock;

use crate::journal::{bytes, write, JournalError, JournalSuperblock, Replay, MAGIC};
use crate::volume::{Journal, Volume};

impl Volume {
    /// Replays the journal and writes what is staged, in the order described above; the volume then
    /// has an empty journal and no errors known, and its superblocks are all alike.
    ///
    /// # Errors
    ///
    /// Those of the device.
    pub fn write_out(&mut self) -> io::Result<()> {
        let mut journal = self.next_journal()?;
        let is_new = !matches!(self.journal(), Journal::Clean(old) if old.errno == 0);
        let (is_right, is_lost) = match self.journal() {
            Journal::Unusable(error) => (false, *error != JournalError::Repair),
            _ => {
                let is_sound = self.replay().faults.is_empty();
                (is_sound, !is_sound)
            }
        };
        let staged = std::mem::take(&mut *self.staged_mut());
        let blocks: Vec<(u64, &[u8])> =
            staged.iter().map(|(at, buf)| (at.0, buf.bytes())).collect();
        let room = journal.blocks.saturating_sub(journal.first) as usize;
        let fits = write::log_blocks(self.geometry().block_size(), blocks.len()) <= room;

        self.write_replayed()?;
        let is_done_at_once = blocks.is_empty() || (is_right && fits);
        if !is_done_at_once {
            if !is_lost {
                self.write_superblock(FsBlock(0), superblock::STATE_ERROR)?;
                self.device().sync()?;
            }
            self.forbid_mounts()?;
        } else if is_new {
            self.write_journal(&journal)?;
        }
        self.now_is(Journal::Clean(journal.clone()));
        if !blocks.is_empty() {
            if fits {
                self.log(&mut journal, &blocks)?;
                self.write_home(&blocks)?;
                journal.start = 0;
                journal.sequence = journal.sequence.wrapping_add(1);
            } else {
                self.write_home(&blocks)?;
            }
            self.write_journal(&journal)?;
        }
        self.write_superblocks()?;
        self.now_is(Journal::Clean(journal));
        Ok(())
    }

    /// What the journal is to be once it is empty.
    fn next_journal(&self) -> io::Result<JournalSuperblock> {
        let mut journal = match self.journal() {
            Journal::Clean(journal) => journal.clone(),
            Journal::NeedsReplay(journal) => {
                let mut journal = journal.clone();
                journal.start = 0;
                // Later than what may be left of a transaction that was not finished, as in the kernel.
                journal.sequence = match self.replay().faults.is_empty() {
                    true => self.replay().end.wrapping_add(1),
                    false => self.last_sequence()?.wrapping_add(1),
                };
                journal
            }
            Journal::Unusable(_) => {
                let geometry = self.geometry();
                let size = 1 << geometry.block_shift;
                let mut journal =
                    JournalSuperblock::new(size, geometry.journal_blocks, geometry.uuid);
                journal.sequence = self.last_sequence()?.wrapping_add(1);
                journal
            }
        };
        journal.errno = 0;
        Ok(journal)
    }

    /// Writes what the journal holds home.
    fn write_replayed(&self) -> io::Result<()> {
        let mut addresses: Vec<u64> = self.replay().addresses().collect();
        if addresses.is_empty() {
            return Ok(());
        }
        addresses.sort_unstable();
        let mut block = vec![0; self.geometry().block_size()];
        for home in addresses {
            self.read_replayed(FsBlock(home), &mut block)?;
            self.write_block(FsBlock(home), &block)?;
        }
        self.device().sync()
    }

    /// Makes the journal's superblock one that nobody takes for one.
    fn forbid_mounts(&self) -> io::Result<()> {
        let zeroes = vec![0; self.geometry().block_size()];
        self.write_block(self.geometry().journal_start, &zeroes)?;
        self.device().sync()
    }

    /// The greatest number of a transaction that any block of the journal bears.
    fn last_sequence(&self) -> io::Result<u32> {
        let geometry = self.geometry();
        let mut last = 0;
        let mut block = vec![0; geometry.block_size()];
        for n in 1..u64::from(geometry.journal_blocks) {
            let at = geometry.journal_start.add(n).0 << geometry.block_shift;
            // What cannot be read, the kernel cannot take for a transaction either.
            if self.device().read_at(at, &mut block).is_ok() && bytes::be32(&block, 0) == MAGIC {
                last = last.max(bytes::be32(&block, 8));
            }
        }
        Ok(last)
    }

    /// Writes `blocks` as one transaction into the empty journal.
    fn log(&self, journal: &mut JournalSuperblock, blocks: &[(u64, &[u8])]) -> io::Result<()> {
        let start = self.geometry().journal_start;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        write::transaction(journal, blocks, seconds, |n, bytes| {
            self.write_block(start.add(u64::from(n)), bytes)
        })?;
        self.device().sync()?;
        journal.start = journal.first;
        self.write_journal(journal)
    }

    fn write_journal(&self, journal: &JournalSuperblock) -> io::Result<()> {
        self.write_block(self.geometry().journal_start, &journal.encode())?;
        self.device().sync()
    }

    fn write_home(&self, blocks: &[(u64, &[u8])]) -> io::Result<()> {
        for (home, bytes) in blocks {
            self.write_block(FsBlock(*home), bytes)?;
        }
        self.device().sync()
    }

    /// Makes all copies of the superblock alike, without errors.
    fn write_superblocks(&self) -> io::Result<()> {
        let backups: Vec<FsBlock> = Superblock::backups(self.geometry()).collect();
        let mut wrote = false;
        for at in backups {
            if !self.has_superblock(at) {
                self.write_superblock(at, 0)?;
                wrote = true;
            }
        }
        if wrote {
            self.device().sync()?;
        }
        if !self.has_superblock(FsBlock(0)) {
            self.write_superblock(FsBlock(0), 0)?;
            self.device().sync()?;
        }
        Ok(())
    }

    /// Whether the copy of the superblock in block `at` is as it should be.
    fn has_superblock(&self, at: FsBlock) -> bool {
        let mut wanted = self.superblock().clone();
        wanted.address = at;
        wanted.state = 0;
        self.read_superblock(at).is_ok_and(|copy| {
            // Only the primary one's label is ever changed.
            wanted.label = if at.is_null() {
                wanted.label
            } else {
                copy.label
            };
            copy == wanted
        })
    }

    fn write_superblock(&self, at: FsBlock, state: u32) -> io::Result<()> {
        let mut copy = self.superblock().clone();
        copy.address = at;
        copy.state = state;
        let mut block = vec![0; self.geometry().block_size()];
        if let Some(to) = block.first_chunk_mut::<{ superblock::SIZE }>() {
            *to = copy.encode();
        }
        self.write_block(at, &block)
    }

    fn write_block(&self, at: FsBlock, bytes: &[u8]) -> io::Result<()> {
        let at = at.0 << self.geometry().block_shift;
        self.device().write_at(at, bytes)
    }

    fn now_is(&mut self, journal: Journal) {
        let (state, replay) = self.journal_mut();
        *state = journal;
        *replay = Replay::default();
    }
}
