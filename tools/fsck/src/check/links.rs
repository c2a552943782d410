// SPDX-License-Identifier: GPL-2.0

//! Phase 4: whether every inode can be reached, and as often as it says.

use std::collections::{BTreeMap, BTreeSet};

use cowfs_core::units::Ino;

use super::inodes::{Fact, S_IFDIR};
use super::{Checker, Directory};
use crate::report::Subject;

impl Checker<'_> {
    pub(super) fn check_links(&mut self) {
        let root = self.geometry.root;
        match self
            .directories
            .get(&root)
            .map(|directory| directory.parent)
        {
            None => self.wrong(Subject::Inode(root), format_args!("no root directory here")),
            Some(parent) if parent != root => self.wrong(
                Subject::Inode(root),
                format_args!("the root directory names {parent} as its parent, not itself"),
            ),
            Some(_) => {}
        }
        for (ino, fact) in self.inodes.all() {
            self.check_link_count(ino, fact);
        }
        self.check_orphans();
        self.check_reachability();
    }

    fn check_link_count(&mut self, ino: Ino, fact: Fact) {
        let who = Subject::Inode(ino);
        let orphan = self.orphans.binary_search(&ino).is_ok();
        let is_root = ino == self.geometry.root;
        if fact.found == 0 && !orphan && !is_root {
            self.wrong(
                who,
                format_args!("no directory entry leads to it, and it is not on the orphan list"),
            );
            return;
        }
        let filled = |directory: &Directory| !directory.root.is_empty();
        if fact.found == 0 && !is_root && self.directories.get(&ino).is_some_and(filled) {
            self.wrong(who, format_args!("has no name, but entries"));
        }
        let right = match self.directories.get(&ino) {
            Some(_) if fact.kind == S_IFDIR && fact.found == 0 && !is_root => 0,
            // Its entry, its own ".", and the ".." of each directory in it.
            Some(directory) => directory.children.saturating_add(2),
            None => fact.found,
        };
        if fact.links != right {
            self.wrong(
                who,
                format_args!("has {} links, but {right} were found", fact.links),
            );
        }
    }

    fn check_orphans(&mut self) {
        let orphans = self.orphans.clone();
        self.outcome.orphans = orphans.len() as u64;
        for ino in orphans {
            if self.inodes.get_mut(ino).is_none() {
                self.wrong(
                    Subject::Volume,
                    format_args!("orphan list: inode {ino} is not in use"),
                );
            }
        }
    }

    /// Finds directories whose way up does not end at the root: it ends in a circle. (Those without
    /// an entry have been found already.)
    fn check_reachability(&mut self) {
        let up: BTreeMap<Ino, Ino> = self
            .directories
            .iter()
            .filter_map(|(ino, directory)| Some((*ino, directory.found_in?)))
            .collect();
        // Directories whose way up is known to end, or was reported.
        let mut settled = BTreeSet::new();
        for start in up.keys() {
            let mut way = BTreeSet::new();
            let mut at = *start;
            while !settled.contains(&at) {
                if !way.insert(at) {
                    self.wrong(
                        Subject::Inode(at),
                        format_args!("directory is its own ancestor, out of reach of the root"),
                    );
                    break;
                }
                match up.get(&at) {
                    Some(parent) => at = *parent,
                    None => break,
                }
            }
            settled.extend(way);
        }
    }
}
