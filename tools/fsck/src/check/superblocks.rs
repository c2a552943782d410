// SPDX-License-Identifier: GPL-2.0

//! What lies before the groups: superblock and backups, summary, volume block, orphan list.

use cowfs_core::block::Block;
use cowfs_core::btree::{node, Array, Root};
use cowfs_core::ondisk::{header, summary, superblock, volume, Geometry, Kind, Superblock};
use cowfs_core::space::credits::ORPHAN_LEVELS;
use cowfs_core::space::orphans::Orphan;
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock};

use super::tree::{record, Walk};
use super::{Checker, NEVER};
use crate::report::Subject;

impl Checker<'_> {
    pub(super) fn check_superblocks(&mut self) {
        let mut wanted = self.volume.superblock().clone();
        if wanted.state & superblock::STATE_ERROR != 0 {
            self.wrong(
                Subject::Superblock(wanted.address),
                format_args!("an error was found while the volume was mounted"),
            );
        }
        let backups: Vec<FsBlock> = Superblock::backups(&self.geometry).collect();
        for at in backups {
            let copy = match self.volume.read_superblock(at) {
                Ok(copy) => copy,
                Err(cowfs_core::error::Error::Invalid) => {
                    self.wrong(Subject::Superblock(at), format_args!("backup is missing"));
                    continue;
                }
                Err(error) => {
                    self.wrong(Subject::Superblock(at), format_args!("{error}"));
                    continue;
                }
            };
            // Only the primary one is written while the volume is mounted.
            wanted.address = at;
            wanted.state = copy.state;
            wanted.label = copy.label;
            if copy != wanted {
                self.wrong(
                    Subject::Superblock(at),
                    format_args!("backup differs from the primary superblock"),
                );
            }
        }
    }

    pub(super) fn check_summary(&mut self) {
        let geometry = self.geometry.clone();
        self.summary = vec![Some(summary::UNUSED); geometry.ag_count as usize];
        for n in 0..geometry.summary_blocks {
            let at = geometry.summary_start.add(u64::from(n));
            let buf = match self.volume.read(at, Kind::Summary) {
                Ok(buf) => buf,
                Err(error) => {
                    self.wrong(Subject::Blocks(at, 1), format_args!("{error}"));
                    // Look at each of its groups rather than miss what is in them.
                    let first = n * geometry.groups_per_summary();
                    let groups = self.summary.iter_mut().skip(first as usize);
                    for byte in groups.take(geometry.groups_per_summary() as usize) {
                        *byte = None;
                    }
                    continue;
                }
            };
            for (slot, byte) in buf.bytes()[header::SIZE..].iter().enumerate() {
                let ag = n as usize * geometry.groups_per_summary() as usize + slot;
                match self.summary.get_mut(ag) {
                    Some(to) => *to = Some(*byte),
                    None if *byte != 0 => self.wrong(
                        Subject::Blocks(at, 1),
                        format_args!("has a byte for group {ag}, which does not exist"),
                    ),
                    None => {}
                }
            }
        }
    }

    pub(super) fn check_volume_block(&mut self) {
        let buf = match self.volume.read(Geometry::VOLUME, Kind::Volume) {
            Ok(buf) => buf,
            Err(error) => {
                self.wrong(Subject::Volume, format_args!("{error}"));
                return;
            }
        };
        let epoch = buf.u64(volume::EPOCH);
        if epoch >= NEVER {
            self.wrong(Subject::Volume, format_args!("impossible epoch {epoch}"));
        }
        self.last_epoch = Some(epoch);
        self.counters = Some((buf.u64(volume::FREE), buf.u64(volume::INODES)));
        let root = Root {
            block: FsBlock(buf.u64(volume::ORPHAN_ROOT)),
            height: u8::try_from(buf.u32(volume::ORPHAN_ROOT + 8)).unwrap_or(u8::MAX),
        };
        let walk = Walk {
            levels: ORPHAN_LEVELS as usize,
            ..Walk::new(Subject::Volume, Kind::Orphan, 0)
        };
        self.walk(&walk, root, &mut |checker, leaf, _| {
            for index in 0..node::count(leaf) {
                let Orphan(ino) = Array::get(leaf, index);
                // The record that is always there.
                if ino.0 == 0 {
                    continue;
                }
                if leaf.u64(record(leaf, Kind::Orphan, index) + 8) != 0 {
                    checker.wrong(
                        Subject::Volume,
                        format_args!("orphan tree: reserved field of inode {ino} is not zero"),
                    );
                }
                checker.orphans.push(ino);
            }
        });
    }

    /// Whether the summary says that the group was used.
    pub(super) fn is_used(&self, ag: AgNumber) -> bool {
        self.summary
            .get(ag.0 as usize)
            .is_some_and(|byte| *byte != Some(summary::UNUSED))
    }
}
