// SPDX-License-Identifier: GPL-2.0

//! Pruning a tree in place: what cannot be read or does not belong there goes, the rest stays as it is.
//!
//! ```text
//!     level 1   [ 0 | 210 | 700 ]                  [ 0 | 700 ]
//!                 |    |     |          --->         |    |
//!     level 0   [..]  ????  [..]                   [..]  [..]
//! ```
//!
//! Nothing is allocated for that, which would not be possible as long as nobody knows what is free. A node
//! that several trees share is pruned once and for all of them. A node that says that it is what
//! belongs there, in this place of this volume, but has a bad checksum, is looked at record by record.
//!
//! A separator that is wrong would hide what is right below it: what counts is where the next child that can
//! be read really begins, if that lies between the separators around it; or whatever these say, if they are out of
//! order. But where the next child begins inside this one, which ends before the separator, it is two to one against
//! the next.
//!
//! A pointer that is wrong may lead to a node that is right, but elsewhere. Such a node is not to be judged by
//! this place: only the pointer goes.
//!
//! What is left of a damaged node was cut to where it was met first. If its next place ends earlier it is cut again;
//! a sound one does not belong there.

use std::collections::BTreeMap;

use cowfs_core::block::Block;
use cowfs_core::btree::node::{self, Branch};
use cowfs_core::btree::{Array, Fixed, Layout, Record};
use cowfs_core::error::Error;
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::FsBlock;
use cowfs_image::overlay::Buf;

use super::order::ascending;
use super::Repair;
use crate::check::tree::Range;
use crate::report::Subject;

/// What is below a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The node's own first key, which above the leaves may be before that of the first record.
    pub key: u64,
    /// The first key of a record.
    pub first: u64,
    /// Where the last record ends.
    pub end: u64,
    /// Blocks of data and of nodes.
    pub blocks: u64,
    /// Whether no node was damaged.
    pub sound: bool,
}

/// Answers what is special about a sort of tree.
pub trait Visitor {
    /// The kind of its nodes.
    const KIND: Kind;

    /// Whom messages are about.
    fn who(&self) -> Subject;

    /// Whether a node with this header belongs to the tree.
    fn owns(&mut self, buf: &Buf) -> bool;

    /// A node is met. If it was before, what is left of it (which need not fit in the place), and whether
    /// it may be here at all.
    fn enter(&mut self, repair: &mut Repair<'_>, at: FsBlock) -> Enter;

    /// Whether the node at a place, where nothing was met yet, is a sound one that belongs elsewhere.
    fn is_strange(&mut self, _repair: &mut Repair<'_>, _place: &Place) -> bool {
        false
    }

    /// Where the last record below a child ends, which is on `level`, if a child that ends beyond its place loses
    /// what lies there.
    fn end(&self, _repair: &Repair<'_>, _child: FsBlock, _level: usize) -> Option<u64> {
        None
    }

    /// What is to be left of a leaf; `sound` if it passes all that is checked when it is read.
    fn leaf(
        &mut self,
        repair: &mut Repair<'_>,
        buf: &Buf,
        sound: bool,
        range: Range,
    ) -> Option<Span>;

    /// The node at `at`, which was not met before, is done.
    fn leave(&mut self, repair: &mut Repair<'_>, at: FsBlock, level: usize, span: Option<Span>);
}

/// What [`Visitor::enter`] says.
pub enum Enter {
    /// Never seen.
    New,
    /// Seen at this level.
    Known(usize, Option<Span>),
    /// Something else has it.
    Foreign,
}

/// The place of a node in its tree.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub at: FsBlock,
    pub level: usize,
    pub range: Range,
    /// What points there has a right checksum.
    pub trusted: bool,
    /// The owner of what points there.
    pub owner: u64,
}

impl Repair<'_> {
    /// Reads the metadata block `at` of kind `kind`; also whether it is sound. One that is not has at
    /// least the right magic, address and UUID.
    pub(super) fn load(&self, at: FsBlock, kind: Kind) -> Option<(Buf, bool)> {
        if let Ok(buf) = self.overlay.read(at, kind) {
            return Some((buf, true));
        }
        let buf = match self.overlay.read_any(at) {
            Ok(buf) => buf,
            Err(error) => {
                if matches!(error, Error::Io(_)) {
                    self.unread.borrow_mut().insert(at);
                }
                return None;
            }
        };
        let mut uuid = [0; 16];
        buf.load(header::UUID, &mut uuid);
        let same = buf.u32(header::MAGIC) == kind.magic()
            && buf.u64(header::ADDRESS) == at.0
            && uuid == self.geometry.uuid;
        same.then_some((buf, false))
    }

    /// Prunes what is below a node; returns what is left, if anything is.
    pub(super) fn prune<V: Visitor>(&mut self, visitor: &mut V, place: Place) -> Option<Span> {
        let Place {
            at, level, range, ..
        } = place;
        let name = V::KIND.name();
        let who = visitor.who();
        if !self.geometry.in_one_group(at, 1) {
            self.lost(who, format_args!("{name} {at} cannot be: removed"));
            return None;
        }
        match visitor.enter(self, at) {
            Enter::New => {}
            Enter::Foreign => {
                self.lost(
                    who,
                    format_args!("{name} {at}: the block is something else: removed"),
                );
                return None;
            }
            Enter::Known(there, span) => {
                let span = span?;
                let begins = there == level && span.key >= range.from;
                if begins && span.end <= range.to {
                    return Some(span);
                }
                if !begins || span.sound || !place.trusted || span.first >= range.to {
                    self.lost(
                        who,
                        format_args!("{name} {at}: belongs in another place: removed"),
                    );
                    return None;
                }
                let left = self.prune_inside(visitor, place);
                let left = left.map(|span| Span {
                    sound: false,
                    ..span
                });
                visitor.leave(self, at, level, left);
                return left;
            }
        }
        if visitor.is_strange(self, &place) {
            self.lost(
                who,
                format_args!("{name} {at}: belongs in another place: removed"),
            );
            self.usage.release(at);
            return None;
        }
        let span = self.prune_inside(visitor, place);
        visitor.leave(self, at, level, span);
        span
    }

    fn prune_inside<V: Visitor>(&mut self, visitor: &mut V, place: Place) -> Option<Span> {
        let Place {
            at, level, range, ..
        } = place;
        let name = V::KIND.name();
        let who = visitor.who();
        let loaded = self.load(at, V::KIND);
        let Some((buf, sound)) = loaded.filter(|(buf, _)| visitor.owns(buf)) else {
            self.lost(who, format_args!("{name} {at}: unreadable: removed"));
            return None;
        };
        if node::level(&buf) != level {
            self.lost(
                who,
                format_args!(
                    "{name} {at}: of level {} where {level} belongs: removed",
                    node::level(&buf)
                ),
            );
            return None;
        }
        if !sound {
            self.lost(
                who,
                format_args!("{name} {at}: damaged: what makes sense in it is kept"),
            );
            self.touch(&buf);
        }
        if level == 0 {
            let left = visitor.leaf(self, &buf, sound, range);
            return left.map(|span| Span { sound, ..span });
        }
        let Some(old) = records::<Branch>(&buf) else {
            self.lost(
                who,
                format_args!("{name} {at}: nobody knows how much of it counts: removed"),
            );
            return None;
        };
        let ascend = old
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.key < b.key));
        let branches = match sound || ascend {
            true => old.clone(),
            false => self.orderly::<V>(&old, level - 1),
        };
        // Of a damaged node no separator is to be believed by itself: to what can be read counts only where what can
        // be read begins.
        let counts = |branch: &Branch| sound || self.begin::<V>(branch, level - 1).is_some();
        let readable: Vec<Branch> = branches.iter().copied().filter(counts).collect();
        let mut kept: Vec<Branch> = Vec::with_capacity(branches.len());
        let mut span: Option<Span> = None;
        for (n, mut branch) in branches.iter().copied().enumerate() {
            let from = span.map_or(range.from, |span| span.end);
            let is_readable = readable.binary_search_by_key(&branch.key, |it| it.key);
            let others = if is_readable.is_ok() {
                &readable
            } else {
                &branches
            };
            let after = others.partition_point(|it| it.key <= branch.key);
            let to = others.get(after).map_or(range.to, |next| {
                let above = if n == 0 { from } else { branch.key };
                let begin = |of: &Branch| self.begin::<V>(of, level - 1).unwrap_or(of.key);
                let below = others.get(after + 1).map_or(range.to, |last| match sound {
                    true => last.key,
                    false => last.key.max(begin(last)),
                });
                let begin = begin(next);
                let is_inside = || {
                    let end = visitor.end(self, branch.child, level - 1);
                    end.is_some_and(|end| begin < end && end <= next.key)
                };
                match above < begin && begin < below && begin != next.key && !is_inside() {
                    true => begin,
                    false => next.key,
                }
            });
            let child = Place {
                at: branch.child,
                level: level - 1,
                range: Range {
                    from,
                    to: to.max(from).min(range.to),
                },
                trusted: sound,
                owner: buf.u64(header::OWNER),
            };
            let Some(below) = self.prune(visitor, child) else {
                continue;
            };
            if kept.is_empty() {
                branch.key = branch.key.min(below.key).max(from);
            } else if branch.key < from || branch.key > below.key {
                branch.key = below.key;
            }
            kept.push(branch);
            span = Some(Span {
                key: span.map_or(branch.key, |span| span.key),
                first: span.map_or(below.first, |span| span.first),
                end: below.end,
                blocks: span.map_or(1, |span| span.blocks) + below.blocks,
                sound: sound && below.sound && span.is_none_or(|span| span.sound),
            });
        }
        if kept != old {
            self.rewrite(&buf, &kept);
        }
        span
    }

    /// The records of a node to be believed.
    pub(super) fn believed<R: Fixed>(&self, records: &[R], sound: bool) -> Vec<R> {
        if sound {
            return records.to_vec();
        }
        let keys: Vec<u64> = records.iter().map(Record::key).collect();
        let kept = ascending(&keys);
        kept.into_iter()
            .filter_map(|n| records.get(n).copied())
            .collect()
    }

    /// Branches in order: of those whose children, on `level`, can be read as many as there can be, by where these begin,
    /// and of others as many as fit between them.
    fn orderly<V: Visitor>(&self, old: &[Branch], level: usize) -> Vec<Branch> {
        let begins: Vec<(usize, u64)> = (0..)
            .zip(old)
            .filter_map(|(n, branch)| Some((n, self.begin::<V>(branch, level)?)))
            .collect();
        let keys: Vec<u64> = begins.iter().map(|(_, key)| *key).collect();
        let kept = ascending(&keys).into_iter();
        let sure: BTreeMap<usize, u64> = kept.filter_map(|n| begins.get(n).copied()).collect();
        let readable: BTreeMap<usize, u64> = begins.into_iter().collect();
        let mut branches: Vec<Branch> = Vec::with_capacity(old.len());
        let mut others: Vec<Branch> = Vec::new();
        let mut above = None;
        for (n, branch) in old.iter().enumerate() {
            if let Some(&key) = sure.get(&n) {
                branches.append(&mut self.believed(&others, false));
                others.clear();
                branches.push(Branch { key, ..*branch });
                above = Some(key);
                continue;
            }
            let below = sure.range(n..).next().map(|(_, key)| *key);
            let fits = above.is_none_or(|above| above < branch.key)
                && below.is_none_or(|below| branch.key < below);
            if fits && !readable.contains_key(&n) {
                others.push(*branch);
            }
        }
        branches.append(&mut self.believed(&others, false));
        branches
    }

    /// Where the keys below a branch begin: with the first record there, or else where the node says that can be read.
    /// `None` if not even the child can be read.
    fn begin<V: Visitor>(&self, branch: &Branch, level: usize) -> Option<u64> {
        let child = self.overlay.read(branch.child, V::KIND);
        if let Err(Error::Io(at)) = child {
            self.unread.borrow_mut().insert(at);
        }
        let buf = child
            .ok()
            .filter(|buf| node::level(buf) == level && node::count(buf) > 0)?;
        if level == 0 {
            return Some(first_key(&buf, V::KIND));
        }
        let first: Branch = Array::get(&buf, 0);
        Some(self.begin::<V>(&first, level - 1).unwrap_or(first.key))
    }

    /// Has a block written again, with a right checksum if nothing else.
    pub(super) fn touch(&mut self, buf: &Buf) {
        // The overlay takes any block.
        let _ = self.overlay.modify(buf);
    }

    /// Replaces the records of a node.
    pub(super) fn rewrite<R: Fixed>(&mut self, buf: &Buf, records: &[R]) {
        self.touch(buf);
        for (n, record) in records.iter().enumerate() {
            record.store(buf, Array::<R>::place(buf, n));
        }
        node::set_count(buf, records.len());
    }
}

/// The records of a node whose number of records can be; `None` if it cannot.
pub fn records<R: Fixed>(buf: &Buf) -> Option<Vec<R>> {
    let count = node::count(buf);
    let possible = (1..=Array::<R>::capacity(buf.size())).contains(&count);
    possible.then(|| (0..count).map(|n| Array::<R>::get(buf, n)).collect())
}

/// The first key of a sound node.
pub fn first_key(buf: &Buf, kind: Kind) -> u64 {
    match kind {
        Kind::Directory if node::level(buf) == 0 => buf.u64(usize::from(buf.u16(header::SIZE))),
        _ => buf.u64(header::SIZE),
    }
}
