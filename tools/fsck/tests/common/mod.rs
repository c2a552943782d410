// SPDX-License-Identifier: GPL-2.0

//! A small volume with something of everything in it, made by the core itself, and ways to look
//! into it and to damage it.
//!
//! ```text
//!   /
//!   |-- file         3 extents in the inode, the last one preallocated only
//!   |-- copy         clone of file
//!   |-- tree         100 extents: a tree of 3 leaves and a root (1 KiB blocks)
//!   |-- tree-copy    clone of tree, one block written since
//!   |-- tree-twin    clone of tree, nothing written since: the same root node
//!   |-- short, long  symbolic links, in the inode and in blocks
//!   |-- pipe
//!   |-- dir/sub/deep
//!   `-- many/        200 entries: a tree of several leaves
//!   (orphan)         on the orphan list, no entry
//! ```
#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod snapshot;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use cowfs_core::block::Block;
use cowfs_core::extent::Fork;
use cowfs_core::inode::{self as codec, symlink, Core, FileType};
use cowfs_core::mem::{MemStore, MemTx};
use cowfs_core::ondisk::inode::Format;
use cowfs_core::ondisk::{header, inode, superblock, Geometry, Superblock};
use cowfs_core::space::{self, inodes, orphans, Purpose};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgNumber, FileBlock, FsBlock, Ino};
use cowfs_core::{dir, error, format};
use cowfs_fsck::{check, Findings, Progress, Subject};
use cowfs_image::device::Device;
use cowfs_image::volume::Volume;
use tempfile::NamedTempFile;

/// Blocks of a group.
pub const GROUP: u32 = 1024;
/// Block size in bytes.
pub const SIZE: usize = 1024;

/// Makes a volume by the core's own means.
pub struct Builder {
    pub store: MemStore,
    pub superblock: Superblock,
}

impl Builder {
    /// An empty volume with `groups` groups of `group` blocks.
    pub fn new(block_size: u32, group: u32, groups: u32) -> Self {
        let bytes = (1024 + 16 + u64::from(groups * group)) * u64::from(block_size);
        let mut superblock =
            format::plan_with_groups(bytes, block_size, Some(1024), group).unwrap();
        superblock.uuid = *b"volume of a test";
        superblock.meta_uuid = *b"what is in it...";
        superblock.incompat |= superblock::INCOMPAT_META_UUID;
        superblock.hash_seed = *b"seed of the test";
        let store = MemStore::new(superblock.geometry().unwrap()).unwrap();
        store.run(|tx| format::write(tx, 1_700_000_000)).unwrap();
        Builder { store, superblock }
    }

    pub fn root(&self) -> Ino {
        self.superblock.root
    }

    /// Makes an inode of this type with an entry in `parent`.
    pub fn create(&self, parent: Ino, name: &str, kind: FileType) -> Ino {
        let is_dir = kind == FileType::Directory;
        self.store
            .run(|tx| {
                let ino = inodes::alloc(tx, parent, is_dir)?;
                let format = match kind {
                    FileType::Regular => Format::Extents,
                    FileType::Directory => Format::Directory,
                    FileType::Symlink => Format::Symlink,
                    _ => Format::None,
                };
                change(tx, ino, |buf, at| {
                    let core = Core {
                        mode: kind.mode() | 0o644,
                        links: if is_dir { 2 } else { 1 },
                        parent: if is_dir { parent } else { Ino(0) },
                        generation: codec::generation(buf, at),
                        ..Core::default()
                    };
                    codec::init(buf, at, format);
                    core.store(buf, at);
                })?;
                enter(tx, parent, name, ino, kind)?;
                if is_dir {
                    change(tx, parent, |buf, at| {
                        buf.set_u32(at + inode::LINKS, buf.u32(at + inode::LINKS) + 1);
                    })?;
                }
                Ok(ino)
            })
            .unwrap()
    }

    /// Adds another entry for `ino`.
    pub fn link(&self, parent: Ino, name: &str, ino: Ino, kind: FileType) {
        self.store
            .run(|tx| {
                enter(tx, parent, name, ino, kind)?;
                change(tx, ino, |buf, at| {
                    buf.set_u32(at + inode::LINKS, buf.u32(at + inode::LINKS) + 1);
                })
            })
            .unwrap();
    }

    /// Gives a symbolic link its target.
    pub fn set_target(&self, ino: Ino, target: &[u8]) {
        self.store
            .run(|tx| {
                let (buf, at) = inodes::read(tx, ino)?;
                tx.modify(&buf)?;
                symlink::write(tx, ino, &buf, at, target)
            })
            .unwrap();
    }

    /// Maps `len` new blocks at file block `file`, and makes the file reach as far if they count as
    /// written.
    pub fn write(&self, ino: Ino, file: u64, len: u32, unwritten: bool) {
        let mut done = 0;
        while done < len {
            done += self
                .store
                .run(|tx| {
                    let geometry = tx.geometry().clone();
                    let near = geometry.inode_at(ino).map_or(FsBlock(0), |(at, _)| at);
                    let (disk, have) = space::alloc(tx, near, len - done, Purpose::Data)?;
                    let mut fork = load(tx, ino)?;
                    let mut mapped = 0;
                    while mapped < have {
                        let to = FileBlock(file + u64::from(done + mapped));
                        let from = disk.add(u64::from(mapped));
                        mapped += if unwritten {
                            fork.insert_unwritten(tx, ino, to, from, have - mapped)?
                        } else {
                            fork.replace(tx, ino, to, from, have - mapped)?
                        };
                    }
                    let end = (file + u64::from(done + have)) << geometry.block_shift;
                    change(tx, ino, |buf, at| {
                        fork.store(buf, at);
                        let size = buf.u64(at + inode::SIZE_BYTES);
                        if !unwritten && size < end {
                            buf.set_u64(at + inode::SIZE_BYTES, end);
                        }
                    })?;
                    Ok(have)
                })
                .unwrap();
        }
    }

    /// Takes `len` blocks from file block `from` on out of a file.
    pub fn unmap(&self, ino: Ino, from: u64, len: u64) {
        let mut done = 0;
        while done < len {
            let step = |tx: &mut MemTx<'_>| {
                let mut fork = load(tx, ino)?;
                let done = fork.unmap(tx, ino, FileBlock(from + done), len - done)?;
                change(tx, ino, |buf, at| fork.store(buf, at))?;
                Ok(done)
            };
            done += self.store.run(step).unwrap();
        }
    }

    /// Makes the empty file `to` a clone of `from`.
    pub fn clone_file(&self, from: Ino, to: Ino) {
        self.store
            .run(|tx| {
                let (mut source, mut target) = (load(tx, from)?, load(tx, to)?);
                Fork::clone_whole(tx, &mut source, &mut target)?;
                let (buf, at) = inodes::read(tx, from)?;
                let size = buf.u64(at + inode::SIZE_BYTES);
                change(tx, from, |buf, at| source.store(buf, at))?;
                change(tx, to, |buf, at| {
                    target.store(buf, at);
                    buf.set_u64(at + inode::SIZE_BYTES, size);
                })
            })
            .unwrap();
    }

    /// Takes the entry of `ino` away and puts it on the orphan list.
    pub fn orphan(&self, parent: Ino, name: &str, ino: Ino) {
        self.store
            .run(|tx| {
                let mut root = tree(tx, parent)?;
                dir::remove(tx, parent, &mut root, name.as_bytes())?;
                change(tx, parent, |buf, at| {
                    codec::store_root(buf, at, Format::Directory, root);
                    let size = buf.u64(at + inode::SIZE_BYTES);
                    buf.set_u64(
                        at + inode::SIZE_BYTES,
                        size - dir::entry_size(name.as_bytes()),
                    );
                })?;
                change(tx, ino, |buf, at| buf.set_u32(at + inode::LINKS, 0))?;
                orphans::add(tx, ino)
            })
            .unwrap();
    }

    /// What all metadata blocks hold now.
    pub fn blocks(&self) -> HashMap<FsBlock, Vec<u8>> {
        let all = self.store.metadata().into_iter();
        all.filter_map(|at| Some((at, self.store.with_bytes(at, |bytes| bytes.to_vec())?)))
            .collect()
    }

    /// The volume as an image file.
    pub fn finish(self, inos: HashMap<&'static str, Ino>) -> Image {
        let file = NamedTempFile::new().unwrap();
        let geometry = self.store.geometry().clone();
        file.as_file()
            .set_len(geometry.blocks << geometry.block_shift)
            .unwrap();
        let device = Device::open_exclusively(file.path()).unwrap();
        cowfs_mkfs::write(&device, &self.store, &self.superblock, true).unwrap();
        Image {
            file,
            geometry,
            superblock: self.superblock,
            inos,
        }
    }
}

type Buf<'a> = <MemTx<'a> as Reader>::Buf;

fn change(tx: &mut MemTx<'_>, ino: Ino, f: impl FnOnce(&Buf<'_>, usize)) -> error::Result {
    let (buf, at) = inodes::read(tx, ino)?;
    tx.modify(&buf)?;
    f(&buf, at);
    Ok(())
}

fn load(tx: &mut MemTx<'_>, ino: Ino) -> error::Result<Fork> {
    let (buf, at) = inodes::read(tx, ino)?;
    let block = FsBlock(buf.u64(header::ADDRESS));
    Fork::load(tx, &buf, at, block)
}

fn tree(tx: &mut MemTx<'_>, dir: Ino) -> error::Result<cowfs_core::btree::Root> {
    let (buf, at) = inodes::read(tx, dir)?;
    codec::load_root(&buf, at, FsBlock(buf.u64(header::ADDRESS)))
}

fn enter(tx: &mut MemTx<'_>, parent: Ino, name: &str, ino: Ino, kind: FileType) -> error::Result {
    let mut root = tree(tx, parent)?;
    dir::insert(tx, parent, &mut root, name.as_bytes(), ino, kind)?;
    change(tx, parent, |buf, at| {
        codec::store_root(buf, at, Format::Directory, root);
        let size = buf.u64(at + inode::SIZE_BYTES);
        buf.set_u64(
            at + inode::SIZE_BYTES,
            size + dir::entry_size(name.as_bytes()),
        );
    })
}

/// The volume described above.
pub fn sample() -> Image {
    sample_with_history().0
}

/// The volume described above, and what its metadata blocks held when it was half made.
pub fn sample_with_history() -> (Image, HashMap<FsBlock, Vec<u8>>) {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let root = b.root();
    let mut inos = HashMap::from([("root", root)]);

    let file = b.create(root, "file", FileType::Regular);
    b.write(file, 0, 4, false);
    b.write(file, 10, 3, false);
    b.write(file, 20, 2, true);
    let copy = b.create(root, "copy", FileType::Regular);
    b.clone_file(file, copy);

    let tree = b.create(root, "tree", FileType::Regular);
    for n in 0..100 {
        b.write(tree, 2 * n, 1, false);
    }
    for (name, ino) in [("file", file), ("copy", copy), ("tree", tree)] {
        inos.insert(name, ino);
    }
    for name in ["tree-copy", "tree-twin"] {
        let clone = b.create(root, name, FileType::Regular);
        b.clone_file(tree, clone);
        inos.insert(name, clone);
    }
    let history = b.blocks();
    b.write(inos["tree-copy"], 50, 1, false);

    for (name, len) in [("short", 40), ("long", 2000)] {
        let link = b.create(root, name, FileType::Symlink);
        b.set_target(link, &vec![b'x'; len]);
        inos.insert(name, link);
    }
    inos.insert("pipe", b.create(root, "pipe", FileType::Fifo));
    let dir = b.create(root, "dir", FileType::Directory);
    let sub = b.create(dir, "sub", FileType::Directory);
    let deep = b.create(sub, "deep", FileType::Regular);
    let many = b.create(root, "many", FileType::Directory);
    for n in 0..200 {
        b.link(
            many,
            &format!("entry number {n:03}"),
            deep,
            FileType::Regular,
        );
    }
    for (name, ino) in [("dir", dir), ("sub", sub), ("deep", deep), ("many", many)] {
        inos.insert(name, ino);
    }
    let orphan = b.create(root, "orphan", FileType::Regular);
    b.write(orphan, 0, 3, false);
    b.orphan(root, "orphan", orphan);
    inos.insert("orphan", orphan);
    (b.finish(inos), history)
}

/// An image file.
pub struct Image {
    pub file: NamedTempFile,
    pub geometry: Geometry,
    pub superblock: Superblock,
    pub inos: HashMap<&'static str, Ino>,
}

impl Image {
    /// The number of the inode called `name`.
    pub fn ino(&self, name: &str) -> Ino {
        self.inos[name]
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn handle(&self) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path())
            .unwrap()
    }

    /// The bytes of block `at`.
    pub fn block(&self, at: FsBlock) -> Vec<u8> {
        let mut bytes = vec![0; self.geometry.block_size()];
        let offset = at.0 << self.geometry.block_shift;
        self.handle().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// Writes block `at` as it is.
    pub fn put(&self, at: FsBlock, bytes: &[u8]) {
        let offset = at.0 << self.geometry.block_shift;
        self.handle().write_all_at(bytes, offset).unwrap();
    }

    /// Changes metadata block `at` and makes its checksum right again.
    pub fn edit(&self, at: FsBlock, f: impl FnOnce(&mut [u8])) {
        let mut bytes = self.block(at);
        f(&mut bytes);
        header::seal(&mut bytes);
        self.put(at, &bytes);
    }

    /// Changes the slot of inode `name`.
    pub fn edit_inode(&self, name: &str, f: impl FnOnce(&mut [u8])) {
        let (at, offset) = self.geometry.inode_at(self.ino(name)).unwrap();
        self.edit(at, |bytes| f(&mut bytes[offset..offset + inode::SIZE]));
    }

    /// The slot of inode `name`.
    pub fn inode(&self, name: &str) -> Vec<u8> {
        let (at, offset) = self.geometry.inode_at(self.ino(name)).unwrap();
        self.block(at)[offset..offset + inode::SIZE].to_vec()
    }

    /// The block at which the tree of inode `name` begins.
    pub fn tree(&self, name: &str) -> FsBlock {
        FsBlock(u64_at(&self.inode(name), inode::ROOT))
    }

    /// Child `index` of the interior node at `at`.
    pub fn child(&self, at: FsBlock, index: usize) -> FsBlock {
        FsBlock(u64_at(&self.block(at), header::SIZE + 16 * index + 8))
    }

    /// The header block of group `ag`.
    pub fn group(&self, ag: u32) -> FsBlock {
        self.geometry.group_start(AgNumber(ag))
    }

    /// The root of the tree at byte `at` of the header of group `ag`.
    pub fn group_tree(&self, ag: u32, at: usize) -> FsBlock {
        FsBlock(u64_at(&self.block(self.group(ag)), at))
    }

    /// Runs [`fsck`] on it.
    pub fn fsck(&self, options: &[&str]) -> (Option<i32>, String) {
        fsck(self.path(), options)
    }

    /// The blocks that differ from those in `before`.
    pub fn changed(&self, before: &[u8]) -> BTreeSet<FsBlock> {
        let size = self.geometry.block_size();
        let now = std::fs::read(self.path()).unwrap();
        let pairs = now.chunks(size).zip(before.chunks(size));
        (0..)
            .map(FsBlock)
            .zip(pairs)
            .filter(|(_, (now, before))| now != before)
            .map(|(at, _)| at)
            .collect()
    }

    /// Does some damage, has it repaired, and demands that what it did not touch is there again.
    pub fn damage_and_repair(&self, damage: impl FnOnce(&Image)) -> String {
        self.mark_data();
        let before = self.snapshot();
        let bytes = std::fs::read(self.path()).unwrap();
        damage(self);
        let changed = self.changed(&bytes);
        let (code, text) = self.fsck(&["-y"]);
        assert_eq!(code, Some(1), "{text}");
        let (code, again) = self.fsck(&["-n"]);
        assert_eq!(code, Some(0), "{again}\nafter\n{text}");
        before.survives_in(&self.snapshot(), &changed);
        text
    }

    /// Checks the volume; returns one line for each finding.
    pub fn check(&self) -> Vec<String> {
        let volume = Volume::open(Device::open(self.path()).unwrap()).unwrap();
        let mut lines = Lines::default();
        check(&volume, &mut lines).unwrap();
        lines.wrong
    }
}

/// Runs fsck.cowfs; returns its exit code and all it says: the one just built, or, in tests of other packages,
/// the one installed.
pub fn fsck(path: &Path, options: &[&str]) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(option_env!("CARGO_BIN_EXE_fsck-cowfs").unwrap_or("fsck.cowfs"))
        .args(options)
        .arg(path)
        .output()
        .unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Collects what a check finds.
#[derive(Default)]
pub struct Lines {
    pub wrong: Vec<String>,
    pub notes: Vec<String>,
}

impl Findings for Lines {
    fn wrong(&mut self, subject: Subject, what: fmt::Arguments<'_>) {
        self.wrong.push(format!("{subject}: {what}"));
    }

    fn note(&mut self, what: fmt::Arguments<'_>) {
        self.notes.push(what.to_string());
    }

    fn progress(&mut self, _progress: Progress) {}
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub fn put64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
