// SPDX-License-Identifier: GPL-2.0

//! Who can be reached, and how often: lost+found, parents, link counts.
//!
//! A directory has one entry, in the directory that it names as its parent; going up from there one comes to the
//! root. What cannot be reached so is entered in `/lost+found` as `#` and its number, a directory with all
//! that is in it. A nameless inode without links is none of these: it was deleted, and only its
//! last step is missing (see `orphans`).

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use cowfs_core::dir;
use cowfs_core::error::{Error, Result};
use cowfs_core::inode::{init, Core, FileType, Time};
use cowfs_core::ondisk::inode::{self, Format};
use cowfs_core::space::inodes;
use cowfs_core::store::Transaction;
use cowfs_core::units::Ino;

use super::directories::Directory;
use super::slot::Slot;
use super::Repair;
use crate::check::inodes::{Fact, S_IFDIR};
use crate::report::Subject;

/// Names tried before giving up.
const TRIES: u32 = 100;

/// A name and others like it.
fn names(name: &str) -> impl Iterator<Item = String> + '_ {
    (0..TRIES).map(move |n| match n {
        0 => name.to_owned(),
        n => format!("{name}.{n}"),
    })
}

impl Repair<'_> {
    /// Makes everything reachable, once.
    pub(super) fn links(&mut self) -> Result {
        let mut surplus = std::mem::take(&mut self.surplus);
        surplus.sort_unstable();
        for entries in surplus.chunk_by(|one, next| one.0 == next.0) {
            if let [(dir, _), ..] = entries {
                let inos: Vec<Ino> = entries.iter().map(|(_, ino)| *ino).collect();
                self.remove_surplus(*dir, &inos)?;
            }
        }
        self.break_circles()?;
        self.count_children();
        let known = |ino: &Ino| self.inodes.get(*ino).is_some();
        let (known, unknown) = self.orphans.iter().partition(|ino| known(ino));
        self.orphans = known;
        self.forget_orphans(unknown)?;
        self.reconnect()?;
        self.parents_and_counts()
    }

    /// Removes from `dir`, for each of `inos`, one of the entries that lead to it.
    fn remove_surplus(&mut self, dir: Ino, inos: &[Ino]) -> Result {
        let Some(slot) = self.slot(dir) else {
            return Ok(());
        };
        let mut wanted: HashMap<Ino, usize> = HashMap::new();
        for ino in inos {
            *wanted.entry(*ino).or_default() += 1;
        }
        let mut found = Vec::new();
        dir::read(&self.overlay, &slot.root(), 0, |_, name, to, _| {
            if let Some(more @ 1..) = wanted.get_mut(&to) {
                *more -= 1;
                found.push((name.to_vec(), to));
            }
            found.len() < inos.len()
        })?;
        for (name, ino) in found {
            self.lost(
                Subject::Inode(dir),
                format_args!(
                    "entry {:?}: directory {ino} is elsewhere already: removed",
                    String::from_utf8_lossy(&name)
                ),
            );
            self.remove_entry(dir, &name)?;
        }
        Ok(())
    }

    /// Where the way up goes in a circle, removes an entry, so that there is a topmost directory to
    /// reconnect.
    fn break_circles(&mut self) -> Result {
        let mut settled = BTreeSet::new();
        let all: Vec<Ino> = self.directories.keys().copied().collect();
        for start in all {
            let mut way = BTreeSet::new();
            let mut at = start;
            while !settled.contains(&at) {
                let up = self
                    .directories
                    .get(&at)
                    .and_then(|directory| directory.found_in);
                if !way.insert(at) {
                    if let Some(up) = up {
                        self.remove_surplus(up, &[at])?;
                    }
                    if let Some(directory) = self.directories.get_mut(&at) {
                        directory.found_in = None;
                    }
                    break;
                }
                match up {
                    Some(up) => at = up,
                    None => break,
                }
            }
            settled.extend(way);
        }
        Ok(())
    }

    /// Counts the directories in each directory.
    fn count_children(&mut self) {
        let parents: Vec<Ino> = self
            .directories
            .values()
            .filter_map(|directory| directory.found_in)
            .collect();
        for directory in self.directories.values_mut() {
            directory.children = 0;
        }
        for parent in parents {
            if let Some(parent) = self.directories.get_mut(&parent) {
                parent.children = parent.children.saturating_add(1);
            }
        }
    }

    /// Whether a nameless inode was deleted.
    fn is_deleted(&self, ino: Ino, fact: Fact) -> bool {
        let empty = match fact.kind {
            S_IFDIR => self.slot(ino).is_none_or(|slot| slot.root().is_empty()),
            _ => true,
        };
        fact.found == 0 && fact.links == 0 && empty
    }

    /// Enters what has no name in lost+found.
    fn reconnect(&mut self) -> Result {
        let root = self.geometry.root;
        let nameless: Vec<(Ino, Fact)> = self
            .inodes
            .all()
            .into_iter()
            .filter(|(ino, fact)| fact.found == 0 && *ino != root)
            .collect();
        let mut place = None;
        for (ino, fact) in nameless {
            if self.is_deleted(ino, fact) {
                self.orphans.insert(ino);
                continue;
            }
            let (there, at) = match place.take() {
                Some(place) => place,
                None => self.lost_and_found()?,
            };
            let name = self.enter_somehow(there, &format!("#{ino}"), ino)?;
            if fact.kind == S_IFDIR {
                if let Some(there) = self.directories.get_mut(&there) {
                    there.children = there.children.saturating_add(1);
                }
            }
            self.safe(
                Subject::Inode(ino),
                format_args!("cannot be reached: now /{at}/{name}"),
            );
            place = Some((there, at));
        }
        Ok(())
    }

    /// Enters an inode by this name, or, if it is taken, by one like it.
    fn enter_somehow(&mut self, dir: Ino, name: &str, ino: Ino) -> Result<String> {
        for name in names(name) {
            match self.enter(dir, name.as_bytes(), ino) {
                Err(Error::Exists) => {}
                done => return done.map(|()| name),
            }
        }
        Err(Error::Exists)
    }

    /// The directory for what was lost, and its name; it is made if there is none. Somebody else's is no place for what
    /// is not theirs.
    fn lost_and_found(&mut self) -> Result<(Ino, String)> {
        let root = self.geometry.root;
        for name in names("lost+found") {
            let slot = self.slot(root).ok_or(Error::NotFound)?;
            let Some(entry) = dir::lookup(&self.overlay, &slot.root(), name.as_bytes())? else {
                return Ok((self.make_lost_and_found(&name)?, name));
            };
            let private =
                |slot: Slot| slot.u32(inode::UID) == 0 && slot.u16(inode::MODE) & 0o077 == 0;
            if entry.kind == FileType::Directory && self.slot(entry.ino).is_some_and(private) {
                return Ok((entry.ino, name));
            }
        }
        Err(Error::Exists)
    }

    fn make_lost_and_found(&mut self, name: &str) -> Result<Ino> {
        let root = self.geometry.root;
        let ino = inodes::alloc(&mut self.overlay, root, true)?;
        self.overlay.settle()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let time = Time {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: now.subsec_nanos(),
        };
        let slot = self.slot(ino).ok_or(Error::NotFound)?;
        self.overlay.modify(&slot.buf)?;
        let core = Core {
            mode: FileType::Directory.mode() | 0o700,
            links: 2,
            times: [time; 4],
            generation: slot.u32(inode::GENERATION),
            parent: root,
            ..Core::default()
        };
        init(&slot.buf, slot.at, Format::Directory);
        core.store(&slot.buf, slot.at);
        let fact = Fact {
            kind: S_IFDIR,
            links: 2,
            found: 0,
        };
        self.inodes.add(ino, fact);
        self.directories.insert(ino, Directory::new(root));
        self.enter(root, name.as_bytes(), ino)?;
        if let Some(directory) = self.directories.get_mut(&root) {
            directory.children = directory.children.saturating_add(1);
        }
        self.safe(Subject::Inode(ino), format_args!("made as /{name}"));
        Ok(ino)
    }

    /// Makes parents and link counts what was found.
    fn parents_and_counts(&mut self) -> Result {
        let root = self.geometry.root;
        for (ino, fact) in self.inodes.all() {
            if self.orphans.contains(&ino) && fact.found == 0 && fact.links == 0 {
                continue;
            }
            let mut right = fact.found;
            if let Some(directory) = self.directories.get(&ino) {
                right = directory.children.saturating_add(2);
                let parent = match directory.found_in {
                    _ if ino == root => root,
                    Some(parent) => parent,
                    None => continue,
                };
                let slot = self.slot(ino).ok_or(Error::NotFound)?;
                if slot.u64(inode::PARENT) != parent.0 {
                    self.set_u64(&slot, inode::PARENT, parent.0);
                    self.safe(
                        slot.who(),
                        format_args!("named another parent than {parent}, where it is"),
                    );
                }
            }
            if fact.links != right {
                let slot = self.slot(ino).ok_or(Error::NotFound)?;
                self.set_u32(&slot, inode::LINKS, right);
                self.safe(
                    slot.who(),
                    format_args!("had {} links, has {right}", fact.links),
                );
            }
        }
        Ok(())
    }
}
