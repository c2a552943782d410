// SPDX-License-Identifier: GPL-2.0

//! What is in a volume, to be compared before a damage and after its repair.
//!
//! The image's data blocks are made to hold their own address, so that a file whose extents came to
//! point elsewhere has other contents. An inode is *touched* by a damage if one of the blocks that changed is
//! the one it is in, or a node of its tree; a path is if a directory on it is. Of what is not touched
//! everything must be there again, and of an inode of which only paths are touched, the contents under some name.

use std::collections::{BTreeMap, BTreeSet};

use cowfs_core::block::Block;
use cowfs_core::btree::node::{self, Branch};
use cowfs_core::btree::{Array, Root};
use cowfs_core::extent::Fork;
use cowfs_core::inode::{self as codec, symlink, Core, FileType};
use cowfs_core::ondisk::{header, inode, Kind};
use cowfs_core::space::inodes;
use cowfs_core::store::Reader;
use cowfs_core::units::{FileBlock, FsBlock, Ino};
use cowfs_core::{dir, error};
use cowfs_image::device::Device;
use cowfs_image::volume::Volume;

use super::Image;

/// An inode.
#[derive(Debug, PartialEq, Eq)]
pub struct Node {
    pub core: (u16, u32, u64),
    /// What each mapped block holds; unwritten ones are left out.
    pub contents: BTreeMap<u64, u64>,
    pub target: Vec<u8>,
}

/// What is in a volume.
#[derive(Debug)]
pub struct Snapshot {
    pub nodes: BTreeMap<Ino, Node>,
    /// The inode at each path, and the directories on the way.
    pub paths: BTreeMap<Vec<u8>, (Ino, Vec<Ino>)>,
    /// The metadata blocks of each inode.
    blocks: BTreeMap<Ino, BTreeSet<FsBlock>>,
}

impl Image {
    /// Has every block of files' data hold its own address.
    pub fn mark_data(&self) {
        let volume = Volume::open(Device::open(self.path()).unwrap()).unwrap();
        for ino in self.all_inodes(&volume) {
            let Some(fork) = fork_of(&volume, ino) else {
                continue;
            };
            for (_, disk) in mapped(&volume, &fork) {
                let bytes = disk.0.to_le_bytes().repeat(self.geometry.block_size() / 8);
                self.put(disk, &bytes);
            }
        }
    }

    fn all_inodes(&self, volume: &Volume) -> Vec<Ino> {
        (0..self.geometry.blocks)
            .map(FsBlock)
            .filter(|at| volume.read(*at, Kind::Inodes).is_ok())
            .flat_map(|at| (1..self.geometry.inode_slots() as u32).map(move |slot| (at, slot)))
            .map(|(at, slot)| self.geometry.ino(at, slot))
            .filter(|ino| inodes::read(volume, *ino).is_ok())
            .collect()
    }

    /// Looks at everything that can be reached from the root.
    pub fn snapshot(&self) -> Snapshot {
        let volume = Volume::open(Device::open(self.path()).unwrap()).unwrap();
        let mut snapshot = Snapshot {
            nodes: BTreeMap::new(),
            paths: BTreeMap::new(),
            blocks: BTreeMap::new(),
        };
        let root = self.geometry.root;
        self.visit(&volume, &mut snapshot, root, &mut Vec::new(), b"")
            .unwrap();
        snapshot
    }

    fn visit(
        &self,
        volume: &Volume,
        snapshot: &mut Snapshot,
        ino: Ino,
        way: &mut Vec<Ino>,
        path: &[u8],
    ) -> error::Result {
        assert!(
            way.len() < 20,
            "a circle at {}",
            String::from_utf8_lossy(path)
        );
        snapshot.paths.insert(path.to_vec(), (ino, way.clone()));
        let (buf, at) = inodes::read(volume, ino)?;
        let block = FsBlock(buf.u64(header::ADDRESS));
        let core = Core::load(&buf, at, block)?;
        let mut blocks = BTreeSet::from([block]);
        let mut node = Node {
            core: (core.mode, core.uid, core.size),
            contents: BTreeMap::new(),
            target: Vec::new(),
        };
        match FileType::in_mode(core.mode) {
            Some(FileType::Regular) => {
                let fork = fork_of(volume, ino).unwrap();
                nodes(volume, fork.root(), Kind::Extent, &mut blocks);
                for (file, disk) in mapped(volume, &fork) {
                    let holds = u64::from_le_bytes(self.block(disk)[..8].try_into().unwrap());
                    node.contents.insert(file, holds);
                }
            }
            Some(FileType::Symlink) => {
                let mut target = [0; 4096];
                let len = symlink::read(volume, &buf, at, &mut target)?;
                node.target = target[..len].to_vec();
                if buf.u8(at + inode::FORMAT) == inode::Format::LongSymlink as u8 {
                    let count = usize::from(buf.u16(at + inode::COUNT));
                    blocks.extend((0..count).map(|n| FsBlock(buf.u64(at + inode::INLINE + 8 * n))));
                }
            }
            Some(FileType::Directory) => {
                // Its size is that of its names, which may change.
                node.core.2 = 0;
                let root = codec::load_root(&buf, at, block)?;
                nodes(volume, root, Kind::Directory, &mut blocks);
                let mut entries = Vec::new();
                dir::read(volume, &root, 0, |_, name, ino, _| {
                    entries.push((name.to_vec(), ino));
                    true
                })?;
                way.push(ino);
                for (name, child) in entries {
                    let path = [path, b"/", &name].concat();
                    self.visit(volume, snapshot, child, way, &path)?;
                }
                way.pop();
            }
            _ => {}
        }
        snapshot.nodes.insert(ino, node);
        snapshot.blocks.insert(ino, blocks);
        Ok(())
    }
}

fn fork_of(volume: &Volume, ino: Ino) -> Option<Fork> {
    let (buf, at) = inodes::read(volume, ino).ok()?;
    Fork::load(volume, &buf, at, FsBlock(buf.u64(header::ADDRESS))).ok()
}

/// The blocks of a file that are written, each with where it is.
fn mapped(volume: &Volume, fork: &Fork) -> Vec<(u64, FsBlock)> {
    let mut all = Vec::new();
    let end = FileBlock(1 << 40);
    let mut at = FileBlock(0);
    while at < end {
        let found = fork.lookup(volume, at, end.since(at)).unwrap();
        if let Some(extent) = found.extent.filter(|extent| !extent.unwritten) {
            all.extend((0..found.len).map(|n| (at.0 + n, extent.disk.add(n))));
        }
        at = at.add(found.len);
    }
    all
}

/// Adds the nodes of a tree.
fn nodes(volume: &Volume, root: Root, kind: Kind, blocks: &mut BTreeSet<FsBlock>) {
    let mut todo = Vec::new();
    if !root.is_empty() {
        todo.push(root.block);
    }
    while let Some(at) = todo.pop() {
        blocks.insert(at);
        let buf = volume.read(at, kind).unwrap();
        if node::level(&buf) > 0 {
            todo.extend((0..node::count(&buf)).map(|n| Array::<Branch>::get(&buf, n).child));
        }
    }
}

impl Snapshot {
    /// Compares what was before a damage to the blocks `changed` with what is after its repair.
    pub fn survives_in(&self, after: &Snapshot, changed: &BTreeSet<FsBlock>) {
        let touched = |ino: &Ino| {
            let blocks = self.blocks.get(ino);
            blocks.is_some_and(|blocks| !blocks.is_disjoint(changed))
        };
        let named: BTreeSet<Ino> = after.paths.values().map(|(ino, _)| *ino).collect();
        for (ino, node) in &self.nodes {
            if touched(ino) {
                continue;
            }
            assert!(named.contains(ino), "inode {ino} has no name any more");
            assert_eq!(Some(node), after.nodes.get(ino), "inode {ino}");
        }
        for (path, (ino, way)) in &self.paths {
            if touched(ino) || way.iter().any(touched) {
                continue;
            }
            let shown = String::from_utf8_lossy(path);
            let there = after.paths.get(path).map(|(ino, _)| ino);
            assert_eq!(there, Some(ino), "{shown} leads elsewhere");
        }
    }
}
