// SPDX-License-Identifier: GPL-2.0

//! The volume's counters.

use super::super::block::Block;
use super::super::btree::Root;
use super::super::error::{Error, Result};
use super::super::ondisk::{volume, Geometry, Kind};
use super::super::store::{Reader, Transaction};
use super::credits;
use super::root;

/// What is known in memory of the volume as a whole: what the volume block says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeState {
    /// Blocks that are free or used by the groups' own trees. Without
    /// [`total_reserve`](super::total_reserve) these are the blocks that can be promised.
    pub free: u64,
    /// Inodes in use.
    pub inodes: u64,
    /// Tree of the inodes that have no name any more.
    pub orphans: Root,
    /// The last epoch given to a file's tree of extents.
    pub epoch: u64,
}

impl VolumeState {
    /// Loads the counters.
    ///
    /// # Errors
    ///
    /// `Corrupt` if they cannot be true, `Io`.
    pub fn load<R: Reader>(reader: &R) -> Result<VolumeState> {
        let geometry = reader.geometry();
        let buf = reader.read(Geometry::VOLUME, Kind::Volume)?;
        let is_home = |block| geometry.locate(block).is_some();
        let orphans = root::get(&buf, volume::ORPHAN_ROOT, credits::ORPHAN_LEVELS, is_home);
        let state = VolumeState {
            free: buf.u64(volume::FREE),
            inodes: buf.u64(volume::INODES),
            orphans: orphans.ok_or(Error::Corrupt(
                Geometry::VOLUME,
                "impossible root of the orphan tree",
            ))?,
            epoch: buf.u64(volume::EPOCH),
        };
        // Damage that was repaired may have left fewer than the reserve: then nothing can be promised.
        if state.free > geometry.blocks {
            return Err(Error::Corrupt(
                Geometry::VOLUME,
                "impossible count of free blocks",
            ));
        }
        Ok(state)
    }

    /// Adds to the counters, in memory and on disk.
    ///
    /// # Errors
    ///
    /// `Corrupt` if a counter would be negative, and those of the transaction; nothing is changed
    /// then.
    pub fn settle<T: Transaction>(&mut self, tx: &mut T, free: i64, inodes: i64) -> Result {
        let new = VolumeState {
            free: sum(self.free, free)?,
            inodes: sum(self.inodes, inodes)?,
            ..*self
        };
        self.store(tx, new)
    }

    /// Gives out a number that no file's tree ever had.
    ///
    /// # Errors
    ///
    /// Those of the transaction; nothing is changed then.
    pub fn next_epoch<T: Transaction>(&mut self, tx: &mut T) -> Result<u64> {
        let epoch = self.epoch.checked_add(1).ok_or(Error::TooBig)?;
        self.store(tx, VolumeState { epoch, ..*self })?;
        Ok(epoch)
    }

    /// Replaces the state, in memory and on disk.
    pub(super) fn store<T: Transaction>(&mut self, tx: &mut T, new: VolumeState) -> Result {
        if *self == new {
            return Ok(());
        }
        let buf = tx.read(Geometry::VOLUME, Kind::Volume)?;
        tx.modify(&buf)?;
        buf.set_u64(volume::FREE, new.free);
        buf.set_u64(volume::INODES, new.inodes);
        root::put(&buf, volume::ORPHAN_ROOT, new.orphans);
        buf.set_u64(volume::EPOCH, new.epoch);
        *self = new;
        Ok(())
    }
}

fn sum(count: u64, delta: i64) -> Result<u64> {
    count.checked_add_signed(delta).ok_or(Error::Corrupt(
        Geometry::VOLUME,
        "counter of the volume below zero",
    ))
}
