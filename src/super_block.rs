// SPDX-License-Identifier: GPL-2.0

//! Mounting, unmounting, and what concerns the volume as a whole.
//!
//! ```text
//!   superblock -> journal (replayed if need be) -> volume block -> root inode -> orphans
//! ```
//!
//! Nothing else is read: groups load when they are first used.

use crate::error;
use crate::inode::registry::Registry;
use crate::inode::{self, read, InodeData};
use crate::libcowfs::ondisk::{superblock, Geometry, Superblock};
use crate::libcowfs::space::{total_reserve, Hints, VolumeState};
use crate::libcowfs::units::FsBlock;
use crate::linux::block::BlockDevice;
use crate::linux::buffer_head::BufferHead;
use crate::linux::error::EUCLEAN;
use crate::linux::fs::{
    FileSystem, NewSuperBlock, Reconfigure, StatFs, SuperOperations, WritebackControl, NAME_MAX,
};
use crate::linux::jbd2::{Features, Journal};
use crate::linux::workqueue::{Flags, OwnedQueue};
use crate::options::{self, CurrentOptions, Options};
use crate::space::Space;
use crate::view::View;
use crate::volume::{Inode, Super, Volume};
use crate::{evict, orphan, reclaim};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::sync::aref::ARef;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::Arc;

/// The number by which statfs(2) tells us apart: "cowf".
const MAGIC: u32 = u32::from_le_bytes(*b"cowf");

/// The file system type.
pub(crate) struct Cowfs;

impl FileSystem for Cowfs {
    const NAME: &'static CStr = c"cowfs";
    const ALLOW_IDMAP: bool = true;

    type Options = Options;
    type Info = Volume;
    type Inode = InodeData;
    type SuperOps = Operations;

    fn init_inode() -> impl PinInit<InodeData> {
        InodeData::new()
    }

    fn fill_super(mut new: NewSuperBlock<'_, Self>, options: Options) -> Result<ARef<Inode>> {
        let superblock = read_superblock(&mut new)?;
        let geometry = superblock.geometry().map_err(|e| complain(new.name(), e))?;
        new.set_block_size(superblock.block_size)?;
        new.set_magic(MAGIC)
            .set_max_file_size(i64::MAX)
            .set_max_links(u32::MAX)
            .set_time_range(1, i64::MIN, i64::MAX)?
            .set_uuid(&superblock.uuid);

        let device = BlockDevice::of_new(&new)?;
        let blocks = device.size() >> geometry.block_shift;
        if geometry.blocks > blocks {
            pr_err!(
                "cowfs ({}): volume has {} blocks, the device only {}\n",
                new.name(),
                geometry.blocks,
                blocks
            );
            return Err(EINVAL);
        }
        let only_read = superblock.ro_compat & !superblock::RO_COMPAT_KNOWN != 0;
        if only_read && !new.is_read_only() {
            pr_err!(
                "cowfs ({}): features {:#x} are unknown here, mount it read-only\n",
                new.name(),
                superblock.ro_compat & !superblock::RO_COMPAT_KNOWN
            );
            return Err(EROFS);
        }

        let hints = Hints::new(&geometry).map_err(error::errno)?;
        let space = Arc::pin_init(Space::new(geometry.clone(), hints), GFP_KERNEL)?;
        let journal = open_journal(&mut new, &device, &geometry, &space)?;
        let completions =
            OwnedQueue::new(c"cowfs-completion", Flags::UNBOUND | Flags::MEM_RECLAIM, 0)?;
        let root = geometry.root;
        let sb = new.set_info(try_pin_init!(Volume {
            geometry,
            options: CurrentOptions::new(options),
            device,
            space,
            state <- new_mutex!(VolumeState::default(), "cowfs_volume"),
            registry <- Registry::new(),
            only_read,
            opening: Atomic::new(false),
            stopped: Atomic::new(false),
            given_up: Atomic::new(false),
            hurried: Atomic::new(false),
            held_up: Atomic::new(0),
            journal,
            completions,
        }))?;

        let view = View::new(sb);
        let volume = view.volume();
        let state = VolumeState::load(&view).map_err(|e| error::report(sb, e))?;
        let held_back = total_reserve(&volume.geometry).saturating_add(volume.space.slack());
        volume.space.begin(state.free, held_back);
        *volume.state.lock() = state;

        let root = read::get_linked(sb, root)?;
        if !root.is_dir() {
            pr_err!("cowfs ({}): the root inode is no directory\n", sb.name());
            return Err(EUCLEAN);
        }
        if sb.is_read_only() {
            empty_journal(volume)?;
        } else {
            orphan::reclaim_all(sb)?;
        }
        Ok(root)
    }

    fn reconfigure(sb: &Super, options: Options, change: Reconfigure) -> Result {
        let volume = sb.info();
        if !change.is_read_only() && volume.is_shut_down() {
            return Err(EROFS);
        }
        if change.to_read_write() {
            if volume.journal().is_none() || volume.only_read {
                return Err(EROFS);
            }
            // The super block is read-only until we return.
            volume.opening.store(true, Relaxed);
            let done = orphan::reclaim_all(sb);
            volume.opening.store(false, Relaxed);
            if let Err(e) = done {
                // As below. What cannot be emptied is replayed by the next mount.
                let _ = empty_journal(volume);
                return Err(e);
            }
            if volume.is_shut_down() {
                return Err(EROFS);
            }
        }
        // What was stopped has nothing left that could be written.
        if change.to_read_only() && !volume.is_shut_down() {
            sync(sb, true)?;
            // What cannot be written home, though it is committed, is no reason not to become read-only.
            let _ = empty_journal(volume);
        }
        if volume.options.set(options) {
            reclaim::rearm(sb);
        }
        Ok(())
    }
}

/// Says what is wrong with the volume on `device`, before there is a super block to say it of.
fn complain(device: &CStr, error: crate::libcowfs::error::Error) -> Error {
    pr_err!("cowfs ({}): {}\n", device, error::Shown(error));
    error::errno(error)
}

/// Reads and checks the superblock.
fn read_superblock(new: &mut NewSuperBlock<'_, Cowfs>) -> Result<Superblock> {
    new.set_min_block_size(superblock::SIZE as u32)?;
    let mut bytes = [0u8; superblock::SIZE];
    let block = BufferHead::bread_new(new, 0).inspect_err(|_| {
        pr_err!("cowfs ({}): block 0: I/O error\n", new.name());
    })?;
    block.data().read_bytes(0, &mut bytes);
    Superblock::decode(&bytes, FsBlock(0)).map_err(|e| {
        if e == crate::libcowfs::error::Error::Invalid {
            pr_err!("cowfs ({}): block 0: no cowfs volume\n", new.name());
            EINVAL
        } else {
            complain(new.name(), e)
        }
    })
}

/// Opens the journal, replaying it if the volume was not unmounted.
fn open_journal(
    new: &mut NewSuperBlock<'_, Cowfs>,
    device: &BlockDevice,
    geometry: &Geometry,
    space: &Arc<Space>,
) -> Result<Option<Journal<Space>>> {
    let journal = Journal::init_dev(
        device,
        geometry.journal_start.0,
        geometry.journal_blocks,
        geometry.block_size() as u32,
        space.clone(),
    )
    .inspect_err(|_| {
        pr_err!(
            "cowfs ({}): block {}: no journal\n",
            new.name(),
            geometry.journal_start.0
        );
    })?;
    if device.read_only() {
        if journal.needs_recovery() {
            pr_err!(
                "cowfs ({}): journal needs replay, but the device is read-only\n",
                new.name()
            );
            return Err(EROFS);
        }
        new.set_read_only();
        return Ok(None);
    }
    let wanted = Features::REVOKE | Features::BITS64 | Features::CSUM_V3;
    if !journal.has_features(wanted) {
        journal.set_features(wanted)?;
    }
    if journal.needs_recovery() {
        pr_info!("cowfs ({}): replaying the journal\n", new.name());
    }
    // What is committed is so only once it is on the medium, whatever the device keeps in its cache.
    journal.set_barrier(true);
    let failed_before = journal.recorded_error();
    let journal = journal.load().inspect_err(|_| {
        pr_err!(
            "cowfs ({}): block {}: the journal cannot be replayed\n",
            new.name(),
            geometry.journal_start.0
        );
    })?;
    if failed_before.is_err() {
        pr_warn!(
            "cowfs ({}): an error was recorded when last mounted, fsck.cowfs is advised\n",
            new.name()
        );
        journal.clear_error()?;
    }
    Ok(Some(journal))
}

/// Brings all metadata that changed up to now to disk; waits for it if `wait`.
fn sync(sb: &Super, wait: bool) -> Result {
    let volume = sb.info();
    let Some(journal) = volume.journal() else {
        return Ok(());
    };
    if wait {
        volume.completions.flush();
        // Nothing is left to be committed of what was lost when the journal was aborted.
        journal.force_commit()?;
        if volume.is_shut_down() {
            return Err(EIO);
        }
        // The commit flushed the device only if there was something to commit.
        if volume.device.has_write_cache() {
            volume.device.issue_flush()?;
        }
    } else {
        journal.start_commit();
    }
    Ok(())
}

/// Has the journal hold nothing, if there is one: a copy of the device needs no replay then, nor does the device
/// itself when the power fails.
fn empty_journal(volume: &Volume) -> Result {
    match volume.journal() {
        Some(journal) => journal.lock_updates()?.flush(),
        None => Ok(()),
    }
}

/// The super block's operations.
pub(crate) struct Operations;

#[vtable]
impl SuperOperations for Operations {
    type FileSystem = Cowfs;

    fn evict_inode(inode: &Inode) {
        evict::evict(inode);
    }

    fn write_inode(inode: &Inode, _control: &WritebackControl<Cowfs>) -> Result {
        inode::log::write(inode)
    }

    fn sync_fs(sb: &Super, wait: bool) -> Result {
        sync(sb, wait)
    }

    fn put_super(sb: &Super) {
        sb.info().completions.drain();
    }

    fn statfs(sb: &Super, stat: &mut StatFs) -> Result {
        let volume = sb.info();
        let geometry = &volume.geometry;
        let (free, inodes) = {
            let state = volume.state.lock();
            (state.free, state.inodes)
        };
        let free = free.saturating_sub(total_reserve(geometry));
        let groups = geometry.blocks.saturating_sub(geometry.ag_start.0);
        // What waits for a commit is as good as available: making room begins with a commit.
        let available = volume.space.available().min(free);
        let more = volume.most_inodes().saturating_sub(inodes);
        let more = more.min(free.saturating_mul(geometry.inodes_in_block()));
        stat.set_magic(MAGIC)
            .set_block_size(geometry.block_size() as u32)
            .set_blocks(groups, free, available)
            .set_inodes(inodes.saturating_add(more), more)
            .set_name_max(NAME_MAX as u32)
            .set_fsid(&geometry.uuid);
        Ok(())
    }

    fn freeze_fs(sb: &Super) -> Result {
        empty_journal(sb.info())
    }

    fn unfreeze_fs(_sb: &Super) -> Result {
        Ok(())
    }

    fn show_options(seq: &SeqFile, sb: &Super) -> Result {
        let volume = sb.info();
        volume.options.show(seq);
        if volume.is_given_up() {
            seq_print!(seq, ",{}", options::GIVEN_UP);
        }
        Ok(())
    }

    fn show_stats(seq: &SeqFile, sb: &Super) -> Result {
        seq_print!(seq, "groups={}", sb.info().space.groups.loaded());
        Ok(())
    }

    fn shutdown(sb: &Super) {
        pr_alert!("cowfs ({}): the device is gone\n", sb.name());
        sb.info().stop();
    }

    fn background(sb: &Super) {
        reclaim::visit(sb);
    }

    fn nr_cached_objects(sb: &Super) -> usize {
        sb.info().space.groups.loaded()
    }

    fn free_cached_objects(sb: &Super, count: usize) -> usize {
        reclaim::shrink(sb, count)
    }
}
