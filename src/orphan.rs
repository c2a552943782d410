// SPDX-License-Identifier: GPL-2.0

//! Work that outlives a transaction: files without a name, and truncations under way.
//!
//! The orphan tree lists every inode with either. It is worked on as long as somebody is there to do it; after a crash,
//! mounting goes through the list.

use crate::error;
use crate::inode;
use crate::libcowfs::error::Result as CoreResult;
use crate::libcowfs::space::{credits, orphans};
use crate::libcowfs::units::Ino;
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
        // One without links is deleted with this reference.
        drop(inode);
        found = found.saturating_add(1);
        from = ino.add(1);
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

fn next(view: View<'_>, from: Ino) -> CoreResult<Option<Ino>> {
    let mut tx = Tx::start(view, credits::ORPHAN, view.volume().space.kept(0))?;
    let found = orphans::first_after(&mut tx, from)?;
    tx.finish()?;
    Ok(found)
}

/// Takes an inode off the list: what was under way is done.
pub(crate) fn done(inode: &Inode) -> CoreResult {
    let view = View::new(inode.sb());
    let mut tx = Tx::start(view, credits::ORPHAN, view.volume().space.kept(0))?;
    orphans::remove(&mut tx, Ino(inode.ino()))?;
    tx.finish().map(|_| ())
}
