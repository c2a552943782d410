// SPDX-License-Identifier: GPL-2.0

//! The choice of a group: what it costs on a large volume, and that hints never hide room.

use super::volume;
use cowfs_core::block::Block;
use cowfs_core::error::{Error, Result};
use cowfs_core::format;
use cowfs_core::mem::{Buf, MemStore};
use cowfs_core::ondisk::{group, summary, Geometry, Kind};
use cowfs_core::space::{self, GroupState, Hints, Purpose};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgNumber, FsBlock};
use std::cell::{Cell, RefCell};

/// Counts what a search looks at, and does something behind its back.
struct Watched<'a> {
    store: &'a MemStore,
    summaries: Cell<u32>,
    groups: RefCell<Vec<AgNumber>>,
    behind: Option<&'a dyn Fn(AgNumber)>,
}

impl<'a> Watched<'a> {
    fn new(store: &'a MemStore) -> Self {
        Watched {
            store,
            summaries: Cell::new(0),
            groups: RefCell::default(),
            behind: None,
        }
    }
}

impl Reader for Watched<'_> {
    type Buf = Buf;

    fn geometry(&self) -> &Geometry {
        self.store.geometry()
    }

    fn hints(&self) -> &Hints {
        self.store.hints()
    }

    fn read(&self, at: FsBlock, kind: Kind) -> Result<Buf> {
        if kind == Kind::Summary {
            self.summaries.set(self.summaries.get() + 1);
        }
        self.store.read(at, kind)
    }

    fn is_on_disk(&self, id: u64) -> bool {
        self.store.is_on_disk(id)
    }

    fn in_group<R>(
        &self,
        ag: AgNumber,
        f: impl FnOnce(&Self, &mut GroupState) -> Result<R>,
    ) -> Result<R> {
        self.groups.borrow_mut().push(ag);
        let done = self.store.in_group(ag, |_, state| f(self, state));
        if let Some(behind) = self.behind {
            behind(ag);
        }
        done
    }
}

/// Makes groups `[0, full)` full, without the work of filling them.
fn fill(store: &MemStore, full: u32) {
    let geometry = store.geometry();
    let mut tx = store.begin_unlimited();
    for ag in (0..full).map(AgNumber) {
        let (at, byte) = summary::place(geometry, ag);
        let buf = tx.read(at, Kind::Summary).unwrap();
        let header = match buf.u8(byte) {
            summary::UNUSED => tx.create(geometry.group_start(ag), Kind::Group, 0),
            _ => tx.read(geometry.group_start(ag), Kind::Group),
        };
        let header = header.unwrap();
        tx.modify(&header).unwrap();
        header.set_u32(group::BLOCKS, geometry.group_len(ag));
        header.set_u32(group::FREE, 0);
        for at in (group::BITMAP..geometry.block_size()).step_by(8) {
            header.set_u64(at, u64::MAX);
        }
        tx.modify(&buf).unwrap();
        buf.set_u8(byte, summary::class(0));
    }
    // As after a mount, but it must not be taken for a crash.
    tx.commit().unwrap();
    store.forget_groups(true);
}

#[test]
fn full_groups_are_passed_by_without_looking() {
    let plan = format::plan(16 << 40, 4096, None).unwrap();
    let store = MemStore::new(plan.geometry().unwrap()).unwrap();
    store.run(|tx| format::write(tx, 0)).unwrap();
    let geometry = store.geometry();
    assert!(geometry.ag_count > 130_000);
    // Three summary blocks' worth of full groups, and some.
    let full = 3 * geometry.groups_per_summary() + 100;
    fill(&store, full);

    let goal = |ag| geometry.group_start(AgNumber(ag)).add(77);
    let stage = |goal, summaries, groups| {
        let watched = Watched::new(&store);
        let (at, len) = space::stage(&watched, goal, 32).unwrap();
        assert_eq!(len, 32);
        let ag = geometry.locate(at).unwrap().0;
        assert!(ag.0 >= full);
        assert!(
            watched.summaries.get() <= summaries,
            "{}",
            watched.summaries.get()
        );
        assert!(watched.groups.borrow().len() <= groups);
        ag
    };
    // The first search looks at the summary, once; the next ones remember.
    let first = stage(goal(5), 4, 3);
    for _ in 0..10 {
        assert_eq!(stage(goal(5), 0, 2), first);
    }
    // From another place, where nothing is remembered, whole summary blocks are skipped.
    stage(goal(6), 1, 3);
    stage(goal(geometry.groups_per_summary() + 7), 1, 3);
}

/// Takes all room of the volume and returns the runs.
fn take_all(store: &MemStore) -> Vec<(FsBlock, u32)> {
    let mut all = Vec::new();
    loop {
        match space::stage(store, FsBlock(0), 1000) {
            Ok(run) => all.push(run),
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                return all;
            }
        }
    }
}

#[test]
fn a_block_given_back_behind_a_search_is_found() {
    let store = volume(1024, 64, 4, 0);
    let all = take_all(&store);
    // How often a search that finds nothing asks the last group.
    let asked = Watched::new(&store);
    assert_eq!(space::stage(&asked, FsBlock(0), 1), Err(Error::NoSpace));
    let asked = asked.groups.into_inner();
    assert_eq!(asked.last(), Some(&AgNumber(3)));
    let times = asked.iter().filter(|ag| ag.0 == 3).count();
    // When it does so for the last time, somebody gives a block of the first group back.
    let mut runs = all.iter().map(|run| run.0);
    let first = runs.find(|&at| store.geometry().locate(at).unwrap().0 == AgNumber(0));
    let seen = Cell::new(0);
    let behind = |ag: AgNumber| {
        seen.set(seen.get() + usize::from(ag.0 == 3));
        if ag.0 == 3 && seen.get() == times {
            space::unstage(&store, first.unwrap(), 1).unwrap();
        }
    };
    let mut watched = Watched::new(&store);
    watched.behind = Some(&behind);
    let (at, len) = space::stage(&watched, FsBlock(0), 1).unwrap();
    let group = store.geometry().locate(at).unwrap().0;
    assert_eq!((group, len), (AgNumber(0), 1));
    assert_eq!(seen.get(), times);
}

#[test]
fn a_search_that_is_always_disturbed_ends() {
    let store = volume(1024, 64, 2, 0);
    take_all(&store);
    let behind = |_| store.hints().given_back();
    let mut watched = Watched::new(&store);
    watched.behind = Some(&behind);
    assert_eq!(space::stage(&watched, FsBlock(0), 1), Err(Error::NoSpace));
}

#[test]
fn what_is_freed_is_found_though_hints_said_there_was_nothing() {
    let store = volume(1024, 64, 4, 0);
    let start = store.geometry().group_start(AgNumber(2));
    let (at, len) = store
        .run(|tx| space::alloc(tx, start, 20, Purpose::Data))
        .unwrap();
    let rest = take_all(&store);
    let commit = |&(at, len): &(FsBlock, u32)| {
        store.run(|tx| space::commit_staged(tx, at, len)).unwrap();
    };
    rest.iter().for_each(commit);
    // Now the summary says that all is full, and the hints have seen it.
    assert_eq!(space::stage(&store, FsBlock(0), 1), Err(Error::NoSpace));
    store.run(|tx| space::free(tx, at, len)).unwrap();
    let watched = Watched::new(&store);
    // A goal for which nothing is remembered.
    let goal = store.geometry().group_start(AgNumber(1));
    let (found, found_len) = space::stage(&watched, goal, 10).unwrap();
    let geometry = store.geometry();
    assert_eq!(found_len, 10);
    assert_eq!(geometry.locate(found).unwrap().0, AgNumber(2));
    // By way of the summary, not by asking everybody.
    let groups = watched.groups.into_inner();
    assert_eq!(groups.iter().filter(|ag| ag.0 == 1).count(), 1);
}
