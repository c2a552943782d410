// SPDX-License-Identifier: GPL-2.0

//! Two files with the same blocks.

use super::super::error::{Error, Result};
use super::super::space::credits;
use super::super::store::Transaction;
use super::super::units::{FileBlock, Ino};
use super::change::Target;
use super::cost::{self, Counting, CALLER};
use super::nodes::{release, share};
use super::{Fork, Map};

impl Fork {
    /// Makes the empty fork `target` a clone of `source`: at once, whatever its size. The inodes of
    /// both must be stored in the same transaction.
    ///
    /// # Errors
    ///
    /// `Exists` if `target` is not empty, `NeedCredits`, or `TooBig` if there are too many clones
    /// already; nothing is changed then. `Corrupt` or `Io`: the transaction is lost.
    pub fn clone_whole<T: Transaction>(tx: &mut T, source: &mut Fork, target: &mut Fork) -> Result {
        if !target.is_empty() {
            return Err(Error::Exists);
        }
        let mut epoch = source.epoch;
        match &source.map {
            Map::Tree(root) => {
                tx.need(2 * CALLER + credits::share(tx.geometry()))?;
                epoch = tx.with_volume(|tx, volume| volume.next_epoch(tx))?;
                share(tx, root.block, 1)?;
            }
            Map::Inline(..) => {
                let runs = source
                    .inline()
                    .iter()
                    .map(|extent| (extent.disk, extent.len));
                let cost = cost::count(tx, runs, Counting::Try)?;
                tx.need(2 * CALLER + cost)?;
                for (index, extent) in source.inline().iter().enumerate() {
                    if let Err(error) = share(tx, extent.disk, extent.len) {
                        for done in source.inline().iter().take(index) {
                            release(tx, true, done.disk, done.len)?;
                        }
                        return Err(error);
                    }
                }
            }
        }
        source.flag_shared();
        source.epoch = epoch;
        source.changed = true;
        *target = source.clone();
        Ok(())
    }

    /// Maps the blocks from `to` on to what `source` has from `from` on, and takes a reference from each
    /// block that was mapped there. Preallocated blocks of the source count as a hole, and a hole leaves a hole.
    /// `source` may be a copy of this very fork. Returns how many of `len` blocks are done, which is
    /// at least one.
    ///
    /// # Errors
    ///
    /// `Invalid` if `source` is not [flagged](Fork::flag_shared); else as [`Fork::replace`], and
    /// `TooBig` if there are too many references already, with nothing changed.
    pub fn share_range<T: Transaction>(
        &mut self,
        tx: &mut T,
        ino: Ino,
        source: &Fork,
        from: FileBlock,
        to: FileBlock,
        len: u64,
    ) -> Result<u64> {
        if !source.shared {
            return Err(Error::Invalid);
        }
        let found = source.lookup(tx, from, len)?;
        let Some(extent) = found.extent.filter(|extent| !extent.unwritten) else {
            return self.unmap(tx, ino, to, found.len);
        };
        let there = self.lookup(tx, to, found.len)?;
        if there
            .extent
            .is_some_and(|old| old.disk == extent.disk && !old.unwritten)
        {
            return Ok(there.len);
        }
        let target = Target::Shared(extent.disk);
        let done = self.map(tx, ino, to, to.add(found.len), target)?;
        self.flag_shared();
        Ok(done)
    }
}
