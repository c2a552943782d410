// SPDX-License-Identifier: GPL-2.0

//! What the kernel does when it mounts a volume that was in use when the machine stopped: inodes without a
//! name are deleted, truncations that were under way are finished.

use std::collections::BTreeSet;

use cowfs_core::error::{Error, Result};
use cowfs_core::extent::Fork;
use cowfs_core::inode::{symlink, FileType};
use cowfs_core::ondisk::inode;
use cowfs_core::space::{inodes, orphans};
use cowfs_core::store::Transaction;
use cowfs_core::units::{FileBlock, Ino};

use super::Repair;
use crate::report::Subject;

impl Repair<'_> {
    /// Finishes with all orphans. Everything else must be sound.
    pub(super) fn reclaim(&mut self) -> Result {
        for ino in std::mem::take(&mut self.orphans) {
            if let Some(slot) = self.slot(ino).filter(super::slot::Slot::is_in_use) {
                let links = slot.u32(inode::LINKS);
                let kind = FileType::in_mode(slot.u16(inode::MODE));
                let mut from = 0;
                if links > 0 {
                    let size = slot.u64(inode::SIZE_BYTES);
                    from = size.div_ceil(self.geometry.block_size() as u64);
                }
                if kind == Some(FileType::Regular) {
                    self.cut(ino, FileBlock(from))?;
                }
                if links == 0 {
                    self.delete(ino, kind)?;
                    self.safe(Subject::Inode(ino), format_args!("without a name: deleted"));
                }
            }
            self.forget_orphan(ino)?;
        }
        Ok(())
    }

    /// Takes inodes that there are not off the list.
    pub(super) fn forget_orphans(&mut self, unknown: BTreeSet<Ino>) -> Result {
        for ino in unknown {
            self.safe(
                Subject::Volume,
                format_args!("orphan list: inode {ino} is not in use: removed"),
            );
            self.forget_orphan(ino)?;
        }
        Ok(())
    }

    fn forget_orphan(&mut self, ino: Ino) -> Result {
        match orphans::remove(&mut self.overlay, ino) {
            // It was never on the list, or the list is new.
            Ok(()) | Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        self.overlay.settle()
    }

    /// Unmaps the blocks of a file from `from` on.
    fn cut(&mut self, ino: Ino, from: FileBlock) -> Result {
        loop {
            let slot = self.slot(ino).ok_or(Error::NotFound)?;
            let mut fork = Fork::load(&self.overlay, &slot.buf, slot.at, slot.buf.at())?;
            let done = fork.truncate(&mut self.overlay, ino, from)?;
            if fork.changed() {
                self.overlay.modify(&slot.buf)?;
                fork.store(&slot.buf, slot.at);
            }
            self.overlay.settle()?;
            if done {
                return Ok(());
            }
        }
    }

    /// Frees an inode, which has no file blocks any more.
    fn delete(&mut self, ino: Ino, kind: Option<FileType>) -> Result {
        let (buf, at) = inodes::read(&self.overlay, ino)?;
        if kind == Some(FileType::Symlink) {
            symlink::free(&mut self.overlay, &buf, at)?;
        }
        inodes::free(&mut self.overlay, ino)?;
        self.overlay.settle()
    }
}
