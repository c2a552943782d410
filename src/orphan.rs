// SPDX-License-Identifier: GPL-2.0

//! Work that outlives a transaction: files without a name, and truncations under way.
//!
//! The orphan tree lists every inode with either. It is worked on as long as somebody is there to do it; after a crash,
//! mounting goes through the list.
//!
//! What a file gives up at once, however much it is, goes to an *heir*: an inode without a name that takes over the
//! file's fork in the transaction that replaces it, and is deleted as any inode without a name is.

use crate::error;
use crate::inode::make::{self, What};
use crate::inode::{self, log};
use crate::libcowfs::error::{Error, Result as CoreResult};
use crate::libcowfs::extent::Fork;
use crate::libcowfs::space::{credits, orphans};
use crate::libcowfs::units::Ino;
use crate::linux::fs::{FileType, Mode, NewInode};
use crate::namei;
use crate::super_block::Cowfs;
use crate::transaction::Tx;
use crate::truncate;
use crate::view::View;
use crate::volume::{Inode, Super};
use kernel::prelude::*;

/// Finishes what was under way when the volume was last mounted.
///
/// # Errors
///
/// Those of reading and changing metadata.
pub(crate) fn reclaim_all(sb: &Super) -> Result {
    let view = View::new(sb);
    let mut from = Ino(0);
    let mut found = 0u64;
    while let Some(ino) = next(view, from).map_err(|e| error::report(sb, e))? {
        let inode = inode::get(sb, ino)?;
        if inode.nlink() > 0 {
            truncate::resume(&inode)?;
        }
        // One without links is deleted with the last reference, which is most often this.
        inode.data().set_reclaimed();
        drop(inode);
        found = found.saturating_add(1);
        from = ino;
    }
    if found > 0 {
        pr_info!(
            "cowfs ({}): {} orphaned inodes cleaned up\n",
            sb.name(),
            found
        );
    }
    Ok(())
}

/// Blocks that [`enter_heir`] may take.
pub(crate) const HEIR_BLOCKS: u64 = make::BLOCKS + namei::ORPHAN_NODES;
/// Credits that an heir takes: allocating the inode, and freeing it again if it is not needed, its record likewise.
pub(crate) const HEIR_CREDITS: u32 = namei::CREDITS;

/// Allocates an heir in memory.
pub(crate) fn prepare_heir(sb: &Super) -> CoreResult<NewInode<Cowfs>> {
    let mut new = sb.new_inode().map_err(|_| Error::NoMemory)?;
    new.set_mode(Mode::new(FileType::Regular, 0))
        .map_err(|_| Error::Invalid)?;
    Ok(new)
}

/// Gives an heir of `near` its place on disk and in the orphan tree. On a refusal nothing was changed.
pub(crate) fn enter_heir(
    tx: &mut Tx<'_>,
    near: &Inode,
    new: NewInode<Cowfs>,
) -> CoreResult<NewInode<Cowfs>> {
    let new = make::allocate(tx, near, new, What::Plain)?;
    let ino = Ino(new.ino());
    if let Err(e) = enter(tx, ino) {
        if e.is_refusal() {
            make::take_back(tx, new)?;
        }
        return Err(e);
    }
    Ok(new)
}

/// Undoes [`enter_heir`].
pub(crate) fn take_back_heir(tx: &mut Tx<'_>, new: NewInode<Cowfs>) -> CoreResult {
    orphans::remove(tx, Ino(new.ino()))?;
    make::take_back(tx, new)
}

/// Gives `fork` to an heir. From then on dropping the last reference to it deletes it.
pub(crate) fn bequeath(tx: &mut Tx<'_>, heir: &NewInode<Cowfs>, fork: Fork) -> CoreResult {
    let mut map = heir.data().map_mut();
    map.file().map_err(|_| Error::Invalid)?.fork = fork;
    heir.set_nlink(0);
    log::log(tx, heir, &mut map, true)
}

/// Puts an inode on the list. It is there already if it has no name and is truncated, or if a truncation failed.
///
/// # Errors
///
/// Those of changing metadata; on a refusal nothing was changed.
pub(crate) fn enter(tx: &mut Tx<'_>, ino: Ino) -> CoreResult {
    match orphans::add(tx, ino) {
        Err(Error::Exists) => Ok(()),
        done => done,
    }
}

/// The first one after `from`.
fn next(view: View<'_>, from: Ino) -> CoreResult<Option<Ino>> {
    let mut tx = Tx::start(view, credits::ORPHAN, view.volume().space.kept(0))?;
    let found = orphans::first_after(&mut tx, from)?;
    tx.finish()?;
    Ok(found)
}

/// Takes an inode off the list: the truncation under way is done. One without a name stays.
pub(crate) fn done(inode: &Inode) -> CoreResult {
    if inode.nlink() == 0 {
        return Ok(());
    }
    let view = View::new(inode.sb());
    let mut tx = Tx::start(view, credits::ORPHAN, view.volume().space.kept(0))?;
    orphans::remove(&mut tx, Ino(inode.ino()))?;
    tx.finish().map(|_| ())
}
