// SPDX-License-Identifier: GPL-2.0

//! What belongs to the groups and to the volume, made anew where it disagrees with the inodes.
//!
//! Which groups those are is found out by the check itself, on the volume as it would be now: so nothing is
//! made anew that is right, and nothing that the check minds is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cowfs_core::block::Block;
use cowfs_core::btree::Root;
use cowfs_core::error::Result;
use cowfs_core::ondisk::{group, inode, summary, volume, Geometry, Kind};
use cowfs_core::space::rebuild::{self, Known};
use cowfs_core::space::refcount::Counted;
use cowfs_core::space::{usable, VolumeState};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgBlock, AgNumber, FsBlock};

use super::groups::root_at;
use super::Repair;
use crate::check::check;
use crate::report::{Findings, Progress, Subject};
use crate::usage::Usage;

/// Rounds after which a group that is still wrong is given up.
const ROUNDS: u32 = 3;

/// Collects the groups a check finds something wrong with.
struct Wrong<'a> {
    geometry: &'a Geometry,
    groups: BTreeSet<AgNumber>,
}

impl Findings for Wrong<'_> {
    fn wrong(&mut self, subject: Subject, _what: fmt::Arguments<'_>) {
        let group = match subject {
            Subject::Group(ag) => Some(ag),
            Subject::Blocks(at, _) => self.geometry.locate(at).map(|(ag, _)| ag),
            _ => None,
        };
        self.groups.extend(group);
    }

    fn note(&mut self, _what: fmt::Arguments<'_>) {}

    fn progress(&mut self, _progress: Progress) {}
}

/// What the inodes say of a group.
struct FromInodes<'a> {
    ag: AgNumber,
    start: FsBlock,
    usage: &'a Usage,
    trees: &'a Usage,
    inode_blocks: &'a BTreeMap<FsBlock, u32>,
    end: FsBlock,
}

impl Known for FromInodes<'_> {
    fn used(&self, index: usize) -> u64 {
        self.usage.used_word(self.ag, index) & !self.trees.used_word(self.ag, index)
    }

    fn counted(&self, from: AgBlock) -> Option<Counted> {
        let (first, len, count) = self.usage.counted(self.ag, from.0)?;
        Some(Counted {
            first: AgBlock(first),
            len,
            count,
        })
    }

    fn inode_block(&self, from: AgBlock) -> Option<(AgBlock, u32)> {
        let from = self.start.add(u64::from(from.0));
        let (at, free) = self.inode_blocks.range(from..self.end).next()?;
        let block = u32::try_from(at.since(self.start)).ok()?;
        Some((AgBlock(block), *free))
    }
}

impl Repair<'_> {
    /// Makes groups, summary and volume block agree with the inodes.
    pub(super) fn rebuild(&mut self) -> Result {
        self.count_free_slots();
        for ag in (0..self.geometry.ag_count).map(AgNumber) {
            let unused = self.summary_byte(ag)? == summary::UNUSED;
            if self.used.contains(&ag) && unused {
                // Any other will do: it is counted anew.
                rebuild::set_summary(&mut self.overlay, ag, summary::class(0))?;
            } else if !self.used.contains(&ag) && !unused {
                rebuild::set_summary(&mut self.overlay, ag, summary::UNUSED)?;
                self.safe(Subject::Group(ag), format_args!("was never used"));
            }
        }
        self.volume_block()?;
        for _ in 0..ROUNDS {
            self.overlay.stage();
            let mut wrong = Wrong {
                geometry: &self.geometry,
                groups: BTreeSet::new(),
            };
            check(self.volume, &mut wrong)?;
            let mut groups = wrong.groups;
            groups.append(&mut self.outdated);
            if groups.is_empty() {
                break;
            }
            for ag in groups.intersection(&self.used) {
                let start = self.geometry.group_start(*ag);
                let known = FromInodes {
                    ag: *ag,
                    start,
                    usage: &self.usage,
                    trees: &self.trees,
                    inode_blocks: &self.inode_blocks,
                    end: start.add(u64::from(self.geometry.group_len(*ag))),
                };
                rebuild::group(&mut self.overlay, *ag, &known)?;
                self.trees.forget_group(*ag);
                self.out.repaired(
                    crate::report::Effect::Safe,
                    Subject::Group(*ag),
                    format_args!("bitmap, counts and trees made anew"),
                );
            }
            self.volume_block()?;
        }
        self.overlay.forget_state();
        Ok(())
    }

    fn summary_byte(&self, ag: AgNumber) -> Result<u8> {
        let (at, byte) = summary::place(&self.geometry, ag);
        Ok(self.overlay.read(at, Kind::Summary)?.u8(byte))
    }

    /// Counts the free slots of all inode blocks, some of which have changed since they were found.
    fn count_free_slots(&mut self) {
        let slots = self.slots();
        let blocks: Vec<FsBlock> = self.inode_blocks.keys().copied().collect();
        for at in blocks {
            if let Ok(buf) = self.overlay.read(at, Kind::Inodes) {
                let used = buf.u16(inode::IN_USE).count_ones();
                self.inode_blocks.insert(at, slots.saturating_sub(used));
            }
        }
    }

    /// Makes the volume block say what is so, if it does not.
    fn volume_block(&mut self) -> Result {
        let read = self.overlay.read(Geometry::VOLUME, Kind::Volume).ok();
        let says = read.as_ref().map(|buf| VolumeState {
            free: buf.u64(volume::FREE),
            inodes: buf.u64(volume::INODES),
            orphans: root_at(buf, volume::ORPHAN_ROOT),
            epoch: buf.u64(volume::EPOCH),
        });
        let mut free = 0;
        for ag in (0..self.geometry.ag_count).map(AgNumber) {
            let used = self.used.contains(&ag);
            free += match used.then(|| self.group_header(ag)).flatten() {
                Some(header) => {
                    u64::from(header.u32(group::FREE)) + u64::from(header.u32(group::TREE_BLOCKS))
                }
                None => u64::from(usable(&self.geometry, ag)),
            };
        }
        let right = VolumeState {
            free,
            inodes: self.inodes.count(),
            orphans: says
                .filter(|_| self.orphans_sound)
                .map_or(Root::EMPTY, |says| says.orphans),
            epoch: self.epoch,
        };
        if says != Some(right) {
            rebuild::volume(&mut self.overlay, &right)?;
            self.safe(Subject::Volume, format_args!("counters made anew"));
        }
        Ok(())
    }
}
