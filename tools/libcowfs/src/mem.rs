// SPDX-License-Identifier: GPL-2.0

//! A volume's metadata in memory: the [`Reader`] and [`Transaction`] that tests run the core on.
//!
//! A transaction changes blocks in place and keeps what they were before; [`MemTx::commit`] forgets
//! that, dropping the transaction brings it back, and forgets all that was known of groups in
//! memory: it is a crash. Whatever the core promises is checked, and a promise broken is a panic: a
//! block is made part of the transaction before it is changed; a transaction touches no more
//! blocks than were asked for with `need()`; no access is beyond a block's end; group locks are
//! not nested; what was committed passes [`verify`] when it is read again.

extern crate std;

use crate::block::Block;
use crate::error::{Error, Result};
use crate::ondisk::{header, verify, Geometry, Kind};
use crate::platform::crc32c;
use crate::space::{GroupState, Hints, Remains, VolumeState};
use crate::store::{Reader, Transaction};
use crate::units::{AgNumber, FsBlock};
use core::cell::{Cell, RefCell};
use std::boxed::Box;
use std::collections::HashMap;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// A block in memory. Clones name the same block.
#[derive(Clone, Debug)]
pub struct Buf(Rc<Contents>);

#[derive(Debug)]
struct Contents {
    at: FsBlock,
    bytes: RefCell<Box<[u8]>>,
    /// Part of the running transaction.
    open: Cell<bool>,
    /// Passed [`verify`] since it was last committed.
    sound: Cell<bool>,
}

impl Buf {
    fn new(at: FsBlock, size: usize) -> Self {
        Buf(Rc::new(Contents {
            at,
            bytes: RefCell::new(vec![0; size].into_boxed_slice()),
            open: Cell::new(false),
            sound: Cell::new(false),
        }))
    }

    fn change(&self, change: impl FnOnce(&mut [u8])) {
        assert!(
            self.0.open.get(),
            "block {} changed before modify()",
            self.0.at
        );
        change(&mut self.0.bytes.borrow_mut());
    }
}

impl Block for Buf {
    fn size(&self) -> usize {
        self.0.bytes.borrow().len()
    }

    fn load(&self, at: usize, to: &mut [u8]) {
        to.copy_from_slice(&self.0.bytes.borrow()[at..at + to.len()]);
    }

    fn store(&self, at: usize, from: &[u8]) {
        self.change(|bytes| bytes[at..at + from.len()].copy_from_slice(from));
    }

    fn copy_within(&self, from: usize, to: usize, len: usize) {
        self.change(|bytes| bytes.copy_within(from..from + len, to));
    }

    fn copy_from(&self, other: &Self, from: usize, to: usize, len: usize) {
        let other = other.0.bytes.borrow();
        self.change(|bytes| bytes[to..to + len].copy_from_slice(&other[from..from + len]));
    }

    fn clear(&self, at: usize, len: usize) {
        self.change(|bytes| bytes[at..at + len].fill(0));
    }

    fn checksum(&self) -> u32 {
        let bytes = self.0.bytes.borrow();
        let (before, rest) = bytes.split_at(header::CHECKSUM);
        let sum = crc32c(crc32c(!0, before), &[0; 4]);
        crc32c(sum, &rest[4..])
    }
}

/// The metadata of a volume, and what is known of it in memory.
#[derive(Debug)]
pub struct MemStore {
    geometry: Geometry,
    hints: Hints,
    blocks: RefCell<HashMap<FsBlock, Buf>>,
    groups: RefCell<HashMap<AgNumber, GroupState>>,
    remains: RefCell<HashMap<AgNumber, Remains>>,
    volume: RefCell<Option<VolumeState>>,
    locked: Cell<bool>,
    running: Cell<bool>,
    last_id: Cell<u64>,
    asked: Cell<u32>,
    used: Cell<u64>,
}

impl MemStore {
    /// A volume with this layout and nothing in it yet, not even the volume block.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn new(geometry: Geometry) -> Result<Self> {
        Ok(Self {
            hints: Hints::new(&geometry)?,
            geometry,
            blocks: RefCell::default(),
            groups: RefCell::default(),
            remains: RefCell::default(),
            volume: RefCell::default(),
            locked: Cell::new(false),
            running: Cell::new(false),
            last_id: Cell::new(0),
            asked: Cell::new(0),
            used: Cell::new(0),
        })
    }

    /// Begins a transaction that can touch at most `limit` blocks. It can touch none of them
    /// before [`Transaction::need`] was called.
    pub fn begin(&self, limit: u32) -> MemTx<'_> {
        assert!(!self.running.replace(true), "transactions nested");
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        MemTx {
            store: self,
            id,
            before: HashMap::new(),
            granted: 0,
            limit: limit as usize,
            freed: Vec::new(),
            free: 0,
            touched: 0,
            meanwhile: None,
        }
    }

    /// Begins a transaction without any limit.
    pub fn begin_unlimited(&self) -> MemTx<'_> {
        let mut tx = self.begin(u32::MAX);
        tx.granted = tx.limit;
        tx
    }

    /// Runs `f` as one transaction without limit, which commits even if `f` fails.
    ///
    /// # Errors
    ///
    /// That of `f`.
    pub fn run<V>(&self, f: impl FnOnce(&mut MemTx<'_>) -> Result<V>) -> Result<V> {
        let mut tx = self.begin_unlimited();
        let done = f(&mut tx);
        tx.commit()?;
        done
    }

    /// The most blocks any step asked for.
    pub fn most_asked(&self) -> u32 {
        self.asked.get()
    }

    /// Blocks that transactions took so far, whether they gave others back or not.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Drops what is known in memory of groups, where that is no more than the disk says; `settled`: and
    /// where a replay of the journal would write nothing any more.
    pub fn forget_groups(&self, settled: bool) {
        let last = self.last_id.get();
        let mut groups = self.groups.borrow_mut();
        let (idle, busy) = groups.drain().partition(|(_, state)| state.is_idle());
        *groups = busy;
        let idle: HashMap<_, GroupState> = idle;
        let remains = idle
            .into_iter()
            .map(|(ag, state)| (ag, state.into_remains()));
        self.remains
            .borrow_mut()
            .extend(remains.filter(|(_, remains)| !remains.is_settled(|id| settled && id <= last)));
    }

    /// Looks at the volume's counters.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    pub fn volume<V>(&self, f: impl FnOnce(&VolumeState) -> V) -> Result<V> {
        let mut slot = self.volume.borrow_mut();
        if slot.is_none() {
            *slot = Some(VolumeState::load(self)?);
        }
        slot.as_ref().map(f).ok_or(Error::NotFound)
    }

    /// Addresses of all blocks that hold metadata.
    pub fn metadata(&self) -> Vec<FsBlock> {
        self.blocks.borrow().keys().copied().collect()
    }

    /// Bytes of the block at `at`, to be looked at or damaged, whatever they are.
    pub fn with_bytes<V>(&self, at: FsBlock, f: impl FnOnce(&mut [u8]) -> V) -> Option<V> {
        let blocks = self.blocks.borrow();
        let buf = blocks.get(&at)?;
        buf.0.sound.set(false);
        let done = f(&mut buf.0.bytes.borrow_mut());
        Some(done)
    }

    fn lock(&self) {
        assert!(!self.locked.replace(true), "locks nested");
    }

    fn unlock(&self) {
        self.locked.set(false);
    }

    fn crash(&self) {
        self.groups.borrow_mut().clear();
        self.remains.borrow_mut().clear();
        self.volume.take();
        self.locked.set(false);
    }

    fn take_group<R: Reader>(&self, reader: &R, ag: AgNumber) -> Result<GroupState> {
        let known = self.groups.borrow_mut().remove(&ag);
        match known {
            Some(state) => Ok(state),
            None => {
                let mut state = GroupState::load(reader, ag)?;
                if let Some(mut remains) = self.remains.borrow_mut().remove(&ag) {
                    state.recall(&mut remains);
                }
                Ok(state)
            }
        }
    }

    fn put_group(&self, ag: AgNumber, state: GroupState) {
        self.groups.borrow_mut().insert(ag, state);
    }
}

impl Reader for MemStore {
    type Buf = Buf;

    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn hints(&self) -> &Hints {
        &self.hints
    }

    fn read(&self, at: FsBlock, kind: Kind) -> Result<Buf> {
        let blocks = self.blocks.borrow();
        let buf = blocks
            .get(&at)
            .ok_or(Error::Corrupt(at, "no metadata here"))?;
        if !buf.0.open.get() && !buf.0.sound.get() {
            verify(buf, &self.geometry, at, kind)?;
            buf.0.sound.set(true);
        }
        if buf.u32(header::MAGIC) != kind.magic() {
            return Err(Error::Corrupt(at, "metadata of another kind"));
        }
        Ok(buf.clone())
    }

    fn is_on_disk(&self, id: u64) -> bool {
        id < self.last_id.get() || !self.running.get()
    }

    fn in_group<R>(
        &self,
        ag: AgNumber,
        f: impl FnOnce(&Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        self.lock();
        let done = self.take_group(self, ag).and_then(|mut state| {
            let done = f(self, &mut state);
            self.put_group(ag, state);
            done
        });
        self.unlock();
        done
    }
}

/// What a block was before a transaction changed it, if it was anything.
type Before = Option<(Buf, Box<[u8]>)>;

/// What another task does meanwhile, in the same transaction of the journal.
type Meanwhile<'a> = Box<dyn FnOnce(&mut MemTx<'a>) + 'a>;

/// A transaction on a [`MemStore`]. Dropping it is a crash.
pub struct MemTx<'a> {
    store: &'a MemStore,
    id: u64,
    before: HashMap<FsBlock, Before>,
    touched: usize,
    granted: usize,
    limit: usize,
    freed: Vec<(FsBlock, u32)>,
    free: i64,
    meanwhile: Option<Meanwhile<'a>>,
}

impl<'a> MemTx<'a> {
    /// Has `f` done when credits are asked for the next time: between what a step looked at and
    /// what it does, another task comes in.
    pub fn meanwhile(&mut self, f: impl FnOnce(&mut MemTx<'a>) + 'a) {
        self.meanwhile = Some(Box::new(f));
    }

    /// Number of blocks this transaction has touched.
    pub fn touched(&self) -> usize {
        self.touched
    }

    /// Counts `blocks` more as touched: what a caller would do besides in the same step.
    pub fn spend(&mut self, blocks: u32) {
        self.touched += blocks as usize;
        assert!(
            self.touched <= self.granted,
            "nothing is left for the caller of what was asked for, {}",
            self.granted
        );
    }

    /// Makes the changes last.
    ///
    /// # Errors
    ///
    /// Whatever changing the volume's counters meets; the transaction is lost then.
    pub fn commit(mut self) -> Result {
        if self.free != 0 {
            let free = core::mem::take(&mut self.free);
            // The provider's own block, which nobody had to ask for.
            self.limit = self.limit.saturating_add(1);
            self.granted = self.granted.saturating_add(1);
            self.with_volume(|tx, volume| volume.settle(tx, free, 0))?;
        }
        for (at, _) in core::mem::take(&mut self.before) {
            if let Some(buf) = self.store.blocks.borrow().get(&at) {
                header::seal(&mut buf.0.bytes.borrow_mut());
                buf.0.open.set(false);
                buf.0.sound.set(false);
            }
        }
        for (at, len) in core::mem::take(&mut self.freed) {
            let store = self.store;
            let (ag, _) = store
                .geometry
                .locate(at)
                .ok_or(Error::Corrupt(at, "freed block outside the groups"))?;
            store.in_group(ag, |store, state| {
                state.give_back(&store.hints, at, len);
                Ok(())
            })?;
        }
        self.store.running.set(false);
        Ok(())
    }

    fn save(&mut self, at: FsBlock) {
        if self.before.contains_key(&at) {
            return;
        }
        let buf = self.store.blocks.borrow().get(&at).cloned();
        let before = buf.map(|buf| {
            let bytes = buf.0.bytes.borrow().clone();
            (buf, bytes)
        });
        self.before.insert(at, before);
    }

    fn touch(&mut self, at: FsBlock) {
        self.touched += 1;
        assert!(
            self.touched <= self.granted,
            "block {at}: transaction touches more blocks than it asked for, {}",
            self.granted
        );
    }
}

impl Drop for MemTx<'_> {
    fn drop(&mut self) {
        if !self.store.running.get() {
            return;
        }
        let mut blocks = self.store.blocks.borrow_mut();
        for (at, before) in self.before.drain() {
            match before {
                Some((buf, bytes)) => {
                    *buf.0.bytes.borrow_mut() = bytes;
                    buf.0.open.set(false);
                    blocks.insert(at, buf);
                }
                None => {
                    blocks.remove(&at);
                }
            }
        }
        drop(blocks);
        self.store.crash();
        self.store.running.set(false);
    }
}

impl Reader for MemTx<'_> {
    type Buf = Buf;

    fn geometry(&self) -> &Geometry {
        &self.store.geometry
    }

    fn hints(&self) -> &Hints {
        &self.store.hints
    }

    fn read(&self, at: FsBlock, kind: Kind) -> Result<Buf> {
        self.store.read(at, kind)
    }

    fn is_on_disk(&self, id: u64) -> bool {
        self.store.is_on_disk(id)
    }

    fn in_group<R>(
        &self,
        ag: AgNumber,
        f: impl FnOnce(&Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        self.store.lock();
        let done = self.store.take_group(self, ag).and_then(|mut state| {
            let done = f(self, &mut state);
            self.store.put_group(ag, state);
            done
        });
        self.store.unlock();
        done
    }
}

impl Transaction for MemTx<'_> {
    fn id(&self) -> u64 {
        self.id
    }

    fn modify(&mut self, buf: &Buf) -> Result {
        let at = buf.0.at;
        if buf.0.open.get() {
            return Ok(());
        }
        let current = self.store.blocks.borrow().get(&at).cloned();
        assert!(
            current.is_some_and(|current| Rc::ptr_eq(&current.0, &buf.0)),
            "block {at} changed after it was forgotten"
        );
        self.save(at);
        self.touch(at);
        buf.0.open.set(true);
        Ok(())
    }

    fn create(&mut self, at: FsBlock, kind: Kind, owner: u64) -> Result<Buf> {
        assert!(
            at.0 < self.store.geometry.blocks,
            "block {at} beyond the end"
        );
        self.save(at);
        self.touch(at);
        let buf = Buf::new(at, self.store.geometry.block_size());
        buf.0.open.set(true);
        header::init(&buf, &self.store.geometry, at, kind, owner);
        let old = self.store.blocks.borrow_mut().insert(at, buf.clone());
        assert!(old.is_none(), "block {at} allocated twice");
        Ok(buf)
    }

    fn forget(&mut self, at: FsBlock) -> Result {
        self.save(at);
        let old = self.store.blocks.borrow_mut().remove(&at);
        if let Some(buf) = &old {
            buf.0.open.set(false);
        }
        Ok(())
    }

    fn retire(&mut self, at: FsBlock) -> Result {
        self.forget(at)
    }

    fn need(&mut self, blocks: u32) -> Result {
        if let Some(f) = self.meanwhile.take() {
            f(self);
        }
        self.store.asked.set(self.store.asked.get().max(blocks));
        let all = self.touched.saturating_add(blocks as usize);
        if all > self.limit {
            return Err(Error::NeedCredits);
        }
        self.granted = self.granted.max(all);
        Ok(())
    }

    fn with_group<R>(
        &mut self,
        ag: AgNumber,
        f: impl FnOnce(&mut Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        let store = self.store;
        store.lock();
        let done = store.take_group(self, ag).and_then(|mut state| {
            let done = f(self, &mut state);
            store.put_group(ag, state);
            done
        });
        store.unlock();
        done
    }

    fn with_volume<R>(
        &mut self,
        f: impl FnOnce(&mut Self, &mut VolumeState) -> Result<R>,
    ) -> Result<R> {
        let store = self.store;
        store.lock();
        let known = store.volume.take();
        let loaded = match known {
            Some(state) => Ok(state),
            None => VolumeState::load(self),
        };
        let done = loaded.and_then(|mut state| {
            let done = f(self, &mut state);
            store.volume.replace(Some(state));
            done
        });
        store.unlock();
        done
    }

    fn freed(&mut self, at: FsBlock, len: u32) {
        self.free += i64::from(len);
        self.freed.push((at, len));
    }

    fn used(&mut self, _at: FsBlock, len: u32) {
        let used = &self.store.used;
        used.set(used.get() + u64::from(len));
        self.free -= i64::from(len);
    }
}
