// SPDX-License-Identifier: GPL-2.0

//! A count of everything on a volume, from its metadata alone.

use cowfs_core::block::Block;
use cowfs_core::btree::{node, Array, Fixed, Root, Tree};
use cowfs_core::mem::MemStore;
use cowfs_core::ondisk::superblock::has_backup;
use cowfs_core::ondisk::{group, inode, summary, volume, Geometry, Kind};
use cowfs_core::space::inodes::{FreeInodes, InodeBlock, InodeMap};
use cowfs_core::space::orphans::{Orphan, Orphans};
use cowfs_core::space::refcount::{Counted, Counts};
use cowfs_core::space::{inode_block_limit, reserve, room, usable};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock, Ino};
use std::collections::{BTreeMap, BTreeSet};

/// What is on a volume.
#[derive(Debug, Default)]
pub struct Census {
    /// Blocks marked used that are neither header, backup, inode block nor node of a group's or
    /// the orphan tree.
    pub data: BTreeSet<FsBlock>,
    /// Counts of all blocks that have a record.
    pub counts: BTreeMap<FsBlock, u32>,
    /// Inodes in use.
    pub inodes: BTreeSet<Ino>,
    /// Inodes in the orphan tree.
    pub orphans: BTreeSet<Ino>,
    /// Blocks used by the groups' own trees.
    pub tree_blocks: u32,
}

/// The nodes of a tree, and its records leaf by leaf.
fn walk<T, V>(store: &MemStore, root: Root) -> (Vec<FsBlock>, Vec<Vec<V>>)
where
    T: Tree<Leaf = Array<V>>,
    V: Fixed,
{
    let mut nodes = Vec::new();
    let mut leaves = Vec::new();
    let mut level = if root.is_empty() {
        Vec::new()
    } else {
        vec![root.block]
    };
    for height in (0..usize::from(root.height)).rev() {
        let mut below = Vec::new();
        for &at in &level {
            let buf = store.read(at, T::KIND).unwrap();
            assert_eq!(node::level(&buf), height);
            let count = node::count(&buf);
            if height > 0 {
                below.extend((0..count).map(|index| node::child(&buf, index)));
            } else {
                leaves.push((0..count).map(|i| Array::<V>::get(&buf, i)).collect());
            }
        }
        nodes.extend(level);
        level = below;
    }
    (nodes, leaves)
}

fn root_at(buf: &impl Block, at: usize) -> Root {
    Root {
        block: FsBlock(buf.u64(at)),
        height: buf.u32(at + 8) as u8,
    }
}

/// Counts everything, and checks all that must agree.
pub fn take(store: &MemStore) -> Census {
    let mut census = Census::default();
    let geometry = store.geometry();
    let volume = store.read(Geometry::VOLUME, Kind::Volume).unwrap();

    let (orphan_nodes, leaves) =
        walk::<Orphans, Orphan>(store, root_at(&volume, volume::ORPHAN_ROOT));
    census.orphans = leaves.concat().into_iter().map(|orphan| orphan.0).collect();
    assert!(leaves.is_empty() || census.orphans.remove(&Ino(0)));

    let mut counted = 0u64;
    for ag in (0..geometry.ag_count).map(AgNumber) {
        let (at, byte) = summary::place(geometry, ag);
        let byte = store.read(at, Kind::Summary).unwrap().u8(byte);
        if byte == summary::UNUSED {
            counted += u64::from(usable(geometry, ag));
        } else {
            counted += take_group(store, ag, byte, &orphan_nodes, &mut census);
        }
    }
    assert_eq!(volume.u64(volume::FREE), counted, "volume's free blocks");
    let inodes = census.inodes.len() as u64;
    assert_eq!(volume.u64(volume::INODES), inodes, "volume's inodes");
    census
}

fn take_group(
    store: &MemStore,
    ag: AgNumber,
    byte: u8,
    orphan_nodes: &[FsBlock],
    census: &mut Census,
) -> u64 {
    let geometry = store.geometry();
    let start = geometry.group_start(ag);
    let len = geometry.group_len(ag);
    let header = store.read(start, Kind::Group).unwrap();
    let mut used = BTreeSet::new();
    for block in 0..(geometry.block_size() - group::BITMAP) as u32 * 8 {
        let at = group::BITMAP + (block / 8) as usize;
        if (header.u8(at) >> (block % 8)) & 1 != 0 {
            assert!(block < len, "bit beyond the group");
            used.insert(start.add(u64::from(block)));
        }
    }
    let free = len - used.len() as u32;
    assert_eq!(header.u32(group::FREE), free, "free blocks of {ag:?}");

    let mut take = |at: FsBlock| assert!(used.remove(&at), "block {at} lost or owned twice");
    take(start);
    if has_backup(ag) {
        take(start.add(1));
    }
    for &at in orphan_nodes {
        if geometry.locate(at).unwrap().0 == ag {
            take(at);
        }
    }

    let (nodes, counts) = walk::<Counts, Counted>(store, root_at(&header, group::REFCOUNT_ROOT));
    let mut trees = nodes;
    let (nodes, map) = walk::<InodeMap, InodeBlock>(store, root_at(&header, group::INODE_ROOT));
    trees.extend(nodes);
    let (nodes, free_inodes) =
        walk::<FreeInodes, InodeBlock>(store, root_at(&header, group::FREE_INODE_ROOT));
    trees.extend(nodes);
    let tree_blocks = trees.len() as u32;
    assert_eq!(header.u32(group::TREE_BLOCKS), tree_blocks, "tree blocks");
    assert!(tree_blocks <= reserve(geometry, ag), "reserve too small");
    assert!(
        free + tree_blocks >= reserve(geometry, ag),
        "reserve eaten in {ag:?}"
    );
    let class = summary::class(room(geometry, ag, free, tree_blocks));
    assert_eq!(byte, class, "summary of {ag:?}");
    trees.iter().copied().for_each(&mut take);
    census.tree_blocks += tree_blocks;

    // Inodes.
    let map: Vec<_> = map.concat();
    let mut with_free = Vec::new();
    let mut free_slots = 0;
    for &InodeBlock(block) in &map {
        let at = geometry.address(ag, block);
        take(at);
        let buf = store.read(at, Kind::Inodes).unwrap();
        let mask = buf.u16(inode::IN_USE);
        let slots = geometry.inode_slots() as u32;
        assert!(mask & 1 != 0 && u32::from(mask) >> slots == 0);
        for slot in (1..slots).filter(|slot| (mask >> slot) & 1 != 0) {
            census.inodes.insert(geometry.ino(at, slot));
        }
        for slot in (1..slots as usize).filter(|slot| (mask >> slot) & 1 == 0) {
            let generation = inode::GENERATION..inode::GENERATION + 4;
            for byte in (0..inode::SIZE).filter(|byte| !generation.contains(byte)) {
                let value = buf.u8(slot * inode::SIZE + byte);
                assert_eq!(value, 0, "byte {byte} of a free slot");
            }
        }
        assert!(mask != 1 || map.len() == 1, "empty inode block kept");
        if mask.count_ones() < slots {
            with_free.push(InodeBlock(block));
        }
        free_slots += slots - mask.count_ones();
    }
    assert_eq!(header.u32(group::INODE_BLOCKS), map.len() as u32);
    assert!(map.len() as u32 <= inode_block_limit(len));
    assert_eq!(header.u32(group::FREE_INODES), free_slots, "free slots");
    assert_eq!(free_inodes.concat(), with_free, "free inode tree");

    // Reference counts.
    let mut end = 0;
    for record in counts.concat() {
        assert!(record.count >= 2 && record.len > 0 && record.first.0 >= end);
        end = record.first.0 + record.len;
        for block in record.first.0..end {
            let at = start.add(u64::from(block));
            assert!(used.contains(&at), "count of a free block");
            census.counts.insert(at, record.count);
        }
    }
    census.data.extend(used);
    u64::from(free + tree_blocks)
}
