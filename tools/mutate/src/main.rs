// SPDX-License-Identifier: GPL-2.0

//! cowfs-mutate: makes a hostile volume of a sound one; see the library.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use cowfs_core::ondisk::{superblock, Superblock};
use cowfs_core::units::FsBlock;
use cowfs_mutate::Targets;
use fastrand::Rng;

/// Copy an image of a volume, with changes to its metadata and the right checksums.
#[derive(Parser)]
#[command(name = "cowfs-mutate", version)]
struct Arguments {
    /// The image of a sound volume
    from: PathBuf,
    /// The image to be made
    to: PathBuf,
    /// Which changes: the same number, the same changes
    #[arg(required_unless_present = "put")]
    seed: Option<u64>,
    /// Instead, put these bytes, in hexadecimal, at this one of the volume
    #[arg(long, value_name = "BYTE=HEX", conflicts_with = "seed", value_parser = placed)]
    put: Vec<(u64, Vec<u8>)>,
}

/// What is to be put where.
fn placed(text: &str) -> Result<(u64, Vec<u8>)> {
    let (at, digits) = text.split_once('=').context("no =")?;
    let pairs = digits.as_bytes().chunks(2);
    let values = pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    Ok((at.parse()?, values.collect::<Result<_>>()?))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut bytes =
        std::fs::read(&arguments.from).with_context(|| format!("{}", arguments.from.display()))?;
    let first = bytes.first_chunk::<{ superblock::SIZE }>();
    let superblock = Superblock::decode(first.context("too short")?, FsBlock(0))
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let geometry = superblock
        .geometry()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let targets = Targets::find(&geometry, &bytes);
    let mut changed = BTreeMap::new();
    if let Some(seed) = arguments.seed {
        let input = targets.choose(&bytes, &mut Rng::with_seed(seed));
        changed = targets.damage(&bytes, &input);
    }
    for (from, values) in &arguments.put {
        let put = targets.put(&bytes, *from, values);
        let (at, block) = put.with_context(|| format!("byte {from} is not metadata"))?;
        let place = at.0 as usize * geometry.block_size();
        bytes[place..place + block.len()].copy_from_slice(&block);
        changed.insert(at, block);
    }
    // The file that is there is written over: in the guest, room for a new one costs more.
    let to = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&arguments.to)
        .with_context(|| format!("{}", arguments.to.display()))?;
    to.set_len(bytes.len() as u64)?;
    to.write_all_at(&bytes, 0)?;
    for (at, block) in changed {
        to.write_all_at(&block, at.0 * geometry.block_size() as u64)?;
        println!("block {at}");
    }
    Ok(())
}
