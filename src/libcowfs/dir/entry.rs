// SPDX-License-Identifier: GPL-2.0

//! What a directory's tree stores: names and what they name.
//!
//! ```text
//!    0  u64   key
//!    8  u64   inode
//!   16  u8    type: see FileType
//!   17  u8    length of the name
//!   18        name
//! ```

use super::super::block::Block;
use super::super::btree::{slotted, Cursor, Record, Slotted, Tree};
use super::super::error::{Error, Result};
use super::super::inode::FileType;
use super::super::ondisk::{header, Kind};
use super::super::store::Reader;
use super::super::units::{FsBlock, Ino};

/// Longest name, in bytes.
pub const MAX_NAME: usize = 255;

const INO: usize = 8;
const TYPE: usize = 16;

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The inode.
    pub ino: Ino,
    /// Its type.
    pub kind: FileType,
}

/// The tree of a directory's entries.
pub struct Entries;

impl Tree for Entries {
    const KIND: Kind = Kind::Directory;
    type Leaf = Slotted<Entries>;
}

impl slotted::Format for Entries {
    type Record<'a> = NamedEntry<'a>;
}

/// An entry about to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NamedEntry<'a> {
    pub(super) key: u64,
    pub(super) entry: Entry,
    pub(super) name: &'a [u8],
}

impl Record for NamedEntry<'_> {
    fn key(&self) -> u64 {
        self.key
    }

    fn size(&self) -> usize {
        slotted::FIXED + self.name.len()
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.key);
        buf.set_u64(at + INO, self.entry.ino.0);
        buf.set_u8(at + TYPE, self.entry.kind as u8);
        buf.set_u8(at + slotted::LENGTH, self.name.len() as u8);
        buf.store(at + slotted::FIXED, self.name);
    }
}

/// How much an entry with this name adds to the directory's size.
pub const fn entry_size(name: &[u8]) -> u64 {
    (slotted::FIXED + name.len()) as u64
}

/// Whether a directory can hold this name.
pub(super) fn is_name(name: &[u8]) -> bool {
    let special = matches!(name, b"" | b"." | b"..");
    !special && name.len() <= MAX_NAME && !name.iter().any(|&byte| byte == 0 || byte == b'/')
}

/// Room for any name.
pub(super) struct Name {
    bytes: [u8; MAX_NAME],
    len: usize,
}

impl Name {
    pub(super) const fn new() -> Self {
        Name {
            bytes: [0; MAX_NAME],
            len: 0,
        }
    }

    /// Loads the name of the entry stored at byte `at`.
    fn load<B: Block>(&mut self, buf: &B, at: usize) -> &[u8] {
        self.len = usize::from(buf.u8(at + slotted::LENGTH));
        let (to, _) = self.bytes.split_at_mut(self.len);
        buf.load(at + slotted::FIXED, to);
        to
    }
}

/// The current entry of `cursor`, checked, with its key; its name is put into `name`.
pub(super) fn current<'a, R: Reader>(
    reader: &R,
    cursor: &Cursor<Entries, R::Buf>,
    name: &'a mut Name,
) -> Result<Option<(u64, Entry, &'a [u8])>> {
    let Some((buf, at)) = cursor.place() else {
        return Ok(None);
    };
    let bad = |what| Err(Error::Corrupt(FsBlock(buf.u64(header::ADDRESS)), what));
    let name = name.load(buf, at);
    if !is_name(name) {
        return bad("directory entry with an impossible name");
    }
    let Some(kind) = FileType::from_u8(buf.u8(at + TYPE)) else {
        return bad("directory entry of no known type");
    };
    let ino = Ino(buf.u64(at + INO));
    if reader.geometry().inode_at(ino).is_none() {
        return bad("directory entry with an impossible inode number");
    }
    Ok(Some((buf.u64(at), Entry { ino, kind }, name)))
}

/// Whether the current entry of `cursor` has this name.
pub(super) fn is_named<B: Block + Clone>(
    cursor: &Cursor<Entries, B>,
    wanted: &[u8],
    name: &mut Name,
) -> bool {
    match cursor.place() {
        Some((buf, at)) if usize::from(buf.u8(at + slotted::LENGTH)) == wanted.len() => {
            name.load(buf, at) == wanted
        }
        _ => false,
    }
}
