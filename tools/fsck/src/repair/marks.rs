// SPDX-License-Identifier: GPL-2.0

//! What tells a file's writes whether to look for other owners: the mark *may share*, and epochs.
//!
//! A file without the mark has all its blocks to itself; what is below a shared node is of earlier epochs than any file
//! that shares it. Where that is not so, the file is marked, and given a new epoch, in which it made no node: from
//! then on the counts are looked up.

use std::collections::HashMap;

use cowfs_core::block::Block;
use cowfs_core::btree::node::{self, Branch};
use cowfs_core::error::Result;
use cowfs_core::extent::Extent;
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::FsBlock;

use super::slot::Slot;
use super::tree::records;
use super::Repair;
use crate::check::inodes::S_IFREG;
use crate::check::NEVER;

/// What is found out about a file.
struct Marks<'a> {
    epoch: u64,
    marked: bool,
    shares: bool,
    /// A node of the file's own epoch, or of a later one, is shared or below a shared one.
    lies: bool,
    /// The nodes met, of this file and others before: the latest epoch of each and those below it.
    met: &'a mut HashMap<FsBlock, u64>,
}

impl Repair<'_> {
    /// Puts marks and epochs of all regular files right.
    pub(super) fn marks(&mut self) -> Result {
        let mut met = HashMap::new();
        self.each_inode("marks", S_IFREG, |repair, slot| {
            repair.marks_of(&slot, &mut met);
            Ok(())
        })
    }

    fn marks_of(&mut self, slot: &Slot, met: &mut HashMap<FsBlock, u64>) {
        let flags = slot.u32(inode::FLAGS);
        let marked = flags & inode::FLAG_SHARED != 0;
        let mut marks = Marks {
            epoch: slot.u64(inode::EPOCH),
            marked,
            shares: false,
            lies: false,
            met,
        };
        if slot.u8(inode::FORMAT) == Format::Extents as u8 {
            if !marked {
                marks.shares = self.any_shared(&self.inline_extents(slot));
            }
        } else {
            self.node_marks(slot.root().block, &mut marks);
        }
        if marks.shares && !marked {
            self.set_u32(slot, inode::FLAGS, flags | inode::FLAG_SHARED);
            self.safe(slot.who(), format_args!("marked as sharing blocks"));
        }
        if marks.lies || marks.epoch >= NEVER {
            self.epoch = self.epoch.saturating_add(1);
            let epoch = self.epoch;
            self.set_u64(slot, inode::EPOCH, epoch);
            self.safe(slot.who(), format_args!("epoch {epoch} begun"));
        }
    }

    /// Returns the latest epoch of a node and those below it.
    fn node_marks(&mut self, at: FsBlock, marks: &mut Marks<'_>) -> u64 {
        let latest = match marks.met.get(&at) {
            Some(latest) => *latest,
            None => {
                // A node that is met again on the way down would be a circle, which is pruned by now.
                let latest = self.latest_epoch(at, marks);
                marks.met.insert(at, latest);
                latest
            }
        };
        let shared = self.usage.is_shared(at, 1);
        marks.shares |= shared;
        marks.lies |= shared && latest >= marks.epoch;
        latest
    }

    fn latest_epoch(&mut self, at: FsBlock, marks: &mut Marks<'_>) -> u64 {
        let Ok(buf) = self.overlay.read(at, Kind::Extent) else {
            return 0;
        };
        let mut epoch = node::epoch(&buf);
        if epoch >= NEVER {
            self.epoch = self.epoch.saturating_add(1);
            epoch = self.epoch;
            self.touch(&buf);
            buf.set_u64(header::EPOCH, epoch);
        }
        if node::level(&buf) == 0 {
            if !marks.marked && !marks.shares {
                marks.shares = self.any_shared(&records::<Extent>(&buf).unwrap_or_default());
            }
            return epoch;
        }
        for branch in records::<Branch>(&buf).unwrap_or_default() {
            epoch = epoch.max(self.node_marks(branch.child, marks));
        }
        epoch
    }

    fn any_shared(&self, extents: &[Extent]) -> bool {
        extents
            .iter()
            .any(|extent| self.usage.is_shared(extent.disk, extent.len))
    }
}
