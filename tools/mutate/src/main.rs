// SPDX-License-Identifier: GPL-2.0

//! cowfs-mutate: makes a hostile volume of a sound one; see the library.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use cowfs_core::ondisk::{superblock, Superblock};
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
    let targets = Targets::find(&geometry, &bytes);
    let input = targets.choose(&bytes, &mut random);
    // The file that is there is written over: in the guest, room for a new one costs more.
    let to = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&arguments.to)
        .with_context(|| format!("{}", arguments.to.display()))?;
    to.set_len(bytes.len() as u64)?;
    to.write_all_at(&bytes, 0)?;
    for (at, block) in targets.damage(&bytes, &input) {
        to.write_all_at(&block, at.0 * geometry.block_size() as u64)?;
        println!("block {at}");
    }
    Ok(())
}
