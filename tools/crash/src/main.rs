// SPDX-License-Identifier: GPL-2.0

//! cowfs-crash: checks what a recorded workload leaves behind when the power goes; see the library.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{bail, Context, Result};
use clap::{Args, Parser, Subcommand};
use cowfs_crash::log::{Action, WriteLog};
use cowfs_crash::points::Walk;
use cowfs_crash::run::Recording;
use cowfs_image::device::Image;

/// Bad points told of each workload.
const TOLD: usize = 8;

/// Check crash consistency from logs of dm-log-writes.
#[derive(Parser)]
#[command(name = "cowfs-crash", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check every crash point of all workloads; TAP on standard output
    Check {
        #[command(flatten)]
        input: Input,
        /// At most so many points of each workload, 0 for all
        #[arg(long, default_value_t = 0)]
        most: usize,
        /// Fail if there are fewer points in all
        #[arg(long, default_value_t = 1)]
        least: usize,
        /// Threads; one for each CPU unless given
        #[arg(long)]
        jobs: Option<NonZeroUsize>,
        /// Only these workloads
        names: Vec<String>,
    },
    /// Check one point again, and write what the device holds there to a file
    Write {
        #[command(flatten)]
        input: Input,
        /// The workload
        name: String,
        /// The point, by number
        point: usize,
        /// The file, which is made
        to: PathBuf,
    },
    /// List the entries of a log
    List {
        #[command(flatten)]
        input: Input,
        /// The workload
        name: String,
    },
}

#[derive(Args)]
struct Input {
    /// What workloads there are in the log: lines "name, offset, length, bytes of the device"
    #[arg(long)]
    runs: PathBuf,
    /// File with the logs
    log: PathBuf,
    /// Points with lost writes between any two flushes
    #[arg(long, default_value_t = 2)]
    losses: u32,
    /// Seed of what is lost
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A workload, and where its log is.
struct Run {
    name: String,
    at: u64,
    len: u64,
    bytes: u64,
}

impl Input {
    fn runs(&self) -> Result<Vec<Run>> {
        let text =
            fs::read_to_string(&self.runs).with_context(|| self.runs.display().to_string())?;
        text.lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let [name, at, len, bytes] = words[..] else {
                    bail!("{}: {line:?} is no run", self.runs.display());
                };
                Ok(Run {
                    name: name.to_owned(),
                    at: at.parse()?,
                    len: len.parse()?,
                    bytes: bytes.parse()?,
                })
            })
            .collect()
    }

    fn log(&self, run: &Run) -> Result<WriteLog> {
        WriteLog::open(&self.log, run.at, run.len).with_context(|| run.name.clone())
    }

    fn recording(&self, run: &Run) -> Result<Recording> {
        Recording::new(self.log(run)?, run.bytes, self.losses, self.seed)
            .with_context(|| run.name.clone())
    }

    fn find(&self, name: &str) -> Result<Run> {
        let found = self.runs()?.into_iter().find(|run| run.name == name);
        found.with_context(|| format!("there is no workload {name:?}"))
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check {
            input,
            most,
            least,
            jobs,
            names,
        } => check(&input, &names, most, least, jobs),
        Command::Write {
            input,
            name,
            point,
            to,
        } => write(&input, &name, point, &to),
        Command::List { input, name } => list(&input, &name),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cowfs-crash: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(
    input: &Input,
    names: &[String],
    most: usize,
    least: usize,
    jobs: Option<NonZeroUsize>,
) -> Result<bool> {
    let mut runs = input.runs()?;
    runs.retain(|run| names.is_empty() || names.contains(&run.name));
    let jobs = jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let (mut points, mut failed, mut good) = (0, 0, true);
    println!("TAP version 13\n1..{}", runs.len() + 1);
    for (n, run) in runs.iter().enumerate() {
        let began = Instant::now();
        let mut recording = match input.recording(run) {
            Ok(recording) => recording,
            Err(error) => {
                println!("# {error:#}\nnot ok {} - {}", n + 1, run.name);
                good = false;
                continue;
            }
        };
        recording.thin(most);
        let report = recording.check(jobs);
        for (number, faults) in report.bad.iter().take(TOLD) {
            println!("# point {number}, {}:", recording.points[*number]);
            faults.lines().for_each(|line| println!("#   {line}"));
        }
        let losses = recording.points.iter().filter(|point| point.loss.is_some());
        println!(
            "# {}: {} operations, {} of them promise; {} points, {} of them with lost writes; \
             compared {} names, {} blocks; replayed {} transactions; {:.1} s",
            run.name,
            recording.trace.ops.len(),
            recording.promises(),
            report.points,
            losses.count(),
            report.compared.names,
            report.compared.blocks,
            report.compared.transactions,
            began.elapsed().as_secs_f64()
        );
        let empty = recording.promises() == 0 || report.compared.names == 0;
        let verdict = if report.bad.is_empty() && !empty {
            "ok"
        } else {
            "not ok"
        };
        println!(
            "{verdict} {} - {}: {} crash points, {} failed",
            n + 1,
            run.name,
            report.points,
            report.bad.len()
        );
        good &= verdict == "ok";
        points += report.points;
        failed += report.bad.len();
    }
    let enough = if points >= least { "ok" } else { "not ok" };
    println!(
        "{enough} {} - {points} crash points in all (at least {least}), {failed} failed",
        runs.len() + 1
    );
    Ok(good && points >= least)
}

fn write(input: &Input, name: &str, number: usize, to: &PathBuf) -> Result<bool> {
    const PIECE: usize = 1 << 20;
    let run = input.find(name)?;
    let recording = input.recording(&run)?;
    let point = recording
        .points
        .get(number)
        .context("there is no such point")?;
    let disk = Walk::new(recording.log.clone()).disk_at(point);
    let file = File::create_new(to).with_context(|| to.display().to_string())?;
    let mut bytes = vec![0; PIECE];
    let mut at = 0;
    while at < run.bytes {
        let len = PIECE.min(usize::try_from(run.bytes - at).unwrap_or(PIECE));
        disk.read_at(at, &mut bytes[..len])?;
        file.write_all_at(&bytes[..len], at)?;
        at += len as u64;
    }
    println!("{point}");
    let (faults, _) = recording.check_one(point);
    faults.lines().for_each(|line| println!("  {line}"));
    Ok(faults.is_empty())
}

fn list(input: &Input, name: &str) -> Result<bool> {
    let log = input.log(&input.find(name)?)?;
    for (n, entry) in log.entries().iter().enumerate() {
        let flush = if entry.flush { "flush " } else { "" };
        let fua = if entry.fua { "fua " } else { "" };
        print!("{n:>8} {flush}{fua}");
        match &entry.action {
            Action::Write { to, sectors, .. } => println!("write {to}+{sectors}"),
            Action::Discard { to, sectors } => println!("discard {to}+{sectors}"),
            Action::Mark(text) => println!("mark {text}"),
            Action::Nothing => println!(),
        }
    }
    Ok(true)
}
