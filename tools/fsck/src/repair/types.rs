// SPDX-License-Identifier: GPL-2.0

//! What sort of file an inode is, if its mode and its format do not agree.
//!
//! Each of the two says a type. What the rest of the inode points to decides which of them is
//! right; a tree's root node says itself what it belongs to.

use cowfs_core::block::Block;
use cowfs_core::inode::symlink::MAX_TARGET;
use cowfs_core::inode::FileType;
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::units::FsBlock;

use super::slot::Slot;
use super::Repair;

impl Repair<'_> {
    /// The type and the format of an inode; `None` if it can be nothing.
    pub(super) fn file_type(&self, slot: &Slot) -> Option<(FileType, Format)> {
        let by_mode = FileType::in_mode(slot.u16(inode::MODE));
        let format = Format::from_u8(slot.u8(inode::FORMAT));
        if let (Some(kind), Some(format)) = (by_mode, format) {
            if kind.allows(format) {
                let other = self
                    .format_for(slot, kind)
                    .filter(|_| !goes_with(slot, format));
                return Some((kind, other.unwrap_or(format)));
            }
        }
        let by_format = match format {
            Some(Format::Extents | Format::ExtentTree) => Some(FileType::Regular),
            Some(Format::Directory) => Some(FileType::Directory),
            Some(Format::Symlink | Format::LongSymlink) => Some(FileType::Symlink),
            Some(Format::None) | None => None,
        };
        [by_mode, by_format]
            .into_iter()
            .flatten()
            .find_map(|kind| Some((kind, self.format_for(slot, kind)?)))
    }

    /// The format with which the inode can be a file of this type.
    fn format_for(&self, slot: &Slot, kind: FileType) -> Option<Format> {
        let root = slot.root();
        let no_tree = root.block.is_null() && root.is_empty();
        let is_parent = slot.u64(inode::PARENT) != 0;
        let size = slot.u64(inode::SIZE_BYTES);
        let count = usize::from(slot.u16(inode::COUNT));
        let tree = |kind| self.load(root.block, kind).map(|(buf, _)| buf);
        match kind {
            FileType::Regular if is_parent => None,
            FileType::Regular if no_tree => {
                let extents = self.inline_extents(slot);
                let mut sound = extents
                    .iter()
                    .map(|extent| extent.check(&self.geometry, FsBlock::NULL).is_ok());
                (count == extents.len() && sound.all(|sound| sound)).then_some(Format::Extents)
            }
            FileType::Regular => tree(Kind::Extent).map(|_| Format::ExtentTree),
            FileType::Directory if no_tree => {
                (is_parent && count == 0).then_some(Format::Directory)
            }
            FileType::Directory => tree(Kind::Directory)
                .filter(|buf| buf.u64(header::OWNER) == slot.ino.0)
                .map(|_| Format::Directory),
            FileType::Symlink if !no_tree || is_parent || count == 0 => None,
            FileType::Symlink if size == count as u64 && count <= inode::INLINE_SIZE => {
                Some(Format::Symlink)
            }
            FileType::Symlink => (size <= MAX_TARGET as u64).then_some(Format::LongSymlink),
            _ => (no_tree && count == 0 && !is_parent).then_some(Format::None),
        }
    }
}

/// Whether the rest of the inode is as an inode of this format has it.
fn goes_with(slot: &Slot, format: Format) -> bool {
    let size = slot.u64(inode::SIZE_BYTES);
    let count = slot.u16(inode::COUNT);
    match format {
        Format::Extents => slot.root().block.is_null() || count > 0,
        Format::ExtentTree => !slot.root().block.is_null(),
        Format::Symlink => size == u64::from(count),
        Format::LongSymlink => size > inode::INLINE_SIZE as u64,
        Format::Directory | Format::None => true,
    }
}
