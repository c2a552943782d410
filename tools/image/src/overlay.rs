// SPDX-License-Identifier: GPL-2.0

//! Changes to a volume, kept in memory: the core's transaction for repair.
//!
//! ```text
//!   Overlay   blocks being changed, each one buffer for all who hold it
//!      |  settle()    counters, freed blocks
//!      |  stage()     checksums; from then on the volume reads as if they were written
//!      v
//!   Volume    staged blocks > blocks in the journal > blocks on the device
//!      |  write_out()
//!      v
//!   device
//! ```
//!
//! There are no limits and nothing is rolled back: if a change fails half-way, the overlay is
//! dropped and nothing ever happened. Unlike the core's own store in memory this one meets disks that
//! were never sound, so no broken promise is a reason to stop here.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};

use cowfs_core::block::Block;
use cowfs_core::error::{Error, Result};
use cowfs_core::ondisk::{header, verify, Geometry, Kind};
use cowfs_core::platform::crc32c;
use cowfs_core::space::{GroupState, Hints, VolumeState};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgNumber, FsBlock};

use crate::volume::Volume;

/// A block in memory. Clones name the same block. Stores before [`Transaction::modify`] do
/// nothing.
#[derive(Clone, Debug)]
pub struct Buf(Rc<Contents>);

#[derive(Debug)]
struct Contents {
    at: FsBlock,
    bytes: RefCell<Box<[u8]>>,
    /// Part of the overlay.
    open: Cell<bool>,
    /// Passed [`verify`], or was made here.
    sound: Cell<bool>,
}

impl Buf {
    fn new(at: FsBlock, bytes: Box<[u8]>) -> Self {
        Buf(Rc::new(Contents {
            at,
            bytes: RefCell::new(bytes),
            open: Cell::new(false),
            sound: Cell::new(false),
        }))
    }

    /// The block's address: where it was read from, whatever it says itself.
    pub fn at(&self) -> FsBlock {
        self.0.at
    }

    fn change(&self, change: impl FnOnce(&mut [u8])) {
        if self.0.open.get() {
            change(&mut self.0.bytes.borrow_mut());
        }
    }
}

impl Block for Buf {
    fn size(&self) -> usize {
        self.0.bytes.borrow().len()
    }

    fn load(&self, at: usize, to: &mut [u8]) {
        let bytes = self.0.bytes.borrow();
        let from = bytes.get(at..at.saturating_add(to.len()));
        debug_assert!(from.is_some(), "load from beyond {}", self.0.at);
        if let Some(from) = from {
            to.copy_from_slice(from);
        }
    }

    fn store(&self, at: usize, from: &[u8]) {
        self.change(|bytes| {
            let to = bytes.get_mut(at..at.saturating_add(from.len()));
            debug_assert!(to.is_some(), "store beyond {}", self.0.at);
            if let Some(to) = to {
                to.copy_from_slice(from);
            }
        });
    }

    fn copy_within(&self, from: usize, to: usize, len: usize) {
        self.change(|bytes| {
            let fits = from.max(to).saturating_add(len) <= bytes.len();
            debug_assert!(fits, "move beyond {}", self.0.at);
            if fits {
                bytes.copy_within(from..from + len, to);
            }
        });
    }

    fn copy_from(&self, other: &Self, from: usize, to: usize, len: usize) {
        if Rc::ptr_eq(&self.0, &other.0) {
            return self.copy_within(from, to, len);
        }
        let other = other.0.bytes.borrow();
        let from = other.get(from..from.saturating_add(len));
        debug_assert!(from.is_some(), "copy from beyond the block");
        if let Some(from) = from {
            self.store(to, from);
        }
    }

    fn clear(&self, at: usize, len: usize) {
        self.change(|bytes| {
            let to = bytes.get_mut(at..at.saturating_add(len));
            debug_assert!(to.is_some(), "clearing beyond {}", self.0.at);
            if let Some(to) = to {
                to.fill(0);
            }
        });
    }

    fn checksum(&self) -> u32 {
        let bytes = self.0.bytes.borrow();
        match bytes.split_at_checked(header::CHECKSUM) {
            Some((before, rest)) => {
                let sum = crc32c(crc32c(!0, before), &[0; 4]);
                crc32c(sum, rest.get(4..).unwrap_or_default())
            }
            None => 0,
        }
    }
}

/// Changes to a volume, see above.
#[derive(Debug)]
pub struct Overlay<'v> {
    volume: &'v Volume,
    changed: RefCell<BTreeMap<FsBlock, Buf>>,
    /// Unchanged blocks somebody holds.
    live: RefCell<HashMap<FsBlock, Weak<Contents>>>,
    groups: RefCell<HashMap<AgNumber, GroupState>>,
    state: Option<VolumeState>,
    /// Blocks freed less blocks used, since the counters were settled.
    free: i64,
    freed: Vec<(FsBlock, u32)>,
}

impl<'v> Overlay<'v> {
    /// No changes to `volume` yet.
    pub fn new(volume: &'v Volume) -> Self {
        Overlay {
            volume,
            changed: RefCell::default(),
            live: RefCell::default(),
            groups: RefCell::default(),
            state: None,
            free: 0,
            freed: Vec::new(),
        }
    }

    /// Reads the block `at` whatever it holds.
    ///
    /// # Errors
    ///
    /// `Corrupt` beyond the volume's end, `Io`.
    pub fn read_any(&self, at: FsBlock) -> Result<Buf> {
        /// Buffers to remember before those nobody holds are forgotten.
        const MANY: usize = 1 << 14;
        if let Some(buf) = self.changed.borrow().get(&at) {
            return Ok(buf.clone());
        }
        let mut live = self.live.borrow_mut();
        if let Some(contents) = live.get(&at).and_then(Weak::upgrade) {
            return Ok(Buf(contents));
        }
        let buf = Buf::new(at, self.volume.read_any(at)?.bytes().into());
        if live.len() >= MANY && live.len().is_power_of_two() {
            live.retain(|_, contents| contents.strong_count() > 0);
        }
        live.insert(at, Rc::downgrade(&buf.0));
        Ok(buf)
    }

    /// Takes the counters along, and makes blocks that were freed available: to be called after
    /// each operation of the core.
    ///
    /// # Errors
    ///
    /// `Corrupt` if a counter cannot be right.
    pub fn settle(&mut self) -> Result {
        let free = std::mem::take(&mut self.free);
        if free != 0 {
            self.with_volume(|tx, volume| volume.settle(tx, free, 0))?;
        }
        for (at, len) in std::mem::take(&mut self.freed) {
            if let Some((ag, _)) = self.volume.geometry().locate(at) {
                self.in_group(ag, |tx, state| {
                    state.give_back(tx.hints(), at, len);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Forgets what is known in memory of groups and counters: it is about to be made anew.
    pub fn forget_state(&mut self) {
        self.groups.borrow_mut().clear();
        self.state = None;
        self.free = 0;
        self.freed.clear();
    }

    /// Gives all changed blocks their checksums and hands them to the volume.
    pub fn stage(&mut self) {
        self.live.borrow_mut().clear();
        for (at, buf) in std::mem::take(&mut *self.changed.borrow_mut()) {
            let mut bytes = buf.0.bytes.borrow().clone();
            header::seal(&mut bytes);
            self.volume.stage(at, bytes);
        }
    }

    fn take_group(&self, ag: AgNumber) -> Result<GroupState> {
        let known = self.groups.borrow_mut().remove(&ag);
        match known {
            Some(state) => Ok(state),
            None => GroupState::load(self, ag),
        }
    }
}

impl Reader for Overlay<'_> {
    type Buf = Buf;

    fn geometry(&self) -> &Geometry {
        self.volume.geometry()
    }

    fn hints(&self) -> &Hints {
        self.volume.hints()
    }

    fn read(&self, at: FsBlock, kind: Kind) -> Result<Buf> {
        let buf = self.read_any(at)?;
        if buf.0.sound.get() {
            if buf.u32(header::MAGIC) != kind.magic() {
                return Err(Error::Corrupt(at, "metadata of another kind"));
            }
            return Ok(buf);
        }
        if buf.0.open.get() {
            // Its checksum comes last.
            let mut bytes = buf.0.bytes.borrow().clone();
            header::seal(&mut bytes);
            verify(&Buf::new(at, bytes), self.geometry(), at, kind)?;
        } else {
            verify(&buf, self.geometry(), at, kind)?;
        }
        buf.0.sound.set(true);
        Ok(buf)
    }

    fn is_on_disk(&self, _id: u64) -> bool {
        // All becomes durable at once, and no data is written.
        true
    }

    fn in_group<R>(
        &self,
        ag: AgNumber,
        f: impl FnOnce(&Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        let mut state = self.take_group(ag)?;
        let done = f(self, &mut state);
        self.groups.borrow_mut().insert(ag, state);
        done
    }
}

impl Transaction for Overlay<'_> {
    fn id(&self) -> u64 {
        1
    }

    fn modify(&mut self, buf: &Buf) -> Result {
        if !buf.0.open.replace(true) {
            self.live.borrow_mut().remove(&buf.0.at);
            self.changed.borrow_mut().insert(buf.0.at, buf.clone());
        }
        Ok(())
    }

    fn create(&mut self, at: FsBlock, kind: Kind, owner: u64) -> Result<Buf> {
        let geometry = self.volume.geometry();
        if at.0 >= geometry.blocks {
            return Err(Error::Corrupt(at, "block outside the volume"));
        }
        let buf = Buf::new(at, vec![0; geometry.block_size()].into());
        buf.0.open.set(true);
        buf.0.sound.set(true);
        header::init(&buf, geometry, at, kind, owner);
        self.live.borrow_mut().remove(&at);
        self.changed.borrow_mut().insert(at, buf.clone());
        Ok(buf)
    }

    fn forget(&mut self, at: FsBlock) -> Result {
        self.live.borrow_mut().remove(&at);
        self.changed.borrow_mut().remove(&at);
        self.volume.unstage(at);
        Ok(())
    }

    fn retire(&mut self, at: FsBlock) -> Result {
        self.forget(at)
    }

    fn need(&mut self, _blocks: u32) -> Result {
        Ok(())
    }

    fn with_group<R>(
        &mut self,
        ag: AgNumber,
        f: impl FnOnce(&mut Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        let mut state = self.take_group(ag)?;
        let done = f(self, &mut state);
        self.groups.borrow_mut().insert(ag, state);
        done
    }

    fn with_volume<R>(
        &mut self,
        f: impl FnOnce(&mut Self, &mut VolumeState) -> Result<R>,
    ) -> Result<R> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => VolumeState::load(self)?,
        };
        let done = f(self, &mut state);
        self.state = Some(state);
        done
    }

    fn freed(&mut self, at: FsBlock, len: u32) {
        self.free += i64::from(len);
        self.freed.push((at, len));
    }

    fn used(&mut self, _at: FsBlock, len: u32) {
        self.free -= i64::from(len);
    }
}
