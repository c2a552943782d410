// SPDX-License-Identifier: GPL-2.0

//! Symbolic links. The target is in memory as long as the inode is.

use crate::buffer::Buffer;
use crate::file::attr;
use crate::libcowfs::error::{Error as CoreError, Result as CoreResult};
use crate::libcowfs::inode::symlink as codec;
use crate::libcowfs::units::Ino;
use crate::linux::fs::{Attr, InodeOperations, KStat, NewInode, StatMask};
use crate::super_block::Cowfs;
use crate::transaction::Tx;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Most blocks a target takes.
pub(crate) const MAX_BLOCKS: u64 = codec::MAX_BLOCKS as u64;

/// Operations on symbolic links.
pub(crate) struct Operations;

#[vtable]
impl InodeOperations for Operations {
    type FileSystem = Cowfs;

    fn setattr(attr: &mut Attr<'_, Cowfs>) -> Result {
        attr::set(attr)
    }

    fn getattr(inode: &Inode, _wanted: StatMask, stat: &mut KStat) -> Result {
        attr::get(inode, stat);
        Ok(())
    }
}

/// Reads the target of the link whose slot is at `at` of `buf`, and hands it to the VFS.
pub(crate) fn load(
    view: View<'_>,
    new: &mut NewInode<Cowfs>,
    buf: &Buffer,
    at: usize,
    len: u64,
) -> CoreResult {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len == 0 || len > codec::MAX_TARGET {
        return Err(CoreError::Corrupt(
            crate::libcowfs::units::FsBlock(buf.0.block()),
            "symbolic link of impossible length",
        ));
    }
    let mut target =
        KVec::from_elem(0u8, len.saturating_add(1), GFP_KERNEL).map_err(|_| CoreError::NoMemory)?;
    if let Some(bytes) = target.get_mut(..len) {
        codec::read(&view, buf, at, bytes)?;
    }
    let bad = CoreError::Corrupt(
        crate::libcowfs::units::FsBlock(buf.0.block()),
        "symbolic link with a zero byte in its target",
    );
    let target = CStr::from_bytes_with_nul(&target).map_err(|_| bad)?;
    new.set_symlink::<Operations>(target).map_err(|e| {
        if e == ENOMEM {
            CoreError::NoMemory
        } else {
            bad
        }
    })?;
    Ok(())
}

/// Stores the target of a new link.
pub(crate) fn store(
    tx: &mut Tx<'_>,
    ino: Ino,
    buf: &Buffer,
    at: usize,
    target: &[u8],
) -> CoreResult {
    codec::write(tx, ino, buf, at, target)
}
