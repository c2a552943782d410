// SPDX-License-Identifier: GPL-2.0

//! Finding and changing entries whose names hash to a given *home*: the first key they can have.
//!
//! The functions of [`super`] are these with the home that the volume's hash gives; tests choose
//! homes that many names share.

use super::super::block::Block;
use super::super::btree::{Cursor, Layout, Owner, Root, Slotted};
use super::super::error::{Error, Result};
use super::super::inode::add_blocks;
use super::super::space::{self, inodes, Purpose};
use super::super::store::{Reader, Transaction};
use super::super::units::{FsBlock, Ino};
use super::entry::{self, is_name, is_named, Entries, Entry, Name, NamedEntry, MAX_NAME};
use super::key::COLLISIONS;

/// Where a name is, or where it would go.
struct Search<B> {
    cursor: Cursor<Entries, B>,
    /// Whether the cursor's current entry has the name.
    found: bool,
    /// The smallest key that a new entry of this name can have; `None` if all are taken.
    free: Option<u64>,
    /// Whether the cursor is where an entry with that key goes.
    in_place: bool,
}

impl<B: Block + Clone> Search<B> {
    /// Looks at all entries that have the same home as `name`. Mostly there is none but its own,
    /// and one walk down the tree is all it takes.
    fn new<R: Reader<Buf = B>>(reader: &R, root: &Root, home: u64, name: &[u8]) -> Result<Self> {
        let mut search = Search {
            cursor: Cursor::new(),
            found: false,
            free: Some(home),
            in_place: true,
        };
        let mut room = Name::new();
        search.cursor.seek(reader, *root, home)?;
        let mut key = search.cursor.key();
        loop {
            if key.is_some_and(|key| key >= home) {
                if is_named(&search.cursor, name, &mut room) {
                    search.found = true;
                    return Ok(search);
                }
                if key == search.free {
                    search.free = key
                        .map(|key| key.wrapping_add(1))
                        .filter(|key| key.wrapping_sub(home) < COLLISIONS);
                }
            }
            if !next_may_be_below(&search.cursor, home + COLLISIONS) {
                return Ok(search);
            }
            if !search.cursor.next(reader)? {
                return Ok(search);
            }
            key = search.cursor.key();
            search.in_place = key == search.free;
            if key.is_some_and(|key| key.wrapping_sub(home) >= COLLISIONS) {
                return Ok(search);
            }
        }
    }

    /// What is found.
    fn entry<R: Reader<Buf = B>>(&self, reader: &R) -> Result<Option<Entry>> {
        if !self.found {
            return Ok(None);
        }
        let mut room = Name::new();
        Ok(entry::current(reader, &self.cursor, &mut room)?.map(|(_, entry, _)| entry))
    }
}

/// Whether the entry after the current one may have a key below `limit`, as far as can be told
/// without reading another node.
fn next_may_be_below<B: Block + Clone>(cursor: &Cursor<Entries, B>, limit: u64) -> bool {
    let (index, count) = (cursor.index(), cursor.count());
    match cursor.block() {
        Some(leaf) if index < count => Slotted::<Entries>::key(leaf, index) < limit,
        Some(_) => cursor.bounds().1.is_some_and(|to| to < limit),
        None => false,
    }
}

/// See [`super::lookup`].
///
/// # Errors
///
/// As there.
pub fn lookup<R: Reader>(reader: &R, root: &Root, home: u64, name: &[u8]) -> Result<Option<Entry>> {
    Search::new(reader, root, home, name)?.entry(reader)
}

/// See [`super::insert`].
///
/// # Errors
///
/// As there.
pub fn insert<T: Transaction>(
    tx: &mut T,
    dir: Ino,
    root: &mut Root,
    home: u64,
    name: &[u8],
    entry: Entry,
) -> Result {
    if name.len() > MAX_NAME {
        return Err(Error::TooBig);
    }
    if !is_name(name) || tx.geometry().inode_at(entry.ino).is_none() {
        return Err(Error::Invalid);
    }
    let mut search = Search::new(tx, root, home, name)?;
    if search.found {
        return Err(Error::Exists);
    }
    let key = search.free.ok_or(Error::NoSpace)?;
    if !search.in_place {
        search.cursor.seek(tx, *root, key)?;
    }
    let mut nodes = Nodes::new(tx, dir);
    let new = NamedEntry { key, entry, name };
    search.cursor.insert(tx, &mut nodes, root, new)?;
    nodes.settle(tx)
}

/// See [`super::remove`].
///
/// # Errors
///
/// As there.
pub fn remove<T: Transaction>(
    tx: &mut T,
    dir: Ino,
    root: &mut Root,
    home: u64,
    name: &[u8],
) -> Result<Entry> {
    let mut search = Search::new(tx, root, home, name)?;
    let entry = search.entry(tx)?.ok_or(Error::NotFound)?;
    let mut nodes = Nodes::new(tx, dir);
    search.cursor.remove(tx, &mut nodes, root)?;
    nodes.settle(tx)?;
    Ok(entry)
}

/// See [`super::replace`].
///
/// # Errors
///
/// As there.
pub fn replace<T: Transaction>(
    tx: &mut T,
    dir: Ino,
    root: &mut Root,
    home: u64,
    name: &[u8],
    entry: Entry,
) -> Result<Entry> {
    if tx.geometry().inode_at(entry.ino).is_none() {
        return Err(Error::Invalid);
    }
    let mut search = Search::new(tx, root, home, name)?;
    let old = search.entry(tx)?.ok_or(Error::NotFound)?;
    let key = search.cursor.key().ok_or(Error::NotFound)?;
    let mut nodes = Nodes::new(tx, dir);
    let new = NamedEntry { key, entry, name };
    search.cursor.update(tx, &mut nodes, root, new)?;
    nodes.settle(tx)?;
    Ok(old)
}

/// The holder of a directory's tree during one change.
struct Nodes {
    dir: Ino,
    /// The block of the directory's inode.
    home: FsBlock,
    /// Nodes added less nodes freed.
    more: i64,
}

impl Nodes {
    fn new<R: Reader>(reader: &R, dir: Ino) -> Self {
        let home = reader.geometry().inode_at(dir).map(|(block, _)| block);
        Nodes {
            dir,
            home: home.unwrap_or_default(),
            more: 0,
        }
    }

    /// Counts the nodes in the directory's inode.
    fn settle<T: Transaction>(self, tx: &mut T) -> Result {
        if self.more == 0 {
            return Ok(());
        }
        let (buf, at) = inodes::read(tx, self.dir)?;
        tx.modify(&buf)?;
        add_blocks(&buf, at, self.more);
        Ok(())
    }
}

impl<T: Transaction> Owner<T> for Nodes {
    fn id(&self) -> u64 {
        self.dir.0
    }

    fn alloc(&mut self, tx: &mut T, near: FsBlock) -> Result<FsBlock> {
        let near = if near.is_null() { self.home } else { near };
        let (at, _) = space::alloc(tx, near, 1, Purpose::Tree)?;
        self.more += 1;
        Ok(at)
    }

    fn free(&mut self, tx: &mut T, at: FsBlock) -> Result {
        space::free(tx, at, 1)?;
        tx.forget(at)?;
        self.more -= 1;
        Ok(())
    }
}
