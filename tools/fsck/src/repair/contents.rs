// SPDX-License-Identifier: GPL-2.0

//! File data: claimed, or counted once more if another file has it, too.
//!
//! All metadata is claimed by now. An extent over some of it keeps what lies beside it: what the rest held, if it
//! ever held any of this file, has been overwritten. That may make several extents of one, of which the longest
//! stay if there is not room for all of them where the one was.

use std::cmp::Reverse;

use cowfs_core::block::Block;
use cowfs_core::btree::Array;
use cowfs_core::error::Result;
use cowfs_core::extent::Extent;
use cowfs_core::ondisk::inode::{self, Format, INLINE_EXTENTS};
use cowfs_core::ondisk::Kind;
use cowfs_core::units::FsBlock;
use cowfs_image::overlay::Buf;

use super::extents::whole;
use super::slot::Slot;
use super::tree::{records, Enter, Span, Visitor};
use super::Repair;
use crate::check::inodes::S_IFREG;
use crate::check::tree::Range;
use crate::report::Subject;

/// Claims the data of a file.
struct Data {
    who: Subject,
}

impl Visitor for Data {
    const KIND: Kind = Kind::Extent;

    fn who(&self) -> Subject {
        self.who
    }

    fn owns(&mut self, _buf: &Buf) -> bool {
        true
    }

    fn enter(&mut self, repair: &mut Repair<'_>, at: FsBlock) -> Enter {
        let Some(met) = repair.met.get(&at).copied() else {
            return Enter::New;
        };
        if met.span.is_some() {
            repair.usage.again(at);
        }
        Enter::Known(met.level, met.span)
    }

    fn leaf(
        &mut self,
        repair: &mut Repair<'_>,
        buf: &Buf,
        _sound: bool,
        _range: Range,
    ) -> Option<Span> {
        let old = records::<Extent>(buf)?;
        let kept = repair.claim_data(self.who, &old, Array::<Extent>::capacity(buf.size()));
        repair.keep_extents(buf, &old, &kept)
    }

    fn leave(&mut self, repair: &mut Repair<'_>, at: FsBlock, level: usize, span: Option<Span>) {
        repair.leave_node(at, level, span);
    }
}

impl Repair<'_> {
    /// Claims the data of all regular files.
    pub(super) fn contents(&mut self) -> Result {
        let nodes = std::mem::take(&mut self.met);
        self.each_inode("files", S_IFREG, |repair, slot| {
            repair.contents_of(&slot);
            Ok(())
        })?;
        // Where a node was cut again, nobody may have what is below it any more.
        for (at, met) in nodes {
            if met.span.is_some() && !self.met.contains_key(&at) {
                self.usage.release(at);
            }
        }
        Ok(())
    }

    /// Calls `f` for each inode of this type, in order.
    pub(super) fn each_inode(
        &mut self,
        phase: &'static str,
        kind: u16,
        mut f: impl FnMut(&mut Self, Slot) -> Result,
    ) -> Result {
        let blocks: Vec<FsBlock> = self.inode_blocks.keys().copied().collect();
        let all = blocks.len() as u64;
        for (done, at) in blocks.into_iter().enumerate() {
            if done % 16 == 0 {
                self.progress(phase, done as u64, all);
            }
            for slot in Slot::all(self, at) {
                let fact = self.inodes.get(slot.ino);
                if fact.is_some_and(|fact| fact.kind == kind) {
                    f(self, slot)?;
                }
            }
        }
        Ok(())
    }

    fn contents_of(&mut self, slot: &Slot) {
        let mut data = Data { who: slot.who() };
        let (blocks, end) = if slot.u8(inode::FORMAT) == Format::Extents as u8 {
            let old = self.inline_extents(slot);
            let kept = self.claim_data(data.who, &old, INLINE_EXTENTS);
            if kept != old {
                self.keep_inline(slot, &kept);
            }
            let blocks = kept.iter().map(|extent| u64::from(extent.len)).sum();
            (blocks, kept.last().map_or(0, |last| last.end().0))
        } else {
            match self.prune(&mut data, whole(slot.root(), slot.ino)) {
                Some(span) => (span.blocks, span.end),
                None => {
                    self.lost(data.who, format_args!("nothing is left of its contents"));
                    self.empty_fork(slot);
                    (0, 0)
                }
            }
        };
        self.set_blocks(slot, blocks);
        if slot.u64(inode::SIZE_BYTES) > i64::MAX as u64 {
            let size = end << self.geometry.block_shift;
            self.set_u64(slot, inode::SIZE_BYTES, size.min(i64::MAX as u64));
            self.lost(slot.who(), format_args!("size taken for {size} bytes"));
        }
    }

    /// Claims what data some extents have beside metadata, and returns that: no more than `room` extents.
    fn claim_data(&mut self, who: Subject, extents: &[Extent], room: usize) -> Vec<Extent> {
        let mut kept = Vec::with_capacity(extents.len());
        let mut spare = room.saturating_sub(extents.len());
        for extent in extents {
            if let Some(ag) = self.group_of(extent.disk) {
                self.use_group(ag);
            }
            let mut runs = self.usage.data_runs(extent.disk, extent.len);
            runs.sort_by_key(|&(_, len)| Reverse(len));
            runs.truncate(1 + spare);
            runs.sort_unstable();
            spare -= runs.len().saturating_sub(1);
            let blocks: u32 = runs.iter().map(|(_, len)| len).sum();
            if blocks < extent.len {
                self.lost(
                    who,
                    format_args!(
                        "file block {} on: over metadata: {blocks} of {} blocks kept",
                        extent.file, extent.len
                    ),
                );
            }
            for (skip, len) in runs {
                let part = Extent {
                    file: extent.file.add(u64::from(skip)),
                    disk: extent.disk.add(u64::from(skip)),
                    len,
                    ..*extent
                };
                self.usage.refer_to_data(part.disk, part.len);
                kept.push(part);
            }
        }
        kept
    }
}
