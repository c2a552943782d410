// SPDX-License-Identifier: GPL-2.0

//! What tells a file's writes whether to look for other owners: the mark *may share*, and epochs.
//!
//! A file without the mark has all its blocks to itself; a node of its file's own epoch is not shared.
//! Where that is not so, the file is marked, and given a new epoch, in which it made no node: from then on
//! the counts are looked up. Below a node that was met before, nothing new can be found.

use std::collections::HashSet;

use cowfs_core::block::Block;
use cowfs_core::btree::node::{self, Branch};
use cowfs_core::error::Result;
use cowfs_core::extent::Extent;
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::FsBlock;

use super::extents::NEVER;
use super::slot::Slot;
use super::tree::records;
use super::Repair;
use crate::check::inodes::S_IFREG;

/// What is found out about a file.
struct Marks {
    epoch: u64,
    shares: bool,
    /// A node of the file's own epoch is shared.
    lies: bool,
}

impl Repair<'_> {
    /// Puts marks and epochs of all regular files right.
    pub(super) fn marks(&mut self) -> Result {
        let mut met = HashSet::new();
        self.each_inode("marks", S_IFREG, |repair, slot| {
            repair.marks_of(&slot, &mut met);
            Ok(())
        })
    }

    fn marks_of(&mut self, slot: &Slot, met: &mut HashSet<FsBlock>) {
        let flags = slot.u32(inode::FLAGS);
        let marked = flags & inode::FLAG_SHARED != 0;
        let mut marks = Marks {
            epoch: slot.u64(inode::EPOCH),
            shares: false,
            lies: false,
        };
        if slot.u8(inode::FORMAT) == Format::Extents as u8 {
            if !marked {
                marks.shares = self.any_shared(&self.inline_extents(slot));
            }
        } else {
            self.nodes_marks(slot.root().block, marked, &mut marks, met);
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

    fn nodes_marks(
        &mut self,
        root: FsBlock,
        marked: bool,
        marks: &mut Marks,
        met: &mut HashSet<FsBlock>,
    ) {
        let mut todo = vec![root];
        while let Some(at) = todo.pop() {
            let Ok(buf) = self.overlay.read(at, Kind::Extent) else {
                continue;
            };
            let mut epoch = node::epoch(&buf);
            if epoch >= NEVER {
                self.epoch = self.epoch.saturating_add(1);
                epoch = self.epoch;
                self.touch(&buf);
                buf.set_u64(header::EPOCH, epoch);
            }
            let shared = self.usage.is_shared(at, 1);
            marks.shares |= shared;
            marks.lies |= shared && epoch == marks.epoch;
            if !met.insert(at) {
                continue;
            }
            if node::level(&buf) == 0 {
                if !marked && !marks.shares {
                    marks.shares = self.any_shared(&records::<Extent>(&buf).unwrap_or_default());
                }
                continue;
            }
            let branches = records::<Branch>(&buf).unwrap_or_default();
            todo.extend(branches.iter().map(|branch| branch.child));
        }
    }

    fn any_shared(&self, extents: &[Extent]) -> bool {
        extents
            .iter()
            .any(|extent| self.usage.is_shared(extent.disk, extent.len))
    }
}
