// SPDX-License-Identifier: GPL-2.0

//! cowfs-mutate: makes a hostile volume of a sound one; see the library.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use cowfs_core::ondisk::{header, superblock, Superblock};
use cowfs_core::units::FsBlock;
use cowfs_mutate::Targets;
use fastrand::Rng;

/// Copy an image of a volume, with random changes to its metadata and the right checksums.
#[derive(Parser)]
#[command(name = "cowfs-mutate", version)]
struct Arguments {
    /// The image of a sound volume
    from: PathBuf,
    /// The image to be made
    to: PathBuf,
    /// Which changes: the same number, the same changes
    seed: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let bytes =
        std::fs::read(&arguments.from).with_context(|| format!("{}", arguments.from.display()))?;
    let first = bytes.first_chunk::<{ superblock::SIZE }>();
    let superblock = Superblock::decode(first.context("too short")?, FsBlock(0))
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let geometry = superblock
        .geometry()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut random = Rng::with_seed(arguments.seed);
    let input: Vec<u8> = (0..random.usize(1..=8))
        .flat_map(|_| {
            let [b0, b1] = random.u16(..).to_le_bytes();
            // What a block begins with is looked at more often than the rest.
            let end = match random.bool() {
                true => 2 * header::SIZE as u16,
                false => geometry.block_size() as u16,
            };
            let [p0, p1] = random.u16(..end).to_le_bytes();
            let value = match random.bool() {
                true => random.choice([0, 1, 0x7f, 0x80, 0xff]).unwrap_or(0),
                false => random.u8(..),
            };
            [b0, b1, p0, p1, random.u8(..), value]
        })
        .collect();
    // The file that is there is written over: in the guest, room for a new one costs more.
    let to = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&arguments.to)
        .with_context(|| format!("{}", arguments.to.display()))?;
    to.set_len(bytes.len() as u64)?;
    to.write_all_at(&bytes, 0)?;
    for (at, block) in Targets::find(&geometry, &bytes).damage(&bytes, &input) {
        to.write_all_at(&block, at.0 * geometry.block_size() as u64)?;
        println!("block {at}");
    }
    Ok(())
}
