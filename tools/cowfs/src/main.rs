// SPDX-License-Identifier: GPL-2.0

//! cowfs: looks inside a volume, without mounting or changing it.
//!
//! What is shown is the state after replay of the journal. See cowfs(8).
#![forbid(unsafe_code)]

mod dump;
mod file;
mod info;
mod map;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use cowfs_image::device::Device;
use cowfs_image::volume::Volume;

/// Look inside a cowfs volume.
#[derive(Parser)]
#[command(name = "cowfs", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show superblock, journal and counters
    Info {
        /// Also show each allocation group that was used
        #[arg(short, long)]
        groups: bool,
        /// Block device or regular file
        device: PathBuf,
    },
    /// Show where the contents of a file are
    Map {
        /// Block device or regular file
        device: PathBuf,
        /// Path in the volume, beginning with "/", or number of an inode
        file: String,
    },
    /// Show what a block holds
    Dump {
        /// Show its bytes, whatever they mean
        #[arg(short = 'x', long)]
        hex: bool,
        /// Block device or regular file
        device: PathBuf,
        /// Address of the block
        block: u64,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed our standard output does not want to know.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cowfs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(arguments: &Arguments) -> Result<()> {
    let (Command::Info { device, .. } | Command::Map { device, .. } | Command::Dump { device, .. }) =
        &arguments.command;
    let volume = Device::open(device)
        .map_err(Into::into)
        .and_then(Volume::open)
        .with_context(|| device.display().to_string())?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match &arguments.command {
        Command::Info { groups, .. } => info::show(&volume, *groups, &mut out)?,
        Command::Map { file, .. } => map::show(&volume, file, &mut out)?,
        Command::Dump { hex, block, .. } => dump::show(&volume, *block, *hex, &mut out)?,
    }
    out.flush()?;
    Ok(())
}
