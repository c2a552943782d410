// SPDX-License-Identifier: GPL-2.0

//! A volume damaged as a string of bytes says (`cowfs_mutate`), and used: what the fuzzer runs, and a sample
//! of it in every test run.
//!
//! The volume is in memory: what was changed lies over the bytes of the sample.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::common::{sample, Image, Lines};
use cowfs_core::dir;
use cowfs_core::extent::Fork;
use cowfs_core::inode as codec;
use cowfs_core::space::inodes;
use cowfs_core::store::Reader;
use cowfs_core::units::{FileBlock, FsBlock, Ino};
use cowfs_fsck::{check, repair};
use cowfs_image::device::{self, Device};
use cowfs_image::overlay::Overlay;
use cowfs_image::volume::Volume;
use cowfs_mutate::Targets;

/// The sample, to be damaged again and again.
pub struct Sample {
    image: Image,
    bytes: Rc<[u8]>,
    targets: Targets,
}

/// The sample's bytes, and blocks changed since.
#[derive(Debug)]
struct Damaged {
    bytes: Rc<[u8]>,
    changed: BTreeMap<FsBlock, Vec<u8>>,
    size: u64,
}

impl device::Image for Damaged {
    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(at).map_err(io::Error::other)?;
        to.copy_from_slice(&self.bytes[start..start + to.len()]);
        for (n, bytes) in &self.changed {
            let from = n.0 * self.size;
            let (first, last) = (from.max(at), (from + self.size).min(at + to.len() as u64));
            if first < last {
                to[(first - at) as usize..(last - at) as usize]
                    .copy_from_slice(&bytes[(first - from) as usize..(last - from) as usize]);
            }
        }
        Ok(())
    }
}

impl Sample {
    pub fn new() -> Self {
        let image = sample();
        let bytes: Rc<[u8]> = std::fs::read(image.path()).unwrap().into();
        Sample {
            targets: Targets::find(&image.geometry, &bytes),
            bytes,
            image,
        }
    }

    /// Makes the changes of `input`, opens the volume, checks it, uses and repairs it. That it comes to an end,
    /// and without a panic, is all that is asked for.
    pub fn run(&self, input: &[u8]) {
        let damaged = Damaged {
            bytes: self.bytes.clone(),
            changed: self.targets.damage(&self.bytes, input),
            size: self.image.geometry.block_size() as u64,
        };
        let device = Device::of_image(Box::new(damaged), self.bytes.len() as u64);
        let Ok(volume) = Volume::open(device) else {
            return;
        };
        let _ = check(&volume, &mut Lines::default());
        for &ino in self.image.inos.values() {
            let _ = use_inode(&volume, ino);
        }
        let _ = repair(&volume, &mut Lines::default());
    }
}

/// Does to an inode what a mounted volume would.
fn use_inode(volume: &Volume, ino: Ino) -> cowfs_core::error::Result {
    let mut tx = Overlay::new(volume);
    let (buf, at) = inodes::read(&tx, ino)?;
    let block = tx.geometry().inode_at(ino).map_or(FsBlock(0), |(at, _)| at);
    if let Ok(mut fork) = Fork::load(&tx, &buf, at, block) {
        let mut from = FileBlock(0);
        while from.0 < 1000 {
            let (found, _) = fork.lookup_shared(&tx, from, 1000)?;
            from = from.add(found.len.max(1));
        }
        let mut clone = Fork::new();
        Fork::clone_whole(&mut tx, &mut fork, &mut clone)?;
        for file in [3, 11, 100] {
            clone.unmap(&mut tx, ino, FileBlock(file), 5)?;
        }
        for _ in 0..1000 {
            if fork.truncate(&mut tx, ino, FileBlock(0))? {
                break;
            }
        }
        tx.settle()?;
    }
    if let Ok(mut root) = codec::load_root(&buf, at, block) {
        dir::lookup(&tx, &root, b"entry 7")?;
        dir::insert(
            &mut tx,
            ino,
            &mut root,
            b"another",
            ino,
            codec::FileType::Regular,
        )?;
        dir::remove(&mut tx, ino, &mut root, b"file")?;
        tx.settle()?;
    }
    Ok(())
}
