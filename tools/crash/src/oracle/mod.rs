// SPDX-License-Identifier: GPL-2.0

//! What may be there after a crash at some point, from what was done and acknowledged before it.
//!
//! An operation is in one of four states. *Under way*: it may have happened or not. *Returned*: all others see
//! it, but a crash may still undo it. *Durable*: something that promises so returned. *Failed*.
//!
//! - A **block** ([`mod@file`]) may hold what the last durable operation put there, or what any later one did; each
//!   block for itself, except that a clone of a whole file happened for all blocks or for none.
//! - **Names** ([`names`]) of one actor are as they were after one of its operations, not before the last
//!   durable one: operations on names are atomic, and the journal keeps their order.
//! - What an fsync of a file made durable implies its names; a write that is durable implies that the
//!   file was made.

pub mod file;
pub mod names;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::trace::{Actor, Event, Kind, Object, Op, OpNumber, Trace};
use file::{File, Value};
use names::Domain;

/// What may be there.
#[derive(Debug)]
pub struct Oracle<'a> {
    trace: &'a Trace,
    block_size: u64,
    next: usize,
    files: HashMap<Object, File>,
    domains: BTreeMap<Actor, Domain>,
    /// Clones under way, with their sources.
    copying: Vec<OpNumber>,
    /// Operations on contents that returned and are not durable, by file, oldest first.
    unsettled: HashMap<Object, Vec<OpNumber>>,
    tops: BTreeMap<Actor, Vec<Object>>,
    /// Operations that are durable.
    pub settled: usize,
}

impl<'a> Oracle<'a> {
    /// Before anything was done, on a volume with blocks of `block_size` bytes.
    pub fn new(trace: &'a Trace, block_size: u64) -> Oracle<'a> {
        Oracle {
            trace,
            block_size,
            next: 0,
            files: HashMap::new(),
            domains: BTreeMap::new(),
            copying: Vec::new(),
            unsettled: HashMap::new(),
            tops: names::tops(trace),
            settled: 0,
        }
    }

    /// Takes in what happened before entry `end` of the log.
    pub fn advance(&mut self, end: usize) {
        while let Some((at, event)) = self.trace.events.get(self.next) {
            if *at >= end {
                break;
            }
            self.next += 1;
            match event {
                Event::Begin(op) => self.begin(&self.trace.ops[op]),
                Event::End(op) => self.end(&self.trace.ops[op]),
            }
        }
    }

    /// The actors, the directories that are theirs, and what their names may be.
    pub fn domains(&self) -> impl Iterator<Item = (&[Object], &Domain)> {
        self.domains.iter().map(|(actor, domain)| {
            let tops = self.tops.get(actor).map_or(&[][..], Vec::as_slice);
            (tops, domain)
        })
    }

    /// Directories in which others than their maker make names.
    pub fn all_tops(&self) -> HashSet<Object> {
        self.tops.values().flatten().copied().collect()
    }

    /// What the contents of a file may be; nothing was ever written to it if there is no answer.
    pub fn file(&self, object: Object) -> Option<&File> {
        self.files.get(&object)
    }

    /// The inodes of objects.
    pub fn inodes(&self) -> &HashMap<Object, u64> {
        &self.trace.inodes
    }

    fn file_mut(&mut self, object: Object) -> &mut File {
        self.files.entry(object).or_default()
    }

    fn begin(&mut self, op: &Op) {
        let size = self.block_size;
        match &op.kind {
            Kind::Write(object, blocks, _) => {
                for block in blocks.first..blocks.end() {
                    let value = Value::Written {
                        op: op.number,
                        block,
                    };
                    self.file_mut(*object).put(op.number, block, &[value]);
                    self.overheard(*object, block, value);
                }
                let real = op.extends_to(*blocks);
                let file = self.file_mut(*object);
                file.size.write(op.number, blocks.end() * size, real * size);
            }
            Kind::Zero(object, blocks) => {
                for block in blocks.first..blocks.end() {
                    self.file_mut(*object).put(op.number, block, &[Value::Zero]);
                    self.overheard(*object, block, Value::Zero);
                }
            }
            Kind::Truncate(object, blocks) => {
                let file = self.file_mut(*object);
                for block in file.known_from(*blocks) {
                    file.put(op.number, block, &[Value::Zero]);
                }
                file.size.set(op.number, blocks * size);
            }
            Kind::Clone(to, from) => {
                let (blocks, bytes) = match self.files.get(from) {
                    Some(file) => (file.now(), file.size.now()),
                    None => (BTreeMap::new(), 0),
                };
                let file = self.file_mut(*to);
                file.atomic(op.number);
                // What the source has no block of are holes.
                for block in file.known_from(0) {
                    if block < bytes.div_ceil(size) && !blocks.contains_key(&block) {
                        file.put(op.number, block, &[Value::Zero]);
                    }
                }
                for (block, values) in blocks {
                    file.put(op.number, block, &values);
                }
                file.size.clone_to(op.number, bytes, bytes);
                self.copying.push(op.number);
            }
            Kind::Range(to, blocks, from, start) => {
                let from = self.files.get(from);
                let mut copy = Vec::new();
                for n in 0..blocks.len {
                    let values = match from {
                        Some(file) => file.now_at(start.saturating_add(n)),
                        None => vec![Value::Zero],
                    };
                    copy.push((blocks.first.saturating_add(n), values));
                }
                let file = self.file_mut(*to);
                for (block, values) in copy {
                    file.put(op.number, block, &values);
                }
                let real = op.extends_to(*blocks);
                file.size
                    .clone_to(op.number, blocks.end() * size, real * size);
                self.copying.push(op.number);
            }
            Kind::Link(..) | Kind::Unlink(_) | Kind::Rename(..) | Kind::Exchange(..) => {
                self.domains.entry(op.actor).or_default().begin(op);
            }
            Kind::Start | Kind::Sync(..) | Kind::SyncAll => {}
        }
    }

    /// `value` is being written to a block while it may be cloned: the clones may have it.
    fn overheard(&mut self, object: Object, block: u64, value: Value) {
        for copy in &self.copying {
            match &self.trace.ops[copy].kind {
                Kind::Clone(to, from) if *from == object => {
                    if let Some(file) = self.files.get_mut(to) {
                        file.add(*copy, block, value);
                    }
                }
                Kind::Range(to, blocks, from, start) if *from == object => {
                    let at = block
                        .checked_sub(*start)
                        .filter(|n| *n < blocks.len)
                        .and_then(|n| blocks.first.checked_add(n));
                    if let (Some(at), Some(file)) = (at, self.files.get_mut(to)) {
                        file.add(*copy, at, value);
                    }
                }
                _ => {}
            }
        }
    }

    fn end(&mut self, op: &Op) {
        self.copying.retain(|copy| *copy != op.number);
        match &op.kind {
            Kind::Write(object, ..)
            | Kind::Zero(object, _)
            | Kind::Truncate(object, _)
            | Kind::Clone(object, _)
            | Kind::Range(object, ..) => {
                let end = match &op.kind {
                    Kind::Write(_, blocks, _) | Kind::Range(_, blocks, ..) => {
                        Some(op.extends_to(*blocks)).filter(|end| *end < blocks.end())
                    }
                    _ => None,
                };
                let failed = op.failed() || end == Some(0);
                let size = self.block_size;
                let file = self.file_mut(*object);
                if let Some(end) = end.filter(|_| !failed) {
                    file.fall_short(op.number, end, end * size);
                }
                file.returned(op.number, failed);
                if failed {
                    // Some of it may be there, for ever: nobody promised anything.
                    return;
                }
                if matches!(op.kind, Kind::Write(_, _, true)) {
                    self.settle(op.number, *object);
                } else {
                    self.unsettled.entry(*object).or_default().push(op.number);
                }
            }
            Kind::Sync(..) | Kind::SyncAll if op.failed() => {}
            Kind::Sync(object, all) => {
                self.settle_before(*object, op.began);
                if *all {
                    for domain in self.domains.values_mut() {
                        domain.settle_names_of(*object, op.began);
                    }
                }
            }
            Kind::SyncAll => {
                let objects: Vec<Object> = self.unsettled.keys().copied().collect();
                for object in objects {
                    self.settle_before(object, op.began);
                }
                for domain in self.domains.values_mut() {
                    domain.settle_all(op.began);
                }
            }
            Kind::Start
            | Kind::Link(..)
            | Kind::Unlink(_)
            | Kind::Rename(..)
            | Kind::Exchange(..) => {}
        }
    }

    /// What returned to the file's writers before entry `before` is durable.
    fn settle_before(&mut self, object: Object, before: usize) {
        let ops = self.unsettled.remove(&object).unwrap_or_default();
        let (mut done, rest): (Vec<_>, Vec<_>) = ops.into_iter().partition(|op| {
            let ended = self.trace.ops[op].ended;
            ended.is_some_and(|(at, _)| at < before)
        });
        // Whoever writes a block twice does one after the other.
        done.sort_by_key(|op| self.trace.ops[op].began);
        for op in done {
            self.settle(op, object);
        }
        if !rest.is_empty() {
            self.unsettled.insert(object, rest);
        }
    }

    fn settle(&mut self, op: OpNumber, object: Object) {
        self.settled += 1;
        self.file_mut(object).settle(op);
        for domain in self.domains.values_mut() {
            domain.settle_making_of(object);
        }
    }
}
