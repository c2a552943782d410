// SPDX-License-Identifier: GPL-2.0

//! Where data is, for reading: the data fork and nothing else.

use crate::cow;
use crate::error;
use crate::io::Mapper;
use crate::linux::iomap::{Flags, Iomap, Operations};
use crate::super_block::Cowfs;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Blocks looked up beyond those asked for, so that readahead of a contiguous file asks seldom.
const AHEAD: u64 = 1024;

/// Maps for reading.
pub(crate) struct Read;

#[vtable]
impl Operations for Read {
    type FileSystem = Cowfs;

    fn begin(
        inode: &Inode,
        pos: i64,
        len: i64,
        flags: Flags,
        map: &mut Iomap,
        _src: &mut Iomap,
    ) -> Result {
        let sb = inode.sb();
        let view = View::new(sb);
        view.volume().check_runs()?;
        let data = inode.data();
        let locked = if flags.contains(Flags::NOWAIT) {
            data.try_map().ok_or(EAGAIN)?
        } else {
            data.map()
        };
        let range = cow::blocks(&view, pos, len.max(1) as u64);
        let found = locked
            .file_ref()?
            .fork
            .lookup(&view, range.start, range.len.saturating_add(AHEAD))
            .map_err(|e| error::report(sb, e))?;
        Mapper::new(&view, map).extent(range.start, found.extent, found.len);
        Ok(())
    }
}
