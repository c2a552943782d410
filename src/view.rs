// SPDX-License-Identifier: GPL-2.0

//! Reading a mounted volume's metadata: the kernel's [`Reader`].

use crate::buffer::Buffer;
use crate::error;
use crate::libcowfs::block::Block;
use crate::libcowfs::error::{Error, Result};
use crate::libcowfs::ondisk::{self, header, Geometry, Kind};
use crate::libcowfs::space::{GroupState, Hints};
use crate::libcowfs::store::Reader;
use crate::libcowfs::units::{AgNumber, FsBlock};
use crate::linux::buffer_head::BufferHead;
use crate::linux::jbd2::Tid;
use crate::volume::{Super, Volume};

/// A mounted volume, to be read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    sb: &'a Super,
    volume: &'a Volume,
}

impl<'a> View<'a> {
    /// The volume mounted as `sb`.
    pub(crate) fn new(sb: &'a Super) -> Self {
        Self {
            sb,
            volume: sb.info(),
        }
    }

    /// The super block.
    pub(crate) fn sb(&self) -> &'a Super {
        self.sb
    }

    /// The volume.
    pub(crate) fn volume(&self) -> &'a Volume {
        self.volume
    }

    /// Locks group `ag`, loads it if this is its first use, and runs `f` with its state and `with`.
    pub(crate) fn locked<T, R>(
        &self,
        ag: AgNumber,
        with: T,
        f: impl FnOnce(T, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        let at = self.volume.geometry.group_start(ag);
        let groups = &self.volume.space.groups;
        groups.with(
            ag,
            |e| error::core(e, at),
            || GroupState::load(self, ag),
            |state| f(with, state),
        )
    }
}

impl Reader for View<'_> {
    type Buf = Buffer;

    fn geometry(&self) -> &Geometry {
        &self.volume.geometry
    }

    fn hints(&self) -> &Hints {
        &self.volume.space.hints
    }

    fn read(&self, at: FsBlock, kind: Kind) -> Result<Buffer> {
        if at.is_null() || at.0 >= self.volume.geometry.blocks {
            return Err(Error::Corrupt(at, "pointer beyond the volume"));
        }
        let buffer = Buffer(BufferHead::bread(self.sb, at.0).map_err(|e| error::core(e, at))?);
        // The magic is looked at every time: the same block may have been something else before.
        let is_known = || buffer.0.verified() && buffer.u32(header::MAGIC) == kind.magic();
        if !is_known() {
            match ondisk::verify(&buffer, &self.volume.geometry, at, kind) {
                Ok(()) => buffer.0.set_verified(),
                // Somebody else found it sound, and is changing it already: the checksum follows at the commit.
                Err(_) if is_known() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(buffer)
    }

    fn is_on_disk(&self, id: u64) -> bool {
        let journal = self.volume.journal();
        journal.is_none_or(|journal| journal.is_committed(Tid::from_raw(id as u32)))
    }

    fn held_up(&self, id: u64) {
        let volume = self.volume;
        if let (true, Some(journal)) = (volume.count_held_up(), volume.journal()) {
            // One before the running one is being committed already.
            if journal.latest_tid() == Tid::from_raw(id as u32) {
                journal.start_commit();
            }
        }
    }

    fn in_group<R>(
        &self,
        ag: AgNumber,
        f: impl FnOnce(&Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        self.locked(ag, self, f)
    }
}
