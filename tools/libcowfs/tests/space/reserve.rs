// SPDX-License-Identifier: GPL-2.0

//! On a full volume the groups' own trees still get what they need, whatever is done to them.

use super::{census, volume};
use cowfs_core::error::Error;
use cowfs_core::mem::MemStore;
use cowfs_core::space::{self, inodes, refcount, Purpose};
use cowfs_core::store::Reader;
use cowfs_core::units::{FsBlock, Ino};

fn fill(store: &MemStore) -> Vec<FsBlock> {
    let mut blocks = Vec::new();
    let mut tx = store.begin_unlimited();
    loop {
        match space::alloc(&mut tx, FsBlock(0), 1 << 20, Purpose::Data) {
            Ok((at, len)) => blocks.extend((0..u64::from(len)).map(|i| at.add(i))),
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                break;
            }
        }
    }
    tx.commit().unwrap();
    blocks.sort_unstable();
    blocks
}

/// Gives each block the count `count(n)`, from one that is `before(n)`, in one transaction, so that no
/// block freed meanwhile comes back.
fn bring(
    store: &MemStore,
    blocks: &[FsBlock],
    before: impl Fn(usize) -> u32,
    count: impl Fn(usize) -> u32,
) {
    let mut tx = store.begin_unlimited();
    for (n, &at) in blocks.iter().enumerate() {
        for _ in before(n)..count(n) {
            refcount::share(&mut tx, at, 1).unwrap();
        }
        for _ in count(n)..before(n) {
            refcount::release(&mut tx, at, 1).unwrap();
        }
    }
    tx.commit().unwrap();
}

/// As many records as there are blocks; then leaves thinned out to alternate between one record
/// and half a leaf, which no merge mends; and that to and fro in one transaction each.
fn torture(store: &MemStore) {
    let blocks = fill(store);
    assert!(!blocks.is_empty());
    let each = |n: usize| 2 + n as u32 % 2;
    let one = |_: usize| 1;
    bring(store, &blocks, one, each);
    let full = census::take(store).tree_blocks;
    let leaf = (store.geometry().block_size() - 64) / 16;
    for part in [leaf / 2, leaf, leaf - 1, leaf / 4] {
        // Leaves may begin anywhere, so all phases are tried in turn.
        for phase in [0, part / 3, part / 2] {
            // While their neighbours are full, every other leaf is thinned out to one record; then
            // the neighbours to just half. Neither can be merged at that time.
            let place = |n: usize| ((n + phase) / part % 2 == 0, (n + phase) % part);
            let gaps = |n: usize| match place(n) {
                (true, at) if at > 0 => 1,
                _ => each(n),
            };
            let sparse = |n: usize| match place(n) {
                (false, at) if at > part / 2 => 1,
                _ => gaps(n),
            };
            bring(store, &blocks, each, gaps);
            bring(store, &blocks, gaps, sparse);
            census::take(store);
            bring(store, &blocks, sparse, each);
        }
    }
    assert!(census::take(store).tree_blocks >= full / 2);
    bring(store, &blocks, each, one);
    assert_eq!(census::take(store).counts.len(), 0);
    // From the end, all leaves are split in half and none is filled up again.
    let mut back = blocks;
    back.reverse();
    bring(store, &back, one, each);
    assert!(census::take(store).tree_blocks >= full);
    bring(store, &back, each, one);
    assert_eq!(census::take(store).counts.len(), 0);
}

#[test]
fn small_groups_keep_enough_for_their_counts() {
    torture(&volume(1024, 64, 3, 0));
    torture(&volume(4096, 64, 2, 0));
    torture(&volume(2048, 256, 1, 64));
}

#[test]
fn large_groups_keep_enough_for_their_counts() {
    torture(&volume(1024, 6912, 1, 0));
}

#[test]
fn inodes_and_counts_together_fit_the_reserve() {
    let store = volume(1024, 1024, 2, 0);
    let root = store.geometry().root;
    // Inodes up to the limit, then data in all the rest, every block with a record of its own.
    let mut all = Vec::new();
    let mut tx = store.begin_unlimited();
    loop {
        match inodes::alloc(&mut tx, root, false) {
            Ok(ino) => all.push(ino),
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                break;
            }
        }
    }
    tx.commit().unwrap();
    assert_eq!(all.len(), 2 * 128 * 3 - 1);
    let blocks = fill(&store);
    bring(&store, &blocks, |_| 1, |n| 2 + n as u32 % 2);
    // One free slot in each block, then all: the free inode tree at its largest and back to nothing.
    let mut tx = store.begin_unlimited();
    let (some, rest): (Vec<Ino>, Vec<Ino>) = all.iter().partition(|ino| ino.0 % 4 == 2);
    for ino in some.into_iter().chain(rest) {
        inodes::free(&mut tx, ino).unwrap();
    }
    tx.commit().unwrap();
    assert_eq!(census::take(&store).inodes.len(), 1);
}
