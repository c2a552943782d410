// SPDX-License-Identifier: GPL-2.0

//! Phase 5: what was found against bitmaps, reference counts, summary and counters.

use cowfs_core::block::Block;
use cowfs_core::ondisk::{group, summary, Kind};
use cowfs_core::space::{room, total_reserve, usable};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgBlock, AgNumber};

use super::Checker;
use crate::bits::Bits;
use crate::report::Subject;

impl Checker<'_> {
    pub(super) fn check_totals(&mut self) {
        let claimed: Vec<AgNumber> = self.usage.groups().collect();
        for ag in claimed {
            if !self.is_used(ag) {
                self.wrong(
                    Subject::Group(ag),
                    format_args!("blocks are in use, but the summary says it was never used"),
                );
            }
        }
        let all = self.geometry.ag_count;
        let mut free = 0;
        for ag in (0..all).map(AgNumber) {
            if !self.is_used(ag) {
                free += u64::from(usable(&self.geometry, ag));
                continue;
            }
            if ag.0 % 64 == 0 {
                self.progress("totals", u64::from(ag.0), u64::from(all));
            }
            let Some(group) = self.groups.get(&ag) else {
                continue;
            };
            let (group_free, tree_blocks) = (group.free, group.tree_blocks);
            free += u64::from(group_free) + u64::from(tree_blocks);
            self.outcome.used += u64::from(self.geometry.group_len(ag).saturating_sub(group_free));
            self.check_summary_byte(ag, group_free, tree_blocks);
            self.check_bitmap(ag, group_free);
            self.check_references(ag);
        }
        let Some((counted_free, counted_inodes)) = self.counters else {
            return;
        };
        if counted_free != free {
            self.wrong(
                Subject::Volume,
                format_args!("counts {counted_free} free blocks, but the groups have {free}"),
            );
        }
        let reserve = total_reserve(&self.geometry);
        if free < reserve {
            // No repair can do anything about it, nor must it keep one from doing the rest.
            self.out.note(format_args!(
                "only {free} blocks are free, of {reserve} that the groups' own trees may need: delete something"
            ));
        }
        let inodes = self.outcome.inodes;
        if counted_inodes != inodes {
            self.wrong(
                Subject::Volume,
                format_args!("counts {counted_inodes} inodes, but {inodes} are in use"),
            );
        }
    }

    fn check_summary_byte(&mut self, ag: AgNumber, free: u32, tree_blocks: u32) {
        let right = summary::class(room(&self.geometry, ag, free, tree_blocks));
        match self.summary.get(ag.0 as usize) {
            // The summary block could not be read.
            None | Some(None) => {}
            Some(&Some(byte)) if byte != right => self.wrong(
                Subject::Group(ag),
                format_args!("the summary's byte is {byte}, where {right} belongs"),
            ),
            Some(_) => {}
        }
    }

    /// Compares the group's bitmap with what is claimed of the group.
    fn check_bitmap(&mut self, ag: AgNumber, counted: u32) {
        let start = self.geometry.group_start(ag);
        let Ok(buf) = self.volume.read(start, Kind::Group) else {
            return;
        };
        let len = self.geometry.group_len(ag);
        let room = (self.geometry.block_size() - group::BITMAP) as u32 * 8;
        let mut bitmap = Bits::new(room);
        for index in 0..(room / 64) as usize {
            bitmap.put_word(index, buf.u64(group::BITMAP + 8 * index));
        }
        if len < room && (bitmap.has(len) || bitmap.run(len, room) < room - len) {
            self.wrong(
                Subject::Group(ag),
                format_args!("blocks beyond the group's end are marked used"),
            );
        }
        let mut free = 0;
        let mut at = 0;
        while at < len {
            let marked = bitmap.has(at);
            let (references, run) = self.usage.references(ag, at, len);
            let run = run.min(bitmap.run(at, len));
            let blocks = Subject::Blocks(start.add(u64::from(at)), run);
            match (marked, references) {
                (true, 0) => {
                    self.wrong(
                        blocks,
                        format_args!("marked used, but nothing refers to it"),
                    );
                }
                (false, 1..) => self.wrong(blocks, format_args!("in use, but marked free")),
                _ => {}
            }
            if !marked {
                free += run;
            }
            at += run;
        }
        if free != counted {
            self.wrong(
                Subject::Group(ag),
                format_args!("counts {counted} free blocks, but {free} are marked free"),
            );
        }
    }

    /// Compares the group's reference counts with the references found.
    fn check_references(&mut self, ag: AgNumber) {
        let len = self.geometry.group_len(ag);
        let mut at = 0;
        while at < len {
            let (found, run) = self.usage.references(ag, at, len);
            let Some(group) = self.groups.get(&ag) else {
                return;
            };
            let (counted, counted_run) = group.counts.at(at, at + run);
            let run = run.min(counted_run);
            // Without a record the count is one, or none for a block that is free.
            if counted != found && (counted > 1 || found > 1) {
                let first = self.geometry.address(ag, AgBlock(at));
                self.wrong(
                    Subject::Blocks(first, run),
                    format_args!("reference count {counted}, but {found} references were found"),
                );
            }
            at += run;
        }
    }
}
