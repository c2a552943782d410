// SPDX-License-Identifier: GPL-2.0

//! An inode in memory.
//!
//! ```text
//!   struct inode (VFS)   mode, owner, links, times, size in memory
//!   InodeData            what the VFS has no place for:
//!     map: rwsem         data fork, CoW fork or directory root; size on disk; promises
//!     sync_tid           transaction that must be on disk before fsync returns
//! ```

pub(crate) mod log;
pub(crate) mod make;
pub(crate) mod read;
pub(crate) mod registry;

pub(crate) use read::get;

use crate::io::writeback::Pages;
use crate::libcowfs::btree::Root;
use crate::libcowfs::cow::CowFork;
use crate::libcowfs::extent::Fork;
use crate::libcowfs::ondisk::Geometry;
use crate::libcowfs::units::Ino;
use crate::linux::fs::Timespec;
use crate::linux::iomap::writeback::IoendList;
use crate::linux::jbd2::Tid;
use crate::linux::mm::NofsScope;
use crate::linux::rwsem::{ReadGuard, RwSemaphore, WriteGuard};
use crate::volume::Inode;
use core::ops::{Deref, DerefMut};
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};

/// A regular file's two forks.
#[derive(Default)]
pub(crate) struct File {
    /// What a read sees.
    pub(crate) fork: Fork,
    /// What is staged for writes under way.
    pub(crate) cow: CowFork,
}

/// What an inode has, by its type.
pub(crate) enum Contents {
    /// Device node, pipe, socket; or not read yet.
    None,
    /// Regular file.
    File(File),
    /// Directory: the tree of its entries.
    Directory(Root),
    /// Symbolic link; its target is with the VFS.
    Symlink,
}

/// What the `map` lock protects.
pub(crate) struct Map {
    /// Forks or directory root.
    pub(crate) contents: Contents,
    /// Changes whenever the data fork does.
    pub(crate) sequence: u32,
    /// Blocks promised to the CoW fork: see [`Map::promise_wanted`].
    pub(crate) promised: u64,
    /// Time of birth.
    pub(crate) btime: Timespec,
    /// `ondisk::inode::FLAG_*` but for those the fork keeps.
    pub(crate) flags: u32,
    /// CoW extent size in blocks, 0 for the mount's.
    pub(crate) cow_extent_size: u32,
    /// A directory's parent.
    pub(crate) parent: Ino,
}

impl Map {
    /// The forks of a regular file.
    ///
    /// # Errors
    ///
    /// `EINVAL` for anything else.
    pub(crate) fn file(&mut self) -> Result<&mut File> {
        match &mut self.contents {
            Contents::File(file) => Ok(file),
            _ => Err(EINVAL),
        }
    }

    /// The forks of a regular file, to be read.
    ///
    /// # Errors
    ///
    /// `EINVAL` for anything else.
    pub(crate) fn file_ref(&self) -> Result<&File> {
        match &self.contents {
            Contents::File(file) => Ok(file),
            _ => Err(EINVAL),
        }
    }

    /// The data fork is about to be changed: mappings handed out are not to be relied upon.
    pub(crate) fn changing(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// The root of a directory's tree.
    ///
    /// # Errors
    ///
    /// `ENOTDIR` for anything else.
    pub(crate) fn directory(&mut self) -> Result<&mut Root> {
        match &mut self.contents {
            Contents::Directory(root) => Ok(root),
            _ => Err(ENOTDIR),
        }
    }

    /// The root of a directory's tree, to be read.
    ///
    /// # Errors
    ///
    /// `ENOTDIR` for anything else.
    pub(crate) fn directory_ref(&self) -> Result<&Root> {
        match &self.contents {
            Contents::Directory(root) => Ok(root),
            _ => Err(ENOTDIR),
        }
    }

    /// The blocks that ought to be promised for what is in the CoW fork, were it to hold `more` blocks
    /// more: every reserved or staged block, and what mapping them may take in tree nodes.
    pub(crate) fn promise_wanted(&self, geometry: &Geometry, more: u64) -> u64 {
        let Contents::File(file) = &self.contents else {
            return 0;
        };
        let blocks = file
            .cow
            .delalloc()
            .saturating_add(file.cow.staged())
            .saturating_add(more);
        let runs = file.cow.runs().saturating_add(more.min(1));
        blocks.saturating_add(file.fork.nodes_to_map(geometry, blocks, runs))
    }
}

/// What the module keeps per inode.
#[pin_data]
pub(crate) struct InodeData {
    #[pin]
    map: RwSemaphore<Map>,
    /// Pages of this inode whose writing is done.
    #[pin]
    ioends: IoendList<Pages>,
    /// The size as the disk has it, in bytes. Behind the VFS's size while appended data is on its way.
    /// Changed with `map` locked exclusively.
    disk_size: Atomic<u64>,
    sync_tid: Atomic<u32>,
    datasync_tid: Atomic<u32>,
    /// Whether the last direct write went through the CoW fork: the next one probably will.
    copied: Atomic<u32>,
    /// Whether the write under way, which holds `i_rwsem`, dirties pages over preallocated blocks while space is low.
    converts: Atomic<bool>,
    /// Whether the file is the source of a clone under way, which holds its locks shared so that it can be read:
    /// whoever writes with them held shared must not. Set and cleared with `i_rwsem` and
    /// `invalidate_lock` held.
    cloned_from: Atomic<bool>,
    /// Whether it changed in memory, but could not be logged when it was to be.
    unlogged: Atomic<bool>,
    /// Whether it was found on the list of orphans of a volume that is about to be writable.
    reclaimed: Atomic<bool>,
    /// Whether written blocks may be mapped beyond the end of the file.
    beyond: Atomic<bool>,
}

impl InodeData {
    /// Of an inode nothing is known about yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            map <- crate::new_rwsem!(
                Map {
                    contents: Contents::None,
                    sequence: 0,
                    promised: 0,
                    btime: Timespec::default(),
                    flags: 0,
                    cow_extent_size: 0,
                    parent: Ino(0),
                },
                "cowfs_map"
            ),
            ioends <- IoendList::new(),
            disk_size: Atomic::new(0),
            sync_tid: Atomic::new(0),
            datasync_tid: Atomic::new(0),
            copied: Atomic::new(0),
            converts: Atomic::new(false),
            cloned_from: Atomic::new(false),
            unlogged: Atomic::new(false),
            reclaimed: Atomic::new(false),
            beyond: Atomic::new(false),
        })
    }

    /// Locks the map shared.
    pub(crate) fn map(&self) -> MapRead<'_> {
        let scope = NofsScope::enter();
        MapRead {
            guard: self.map.read(),
            _scope: scope,
        }
    }

    /// Locks the map shared if that needs no waiting.
    pub(crate) fn try_map(&self) -> Option<MapRead<'_>> {
        let scope = NofsScope::enter();
        Some(MapRead {
            guard: self.map.try_read()?,
            _scope: scope,
        })
    }

    /// Locks the map exclusively.
    pub(crate) fn map_mut(&self) -> MapWrite<'_> {
        let scope = NofsScope::enter();
        MapWrite {
            guard: self.map.write(),
            _scope: scope,
        }
    }

    /// Locks the map exclusively if that needs no waiting.
    pub(crate) fn try_map_mut(&self) -> Option<MapWrite<'_>> {
        let scope = NofsScope::enter();
        Some(MapWrite {
            guard: self.map.try_write()?,
            _scope: scope,
        })
    }

    /// Locks the map exclusively while the map of an inode with a lower number is held.
    pub(crate) fn map_mut_second(&self) -> MapWrite<'_> {
        let scope = NofsScope::enter();
        MapWrite {
            guard: self.map.write_nested(1),
            _scope: scope,
        }
    }

    /// Whether the last direct write went through the CoW fork. Nobody relies on it.
    pub(crate) fn copied(&self) -> bool {
        self.copied.load(Relaxed) != 0
    }

    /// Notes whether a direct write goes through the CoW fork.
    pub(crate) fn set_copied(&self, copied: bool) {
        self.copied.store(u32::from(copied), Relaxed);
    }

    /// Notes that a write dirties pages over preallocated blocks while space is low.
    pub(crate) fn note_conversion(&self) {
        self.converts.store(true, Relaxed);
    }

    /// Whether that was noted of the write that ends now.
    pub(crate) fn take_conversion(&self) -> bool {
        self.converts.load(Relaxed) && self.converts.xchg(false, Relaxed)
    }

    /// Where ioends wait for their completion.
    pub(crate) fn ioends(&self) -> &IoendList<Pages> {
        &self.ioends
    }

    /// The size as the disk has it, in bytes.
    pub(crate) fn disk_size(&self) -> u64 {
        self.disk_size.load(Relaxed)
    }

    /// Sets the size the disk is to have, which the caller logs.
    pub(crate) fn set_disk_size(&self, _map: &mut Map, size: u64) {
        self.disk_size.store(size, Relaxed);
    }

    /// Whether a clone is being made of the file. To be asked with one of its locks held: the answer stays as
    /// it is as long as that is held.
    pub(crate) fn is_cloned_from(&self) -> bool {
        self.cloned_from.load(Relaxed)
    }

    /// Says so.
    pub(crate) fn set_cloned_from(&self, cloned_from: bool) {
        self.cloned_from.store(cloned_from, Relaxed);
    }

    /// Whether something of it could not be logged when it was to be: whoever syncs it has to try again.
    pub(crate) fn is_unlogged(&self) -> bool {
        self.unlogged.load(Relaxed)
    }

    /// Says so.
    pub(crate) fn set_unlogged(&self, unlogged: bool) {
        self.unlogged.store(unlogged, Relaxed);
    }

    /// Whether it was found on the list of orphans of a volume that is about to be writable.
    pub(crate) fn is_reclaimed(&self) -> bool {
        self.reclaimed.load(Relaxed)
    }

    /// Says so.
    pub(crate) fn set_reclaimed(&self) {
        self.reclaimed.store(true, Relaxed);
    }

    /// Whether written blocks may be mapped beyond the end of the file, where a crash or an error has left them in the
    /// middle of cloning a range or of a truncation, or of mapping what a direct write wrote. Set and cleared with
    /// `i_rwsem` held, or before anybody knows the inode; set also by a direct write that fails, for which whoever clears
    /// it has waited.
    pub(crate) fn may_reach_beyond(&self) -> bool {
        self.beyond.load(Relaxed)
    }

    /// Says so.
    pub(crate) fn set_reaches_beyond(&self, beyond: bool) {
        self.beyond.store(beyond, Relaxed);
    }

    /// The inode was changed by transaction `tid`; `data` if fdatasync(2) must not lose the change.
    pub(crate) fn changed_in(&self, tid: Tid, data: bool) {
        self.sync_tid.store(tid.into_raw(), Relaxed);
        if data {
            self.datasync_tid.store(tid.into_raw(), Relaxed);
        }
    }

    /// The transaction that must be on disk before fsync(2), or fdatasync(2) if `data`, may return.
    pub(crate) fn must_commit(&self, data: bool) -> Tid {
        Tid::from_raw(if data {
            self.datasync_tid.load(Relaxed)
        } else {
            self.sync_tid.load(Relaxed)
        })
    }
}

/// The map, locked shared, with memory asked for without entering the file system.
pub(crate) struct MapRead<'a> {
    guard: ReadGuard<'a, Map>,
    _scope: NofsScope,
}

impl Deref for MapRead<'_> {
    type Target = Map;

    fn deref(&self) -> &Map {
        &self.guard
    }
}

/// The map, locked exclusively, with memory asked for without entering the file system.
pub(crate) struct MapWrite<'a> {
    guard: WriteGuard<'a, Map>,
    _scope: NofsScope,
}

impl Deref for MapWrite<'_> {
    type Target = Map;

    fn deref(&self) -> &Map {
        &self.guard
    }
}

impl DerefMut for MapWrite<'_> {
    fn deref_mut(&mut self) -> &mut Map {
        &mut self.guard
    }
}

/// Locks the maps of two different inodes.
pub(crate) fn lock_both<'a>(from: &'a Inode, to: &'a Inode) -> (MapWrite<'a>, MapWrite<'a>) {
    if from.ino() < to.ino() {
        let first = from.data().map_mut();
        let second = to.data().map_mut_second();
        (first, second)
    } else {
        let first = to.data().map_mut();
        let second = from.data().map_mut_second();
        (second, first)
    }
}
