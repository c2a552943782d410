// SPDX-License-Identifier: GPL-2.0

//! What is told about extents: FIEMAP, SEEK_HOLE and SEEK_DATA.
//!
//! Both see the data fork. Where it has a hole, data may be on its way there: reserved by a write to the page
//! cache, or being written.

use crate::cow;
use crate::error;
use crate::io::Mapper;
use crate::libcowfs::cow::{FileRange, State};
use crate::linux::iomap::{Flags, Iomap, MapFlags, Operations};
use crate::super_block::Cowfs;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Maps for FIEMAP.
pub(crate) struct Report;

#[vtable]
impl Operations for Report {
    type FileSystem = Cowfs;

    fn begin(
        inode: &Inode,
        pos: i64,
        len: i64,
        _flags: Flags,
        map: &mut Iomap,
        _src: &mut Iomap,
    ) -> Result {
        let sb = inode.sb();
        let view = View::new(sb);
        let range = cow::blocks(&view, pos, len.max(1) as u64);
        let locked = inode.data().map();
        let file = locked.file_ref()?;
        let (found, shared) = file
            .fork
            .lookup_shared(&view, range.start, range.len)
            .map_err(|e| error::report(sb, e))?;
        if found.extent.is_some() {
            Mapper::new(&view, map).extent(range.start, found.extent, found.len);
            if shared {
                map.add_flags(MapFlags::SHARED);
            }
            return Ok(());
        }
        let (state, run) = file.cow.lookup(range.start, found.len);
        let range = FileRange::new(range.start, run);
        match state {
            Some(State::Delalloc | State::Real(_)) => Mapper::new(&view, map).delalloc(range),
            _ => Mapper::new(&view, map).hole(range),
        }
        Ok(())
    }
}

/// Maps for SEEK_HOLE and SEEK_DATA.
pub(crate) struct Seek;

#[vtable]
impl Operations for Seek {
    type FileSystem = Cowfs;

    fn begin(
        inode: &Inode,
        pos: i64,
        len: i64,
        _flags: Flags,
        map: &mut Iomap,
        _src: &mut Iomap,
    ) -> Result {
        let sb = inode.sb();
        let view = View::new(sb);
        let range = cow::blocks(&view, pos, len.max(1) as u64);
        let locked = inode.data().map();
        let file = locked.file_ref()?;
        let found = file
            .fork
            .lookup(&view, range.start, range.len)
            .map_err(|e| error::report(sb, e))?;
        if found.extent.is_some() {
            Mapper::new(&view, map).extent(range.start, found.extent, found.len);
            return Ok(());
        }
        let (state, run) = file.cow.lookup(range.start, found.len);
        let range = FileRange::new(range.start, run);
        match state.as_ref().and_then(State::disk) {
            // Whether there is data is for the page cache to say.
            Some(disk) => Mapper::new(&view, map).unwritten(range, disk),
            None if state.is_some() => Mapper::new(&view, map).delalloc(range),
            None => Mapper::new(&view, map).hole(range),
        }
        Ok(())
    }
}
