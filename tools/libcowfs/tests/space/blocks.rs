// SPDX-License-Identifier: GPL-2.0

//! Staging, committing, allocating and freeing, against an array of block states.

use super::{census, volume};
use cowfs_core::error::Error;
use cowfs_core::mem::{MemStore, MemTx};
use cowfs_core::ondisk::{group, header, Kind};
use cowfs_core::space::{self, credits, Purpose};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgNumber, FsBlock};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Staged,
    Used,
    Pending,
}

#[derive(Clone, Debug)]
enum Op {
    Stage(u64, u32),
    Unstage(usize, u32),
    Commit(usize, u32),
    Alloc(u64, u32),
    Node(u64),
    Free(usize, u32),
    End,
    Crash,
    Forget,
}

fn op() -> impl Strategy<Value = Op> {
    let want = prop_oneof![1u32..4, 1u32..40, 1u32..300];
    let part = 1u32..50;
    prop_oneof![
        8 => (0u64..700, want.clone()).prop_map(|(goal, want)| Op::Stage(goal, want)),
        3 => (any::<usize>(), part.clone()).prop_map(|(n, len)| Op::Unstage(n, len)),
        6 => (any::<usize>(), part.clone()).prop_map(|(n, len)| Op::Commit(n, len)),
        5 => (0u64..700, want).prop_map(|(goal, want)| Op::Alloc(goal, want)),
        2 => (0u64..700).prop_map(Op::Node),
        6 => (any::<usize>(), part).prop_map(|(n, len)| Op::Free(n, len)),
        3 => Just(Op::End),
        1 => Just(Op::Crash),
        2 => Just(Op::Forget),
    ]
}

/// What the volume should be: blocks not in the map are free.
struct Model<'a> {
    store: &'a MemStore,
    tx: Option<MemTx<'a>>,
    blocks: BTreeMap<FsBlock, State>,
    /// What was used on disk when the transaction began.
    before: BTreeSet<FsBlock>,
    /// Room of the volume when nothing is staged or used.
    room: u64,
}

impl<'a> Model<'a> {
    fn new(store: &'a MemStore) -> Self {
        let free = store.volume(|volume| volume.free).unwrap();
        Model {
            store,
            tx: None,
            blocks: BTreeMap::new(),
            before: BTreeSet::new(),
            room: free - space::total_reserve(store.geometry()),
        }
    }

    fn of(&self, state: State) -> BTreeSet<FsBlock> {
        let of = self.blocks.iter().filter(|(_, &is)| is == state);
        of.map(|(&at, _)| at).collect()
    }

    /// Blocks that whoever asks must find.
    fn left(&self) -> u64 {
        self.room - self.blocks.len() as u64
    }

    /// A run of at most `len` blocks in `state`, in one group, the `n`th of those there are.
    fn run(&self, state: State, n: usize, len: u32) -> Option<(FsBlock, u32)> {
        let of = self.of(state);
        let first = *of.iter().nth(n.checked_rem(of.len())?)?;
        let fits = |&len: &u32| self.store.geometry().in_one_group(first, len);
        let all = |&len: &u32| (0..len).all(|i| of.contains(&first.add(u64::from(i))));
        let len = (1..=len).take_while(|len| fits(len) && all(len)).last()?;
        Some((first, len))
    }

    fn set(&mut self, (at, len): (FsBlock, u32), from: Option<State>, to: Option<State>) {
        for at in (0..len).map(|i| at.add(u64::from(i))) {
            assert_eq!(self.blocks.get(&at).copied(), from, "block {at}");
            match to {
                Some(to) => self.blocks.insert(at, to),
                None => self.blocks.remove(&at),
            };
        }
    }

    fn tx(&mut self) -> &mut MemTx<'a> {
        if self.tx.is_none() {
            self.before = self.of(State::Used);
        }
        let tx = self.tx.get_or_insert_with(|| self.store.begin(u32::MAX));
        tx.need(credits::COMMIT).unwrap();
        tx
    }

    fn check(&self, found: Result<(FsBlock, u32), Error>, want: u32) -> Option<(FsBlock, u32)> {
        match found {
            Ok((at, len)) => {
                assert!(len >= 1 && len <= want);
                assert!(self.store.geometry().in_one_group(at, len));
                Some((at, len))
            }
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                assert_eq!(self.left(), 0, "there is room that was not found");
                None
            }
        }
    }

    fn apply(&mut self, op: Op) {
        let goal = |goal| FsBlock(goal + 1000);
        match op {
            Op::Stage(at, want) => {
                let found = space::stage(self.store, goal(at), want);
                if let Some(run) = self.check(found, want) {
                    self.set(run, None, Some(State::Staged));
                }
            }
            Op::Unstage(n, len) => {
                if let Some((at, len)) = self.run(State::Staged, n, len) {
                    space::unstage(self.store, at, len).unwrap();
                    self.set((at, len), Some(State::Staged), None);
                }
            }
            Op::Commit(n, len) => {
                if let Some((at, len)) = self.run(State::Staged, n, len) {
                    space::commit_staged(self.tx(), at, len).unwrap();
                    self.set((at, len), Some(State::Staged), Some(State::Used));
                }
            }
            Op::Alloc(at, want) => {
                let found = space::alloc(self.tx(), goal(at), want, Purpose::Data);
                if let Some(run) = self.check(found, want) {
                    self.set(run, None, Some(State::Used));
                }
            }
            Op::Node(at) => {
                let found = space::alloc(self.tx(), goal(at), 1, Purpose::Tree);
                if let Some(run) = self.check(found, 1) {
                    self.set(run, None, Some(State::Used));
                }
            }
            Op::Free(n, len) => {
                if let Some((at, len)) = self.run(State::Used, n, len) {
                    space::free(self.tx(), at, len).unwrap();
                    self.set((at, len), Some(State::Used), Some(State::Pending));
                }
            }
            Op::End => {
                if let Some(tx) = self.tx.take() {
                    tx.commit().unwrap();
                }
                self.blocks.retain(|_, state| *state != State::Pending);
            }
            Op::Crash => {
                // A crash without a transaction under way is one after it.
                let before = match self.tx.take() {
                    Some(_) => core::mem::take(&mut self.before),
                    None => {
                        drop(self.store.begin(0));
                        self.of(State::Used)
                    }
                };
                self.blocks = before.into_iter().map(|at| (at, State::Used)).collect();
            }
            Op::Forget => self.store.forget_groups(true),
        }
    }

    fn finish(mut self) {
        self.apply(Op::End);
        let census = census::take(self.store);
        assert_eq!(census.data, self.of(State::Used));
        let free = self.store.volume(|volume| volume.free).unwrap();
        let used = self.of(State::Used).len() as u64;
        let room = free - space::total_reserve(self.store.geometry());
        assert_eq!(room, self.room - used);
        // What is in memory agrees with the model, block by block.
        let mut staged = 0;
        for ag in (0..self.store.geometry().ag_count).map(AgNumber) {
            let counts = |_: &MemStore, state: &mut space::GroupState| {
                Ok((state.room(), state.staged(), state.pending()))
            };
            let (_, group_staged, pending) = self.store.in_group(ag, counts).unwrap();
            assert_eq!(pending, 0);
            staged += group_staged as usize;
        }
        assert_eq!(staged, self.of(State::Staged).len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 4000 }))]

    #[test]
    fn every_block_is_in_one_state(
        ops in prop::collection::vec(op(), 1..120),
        group in prop_oneof![Just(64u32), Just(128), Just(192)],
        groups in 1u32..5,
        rest in prop_oneof![Just(0u32), Just(64)],
    ) {
        let rest = if rest == group { 0 } else { rest };
        let store = volume(1024, group, groups, rest);
        let mut model = Model::new(&store);
        for op in ops {
            model.apply(op);
        }
        model.finish();
    }

    /// The last block is found wherever it is, also when others take and return some meanwhile.
    #[test]
    fn a_full_volume_gives_its_last_block(
        goal in 1028u64..1400,
        returned in 0usize..200,
        forget in any::<bool>(),
    ) {
        let store = volume(1024, 64, 5, 0);
        let mut model = Model::new(&store);
        while model.left() > 0 {
            model.apply(Op::Alloc(goal - 1000, 300));
        }
        model.apply(Op::Alloc(goal - 1000, 1));
        model.apply(Op::End);
        model.apply(Op::Free(returned, 1));
        // Freed but not committed: not found. Committed: found.
        model.apply(Op::Stage(goal - 1000, 1));
        assert_eq!(model.of(State::Staged).len(), 0);
        model.apply(Op::End);
        if forget {
            model.apply(Op::Forget);
        }
        model.apply(Op::Stage(goal - 1000, 7));
        assert_eq!(model.of(State::Staged).len(), 1);
        model.finish();
    }
}

#[test]
fn a_goal_is_met_exactly_where_it_can_be() {
    let store = volume(4096, 31488, 2, 0);
    let start = store.geometry().group_start(AgNumber(1));
    let goal = start.add(5000);
    assert_eq!(space::stage(&store, goal, 32).unwrap(), (goal, 32));
    // What follows continues there.
    assert_eq!(
        space::stage(&store, goal.add(32), 32).unwrap(),
        (goal.add(32), 32)
    );
    // Taken: the next free run.
    assert_eq!(space::stage(&store, goal, 8).unwrap(), (goal.add(64), 8));
    // Half of it at the goal is better than all of it elsewhere; less than half is not.
    space::unstage(&store, goal, 20).unwrap();
    assert_eq!(space::stage(&store, goal, 40).unwrap(), (goal, 20));
    space::unstage(&store, goal, 19).unwrap();
    assert_eq!(space::stage(&store, goal, 40).unwrap(), (goal.add(72), 40));
    // As much as a group has for a file that wants more.
    let (_, len) =
        space::stage(&store, store.geometry().group_start(AgNumber(0)), 1 << 20).unwrap();
    assert!(len > 20000);
}

#[test]
fn data_and_metadata_keep_apart() {
    let store = volume(4096, 31488, 1, 0);
    let start = store.geometry().group_start(AgNumber(0));
    let mut tx = store.begin_unlimited();
    let mut data = Vec::new();
    let mut nodes = Vec::new();
    for _ in 0..500 {
        data.push(space::alloc(&mut tx, start, 4, Purpose::Data).unwrap().0);
        nodes.push(space::alloc(&mut tx, start, 1, Purpose::Tree).unwrap().0);
    }
    tx.commit().unwrap();
    assert!(data.windows(2).all(|pair| pair[0].add(4) == pair[1]));
    assert!(nodes.windows(2).all(|pair| pair[0].add(1) == pair[1]));
    assert!(nodes.iter().max() < data.iter().min());
}

#[test]
fn a_fragmented_group_is_left_for_a_whole_run() {
    let store = volume(1024, 6912, 2, 0);
    let geometry = store.geometry();
    let start = geometry.group_start(AgNumber(0));
    // Group 0 has no run of more than one block.
    for block in (0..6912u64).step_by(2) {
        let goal = start.add(block);
        if let Ok((at, 1)) = space::stage(&store, goal, 1) {
            assert_eq!(geometry.locate(at).unwrap().0, AgNumber(0));
        }
    }
    let (at, len) = space::stage(&store, start.add(100), 16).unwrap();
    assert_eq!((geometry.locate(at).unwrap().0, len), (AgNumber(1), 16));
}

#[test]
fn a_run_put_together_again_is_found() {
    let store = volume(1024, 6912, 2, 0);
    let geometry = store.geometry();
    let start = geometry.group_start(AgNumber(0));
    let group = |at| geometry.locate(at).unwrap().0;
    // Every other block of a group is taken, all others are free, those of the reserve too.
    let mut taken = Vec::new();
    loop {
        let (at, _) = space::stage(&store, start, 1).unwrap();
        if group(at) != AgNumber(0) {
            space::unstage(&store, at, 1).unwrap();
            break;
        }
        taken.push(at);
    }
    let (odd, even): (Vec<FsBlock>, Vec<FsBlock>) = taken.iter().partition(|at| at.0 % 2 != 0);
    for &at in &odd {
        space::unstage(&store, at, 1).unwrap();
    }
    while let Ok((at, len)) = space::stage(&store, start, 2) {
        if len < 2 || group(at) != AgNumber(0) {
            space::unstage(&store, at, len).unwrap();
            break;
        }
    }
    // By now it is known that the group has no run of two. It gets a longer one, in no order.
    let middle = 100..140;
    for step in [1, 0, 2] {
        for &at in even[middle.clone()].iter().skip(step).step_by(3) {
            space::unstage(&store, at, 1).unwrap();
        }
    }
    let (at, len) = space::stage(&store, start, 80).unwrap();
    assert_eq!((group(at), len), (AgNumber(0), 80));
}

#[test]
fn freeing_what_is_free_is_corruption() {
    let store = volume(1024, 64, 2, 0);
    let (at, len) = store
        .run(|tx| space::alloc(tx, FsBlock(0), 8, Purpose::Data))
        .unwrap();
    for (at, len) in [
        (at, len + 1),
        (at.add(u64::from(len)), 1),
        (store.geometry().group_start(AgNumber(0)), 1),
        // The backup of the superblock.
        (store.geometry().group_start(AgNumber(1)).add(1), 1),
        (FsBlock(0), 1),
        (FsBlock(u64::MAX), u32::MAX),
        (at, 0),
    ] {
        let freed = store.run(|tx| space::free(tx, at, len));
        assert!(matches!(freed, Err(Error::Corrupt(..))), "{at} {len}");
    }
    store.run(|tx| space::free(tx, at, len)).unwrap();
    assert!(census::take(&store).data.is_empty());
}

#[test]
fn a_header_that_contradicts_itself_is_found() {
    let store = volume(1024, 64, 2, 0);
    let start = store.geometry().group_start(AgNumber(0));
    let damage = |at: usize, value: u8| {
        store.with_bytes(start, |bytes| {
            bytes[at] = value;
            cowfs_core::ondisk::header::seal(bytes);
        });
    };
    assert!(store.read(start, Kind::Group).is_ok());
    // A block more used than the count says.
    damage(cowfs_core::ondisk::group::BITMAP + 5, 1);
    drop(store.begin(0));
    let staged = space::stage(&store, start, 1);
    assert!(matches!(staged, Err(Error::Corrupt(..))));
}

#[test]
fn backups_of_the_superblock_are_not_for_use() {
    let store = super::volume(1024, 1024, 3, 0);
    let geometry = store.geometry();
    let [with, without] = [1, 2].map(|ag| geometry.group_start(AgNumber(ag)).add(1));
    assert!(!geometry.in_one_group(with, 1));
    assert!(geometry.in_one_group(without, 1));
    assert_eq!(geometry.inode_at(geometry.ino(with, 1)), None);
    assert!(geometry.inode_at(geometry.ino(without, 1)).is_some());

    // Nor does the bitmap say anything else.
    store
        .run(|tx| space::alloc(tx, with.add(50), 1, Purpose::Data).map(|_| ()))
        .unwrap();
    let header = geometry.group_start(AgNumber(1));
    assert!(store.read(header, Kind::Group).is_ok());
    store.with_bytes(header, |bytes| {
        bytes[group::BITMAP] &= !2;
        bytes[group::FREE..group::FREE + 4]
            .copy_from_slice(&(geometry.ag_blocks - 2).to_le_bytes());
        header::seal(bytes);
    });
    let what = "superblock's backup marked free";
    assert!(
        matches!(store.read(header, Kind::Group), Err(Error::Corrupt(at, why))
        if at == header && why == what)
    );
}
