// SPDX-License-Identifier: GPL-2.0

//! What names may be there: those after one of the actor's operations, not before the last durable one.
//!
//! ```text
//!   durable names   | link a | rename a b | unlink c | link d     begun since, in order
//!                   0        1            2          3       4    the states that may be found
//! ```
//!
//! Every state is the one before with one or two names changed, so the states are told from what was found by the
//! number of names in which they differ, kept from state to state.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::trace::{Actor, Kind, Name, Object, Op, Trace};

/// Names as they are found: directory's inode and entry, and the inode it names.
pub type Found = BTreeMap<(u64, String), u64>;
/// Names and the objects they name.
pub type Names = BTreeMap<Name, Object>;

/// For each actor the directories made by somebody else in which it makes names.
pub fn tops(trace: &Trace) -> BTreeMap<Actor, Vec<Object>> {
    let mut makers = HashMap::from([(0, None)]);
    for op in trace.ops.values() {
        if let Kind::Link(_, object) = &op.kind {
            // The first name is its maker's.
            let first = makers.entry(*object).or_insert(Some((op.began, op.actor)));
            if first.is_some_and(|(began, _)| op.began < began) {
                *first = Some((op.began, op.actor));
            }
        }
    }
    let mut tops: BTreeMap<Actor, BTreeSet<Object>> = BTreeMap::new();
    for op in trace.ops.values() {
        let dirs = match &op.kind {
            Kind::Link(name, _) | Kind::Unlink(name) => vec![name.dir],
            Kind::Rename(from, to) | Kind::Exchange(from, to) => vec![from.dir, to.dir],
            _ => continue,
        };
        for dir in dirs {
            let maker = makers.get(&dir).copied().flatten();
            if maker.is_none_or(|(_, actor)| actor != op.actor) {
                tops.entry(op.actor).or_default().insert(dir);
            }
        }
    }
    tops.into_iter()
        .map(|(actor, dirs)| (actor, dirs.into_iter().collect()))
        .collect()
}

/// An operation on names.
#[derive(Clone, Debug)]
struct Change {
    /// Where in the log it returns.
    ended: usize,
    /// The names it changes and what they name then.
    names: Vec<(Name, Option<Object>)>,
    /// What it is about: files and directories.
    objects: Vec<Object>,
}

/// The names of one actor.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    durable: Names,
    later: VecDeque<Change>,
    /// All names as they are once everything that began has returned.
    last: Names,
}

impl Domain {
    /// An operation begins.
    pub fn begin(&mut self, op: &Op) {
        if op.failed() {
            return;
        }
        let of = |name: &Name| self.last.get(name).copied();
        let names = match &op.kind {
            Kind::Link(name, object) => vec![(name.clone(), Some(*object))],
            Kind::Unlink(name) => vec![(name.clone(), None)],
            Kind::Rename(from, to) => vec![(from.clone(), None), (to.clone(), of(from))],
            Kind::Exchange(a, b) => vec![(a.clone(), of(b)), (b.clone(), of(a))],
            _ => Vec::new(),
        };
        let mut objects = Vec::new();
        for (name, object) in &names {
            objects.push(name.dir);
            objects.extend(of(name));
            objects.extend(object);
        }
        apply(&mut self.last, &names);
        self.later.push_back(Change {
            ended: op.ended.map_or(usize::MAX, |(at, _)| at),
            names,
            objects,
        });
    }

    /// All that returned before entry `before` of the log is durable.
    pub fn settle_all(&mut self, before: usize) {
        self.settle(|change| change.ended < before);
    }

    /// All up to the last operation about `object` that returned before entry `before` is durable.
    pub fn settle_names_of(&mut self, object: Object, before: usize) {
        self.settle(|change| change.ended < before && change.objects.contains(&object));
    }

    /// The object has durable contents, so it was made.
    pub fn settle_making_of(&mut self, object: Object) {
        if self.durable.values().any(|named| *named == object) {
            return;
        }
        let makes = |change: &Change| change.names.iter().any(|(_, named)| *named == Some(object));
        // The first of its names: it may have got others since.
        if let Some(at) = self.later.iter().position(makes) {
            self.settle_to(at);
        }
    }

    fn settle(&mut self, which: impl Fn(&Change) -> bool) {
        if let Some(last) = self.later.iter().rposition(which) {
            self.settle_to(last);
        }
    }

    fn settle_to(&mut self, last: usize) {
        for change in self.later.drain(..=last) {
            apply(&mut self.durable, &change.names);
        }
    }

    /// The states that are what was found, given the inodes of objects.
    ///
    /// # Errors
    ///
    /// If there is none: how what was found differs from the durable state.
    pub fn matches(
        &self,
        found: &Found,
        inodes: &HashMap<Object, u64>,
    ) -> Result<Vec<Names>, String> {
        // 0, which nothing has, if it was never told.
        let inode = |object: Object| inodes.get(&object).copied().unwrap_or(0);
        let key = |name: &Name| (inode(name.dir), name.name.clone());
        let mut names = self.durable.clone();
        let expected: Found = names
            .iter()
            .map(|(name, object)| (key(name), inode(*object)))
            .collect();
        let mut wrong: BTreeSet<(u64, String)> = BTreeSet::new();
        for (key, inode) in &expected {
            if found.get(key) != Some(inode) {
                wrong.insert(key.clone());
            }
        }
        for key in found.keys() {
            if !expected.contains_key(key) {
                wrong.insert(key.clone());
            }
        }
        let first = wrong.clone();
        let mut states = Vec::new();
        if wrong.is_empty() {
            states.push(names.clone());
        }
        for change in &self.later {
            apply(&mut names, &change.names);
            for (name, object) in &change.names {
                let key = key(name);
                let expected = object.map(inode);
                if found.get(&key).copied() == expected {
                    wrong.remove(&key);
                } else {
                    wrong.insert(key);
                }
            }
            if wrong.is_empty() {
                states.push(names.clone());
            }
        }
        if !states.is_empty() {
            return Ok(states);
        }
        let some: Vec<String> = first
            .iter()
            .take(4)
            .map(|key| {
                let is = |inode: Option<&u64>| inode.map_or("nothing".to_owned(), u64::to_string);
                format!(
                    "{:?} in directory {} is {}, durable {}",
                    key.1,
                    key.0,
                    is(found.get(key)),
                    is(expected.get(key))
                )
            })
            .collect();
        Err(format!(
            "names are as after none of the {} operations that may be undone; of {} names that differ \
             from the durable state: {}",
            self.later.len(),
            first.len(),
            some.join("; ")
        ))
    }
}

fn apply(names: &mut Names, changes: &[(Name, Option<Object>)]) {
    for (name, object) in changes {
        match object {
            Some(object) => names.insert(name.clone(), *object),
            None => names.remove(name),
        };
    }
}
