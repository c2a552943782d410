// SPDX-License-Identifier: GPL-2.0

//! A volume in the state it has once its journal is replayed and what is staged for it is written.
//!
//! Reading it writes nothing: where the journal holds a newer copy of a block, that copy is read instead
//! of the block (see [`Replay`]), and before both goes what a repair has [staged](Volume::stage).
//! [`Volume::write_out`] makes both last.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use cowfs_core::block::Block;
use cowfs_core::error::{Error, Result};
use cowfs_core::ondisk::geometry::{MAX_BLOCK_SIZE, MIN_BLOCK_SIZE};
use cowfs_core::ondisk::{header, superblock, verify, Geometry, Kind, Superblock};
use cowfs_core::platform::crc32c;
use cowfs_core::space::{GroupState, Hints};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock};
use thiserror::Error as ThisError;

use crate::device::Device;
use crate::journal::{superblock as journal_sb, JournalError, JournalSuperblock, Log, Replay};

/// How far into a device backups of the superblock are searched for, in bytes: further than the largest journal.
const SEARCH: u64 = 4 << 30;

/// How many MiB may be damaged in that search, and how many reads may fail in each.
const MOST_DAMAGED: u32 = 64;
const MOST_FAILURES: u32 = 4;

/// Why a volume cannot be opened.
#[derive(Debug, ThisError)]
pub enum OpenError {
    /// The device could not be read.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// The device holds no cowfs volume.
    #[error("not a cowfs volume (wrong magic)")]
    Foreign,
    /// The superblock is sound, but of a later version or with features unknown here.
    #[error("the volume is newer than this program")]
    Newer,
    /// The superblock is damaged.
    #[error("superblock: {0}")]
    Damaged(Error),
    /// The device is smaller than the volume.
    #[error("the volume has {volume} bytes, but the device only {device}")]
    Truncated {
        /// Size of the volume in bytes.
        volume: u64,
        /// Size of the device in bytes.
        device: u64,
    },
    /// Memory is short.
    #[error("{0}")]
    Core(Error),
}

/// What was found in the journal.
#[derive(Debug)]
pub enum Journal {
    /// The volume was unmounted cleanly.
    Clean(JournalSuperblock),
    /// The log holds transactions (perhaps none complete, or damaged ones, for which the kernel will
    /// refuse to mount, see [`Replay::faults`]); they are replayed in memory.
    NeedsReplay(JournalSuperblock),
    /// The journal has no superblock of use, and the kernel will refuse to mount.
    Unusable(JournalError),
}

/// A volume opened for reading.
#[derive(Debug)]
pub struct Volume {
    device: Device,
    superblock: Superblock,
    geometry: Geometry,
    hints: Hints,
    journal: Journal,
    replay: Replay,
    staged: RefCell<BTreeMap<FsBlock, Buf>>,
}

impl Volume {
    /// Opens the volume on `device`, by its primary superblock.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A damaged journal is not an error here.
    pub fn open(device: Device) -> std::result::Result<Volume, OpenError> {
        let superblock = read_superblock(&device, 0, FsBlock(0))?;
        Volume::with_superblock(device, superblock)
    }

    /// Opens the volume on `device` as `superblock` describes it.
    ///
    /// # Errors
    ///
    /// As [`Volume::open`].
    pub fn with_superblock(
        device: Device,
        superblock: Superblock,
    ) -> std::result::Result<Volume, OpenError> {
        let geometry = superblock.geometry().map_err(OpenError::Damaged)?;
        let bytes = geometry.blocks << geometry.block_shift;
        if device.bytes() < bytes {
            return Err(OpenError::Truncated {
                volume: bytes,
                device: device.bytes(),
            });
        }
        let log = LogArea {
            device: &device,
            geometry: &geometry,
        };
        let (journal, replay) = match load_journal(&log) {
            Ok((sb, replay)) if sb.start == 0 => (Journal::Clean(sb), replay),
            Ok((sb, replay)) => (Journal::NeedsReplay(sb), replay),
            Err(error) => {
                let erred = superblock.state & superblock::STATE_ERROR != 0;
                let error = match erred && is_shut(&log) {
                    true => JournalError::Repair,
                    false => error,
                };
                (Journal::Unusable(error), Replay::default())
            }
        };
        Ok(Volume {
            hints: Hints::new(&geometry).map_err(OpenError::Core)?,
            device,
            superblock,
            geometry,
            journal,
            replay,
            staged: RefCell::default(),
        })
    }

    /// The superblock the volume was opened by.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// What was found in the journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The replay of the journal.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn staged_mut(&self) -> RefMut<'_, BTreeMap<FsBlock, Buf>> {
        self.staged.borrow_mut()
    }

    pub(crate) fn journal_mut(&mut self) -> (&mut Journal, &mut Replay) {
        (&mut self.journal, &mut self.replay)
    }

    /// The block of the journal that the device failed to read, if there is one.
    pub fn unreadable_in_journal(&self) -> Option<FsBlock> {
        let failed = |error: &JournalError| match error {
            JournalError::Io(block, _) => Some(self.geometry.journal_start.add(u64::from(*block))),
            _ => None,
        };
        match &self.journal {
            Journal::Unusable(error) => failed(error),
            _ => self.replay.faults.iter().find_map(failed),
        }
    }

    /// Whether anything is staged.
    pub fn is_changed(&self) -> bool {
        !self.staged.borrow().is_empty()
    }

    /// Has block `at` read as `bytes`, until that is written out.
    pub fn stage(&self, at: FsBlock, bytes: Box<[u8]>) {
        self.staged.borrow_mut().insert(at, Buf(bytes.into()));
    }

    /// Forgets what was staged for block `at`.
    pub fn unstage(&self, at: FsBlock) {
        self.staged.borrow_mut().remove(&at);
    }

    /// Fills `to`, of the size of a block, with what block `at` holds after the replay.
    ///
    /// # Errors
    ///
    /// Those of the device.
    pub fn read_raw(&self, at: FsBlock, to: &mut [u8]) -> io::Result<()> {
        if let Some(buf) = self.staged.borrow().get(&at) {
            buf.load(0, to);
            return Ok(());
        }
        self.read_replayed(at, to)
    }

    /// [`Volume::read_raw`] without what is staged.
    pub(crate) fn read_replayed(&self, at: FsBlock, to: &mut [u8]) -> io::Result<()> {
        let log = LogArea {
            device: &self.device,
            geometry: &self.geometry,
        };
        if self.replay.read(&log, at.0, to)? {
            return Ok(());
        }
        self.device.read_at(at.0 << self.geometry.block_shift, to)
    }

    /// Reads the block `at` whatever it holds.
    ///
    /// # Errors
    ///
    /// `Invalid` beyond the volume's end, `Io`.
    pub fn read_any(&self, at: FsBlock) -> Result<Buf> {
        if at.0 >= self.geometry.blocks {
            return Err(Error::Corrupt(at, "block outside the volume"));
        }
        if let Some(buf) = self.staged.borrow().get(&at) {
            return Ok(buf.clone());
        }
        let mut bytes = vec![0; self.geometry.block_size()];
        match self.read_raw(at, &mut bytes) {
            Ok(()) => Ok(Buf(bytes.into())),
            Err(_) => Err(Error::Io(at)),
        }
    }

    /// Reads and checks the copy of the superblock in block `at`.
    ///
    /// # Errors
    ///
    /// `Invalid` if there is none, `Corrupt`, `Io`.
    pub fn read_superblock(&self, at: FsBlock) -> Result<Superblock> {
        let buf = self.read_any(at)?;
        let mut bytes = [0; superblock::SIZE];
        buf.load(0, &mut bytes);
        Superblock::decode(&bytes, at)
    }
}

/// Reads the superblock at byte `offset`, which is block `at`.
fn read_superblock(
    device: &Device,
    offset: u64,
    at: FsBlock,
) -> std::result::Result<Superblock, OpenError> {
    let mut bytes = [0; superblock::SIZE];
    match device.read_at(offset, &mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(OpenError::Foreign)
        }
        Err(error) => return Err(error.into()),
    }
    if Superblock::is_newer(&bytes) {
        return Err(OpenError::Newer);
    }
    match Superblock::decode(&bytes, at) {
        Ok(superblock) => Ok(superblock),
        Err(Error::Invalid) => Err(OpenError::Foreign),
        Err(error) => Err(OpenError::Damaged(error)),
    }
}

/// Searches what can be read of the device's first 4 GiB for a backup of the superblock, whatever its
/// block size. Of several volumes, which were on the device one after the other, it is that of the one whose volume
/// block is there, or else of the latest.
pub fn find_backup(device: &Device) -> Option<Superblock> {
    const CHUNK: usize = 1 << 20;
    let end = device.bytes().min(SEARCH);
    let mut chunk = vec![0; CHUNK];
    let mut from = 0;
    let mut damaged = 0;
    let mut best: Option<((bool, i64), Superblock)> = None;
    while from < end && damaged < MOST_DAMAGED {
        let len = (end - from).min(CHUNK as u64) as usize;
        let part = &mut chunk[..len];
        let whole = device.read_at(from, part).is_ok();
        if !whole {
            part.fill(0);
            damaged += 1;
            let mut failures = 0;
            for (n, some) in part.chunks_mut(MAX_BLOCK_SIZE as usize).enumerate() {
                let offset = from + n as u64 * u64::from(MAX_BLOCK_SIZE);
                if failures < MOST_FAILURES && device.read_at(offset, some).is_err() {
                    some.fill(0);
                    failures += 1;
                }
            }
        }
        for (n, block) in part.chunks(MIN_BLOCK_SIZE as usize).enumerate() {
            let offset = from + n as u64 * u64::from(MIN_BLOCK_SIZE);
            if !block.starts_with(&superblock::MAGIC) {
                continue;
            }
            if let Some(found) = backup_at(block, offset) {
                let rank = (is_of(device, &found), found.made);
                if best.as_ref().is_none_or(|(least, _)| *least < rank) {
                    best = Some((rank, found));
                }
            }
        }
        from += len as u64;
    }
    best.map(|(_, found)| found)
}

/// Whether the volume block is that of the volume with this superblock.
fn is_of(device: &Device, superblock: &Superblock) -> bool {
    let mut uuid = [0; 16];
    let at = Geometry::VOLUME.0 * u64::from(superblock.block_size) + header::UUID as u64;
    let wanted = superblock.geometry().map(|geometry| geometry.uuid);
    device.read_at(at, &mut uuid).is_ok() && wanted == Ok(uuid)
}

/// Decodes the backup at byte `offset`; its own block size must agree with its place.
fn backup_at(block: &[u8], offset: u64) -> Option<Superblock> {
    let bytes = block.get(..superblock::SIZE)?.try_into().ok()?;
    let mut size = MIN_BLOCK_SIZE;
    while size <= MAX_BLOCK_SIZE {
        let at = FsBlock(offset / u64::from(size));
        match Superblock::decode(bytes, at) {
            Ok(found) if found.block_size == size && offset % u64::from(size) == 0 => {
                return Some(found)
            }
            _ => size *= 2,
        }
    }
    None
}

/// The journal's area of a volume.
struct LogArea<'a> {
    device: &'a Device,
    geometry: &'a Geometry,
}

impl Log for LogArea<'_> {
    fn read(&self, block: u32, to: &mut [u8]) -> io::Result<()> {
        let at = self.geometry.journal_start.add(u64::from(block));
        self.device.read_at(at.0 << self.geometry.block_shift, to)
    }
}

/// Whether the journal's superblock is what [`Volume::write_out`] leaves when it is interrupted.
fn is_shut(log: &LogArea<'_>) -> bool {
    let mut first = vec![0xff; log.geometry.block_size()];
    log.read(0, &mut first).is_ok() && first.iter().all(|byte| *byte == 0)
}

fn load_journal(
    log: &LogArea<'_>,
) -> std::result::Result<(JournalSuperblock, Replay), JournalError> {
    let geometry = log.geometry;
    let mut first = vec![0; geometry.block_size()];
    log.read(0, &mut first)
        .map_err(|error| JournalError::Io(0, error.to_string()))?;
    let bytes = first
        .first_chunk::<{ journal_sb::SIZE }>()
        .ok_or(JournalError::Superblock("block too small"))?;
    let sb = JournalSuperblock::decode(bytes, 1 << geometry.block_shift, geometry.journal_blocks)?;
    let journal = geometry.journal_start.0
        ..geometry
            .journal_start
            .add(u64::from(geometry.journal_blocks))
            .0;
    let replay = Replay::run(&sb, log, |home| {
        home < geometry.blocks && !journal.contains(&home)
    });
    Ok((sb, replay))
}

/// The bytes of a block, to be read only: stores do nothing.
#[derive(Clone, Debug)]
pub struct Buf(Rc<[u8]>);

impl Buf {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Block for Buf {
    fn size(&self) -> usize {
        self.0.len()
    }
    fn load(&self, at: usize, to: &mut [u8]) {
        let from = self.0.get(at..at.saturating_add(to.len()));
        debug_assert!(from.is_some(), "load from beyond the block");
        if let Some(from) = from {
            to.copy_from_slice(from);
        }
    }
    fn store(&self, _at: usize, _from: &[u8]) {}
    fn copy_within(&self, _from: usize, _to: usize, _len: usize) {}
    fn copy_from(&self, _other: &Self, _from: usize, _to: usize, _len: usize) {}
    fn clear(&self, _at: usize, _len: usize) {}
    fn checksum(&self) -> u32 {
        let (before, rest) = self.0.split_at(header::CHECKSUM);
        let sum = crc32c(crc32c(!0, before), &[0; 4]);
        crc32c(sum, &rest[4..])
    }
}

impl Reader for Volume {
    type Buf = Buf;

    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn hints(&self) -> &Hints {
        &self.hints
    }

    fn read(&self, at: FsBlock, kind: Kind) -> Result<Buf> {
        let buf = self.read_any(at)?;
        verify(&buf, &self.geometry, at, kind)?;
        Ok(buf)
    }

    fn is_on_disk(&self, _id: u64) -> bool {
        true
    }

    fn in_group<R>(
        &self,
        ag: AgNumber,
        f: impl FnOnce(&Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        // Nobody changes the volume, so there is nothing to keep from one call to the next.
        let mut state = GroupState::load(self, ag)?;
        f(self, &mut state)
    }
}
