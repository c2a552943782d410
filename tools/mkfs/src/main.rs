// SPDX-License-Identifier: GPL-2.0

//! mkfs.cowfs: makes a cowfs volume on a block device or in a regular file.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cowfs_image::size;
use cowfs_mkfs::Options;
use uuid::Uuid;

/// Make a cowfs volume on a block device or in a regular file.
#[derive(Parser)]
#[command(name = "mkfs.cowfs", version, disable_version_flag = true)]
struct Arguments {
    /// Volume label, at most 64 bytes
    #[arg(short = 'L', value_name = "LABEL", default_value = "")]
    label: String,

    /// UUID of the volume [default: a random one]
    #[arg(short = 'U', value_name = "UUID")]
    uuid: Option<Uuid>,

    /// Block size in bytes
    #[arg(short = 'b', value_name = "BYTES", default_value = "4096",
          value_parser = ["1024", "2048", "4096"])]
    block_size: String,

    /// Size of the journal, with an optional suffix K, M or G [default: by the volume's size]
    #[arg(short = 'J', value_name = "SIZE", value_parser = size::parse)]
    journal: Option<u64>,

    /// Overwrite whatever the device holds
    #[arg(short = 'f')]
    force: bool,

    /// Do not tell the device that its blocks are unused
    #[arg(short = 'K')]
    keep: bool,

    /// Only print what would be done
    #[arg(short = 'n')]
    dry_run: bool,

    /// Print nothing but errors
    #[arg(short = 'q')]
    quiet: bool,

    /// Print the version
    #[arg(short = 'V', action = clap::ArgAction::Version)]
    version: (),

    /// Block device or regular file
    device: PathBuf,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = u8::from(error.use_stderr());
            // Nothing is left to do if even that cannot be printed.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let options = Options {
        label: arguments.label,
        uuid: arguments.uuid.map(Uuid::into_bytes),
        block_size: arguments.block_size.parse().unwrap_or(4096),
        journal: arguments.journal,
        force: arguments.force,
        keep: arguments.keep,
        dry_run: arguments.dry_run,
    };
    match cowfs_mkfs::make(&arguments.device, &options) {
        Ok(made) => {
            if !arguments.quiet {
                print!("{}", made);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mkfs.cowfs: {}: {error:#}", arguments.device.display());
            ExitCode::FAILURE
        }
    }
}
