// SPDX-License-Identifier: GPL-2.0

//! Trees of pairs and of names, the owner of their nodes, and what a sound tree is.

use cowfs_core::block::Block;
use cowfs_core::btree::node::{self, Branch};
use cowfs_core::btree::{Array, Fixed, Format, Layout, Owner, Record, Root, Slotted, Tree};
use cowfs_core::error::{Error, Result};
use cowfs_core::mem::{Buf, MemStore, MemTx};
use cowfs_core::ondisk::{Geometry, Kind};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{FsBlock, Ino};
use std::collections::BTreeSet;

/// A store for trees only: nothing in it but their nodes.
pub fn store(block_shift: u8) -> MemStore {
    MemStore::new(Geometry {
        uuid: [7; 16],
        block_shift,
        blocks: 8 + (1 << 20),
        ag_start: FsBlock(8),
        ag_blocks: 1 << 20,
        ag_count: 1,
        summary_start: FsBlock(2),
        summary_blocks: 1,
        journal_start: FsBlock(3),
        journal_blocks: 1,
        root: Ino(0),
        hash_seed: [0; 16],
    })
    .unwrap()
}

/// Hands out blocks, and knows which it has handed out.
#[derive(Default)]
pub struct Pool {
    pub next: u64,
    pub used: BTreeSet<FsBlock>,
    /// Fail when this many blocks are in use.
    pub most: Option<usize>,
}

impl<'a> Owner<MemTx<'a>> for Pool {
    fn id(&self) -> u64 {
        42
    }

    fn alloc(&mut self, _tx: &mut MemTx<'a>, _near: FsBlock) -> Result<FsBlock> {
        if self.most.is_some_and(|most| self.used.len() >= most) {
            return Err(Error::NoSpace);
        }
        self.next += 1;
        let at = FsBlock(1000 + self.next);
        self.used.insert(at);
        Ok(at)
    }

    fn free(&mut self, tx: &mut MemTx<'a>, at: FsBlock) -> Result {
        assert!(self.used.remove(&at), "block {at} freed twice");
        // A block that was allocated but never made a node has nothing to forget.
        match tx.read(at, Kind::Extent).or(tx.read(at, Kind::Directory)) {
            Ok(_) => tx.forget(at),
            Err(_) => Ok(()),
        }
    }
}

/// Checks everything a tree promises, and returns the offsets of its records in order.
pub fn check<T: Tree>(store: &MemStore, pool: &Pool, root: Root) -> Vec<(Buf, usize)> {
    fn walk<T: Tree>(
        store: &MemStore,
        at: FsBlock,
        level: usize,
        from: u64,
        to: Option<u64>,
        nodes: &mut BTreeSet<FsBlock>,
        records: &mut Vec<(Buf, usize)>,
    ) {
        assert!(nodes.insert(at), "node {at} is in the tree twice");
        let buf = store.read(at, T::KIND).unwrap();
        assert_eq!(node::level(&buf), level);
        let count = node::count(&buf);
        assert!(count > 0, "empty node");
        let keys: Vec<u64> = (0..count)
            .map(|index| match level {
                0 => T::Leaf::key(&buf, index),
                _ => Array::<Branch>::key(&buf, index),
            })
            .collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(keys[0] >= from && to.is_none_or(|to| keys[count - 1] < to));
        if level == 0 {
            records.extend((0..count).map(|index| (buf.clone(), T::Leaf::place(&buf, index))));
            return;
        }
        for index in 0..count {
            let end = keys.get(index + 1).copied().or(to);
            let child = node::child(&buf, index);
            let from = if index > 0 { keys[index] } else { from };
            walk::<T>(store, child, level - 1, from, end, nodes, records);
        }
    }
    let (mut nodes, mut records) = (BTreeSet::new(), Vec::new());
    if root.height > 0 {
        let level = usize::from(root.height) - 1;
        walk::<T>(store, root.block, level, 0, None, &mut nodes, &mut records);
        if level > 0 {
            let top = store.read(root.block, T::KIND).unwrap();
            assert!(node::count(&top) > 1, "root with a single child");
        }
    } else {
        assert_eq!(root, Root::EMPTY);
    }
    assert_eq!(nodes, pool.used, "nodes leaked or lost");
    records
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub u64, pub u64, pub u64);

impl Record for Pair {
    fn key(&self) -> u64 {
        self.0
    }

    fn size(&self) -> usize {
        24
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.0);
        buf.set_u64(at + 8, self.1);
        buf.set_u64(at + 16, self.2);
    }
}

impl Fixed for Pair {
    const SIZE: usize = 24;

    fn load<B: Block>(buf: &B, at: usize) -> Self {
        Pair(buf.u64(at), buf.u64(at + 8), buf.u64(at + 16))
    }
}

pub struct Pairs;

impl Tree for Pairs {
    const KIND: Kind = Kind::Extent;
    type Leaf = Array<Pair>;
}

#[derive(Clone, Copy)]
pub struct Name<'a>(pub u64, pub &'a [u8]);

impl Record for Name<'_> {
    fn key(&self) -> u64 {
        self.0
    }

    fn size(&self) -> usize {
        18 + self.1.len()
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.0);
        buf.store(at + 8, &[0x55; 9]);
        buf.set_u8(at + 17, self.1.len() as u8);
        buf.store(at + 18, self.1);
    }
}

pub struct NameFormat;

impl Format for NameFormat {
    type Record<'a> = Name<'a>;
}

pub struct Names;

impl Tree for Names {
    const KIND: Kind = Kind::Directory;
    type Leaf = Slotted<NameFormat>;
}

pub fn load_name(buf: &Buf, at: usize) -> (u64, Vec<u8>) {
    let mut name = vec![0; usize::from(buf.u8(at + 17))];
    buf.load(at + 18, &mut name);
    (buf.u64(at), name)
}

/// An owner that takes what comes.
pub struct Lost(pub u64);

impl<'a> Owner<MemTx<'a>> for Lost {
    fn id(&self) -> u64 {
        1
    }

    fn alloc(&mut self, _tx: &mut MemTx<'a>, _near: FsBlock) -> Result<FsBlock> {
        self.0 += 1;
        Ok(FsBlock(self.0))
    }

    fn free(&mut self, _tx: &mut MemTx<'a>, _at: FsBlock) -> Result {
        Ok(())
    }
}
