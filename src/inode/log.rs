// SPDX-License-Identifier: GPL-2.0

//! Writing an inode to its slot, in a transaction.
//!
//! Changes that belong together with others (a mapping, a directory entry, a size) are logged in the
//! transaction that makes them. Times alone are not worth one: they stay in memory, the VFS knows the inode
//! is dirty, and sooner or later calls [`write()`].

use crate::buffer::Buffer;
use crate::error;
use crate::inode::{read, Contents, Map};
use crate::libcowfs::block::Block;
use crate::libcowfs::error::Result as CoreResult;
use crate::libcowfs::inode::{Core, Time};
use crate::libcowfs::ondisk::inode::{Format, SIZE_BYTES};
use crate::libcowfs::space::inodes;
use crate::libcowfs::store::{Reader, Transaction};
use crate::libcowfs::units::Ino;
use crate::linux::fs::Timespec;
use crate::transaction::Tx;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Most metadata blocks [`log`] changes.
pub(crate) const CREDITS: u32 = 1;

fn time(t: Timespec) -> Time {
    Time {
        seconds: t.sec(),
        nanoseconds: t.nsec(),
    }
}

/// Reads the block that the inode is in, before anything is changed in memory that is to be [logged](log): that this
/// fails harms nothing. It stays in memory as long as what is returned.
///
/// # Errors
///
/// `Corrupt`, `Io`, `NoMemory`.
pub(crate) fn hold(view: &View<'_>, inode: &Inode) -> CoreResult<Buffer> {
    inodes::read(view, Ino(inode.ino())).map(|(buf, _)| buf)
}

/// Writes `inode`, whose locked map is `map`, to its slot. Takes [`CREDITS`].
///
/// `data`: something changed that fdatasync(2) must not lose.
///
/// # Errors
///
/// Those of reading and changing metadata: the transaction is lost, and the journal with it.
pub(crate) fn log(tx: &mut Tx<'_>, inode: &Inode, map: &mut Map, data: bool) -> CoreResult {
    tx.rely();
    let (buf, at) = inodes::read(tx, Ino(inode.ino()))?;
    tx.modify(&buf)?;
    let core = Core {
        mode: inode.mode().bits(),
        links: inode.nlink(),
        uid: inode.uid(),
        gid: inode.gid(),
        size: inode.data().disk_size(),
        times: [
            time(inode.atime()),
            time(inode.mtime()),
            time(inode.ctime()),
            time(map.btime),
        ],
        generation: inode.generation(),
        flags: map.flags,
        rdev: inode.rdev().encode(),
        cow_extent_size: map.cow_extent_size,
        parent: map.parent,
    };
    // The size may have changed without, see `truncate`.
    let data = data || buf.u64(at + SIZE_BYTES) != core.size;
    core.store(&buf, at);
    match &mut map.contents {
        Contents::File(file) => {
            file.fork.store(&buf, at);
            file.fork.logged();
        }
        Contents::Directory(root) => {
            crate::libcowfs::inode::store_root(&buf, at, Format::Directory, *root);
            let shift = tx.geometry().block_shift;
            read::set_recorded_blocks(inode, shift, &buf, at);
        }
        Contents::Symlink | Contents::None => {}
    }
    inode.data().changed_in(tx.tid(), data);
    inode.data().set_unlogged(false);
    Ok(())
}

/// Writes an inode that the VFS knows to be dirty.
pub(crate) fn write(inode: &Inode) -> Result {
    let sb = inode.sb();
    let view = View::new(sb);
    let run = || -> CoreResult {
        let _block = hold(&view, inode)?;
        let mut tx = Tx::start(view, CREDITS, view.volume().space.kept(0))?;
        let mut map = inode.data().map_mut();
        let done = log(&mut tx, inode, &mut map, false);
        drop(map);
        done?;
        tx.finish().map(|_| ())
    };
    run().map_err(|e| {
        // The VFS takes it for written.
        inode.data().set_unlogged(true);
        error::report(sb, e)
    })
}
