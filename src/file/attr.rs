// SPDX-License-Identifier: GPL-2.0

//! Attributes of inodes of every type.

use crate::error;
use crate::inode::log;
use crate::io::report::Report;
use crate::libcowfs::error::Result as CoreResult;
use crate::libcowfs::store::Reader;
use crate::linux::fs::{Attr, Fiemap, InodeOperations, KStat, StatMask};
use crate::linux::iomap;
use crate::linux::jbd2::Tid;
use crate::super_block::Cowfs;
use crate::transaction::Tx;
use crate::truncate;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Operations on regular files.
pub(crate) struct Operations;

#[vtable]
impl InodeOperations for Operations {
    type FileSystem = Cowfs;

    fn setattr(attr: &mut Attr<'_, Cowfs>) -> Result {
        set(attr)
    }

    fn getattr(inode: &Inode, _wanted: StatMask, stat: &mut KStat) -> Result {
        get(inode, stat);
        let view = View::new(inode.sb());
        let device = &view.volume().device;
        stat.set_dio_align(
            device.memory_alignment(),
            view.geometry().block_size() as u32,
            device.logical_block_size(),
        );
        Ok(())
    }

    fn fiemap(inode: &Inode, request: &mut Fiemap<'_>) -> Result {
        let _lock = inode.lock_shared();
        iomap::fiemap::<Report>(inode, request)
    }
}

/// Operations on device nodes, pipes and sockets.
pub(crate) struct SpecialOperations;

#[vtable]
impl InodeOperations for SpecialOperations {
    type FileSystem = Cowfs;

    fn setattr(attr: &mut Attr<'_, Cowfs>) -> Result {
        set(attr)
    }

    fn getattr(inode: &Inode, _wanted: StatMask, stat: &mut KStat) -> Result {
        get(inode, stat);
        Ok(())
    }
}

/// Adds what the VFS does not know.
pub(crate) fn get(inode: &Inode, stat: &mut KStat) {
    let view = View::new(inode.sb());
    let map = inode.data().map();
    stat.set_btime(map.btime);
    stat.set_block_size(view.geometry().block_size() as u32);
    if let Ok(file) = map.file_ref() {
        let blocks = file
            .fork
            .blocks()
            .saturating_add(file.cow.delalloc())
            .saturating_add(file.cow.real());
        stat.set_sectors(blocks << (view.geometry().block_shift - 9));
    }
}

/// Changes attributes, the size among them.
pub(crate) fn set(attr: &mut Attr<'_, Cowfs>) -> Result {
    let inode = attr.inode().inode();
    let sb = inode.sb();
    sb.info().check_writable()?;
    attr.prepare()?;
    if let Some(size) = attr.size() {
        if inode.is_regular() {
            if size != inode.size() {
                attr.add_mtime_now();
            }
            truncate::set_size(attr.inode(), size)?;
        }
    }
    let view = View::new(sb);
    let _block = log::hold(&view, inode).map_err(|e| error::report(sb, e))?;
    attr.copy();
    let save = || -> CoreResult<Tid> {
        let mut tx = Tx::start(view, log::CREDITS, view.volume().space.kept(0))?;
        let mut map = inode.data().map_mut();
        let done = log::log(&mut tx, inode, &mut map, false);
        drop(map);
        done?;
        tx.finish()
    };
    let tid = save().map_err(|e| error::report(sb, e))?;
    match view.volume().journal() {
        Some(journal) if inode.is_sync() => journal.complete(tid),
        _ => Ok(()),
    }
}
