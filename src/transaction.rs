// SPDX-License-Identifier: GPL-2.0

//! Changing a mounted volume's metadata: the kernel's [`Transaction`], over a jbd2 handle.
//!
//! ```text
//!   space promised -> Tx::start(credits) -> steps of the core -> finish() -> tid
//!                                              |
//!                                              +-- dropped unfinished: nothing changed yet: fine
//!                                                  something changed: the journal is aborted
//! ```
//!
//! See `Documentation/locking.md` for what may be held when one is started.

use crate::buffer::Buffer;
use crate::error;
use crate::libcowfs::error::{Error, Result};
use crate::libcowfs::ondisk::{header, Geometry, Kind};
use crate::libcowfs::space::{GroupState, Hints, VolumeState};
use crate::libcowfs::store::{Reader, Transaction};
use crate::libcowfs::units::{AgNumber, FsBlock};
use crate::linux::buffer_head::BufferHead;
use crate::linux::jbd2::{Credits, Handle, Tid};
use crate::space::Promise;
use crate::view::View;
use crate::volume::Super;
use kernel::prelude::pr_err;

/// Credits every step has beside those it asks for: the volume block, an inode, and header, summary byte and
/// (for a group never used) first initialisation of the group whose staged blocks are committed.
const OWN_CREDITS: u32 = 6;

/// An open transaction.
#[must_use = "a transaction is to be finished"]
pub(crate) struct Tx<'a> {
    view: View<'a>,
    handle: Option<Handle<'a>>,
    tid: Tid,
    /// What pays for the blocks it allocates.
    promise: Promise<'a>,
    /// Change of the volume's count of free blocks so far.
    free: i64,
    /// Whether a block was changed, or something in memory that goes with one.
    dirty: bool,
    /// The most blocks a step asked for and did not get.
    wanted: u32,
}

impl<'a> Tx<'a> {
    /// Starts a transaction that may change `blocks` metadata blocks, and allocate as many as were promised.
    ///
    /// No inode's `map`, group or volume lock may be held. May wait for a commit.
    pub(crate) fn start(view: View<'a>, blocks: u32, promise: Promise<'a>) -> Result<Self> {
        let at = Geometry::VOLUME;
        let blocks = blocks.saturating_add(OWN_CREDITS);
        let credits = Credits {
            blocks,
            revokes: blocks,
        };
        let journal = view.volume().journal().ok_or(Error::ReadOnly)?;
        let handle = journal.start(credits).map_err(|e| error::core(e, at))?;
        let tid = handle.tid().map_err(|e| error::core(e, at))?;
        Ok(Self {
            view,
            handle: Some(handle),
            tid,
            promise,
            free: 0,
            dirty: false,
            wanted: 0,
        })
    }

    /// The volume.
    pub(crate) fn view(&self) -> View<'a> {
        self.view
    }

    /// The journal's number of the transaction this is part of.
    pub(crate) fn tid(&self) -> Tid {
        self.tid
    }

    /// How many blocks the next transaction is to be started for, after a step said `NeedCredits`; else 0.
    pub(crate) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// What pays for blocks that are allocated.
    pub(crate) fn promise(&mut self) -> &mut Promise<'a> {
        &mut self.promise
    }

    fn handle(&self) -> Result<&Handle<'a>> {
        self.handle.as_ref().ok_or(Error::ReadOnly)
    }

    /// Something in memory was changed for what this transaction does: given up now, it stops the journal, as memory and
    /// disk would not be of one mind. (A block that was changed says so itself.)
    pub(crate) fn rely(&mut self) {
        self.dirty = true;
    }

    /// Ends the transaction at a consistent state: what was done is on disk once its number is
    /// committed, all of it or nothing. What is left of the promise is returned.
    pub(crate) fn finish(mut self) -> Result<Tid> {
        let free = core::mem::take(&mut self.free);
        if free != 0 {
            self.with_volume(|tx, state| state.settle(tx, free, 0))?;
        }
        let at = Geometry::VOLUME;
        if let Some(handle) = self.handle.take() {
            handle.stop().map_err(|e| error::core(e, at))?;
        }
        Ok(self.tid)
    }
}

/// The core's error for a block that the journal does not take. That the step has changed more than it said it would is
/// no refusal: half of it is done.
fn too_many(error: kernel::error::Error, at: FsBlock) -> Error {
    match error::core(error, at) {
        Error::NeedCredits => Error::Corrupt(at, "more blocks to be changed than there can be"),
        error => error,
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if self.handle.is_some() && self.dirty {
            // jbd2 cannot take changes back, and half an operation must not reach the disk.
            let view = self.view;
            pr_err!(
                "cowfs ({}): an operation failed half way, stopping the journal\n",
                view.sb().name()
            );
            if let Some(journal) = view.volume().journal() {
                journal.abort(kernel::error::code::EIO);
            }
        }
    }
}

impl Reader for Tx<'_> {
    type Buf = Buffer;

    fn geometry(&self) -> &Geometry {
        &self.view.volume().geometry
    }

    fn hints(&self) -> &Hints {
        &self.view.volume().space.hints
    }

    fn read(&self, at: FsBlock, kind: Kind) -> Result<Buffer> {
        self.view.read(at, kind)
    }

    fn is_on_disk(&self, id: u64) -> bool {
        self.view.is_on_disk(id)
    }

    fn held_up(&self, id: u64) {
        self.view.held_up(id);
    }

    fn in_group<R>(
        &self,
        ag: AgNumber,
        f: impl FnOnce(&Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        self.view.locked(ag, self, f)
    }
}

impl Transaction for Tx<'_> {
    fn id(&self) -> u64 {
        u64::from(self.tid.into_raw())
    }

    fn modify(&mut self, buf: &Buffer) -> Result {
        let at = FsBlock(buf.0.block());
        let handle = self.handle()?;
        handle.modify(&buf.0).map_err(|e| too_many(e, at))?;
        self.dirty = true;
        Ok(())
    }

    fn create(&mut self, at: FsBlock, kind: Kind, owner: u64) -> Result<Buffer> {
        let sb: &Super = self.view.sb();
        let buffer = Buffer(BufferHead::getblk(sb, at.0).map_err(|e| error::core(e, at))?);
        let handle = self.handle()?;
        // Not create access: a retired block may still be part of the transaction that commits.
        handle.modify(&buffer.0).map_err(|e| too_many(e, at))?;
        self.dirty = true;
        buffer.0.lock().zero();
        header::init(&buffer, &self.view.volume().geometry, at, kind, owner);
        buffer.0.set_verified();
        Ok(buffer)
    }

    fn forget(&mut self, at: FsBlock) -> Result {
        let buffer = BufferHead::find(self.view.sb(), at.0);
        if let Some(buffer) = &buffer {
            buffer.clear_verified();
        }
        self.dirty = true;
        self.handle()?
            .revoke(at.0, buffer)
            .map_err(|e| too_many(e, at))
    }

    fn retire(&mut self, _at: FsBlock) -> Result {
        // The group keeps it for its trees as long as the volume is mounted, so no data can be
        // written where a replay would write the old contents.
        Ok(())
    }

    fn need(&mut self, blocks: u32) -> Result {
        let all = blocks.saturating_add(OWN_CREDITS);
        let credits = Credits {
            blocks: all,
            revokes: all,
        };
        let handle = self.handle()?;
        let enough = handle.has_credits(credits)
            || handle
                .extend(credits)
                .map_err(|e| error::core(e, Geometry::VOLUME))?;
        if enough {
            return Ok(());
        }
        self.wanted = self.wanted.max(blocks);
        Err(Error::NeedCredits)
    }

    fn with_group<R>(
        &mut self,
        ag: AgNumber,
        f: impl FnOnce(&mut Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        let view = self.view;
        view.locked(ag, self, f)
    }

    fn with_volume<R>(
        &mut self,
        f: impl FnOnce(&mut Self, &mut VolumeState) -> Result<R>,
    ) -> Result<R> {
        let volume = self.view.volume();
        let mut state = volume.state.lock();
        f(self, &mut state)
    }

    fn freed(&mut self, at: FsBlock, len: u32) {
        self.free = self.free.saturating_add(i64::from(len));
        self.view.volume().space.freed(self.tid, at, len);
    }

    fn used(&mut self, _at: FsBlock, len: u32) {
        self.free = self.free.saturating_sub(i64::from(len));
        self.promise.pay(u64::from(len));
    }
}
