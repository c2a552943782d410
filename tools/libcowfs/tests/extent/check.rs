// SPDX-License-Identifier: GPL-2.0

//! Everything that must hold of a world, recomputed from its metadata.

use crate::census;
use crate::world::{Cell, World};
use cowfs_core::btree::{node, Array};
use cowfs_core::extent::{Extent, Fork, MAX_LEN};
use cowfs_core::ondisk::Kind;
use cowfs_core::store::Reader;
use cowfs_core::units::{FileBlock, FsBlock};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Walk {
    /// Pointers to each block, each node's counted once however many trees hold it.
    pointers: BTreeMap<FsBlock, u32>,
    seen: BTreeSet<FsBlock>,
}

impl Walk {
    fn refer(&mut self, at: FsBlock, len: u32) {
        for block in 0..u64::from(len) {
            *self.pointers.entry(at.add(block)).or_default() += 1;
        }
    }

    /// Walks below `at`, whose range of keys is `[from, to)`; adds its extents to `list` and
    /// returns its number of nodes.
    fn node(
        &mut self,
        world: &World,
        at: FsBlock,
        level: usize,
        (from, to): (u64, Option<u64>),
        list: &mut Vec<Extent>,
    ) -> u64 {
        let buf = world.store.read(at, Kind::Extent).unwrap();
        assert_eq!(node::level(&buf), level);
        let new = self.seen.insert(at);
        let count = node::count(&buf);
        let mut nodes = 1;
        let mut last: Option<Extent> = None;
        for index in 0..count {
            if level > 0 {
                let child = node::child(&buf, index);
                let key = |index| node::Branch::key_of(&buf, index);
                let low = if index > 0 { key(index) } else { from };
                let high = if index + 1 < count {
                    Some(key(index + 1))
                } else {
                    to
                };
                if new {
                    self.refer(child, 1);
                }
                nodes += self.node(world, child, level - 1, (low, high), list);
            } else {
                let extent = Array::<Extent>::get(&buf, index);
                if new {
                    self.refer(extent.disk, extent.len);
                }
                assert!(extent.file.0 >= from && to.is_none_or(|to| extent.end().0 <= to));
                sound(world, &extent, last);
                last = Some(extent);
                list.push(extent);
            }
        }
        nodes
    }

    fn fork(&mut self, world: &World, fork: &Fork) -> (Vec<Extent>, u64) {
        let mut list = Vec::new();
        let root = fork.root();
        if root.is_empty() {
            let mut last = None;
            for extent in fork.inline() {
                self.refer(extent.disk, extent.len);
                sound(world, extent, last);
                last = Some(*extent);
            }
            return (fork.inline().to_vec(), 0);
        }
        self.refer(root.block, 1);
        let level = usize::from(root.height) - 1;
        let nodes = self.node(world, root.block, level, (0, None), &mut list);
        (list, nodes)
    }
}

trait KeyOf {
    fn key_of(buf: &cowfs_core::mem::Buf, index: usize) -> u64;
}

impl KeyOf for node::Branch {
    fn key_of(buf: &cowfs_core::mem::Buf, index: usize) -> u64 {
        Array::<node::Branch>::get(buf, index).key
    }
}

fn sound(world: &World, extent: &Extent, last: Option<Extent>) {
    assert!(extent.len > 0 && extent.len <= MAX_LEN);
    assert!(world.store.geometry().in_one_group(extent.disk, extent.len));
    if let Some(last) = last {
        assert!(last.end() <= extent.file, "overlap");
    }
}

/// Checks the whole volume and every file.
pub fn check(world: &World) {
    let mut walk = Walk::default();
    let mut lists = Vec::new();
    for file in &world.files {
        let (list, nodes) = walk.fork(world, &file.fork);
        let data: u64 = list.iter().map(|extent| u64::from(extent.len)).sum();
        assert_eq!(file.fork.blocks(), data + nodes, "count of blocks");
        lists.push(list);
    }
    let census = census::take(world.store);
    let reachable: BTreeSet<FsBlock> = walk.pointers.keys().copied().collect();
    assert_eq!(reachable, census.data, "blocks leaked or lost");
    let several: BTreeMap<FsBlock, u32> = walk
        .pointers
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(at, count)| (*at, *count))
        .collect();
    assert_eq!(several, census.counts, "reference counts");

    // How many blocks of files are mapped to a block of the disk: what "shared" means to them.
    let mut maps: BTreeMap<FsBlock, u32> = BTreeMap::new();
    for extent in lists.iter().flatten() {
        for block in 0..u64::from(extent.len) {
            *maps.entry(extent.disk.add(block)).or_default() += 1;
        }
    }
    for (index, file) in world.files.iter().enumerate() {
        let mut at = 0;
        while at < world.size {
            let max = world.size - at;
            let (found, shared) = file
                .fork
                .lookup_shared(world.store, FileBlock(at), max)
                .unwrap();
            let plain = file.fork.lookup(world.store, FileBlock(at), max).unwrap();
            assert!(found.len > 0 && found.len <= plain.len && plain.len <= max);
            assert_eq!(found.extent.is_some(), plain.extent.is_some());
            if let Some(extent) = found.extent {
                assert_eq!((extent.file.0, u64::from(extent.len)), (at, found.len));
                assert_eq!(plain.extent.unwrap().disk, extent.disk);
            }
            for block in 0..found.len {
                let is = match found.extent {
                    None => Cell::Hole,
                    Some(extent) if extent.unwritten => Cell::Unwritten,
                    Some(extent) => Cell::Data(world.contents[&extent.disk.add(block)]),
                };
                let cell = file.cells[(at + block) as usize];
                assert_eq!(is, cell, "file {index}, block {}", at + block);
                if let Some(extent) = found.extent {
                    let several = maps[&extent.disk.add(block)] > 1;
                    assert_eq!(shared, several, "file {index}, block {}", at + block);
                    assert!(!shared || file.fork.is_flagged_shared());
                }
            }
            at += found.len;
        }
        let far = FileBlock(world.size);
        assert_eq!(file.fork.lookup(world.store, far, 9).unwrap().extent, None);
    }
}
