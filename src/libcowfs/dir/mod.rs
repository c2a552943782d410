// SPDX-License-Identifier: GPL-2.0

//! Directories: a B+tree of entries in the order of the hash of their names.
//!
//! ```text
//!             root --+--> interior --+--> leaf | key, inode, type, "name" | key, ... |
//!   (in the inode)   +--> interior   +--> leaf | ...
//! ```
//!
//! Looking up, adding and removing a name each walk one path, however many entries there are.
//! `.` and `..` are not stored: the inode knows its parent. An empty directory has no blocks.

mod entry;
mod key;
mod read;
mod siphash;
pub mod tree;

pub use super::inode::FileType as EntryType;
pub use entry::{entry_size, Entries, Entry, MAX_NAME};
pub use key::{home, COLLISIONS, END};
pub use read::read;

use super::btree::{Root, MAX_HEIGHT};
use super::error::Result;
use super::space::credits;
use super::store::{Reader, Transaction};
use super::units::Ino;

/// Most nodes that one change adds to a directory.
pub const MAX_NEW_NODES: u32 = MAX_HEIGHT as u32 + 1;
/// Most blocks that one change makes part of a transaction: the path and its neighbours, what
/// allocating or freeing a node takes, and the inode's block.
pub const CREDITS: u32 = 2 * MAX_HEIGHT as u32 + 1 + MAX_NEW_NODES * credits::COMMIT + 1;

/// What `name` names.
///
/// # Errors
///
/// `Corrupt` or `Io`.
pub fn lookup<R: Reader>(reader: &R, root: &Root, name: &[u8]) -> Result<Option<Entry>> {
    tree::lookup(reader, root, home(reader.geometry(), name), name)
}

/// Adds `name` for inode `ino` to directory `dir`, and keeps its inode's count of blocks;
/// `root` is the caller's to store.
///
/// # Errors
///
/// `Exists`; `TooBig` or `Invalid` for a name that cannot be; `NoSpace`, also if too many names
/// have the same hash. Nothing is changed then. `Corrupt` or `Io`: the transaction is lost.
pub fn insert<T: Transaction>(
    tx: &mut T,
    dir: Ino,
    root: &mut Root,
    name: &[u8],
    ino: Ino,
    kind: EntryType,
) -> Result {
    let home = home(tx.geometry(), name);
    tree::insert(tx, dir, root, home, name, Entry { ino, kind })
}

/// Removes `name` from directory `dir`, and keeps its inode's count of blocks; `root` is the
/// caller's to store. Returns what it named.
///
/// # Errors
///
/// `NotFound`, with nothing changed. `Corrupt` or `Io`: the transaction is lost.
pub fn remove<T: Transaction>(tx: &mut T, dir: Ino, root: &mut Root, name: &[u8]) -> Result<Entry> {
    let home = home(tx.geometry(), name);
    tree::remove(tx, dir, root, home, name)
}

/// Has `name` in directory `dir` name another inode. Returns what it named.
///
/// # Errors
///
/// As those of [`remove`], and `Invalid` for an inode number that cannot be.
pub fn replace<T: Transaction>(
    tx: &mut T,
    dir: Ino,
    root: &mut Root,
    name: &[u8],
    ino: Ino,
    kind: EntryType,
) -> Result<Entry> {
    let home = home(tx.geometry(), name);
    tree::replace(tx, dir, root, home, name, Entry { ino, kind })
}
