// SPDX-License-Identifier: GPL-2.0

//! An inode leaves memory: what is staged for it is given back, and if it has no links, it goes
//! from the disk too.

use crate::cow;
use crate::error;
use crate::inode::Contents;
use crate::libcowfs::cow::FileRange;
use crate::libcowfs::error::{Error, Result as CoreResult};
use crate::libcowfs::inode::symlink;
use crate::libcowfs::space::{inodes, orphans};
use crate::libcowfs::units::{FileBlock, Ino};
use crate::linux::fs::FreezeLevel;
use crate::namei;
use crate::transaction::Tx;
use crate::truncate;
use crate::view::View;
use crate::volume::Inode;
use kernel::sync::atomic::Relaxed;

/// Evicts. Nobody else can reach the inode any more.
pub(crate) fn evict(inode: &Inode) {
    let sb = inode.sb();
    {
        let mut map = inode.data().map_mut();
        // Without memory to do it, blocks stay unavailable until the next mount.
        let _ = cow::cancel(inode, &mut map, FileRange::ALL);
        sb.info().registry.remove(inode);
    }
    let volume = sb.info();
    // Of one that nobody has come to yet the record on disk must stay as it is.
    let reclaimed = volume.opening.load(Relaxed) && inode.data().is_reclaimed();
    let read_only = sb.is_read_only() && !reclaimed;
    if inode.nlink() > 0 || read_only || volume.is_shut_down() {
        return;
    }
    let _internal = sb.start_write(FreezeLevel::Internal);
    if let Err(e) = delete(inode) {
        // It stays on the orphan list, for the next mount or fsck.
        error::report(sb, e);
    }
}

fn delete(inode: &Inode) -> CoreResult {
    let view = View::new(inode.sb());
    if let Contents::Directory(root) = &inode.data().map().contents {
        if !root.is_empty() {
            return Err(Error::Corrupt(root.block, "entries of a deleted directory"));
        }
    }
    if inode.is_regular() {
        truncate::blocks(inode, FileBlock(0))?;
    }
    let ino = Ino(inode.ino());
    let mut tx = Tx::start(view, namei::CREDITS, view.volume().space.kept(0))?;
    if matches!(inode.data().map().contents, Contents::Symlink) {
        let (buf, at) = inodes::read(&tx, ino)?;
        symlink::free(&mut tx, &buf, at)?;
    }
    orphans::remove(&mut tx, ino)?;
    inodes::free(&mut tx, ino)?;
    // From here on the number may be given to a new inode, which with its handle open waits until this one is gone:
    // nothing may wait for a commit, or start another transaction.
    tx.finish().map(|_| ())
}
