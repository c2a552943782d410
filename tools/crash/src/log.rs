// SPDX-License-Identifier: GPL-2.0

//! The log that dm-log-writes makes (`drivers/md/dm-log-writes.c`).
//!
//! ```text
//!   sector 0     1                  1 + 1 + n
//!   +-------+-------+--- - - ---+-------+-------+-- - -
//!   | super | entry | n sectors | entry | entry | ...
//!   +-------+-------+--- - - ---+-------+-------+-- - -
//!
//!   super   0  u64  magic             entry   0  u64  first sector written
//!           8  u64  version, 1                8  u64  number of sectors
//!          16  u64  number of entries        16  u64  flags
//!          24  u32  bytes in a sector        24  u64  bytes of the mark's text, which follows
//! ```
//!
//! The order is the one in which things became durable: a write without FUA is recorded with the first
//! flush that was sent after it had completed, right before that flush; a write with FUA when it
//! completes. Flushes and marks carry no sectors, and discards come without their data. For where that is
//! not quite the order, see [`crate::order`].

use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt;
use std::path::Path;

use thiserror::Error;

use crate::order;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1 << 0;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;
/// Bytes of an entry, before a mark's text.
const ENTRY: usize = 32;

/// The unit in which this program counts sectors, whatever the device's are.
pub const SECTOR: u64 = 512;
/// The mark that the recorder itself puts at the end.
pub const END: &str = "dm-log-writes-end";

/// Why a log cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// It could not be read.
    #[error("cannot read the log: {0}")]
    Io(#[from] io::Error),
    /// It is no log.
    #[error("no log of dm-log-writes: {0}")]
    Foreign(&'static str),
    /// An entry makes no sense.
    #[error("entry {0}: {1}")]
    Damaged(usize, &'static str),
    /// The recorder did not come to its end.
    #[error("the log is not complete: it does not end with the recorder's own mark")]
    Incomplete,
}

/// A place in the log, in sectors of 512 bytes. Sector 0 holds the super, so no data is there.
pub type LogSector = NonZeroU32;

/// What an entry records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sectors were written.
    Write {
        /// The first of them.
        to: u64,
        /// How many.
        sectors: u64,
        /// Where in the log they are.
        data: LogSector,
    },
    /// Sectors were discarded.
    Discard {
        /// The first of them.
        to: u64,
        /// How many.
        sectors: u64,
    },
    /// Nothing but what the flags of the entry say.
    Nothing,
    /// The workload had something to say.
    Mark(String),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it records.
    pub action: Action,
    /// What was recorded before is durable.
    pub flush: bool,
    /// It is durable itself.
    pub fua: bool,
}

impl Entry {
    /// Whether it changes what the device holds.
    pub fn changes(&self) -> bool {
        matches!(self.action, Action::Write { .. } | Action::Discard { .. })
    }
}

/// A log: its entries in memory, the data they wrote in the file.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
    at: u64,
    entries: Vec<Entry>,
}

impl WriteLog {
    /// Opens the log in the `len` bytes at `at` of the file at `path`, and reads its entries.
    ///
    /// # Errors
    ///
    /// See [`LogError`].
    pub fn open(path: &Path, at: u64, len: u64) -> Result<WriteLog, LogError> {
        let file = File::open(path)?;
        let entries = Scan {
            file: &file,
            at,
            len,
        }
        .entries()?;
        let mut log = WriteLog { file, at, entries };
        log.entries = order::mended(&log)?;
        Ok(log)
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Fills `to` with what was written, from byte `skip` of sector `from` of the log on.
    ///
    /// # Errors
    ///
    /// Those of read(2).
    pub fn read(&self, from: LogSector, skip: u64, to: &mut [u8]) -> io::Result<()> {
        let at = self.at + u64::from(from.get()) * SECTOR + skip;
        self.file.read_exact_at(to, at)
    }
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Reading a log from its start.
struct Scan<'a> {
    file: &'a File,
    at: u64,
    len: u64,
}

impl Scan<'_> {
    fn sector(&self, at: u64) -> io::Result<[u8; SECTOR as usize]> {
        let mut bytes = [0; SECTOR as usize];
        if at.saturating_add(1).saturating_mul(SECTOR) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(&mut bytes, self.at + at * SECTOR)?;
        Ok(bytes)
    }

    fn entries(&self) -> Result<Vec<Entry>, LogError> {
        let first = self.sector(0)?;
        if le64(&first, 0) != MAGIC {
            return Err(LogError::Foreign("wrong magic"));
        }
        if le64(&first, 8) != VERSION {
            return Err(LogError::Foreign("unknown version"));
        }
        let size = le64(&first, 24) & u64::from(u32::MAX);
        if !size.is_power_of_two() || !(SECTOR..=1 << 16).contains(&size) {
            return Err(LogError::Foreign("impossible size of a sector"));
        }
        let each = size / SECTOR;
        let mut at = each;
        let mut entries = Vec::new();
        for number in 0..usize::try_from(le64(&first, 16)).unwrap_or(usize::MAX) {
            let bytes = self.sector(at)?;
            at += each;
            let (entry, sectors) =
                decode(&bytes, each, at).map_err(|what| LogError::Damaged(number, what))?;
            at += sectors;
            entries.push(entry);
        }
        match entries.last() {
            Some(Entry {
                action: Action::Mark(text),
                ..
            }) if text == END => Ok(entries),
            _ => Err(LogError::Incomplete),
        }
    }
}

/// Decodes an entry of a log whose sectors have `each` times 512 bytes and whose data, if any, is at
/// `data`; also returns how many sectors that has.
fn decode(bytes: &[u8], each: u64, data: u64) -> Result<(Entry, u64), &'static str> {
    let flags = le64(bytes, 16);
    let scaled = |at| le64(bytes, at).checked_mul(each).ok_or("impossible sector");
    let (to, sectors) = (scaled(0)?, scaled(8)?);
    let beyond = to.checked_add(sectors).ok_or("impossible sector")?;
    beyond.checked_mul(SECTOR).ok_or("impossible sector")?;
    let end = data.checked_add(sectors).ok_or("impossible length")?;
    let mut carried = 0;
    let action = if flags & MARK != 0 {
        let len = usize::try_from(le64(bytes, 24)).unwrap_or(usize::MAX);
        let text = bytes[ENTRY..]
            .get(..len)
            .ok_or("mark longer than a sector")?;
        Action::Mark(String::from_utf8_lossy(text).into_owned())
    } else if flags & DISCARD != 0 {
        Action::Discard { to, sectors }
    } else if sectors == 0 {
        Action::Nothing
    } else {
        u32::try_from(end).map_err(|_| "log too long")?;
        carried = sectors;
        let data = u32::try_from(data).ok().and_then(NonZeroU32::new);
        Action::Write {
            to,
            sectors,
            data: data.ok_or("log too long")?,
        }
    };
    let entry = Entry {
        action,
        flush: flags & FLUSH != 0,
        fua: flags & FUA != 0,
    };
    Ok((entry, carried))
}
