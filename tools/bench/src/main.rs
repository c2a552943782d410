// SPDX-License-Identifier: GPL-2.0

//! cowfs-bench: the two ends of `make bench`.
//!
//! In the guest, `selftests/bench/run` has it perform and time single operations, with nothing
//! like the start of a process in between, and read what fio measured. On the host it makes a
//! table, a JSON file and a picture of all the samples.
#![forbid(unsafe_code)]

mod memory;
mod operation;
mod picture;
mod report;
mod samples;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measure file systems against each other.
#[derive(Parser)]
#[command(name = "cowfs-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Perform an operation and print the seconds it took
    #[command(subcommand)]
    Time(operation::Operation),
    /// Print what fio measured: I/Os a second, or MiB a second
    Fio {
        /// fio's JSON output
        file: PathBuf,
        /// Throughput rather than a rate of I/Os
        #[arg(long)]
        throughput: bool,
    },
    /// Run a command, and print by how many KiB the slabs grew meanwhile at most
    Watch {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<OsString>,
    },
    /// Make a table, bench.json and bench.svg of samples
    Report {
        /// Where bench.json and bench.svg go
        #[arg(long)]
        out: PathBuf,
        /// What selftests/bench/run printed
        #[arg(required = true)]
        samples: Vec<PathBuf>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Time(operation) => println!("{:.9}", operation.perform()?.as_secs_f64()),
        Command::Fio { file, throughput } => {
            println!("{:.3}", samples::of_fio(&file, throughput)?)
        }
        Command::Watch { command } => println!("{}", memory::peak(&command)?),
        Command::Report { out, samples } => report::make(&samples, &out)?,
    }
    Ok(())
}
