// SPDX-License-Identifier: GPL-2.0

//! Directories: their nodes, and their entries.
//!
//! Entries are not removed from a leaf one by one: a leaf with one that cannot stay is taken out, and
//! those of its entries that can are *strays*, entered again by the core when blocks can be allocated. An
//! entry vouches for itself, since its key is the hash of its name: so those of damaged leaves are not lost
//! either.

use std::collections::HashSet;

use cowfs_core::block::Block;
use cowfs_core::btree::{node, Root};
use cowfs_core::dir::{self, entry_size, home, COLLISIONS};
use cowfs_core::error::{Error, Result};
use cowfs_core::inode::{store_root, FileType};
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::store::Reader;
use cowfs_core::units::{FsBlock, Ino};
use cowfs_image::overlay::Buf;

use super::extents::whole;
use super::slot::Slot;
use super::tree::{Enter, Place, Span, Visitor};
use super::Repair;
use crate::check::inodes::{S_IFDIR, S_IFMT};
use crate::check::tree::Range;
use crate::report::Subject;

/// Byte offsets in an entry's record.
const INO: usize = 8;
const TYPE: usize = 16;
const LENGTH: usize = 17;
const NAME: usize = 18;
/// Size of a slot of a leaf.
const SLOT: usize = 2;

/// A directory, as its entries are seen.
#[derive(Debug)]
pub struct Directory {
    /// The directory its inode names as its parent.
    pub parent: Ino,
    /// The directory that has an entry for it.
    pub found_in: Option<Ino>,
    /// Directories among its entries.
    pub children: u32,
}

impl Directory {
    /// One nothing is known of but its parent.
    pub fn new(parent: Ino) -> Self {
        Directory {
            parent,
            found_in: None,
            children: 0,
        }
    }
}

/// An entry to be entered again.
#[derive(Debug)]
pub struct Stray {
    dir: Ino,
    name: Vec<u8>,
    ino: Ino,
}

/// An entry in a leaf.
struct Entry {
    /// Where in the block it is.
    at: usize,
    key: u64,
    ino: Ino,
    kind: u8,
    name: Vec<u8>,
}

impl Entry {
    fn is_named_well(&self) -> bool {
        let special = matches!(self.name.as_slice(), b"" | b"." | b"..");
        !special && !self.name.iter().any(|byte| matches!(byte, 0 | b'/'))
    }

    fn is_in_place(&self, repair: &Repair<'_>) -> bool {
        let home = home(&repair.geometry, &self.name);
        (home..home + COLLISIONS).contains(&self.key)
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// The entries of a leaf that lie inside it.
fn entries(buf: &Buf) -> Vec<Entry> {
    let count = node::count(buf).min((buf.size() - header::SIZE) / (SLOT + NAME));
    (0..count)
        .filter_map(|n| {
            let at = usize::from(buf.u16(header::SIZE + SLOT * n));
            if at < header::SIZE || at + NAME > buf.size() {
                return None;
            }
            let mut name = vec![0; usize::from(buf.u8(at + LENGTH))];
            if at + NAME + name.len() > buf.size() {
                return None;
            }
            buf.load(at + NAME, &mut name);
            Some(Entry {
                at,
                key: buf.u64(at),
                ino: Ino(buf.u64(at + INO)),
                kind: buf.u8(at + TYPE),
                name,
            })
        })
        .collect()
}

/// Claims the nodes of a directory.
struct Nodes {
    dir: Ino,
    /// Blocks of which nothing was left: not to be looked at for every pointer to them.
    gone: HashSet<FsBlock>,
}

impl Visitor for Nodes {
    const KIND: Kind = Kind::Directory;

    fn who(&self) -> Subject {
        Subject::Inode(self.dir)
    }

    fn owns(&mut self, buf: &Buf) -> bool {
        buf.u64(header::OWNER) == self.dir.0
    }

    fn enter(&mut self, repair: &mut Repair<'_>, at: FsBlock) -> Enter {
        match !self.gone.contains(&at) && repair.claim(at) {
            true => Enter::New,
            false => Enter::Foreign,
        }
    }

    fn is_strange(&mut self, repair: &mut Repair<'_>, place: &Place) -> bool {
        // It may yet be met where it belongs.
        let found = repair.overlay.read(place.at, Kind::Directory);
        found.is_ok_and(|buf| self.owns(&buf) && node::level(&buf) != place.level)
    }

    fn leaf(
        &mut self,
        repair: &mut Repair<'_>,
        buf: &Buf,
        sound: bool,
        range: Range,
    ) -> Option<Span> {
        let entries = entries(buf);
        let first = entries.first().map_or(0, |entry| entry.key);
        let end = entries
            .last()
            .map_or(0, |entry| entry.key.saturating_add(1));
        if sound && first >= range.from && end <= range.to {
            return Some(Span {
                key: first,
                first,
                end,
                blocks: 1,
                sound: true,
            });
        }
        let mut kept = 0;
        for entry in entries {
            if entry.is_named_well() && entry.is_in_place(repair) {
                kept += 1;
                repair.stray(self.dir, &entry);
            }
        }
        repair.lost(
            self.who(),
            format_args!("directory node {}: {kept} entries are kept", buf.at()),
        );
        None
    }

    fn leave(&mut self, repair: &mut Repair<'_>, at: FsBlock, _level: usize, span: Option<Span>) {
        if span.is_none() {
            repair.usage.release(at);
            self.gone.insert(at);
        }
    }
}

/// Looks at the entries of a directory.
struct Contents {
    dir: Ino,
    size: u64,
    /// The hash of the last entries, and their names.
    last: (u64, Vec<Vec<u8>>),
}

impl Visitor for Contents {
    const KIND: Kind = Kind::Directory;

    fn who(&self) -> Subject {
        Subject::Inode(self.dir)
    }

    fn owns(&mut self, _buf: &Buf) -> bool {
        true
    }

    fn enter(&mut self, _repair: &mut Repair<'_>, _at: FsBlock) -> Enter {
        Enter::New
    }

    fn leaf(
        &mut self,
        repair: &mut Repair<'_>,
        buf: &Buf,
        _sound: bool,
        _range: Range,
    ) -> Option<Span> {
        let all = entries(buf);
        let count = all.len();
        let (mut kept, mut strays) = (Vec::with_capacity(count), Vec::new());
        let last = self.last.clone();
        for entry in all {
            match self.judge(repair, buf, &entry) {
                Verdict::Stays => kept.push(entry),
                Verdict::Stray => strays.push(entry),
                Verdict::Goes => {}
            }
        }
        if kept.len() == count {
            for entry in &kept {
                self.size += entry_size(&entry.name);
                repair.note_entry(self.dir, entry.ino);
            }
            let first = kept.first()?.key;
            return Some(Span {
                key: first,
                first,
                end: kept.last()?.key.saturating_add(1),
                blocks: 1,
                sound: true,
            });
        }
        self.last = last;
        for entry in kept.iter().chain(&strays) {
            repair.stray(self.dir, entry);
        }
        None
    }

    fn leave(&mut self, repair: &mut Repair<'_>, at: FsBlock, _level: usize, span: Option<Span>) {
        if span.is_none() {
            repair.usage.release(at);
        }
    }
}

/// What is to become of an entry.
enum Verdict {
    Stays,
    /// It belongs into the directory, but not there.
    Stray,
    Goes,
}

impl Contents {
    fn judge(&mut self, repair: &mut Repair<'_>, buf: &Buf, entry: &Entry) -> Verdict {
        let who = self.who();
        let name = entry.shown();
        if !entry.is_named_well() {
            repair.lost(
                who,
                format_args!("entry {name:?}: impossible name: removed"),
            );
            return Verdict::Goes;
        }
        let Some(fact) = repair.inodes.get(entry.ino) else {
            repair.lost(
                who,
                format_args!("entry {name:?}: leads to no inode ({}): removed", entry.ino),
            );
            return Verdict::Goes;
        };
        if entry.ino == repair.geometry.root || entry.ino == self.dir {
            repair.lost(
                who,
                format_args!("entry {name:?}: leads to {} again: removed", entry.ino),
            );
            return Verdict::Goes;
        }
        if !entry.is_in_place(repair) {
            repair.lost(who, format_args!("entry {name:?}: out of place: moved"));
            return Verdict::Stray;
        }
        let hash = home(&repair.geometry, &entry.name);
        if self.last.0 != hash {
            self.last = (hash, Vec::new());
        }
        if self.last.1.contains(&entry.name) {
            repair.lost(who, format_args!("entry {name:?}: a second one: removed"));
            return Verdict::Goes;
        }
        self.last.1.push(entry.name.clone());
        let kind = (fact.kind >> 12) as u8;
        if entry.kind != kind {
            repair.touch(buf);
            buf.set_u8(entry.at + TYPE, kind);
            repair.safe(who, format_args!("entry {name:?}: type corrected"));
        }
        Verdict::Stays
    }
}

impl Repair<'_> {
    /// Claims the nodes of a directory.
    pub(super) fn directory_nodes(&mut self, slot: &Slot) {
        let left = match self.sound_root(slot, Kind::Directory) {
            Some(root) => {
                let mut nodes = Nodes {
                    dir: slot.ino,
                    gone: HashSet::new(),
                };
                self.prune(&mut nodes, whole(root, slot.ino))
            }
            None => None,
        };
        if left.is_none() {
            self.empty_directory(slot);
        }
    }

    fn empty_directory(&mut self, slot: &Slot) {
        if slot.root() != Root::EMPTY {
            self.set_root(slot, Root::EMPTY);
            self.lost(slot.who(), format_args!("nothing is left of the directory"));
        }
    }

    /// Looks at the entries of all directories.
    pub(super) fn directories(&mut self) -> Result {
        self.each_inode("directories", S_IFDIR, |repair, slot| {
            let mut contents = Contents {
                dir: slot.ino,
                size: 0,
                last: (0, Vec::new()),
            };
            let mut blocks = 0;
            if !slot.root().is_empty() {
                match repair.prune(&mut contents, whole(slot.root(), slot.ino)) {
                    Some(span) => blocks = span.blocks,
                    None => repair.set_root(&slot, Root::EMPTY),
                }
            }
            repair.set_blocks(&slot, blocks);
            let size = slot.u64(inode::SIZE_BYTES);
            if size != contents.size {
                repair.set_u64(&slot, inode::SIZE_BYTES, contents.size);
                repair.safe(
                    slot.who(),
                    format_args!("size was {size}, is {}", contents.size),
                );
            }
            Ok(())
        })
    }

    fn stray(&mut self, dir: Ino, entry: &Entry) {
        self.strays.push(Stray {
            dir,
            name: entry.name.clone(),
            ino: entry.ino,
        });
    }

    /// Directory `dir` has an entry for `ino`.
    fn note_entry(&mut self, dir: Ino, ino: Ino) {
        let Some(fact) = self.inodes.get_mut(ino) else {
            return;
        };
        fact.found = fact.found.saturating_add(1);
        if fact.kind & S_IFMT != S_IFDIR {
            return;
        }
        let Some(child) = self.directories.get_mut(&ino) else {
            return;
        };
        // The one it names as its parent is the right one of two.
        let surplus = match child.found_in {
            None => None,
            Some(before) if child.parent == dir => Some(before),
            Some(_) => Some(dir),
        };
        if surplus != Some(dir) {
            child.found_in = Some(dir);
        }
        if let Some(from) = surplus {
            self.surplus.push((from, ino));
        }
    }

    /// Enters the entries that were kept for that.
    pub(super) fn enter_strays(&mut self) -> Result {
        for stray in std::mem::take(&mut self.strays) {
            let shown = String::from_utf8_lossy(&stray.name).into_owned();
            let who = Subject::Inode(stray.dir);
            if self.inodes.get(stray.ino).is_none() || stray.ino == self.geometry.root {
                self.lost(
                    who,
                    format_args!(
                        "entry {shown:?}: leads to no inode ({}): removed",
                        stray.ino
                    ),
                );
                continue;
            }
            match self.enter(stray.dir, &stray.name, stray.ino) {
                Ok(()) => {}
                Err(Error::Exists | Error::Invalid | Error::TooBig) => {
                    self.lost(who, format_args!("entry {shown:?}: a second one: removed"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Adds an entry to a directory, where everything is sound.
    pub(super) fn enter(&mut self, dir: Ino, name: &[u8], ino: Ino) -> Result {
        let kind = self
            .inodes
            .get(ino)
            .and_then(|fact| FileType::in_mode(fact.kind))
            .ok_or(Error::Invalid)?;
        let slot = self.slot(dir).ok_or(Error::NotFound)?;
        let mut root = slot.root();
        dir::insert(&mut self.overlay, dir, &mut root, name, ino, kind)?;
        self.store_directory(dir, root, entry_size(name) as i64)?;
        self.note_entry(dir, ino);
        Ok(())
    }

    /// Removes an entry from a directory, where everything is sound.
    pub(super) fn remove_entry(&mut self, dir: Ino, name: &[u8]) -> Result {
        let slot = self.slot(dir).ok_or(Error::NotFound)?;
        let mut root = slot.root();
        let entry = dir::remove(&mut self.overlay, dir, &mut root, name)?;
        self.store_directory(dir, root, -(entry_size(name) as i64))?;
        if let Some(fact) = self.inodes.get_mut(entry.ino) {
            fact.found = fact.found.saturating_sub(1);
        }
        Ok(())
    }

    fn store_directory(&mut self, dir: Ino, root: Root, more: i64) -> Result {
        let slot = self.slot(dir).ok_or(Error::NotFound)?;
        self.touch(&slot.buf);
        store_root(&slot.buf, slot.at, Format::Directory, root);
        let size = slot.u64(inode::SIZE_BYTES).saturating_add_signed(more);
        self.set_u64(&slot, inode::SIZE_BYTES, size);
        self.overlay.settle()
    }
}
