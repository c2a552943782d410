// SPDX-License-Identifier: GPL-2.0

//! Reading all entries of a directory, in the order of their keys.

use super::super::btree::{Cursor, Root};
use super::super::error::{Error, Result};
use super::super::inode::FileType;
use super::super::store::Reader;
use super::super::units::Ino;
use super::entry::{current, Entries, Name};
use super::key::{END, FIRST};

/// Reads the entries from position `from` on. For each, `emit` is told its position, name, inode and
/// type, and says whether it took it. Returns the position to go on from: of the first entry that
/// was not taken, or [`END`].
///
/// # Errors
///
/// `Corrupt` or `Io`.
pub fn read<R: Reader>(
    reader: &R,
    root: &Root,
    from: u64,
    mut emit: impl FnMut(u64, &[u8], Ino, FileType) -> bool,
) -> Result<u64> {
    let mut cursor = Cursor::<Entries, R::Buf>::new();
    let mut name = Name::new();
    cursor.seek_before(reader, *root, from.max(FIRST))?;
    while cursor.next(reader)? {
        let Some((key, entry, name)) = current(reader, &cursor, &mut name)? else {
            break;
        };
        if !(FIRST..END).contains(&key) {
            let what = "directory entry at an impossible position";
            return Err(Error::Corrupt(root.block, what));
        }
        if !emit(key, name, entry.ino, entry.kind) {
            return Ok(key);
        }
    }
    Ok(END)
}
