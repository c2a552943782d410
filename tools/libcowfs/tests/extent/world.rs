// SPDX-License-Identifier: GPL-2.0

//! A volume with some files on it, and what they should contain.

use cowfs_core::error::{Error, Result};
use cowfs_core::extent::{most_credits, Fork};
use cowfs_core::mem::{MemStore, MemTx};
use cowfs_core::ondisk::{volume, Geometry, Kind};
use cowfs_core::space::{self, usable};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgNumber, FileBlock, FsBlock, Ino};
use std::collections::HashMap;

use cowfs_core::block::Block;

/// What a block of a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cell {
    #[default]
    Hole,
    Unwritten,
    /// The contents, told apart by a number.
    Data(u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    pub fork: Fork,
    pub cells: Vec<Cell>,
}

/// How an operation ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    Crashed,
    Failed(Error),
}

pub struct World {
    pub store: &'static MemStore,
    pub files: Vec<File>,
    /// What is in each block of the disk.
    pub contents: HashMap<FsBlock, u64>,
    pub size: u64,
    stamp: u64,
    random: u64,
    /// One transaction in so many ends in a crash; 0 is none.
    pub crashes: u64,
}

pub type Tx = MemTx<'static>;

/// Blocks a caller changes with each step: the inode and the volume's counters.
const INODE: u32 = 2;

/// And the group's header and summary, where blocks were staged.
const CALLER: u32 = INODE + space::credits::COMMIT;

/// A volume of `groups` groups of `group` blocks, of any block size, without inodes.
pub fn volume_of(block_shift: u8, groups: u32, group: u32) -> &'static MemStore {
    let summary_blocks = groups.div_ceil((1 << block_shift) - 64);
    let ag_start = 4 + u64::from(summary_blocks);
    let store = MemStore::new(Geometry {
        uuid: [7; 16],
        block_shift,
        blocks: ag_start + u64::from(groups) * u64::from(group),
        ag_start: FsBlock(ag_start),
        ag_blocks: group,
        ag_count: groups,
        summary_start: FsBlock(2),
        summary_blocks,
        journal_start: FsBlock(2 + u64::from(summary_blocks)),
        journal_blocks: 1,
        root: Ino(0),
        hash_seed: [0; 16],
    })
    .unwrap();
    store
        .run(|tx| {
            let geometry = cowfs_core::store::Reader::geometry(tx).clone();
            let counters = tx.create(Geometry::VOLUME, Kind::Volume, 0)?;
            let free: u64 = (0..groups)
                .map(|ag| u64::from(usable(&geometry, AgNumber(ag))))
                .sum();
            counters.set_u64(volume::FREE, free);
            for index in 0..u64::from(summary_blocks) {
                tx.create(FsBlock(2 + index), Kind::Summary, 0)?;
            }
            Ok(())
        })
        .unwrap();
    Box::leak(Box::new(store))
}

impl World {
    pub fn new(store: &'static MemStore, size: u64, seed: u64) -> Self {
        World {
            store,
            files: Vec::new(),
            contents: HashMap::new(),
            size,
            stamp: 0,
            random: seed | 1,
            crashes: 0,
        }
    }

    pub fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    pub fn ino(&self, file: usize) -> Ino {
        let geometry = cowfs_core::store::Reader::geometry(self.store);
        let ag = AgNumber(file as u32 % geometry.ag_count);
        Ino(geometry.group_start(ag).0 * geometry.inode_slots())
    }

    pub fn create(&mut self) -> usize {
        self.files.push(File {
            fork: Fork::new(),
            cells: vec![Cell::Hole; self.size as usize],
        });
        self.files.len() - 1
    }

    /// Repeats `step` until it says that it is finished, some steps in each transaction, which has
    /// few credits at first, and may end in a crash.
    pub fn steps(&mut self, mut step: impl FnMut(&mut Self, &mut Tx) -> Result<bool>) -> End {
        let few = 20 + self.random(60) as u32;
        let mut limit = few;
        loop {
            let saved = self.files.clone();
            let mut tx = self.store.begin(limit);
            let mut end = None;
            let mut progress = false;
            for _ in 0..1 + self.random(4) {
                let before = self.files.clone();
                match step(self, &mut tx) {
                    Ok(true) => {
                        end = Some(End::Finished);
                        break;
                    }
                    Ok(false) => progress = true,
                    Err(error) => {
                        // Nodes that were copied are no change to what is mapped.
                        let cells = |files: &[File]| -> Vec<_> {
                            files.iter().map(|file| file.cells.clone()).collect()
                        };
                        let same = cells(&self.files) == cells(&before);
                        assert!(same, "changed in spite of {error}");
                        progress |= self.files != before;
                        end = Some(End::Failed(error));
                        break;
                    }
                }
            }
            if self.crashes > 0 && self.random(self.crashes) == 0 {
                drop(tx);
                self.files = saved;
                return End::Crashed;
            }
            tx.commit().unwrap();
            for file in &mut self.files {
                file.fork.logged();
            }
            match end {
                Some(End::Failed(Error::NeedCredits)) => {
                    assert!(progress || limit == few, "no transaction is large enough");
                    limit = match progress {
                        true => few,
                        // What any step has to be content with.
                        false => most_credits(self.store.geometry()),
                    };
                }
                Some(end) => return end,
                None => {}
            }
        }
    }

    /// Writes new contents to blocks that are not the file's yet, and maps them.
    pub fn write(&mut self, file: usize, at: u64, len: u64) -> End {
        let (mut at, end) = (at, at + len);
        let ino = self.ino(file);
        while at < end {
            let goal = FsBlock(cowfs_core::store::Reader::geometry(self.store).ag_start.0);
            let goal = goal.add(self.random(2000));
            let (disk, len) = match space::stage(self.store, goal, (end - at) as u32) {
                Ok(staged) => staged,
                Err(error) => return End::Failed(error),
            };
            self.stamp += 1;
            let stamp = self.stamp << 16;
            for n in 0..u64::from(len) {
                self.contents.insert(disk.add(n), stamp + n);
            }
            let mut done = 0;
            let ended = self.steps(|world, tx| {
                let (to, from) = (at + u64::from(done), disk.add(u64::from(done)));
                let target = &mut world.files[file];
                let n = target
                    .fork
                    .replace(tx, ino, FileBlock(to), from, len - done)?;
                assert!(n > 0);
                space::commit_staged(tx, from, n)?;
                tx.spend(INODE);
                for block in 0..u64::from(n) {
                    let data = stamp + u64::from(done) + block;
                    target.cells[(to + block) as usize] = Cell::Data(data);
                }
                done += n;
                Ok(done == len)
            });
            match ended {
                End::Finished => at += u64::from(len),
                End::Crashed => return End::Crashed,
                End::Failed(error) => {
                    space::unstage(self.store, disk.add(done.into()), len - done).unwrap();
                    return End::Failed(error);
                }
            }
        }
        End::Finished
    }

    /// Maps the holes of a range to preallocated blocks.
    pub fn preallocate(&mut self, file: usize, at: u64, len: u64) -> End {
        let ino = self.ino(file);
        let (mut at, end) = (at, at + len);
        self.steps(|world, tx| {
            let found = world.files[file].fork.lookup(tx, FileBlock(at), end - at)?;
            if found.extent.is_some() {
                at += found.len;
                return Ok(at == end);
            }
            // As the caller's own credits are part of a step, blocks are had beforehand.
            let (disk, len) = space::stage(tx, FsBlock(0), found.len as u32)?;
            let target = &mut world.files[file];
            let n = target
                .fork
                .insert_unwritten(tx, ino, FileBlock(at), disk, len);
            let done = *n.as_ref().unwrap_or(&0);
            if done < len {
                space::unstage(tx, disk.add(done.into()), len - done)?;
            }
            n?;
            space::commit_staged(tx, disk, done)?;
            tx.spend(INODE);
            for block in at..at + u64::from(done) {
                target.cells[block as usize] = Cell::Unwritten;
            }
            at += u64::from(done);
            Ok(at == end)
        })
    }

    /// Writes to those preallocated blocks of a range that are the file's alone.
    pub fn write_in_place(&mut self, file: usize, at: u64, len: u64) -> End {
        let ino = self.ino(file);
        let (mut at, end) = (at, at + len);
        self.steps(|world, tx| {
            let fork = &world.files[file].fork;
            let (found, shared) = fork.lookup_shared(tx, FileBlock(at), end - at)?;
            let extent = found.extent.filter(|extent| extent.unwritten && !shared);
            let Some(extent) = extent else {
                at += found.len;
                return Ok(at == end);
            };
            let target = &mut world.files[file];
            let n = target
                .fork
                .convert(tx, ino, FileBlock(at), extent.len.into())?;
            tx.spend(CALLER);
            world.stamp += 1;
            for block in 0..n {
                let data = (world.stamp << 16) + block;
                world.contents.insert(extent.disk.add(block), data);
                target.cells[(at + block) as usize] = Cell::Data(data);
            }
            at += n;
            Ok(at == end)
        })
    }

    pub fn unmap(&mut self, file: usize, at: u64, len: u64) -> End {
        let ino = self.ino(file);
        let (mut at, end) = (at, at + len);
        self.steps(|world, tx| {
            let target = &mut world.files[file];
            let before = tx.touched();
            let n = target.fork.unmap(tx, ino, FileBlock(at), end - at)?;
            if tx.touched() > before {
                tx.spend(CALLER);
            }
            assert!(n > 0);
            target.cells[at as usize..(at + n) as usize].fill(Cell::Hole);
            at += n;
            Ok(at == end)
        })
    }

    /// Cuts the file off, in as many goes as crashes make of it.
    pub fn truncate(&mut self, file: usize, from: u64) -> End {
        let ino = self.ino(file);
        let mut ended = End::Crashed;
        while ended == End::Crashed {
            ended = self.steps(|world, tx| {
                let fork = &mut world.files[file].fork;
                let before = tx.touched();
                let finished = fork.truncate(tx, ino, FileBlock(from))?;
                if tx.touched() > before {
                    tx.spend(CALLER);
                }
                Ok(finished)
            });
        }
        // What is left of it if there was no space is the file's end.
        if ended == End::Finished {
            self.files[file].cells[from as usize..].fill(Cell::Hole);
        } else {
            let fork = self.files[file].fork.clone();
            for at in from..self.size {
                let found = fork.lookup(self.store, FileBlock(at), 1).unwrap();
                if found.extent.is_none() {
                    self.files[file].cells[at as usize] = Cell::Hole;
                }
            }
        }
        ended
    }

    pub fn clone_file(&mut self, source: usize) -> End {
        let target = self.create();
        let ended = self.steps(|world, tx| {
            let mut from = std::mem::take(&mut world.files[source]);
            let mut to = std::mem::take(&mut world.files[target]);
            let done = Fork::clone_whole(tx, &mut from.fork, &mut to.fork);
            if done.is_ok() {
                tx.spend(2 * CALLER - 1);
                to.cells = from.cells.clone();
            }
            world.files[source] = from;
            world.files[target] = to;
            done.map(|()| true)
        });
        if ended != End::Finished {
            self.files.pop();
        }
        ended
    }

    /// Shares a range of one file with another, or another range of the same.
    pub fn share(&mut self, source: usize, from: u64, target: usize, to: u64, len: u64) -> End {
        let ino = self.ino(target);
        self.files[source].fork.flag_shared();
        let mut at = 0;
        self.steps(|world, tx| {
            let other = world.files[source].clone();
            let file = &mut world.files[target];
            let (from, to) = (from + at, to + at);
            let (from_at, to_at) = (FileBlock(from), FileBlock(to));
            let before = tx.touched();
            let n = file
                .fork
                .share_range(tx, ino, &other.fork, from_at, to_at, len - at)?;
            if tx.touched() > before {
                tx.spend(CALLER);
            }
            assert!(n > 0);
            for block in 0..n {
                file.cells[(to + block) as usize] = match other.cells[(from + block) as usize] {
                    Cell::Data(data) => Cell::Data(data),
                    _ => Cell::Hole,
                };
            }
            at += n;
            Ok(at == len)
        })
    }

    pub fn remove(&mut self, file: usize) -> End {
        let ended = self.truncate(file, 0);
        assert_eq!(ended, End::Finished, "a file can always be removed");
        assert_eq!(self.files[file].fork.blocks(), 0);
        self.files.swap_remove(file);
        ended
    }
}
