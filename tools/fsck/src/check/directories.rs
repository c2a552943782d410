// SPDX-License-Identifier: GPL-2.0

//! Phase 3: the entries of every directory.

use cowfs_core::block::Block;
use cowfs_core::btree::node;
use cowfs_core::dir::{entry_size, home, COLLISIONS};
use cowfs_core::ondisk::Kind;
use cowfs_core::units::Ino;
use cowfs_image::volume::Buf;

use super::inodes::S_IFDIR;
use super::tree::{record, Walk};
use super::Checker;
use crate::report::Subject;

/// An entry of a directory: u64 key, u64 inode, u8 type, u8 length of the name, name.
struct Entry<'a> {
    key: u64,
    ino: Ino,
    kind: u8,
    name: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Entry `index` of a verified leaf.
    fn load(leaf: &'a Buf, index: usize) -> Self {
        let at = record(leaf, Kind::Directory, index);
        let len = usize::from(leaf.u8(at + 17));
        Entry {
            key: leaf.u64(at),
            ino: Ino(leaf.u64(at + 8)),
            kind: leaf.u8(at + 16),
            name: leaf.bytes().get(at + 18..at + 18 + len).unwrap_or(&[]),
        }
    }
}

/// What is summed up over a directory's entries.
#[derive(Default)]
struct Sums {
    size: u64,
    /// The hash of the last entries, and their names.
    last: (u64, Vec<Vec<u8>>),
}

impl Checker<'_> {
    pub(super) fn check_directories(&mut self) {
        let directories: Vec<Ino> = self.directories.keys().copied().collect();
        let all = directories.len() as u64;
        for (done, ino) in directories.into_iter().enumerate() {
            self.check_directory(ino);
            if done % 64 == 0 {
                self.progress("directories", done as u64, all);
            }
        }
    }

    fn check_directory(&mut self, ino: Ino) {
        let Some(directory) = self.directories.get(&ino) else {
            return;
        };
        let (root, size, blocks) = (directory.root, directory.size, directory.blocks);
        let walk = Walk::new(Subject::Inode(ino), Kind::Directory, ino.0);
        let mut sums = Sums::default();
        let nodes = self.walk(&walk, root, &mut |checker, leaf, _| {
            for index in 0..node::count(leaf) {
                checker.check_entry(ino, &Entry::load(leaf, index), &mut sums);
            }
        });
        self.check_block_count(walk.who, blocks, nodes);
        if size != sums.size {
            self.wrong(
                walk.who,
                format_args!(
                    "directory of size {size}, but its entries have {}",
                    sums.size
                ),
            );
        }
    }

    fn check_entry(&mut self, dir: Ino, entry: &Entry<'_>, sums: &mut Sums) {
        let who = Subject::Inode(dir);
        let name = String::from_utf8_lossy(entry.name).into_owned();
        sums.size += entry_size(entry.name);
        if entry.name.is_empty()
            || entry.name.iter().any(|byte| matches!(byte, 0 | b'/'))
            || matches!(entry.name, b"." | b"..")
        {
            self.wrong(who, format_args!("entry {name:?}: impossible name"));
        }
        let hash = home(&self.geometry, entry.name);
        if !(hash..hash + COLLISIONS).contains(&entry.key) {
            self.wrong(
                who,
                format_args!(
                    "entry {name:?}: key {:#x} is not that of the name",
                    entry.key
                ),
            );
        }
        if sums.last.0 != hash {
            sums.last = (hash, Vec::new());
        }
        if sums.last.1.iter().any(|other| other == entry.name) {
            self.wrong(
                who,
                format_args!("entry {name:?}: a second one of this name"),
            );
        }
        sums.last.1.push(entry.name.to_vec());

        let Some(target) = self.inodes.get_mut(entry.ino) else {
            self.wrong(
                who,
                format_args!("entry {name:?}: inode {} is not in use", entry.ino),
            );
            return;
        };
        target.found = target.found.saturating_add(1);
        let kind = target.kind;
        if u32::from(entry.kind) << 12 != u32::from(kind) {
            self.wrong(
                who,
                format_args!(
                    "entry {name:?}: of type {:#o}, but inode {} is of type {:#o}",
                    entry.kind,
                    entry.ino,
                    kind >> 12
                ),
            );
        }
        if kind == S_IFDIR {
            self.check_child(dir, entry.ino, &name);
        }
    }

    /// Notes that directory `dir` has an entry `name` for directory `ino`.
    fn check_child(&mut self, dir: Ino, ino: Ino, name: &str) {
        if let Some(parent) = self.directories.get_mut(&dir) {
            parent.children += 1;
        }
        let who = Subject::Inode(dir);
        if ino == self.geometry.root {
            self.wrong(
                who,
                format_args!("entry {name:?}: leads to the root directory"),
            );
            return;
        }
        let Some(child) = self.directories.get_mut(&ino) else {
            return;
        };
        let (parent, before) = (child.parent, child.found_in.replace(dir));
        if let Some(before) = before {
            self.wrong(
                who,
                format_args!("entry {name:?}: directory {ino} has an entry in {before} already"),
            );
        }
        if parent != dir {
            self.wrong(
                Subject::Inode(ino),
                format_args!("names {parent} as its parent, but is in directory {dir}"),
            );
        }
    }
}
