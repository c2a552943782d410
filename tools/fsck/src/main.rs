// SPDX-License-Identifier: GPL-2.0

//! fsck.cowfs: checks a cowfs volume. Exit codes are those of fsck(8).
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use cowfs_fsck::{check, Findings, Progress, Subject};
use cowfs_image::device::{user_of, Device};
use cowfs_image::volume::{find_backup, OpenError, Volume};
use indicatif::{ProgressBar, ProgressStyle};

/// No errors.
const CLEAN: u8 = 0;
/// Errors were found and left.
const ERRORS_LEFT: u8 = 4;
/// The check could not be made.
const OPERATIONAL: u8 = 8;
/// Wrong usage.
const USAGE: u8 = 16;

/// Check a cowfs volume.
#[derive(Parser)]
#[command(name = "fsck.cowfs", version, disable_version_flag = true)]
struct Arguments {
    /// Check only, change nothing: all this version can do
    #[arg(short = 'n')]
    no_changes: bool,

    /// Check even if the volume seems to be clean: it always is checked
    #[arg(short = 'f')]
    force: bool,

    /// Repair what can be repaired safely: not yet supported
    #[arg(short = 'p', short_alias = 'a', conflicts_with = "no_changes")]
    preen: bool,

    /// Answer "yes" to all questions: not yet supported
    #[arg(short = 'y', conflicts_with = "no_changes")]
    yes: bool,

    /// Print nothing but findings
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
            // Nothing is left to do if even that cannot be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { CLEAN });
        }
    };
    if arguments.preen || arguments.yes {
        eprintln!("fsck.cowfs: not yet supported: repair; use -n to check");
        return ExitCode::from(USAGE);
    }
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("fsck.cowfs: {}: {error}", arguments.device.display());
            ExitCode::from(OPERATIONAL)
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8, OpenError> {
    let path = &arguments.device;
    if let Some(user) = user_of(path) {
        eprintln!(
            "fsck.cowfs: {}: {user}: what is written meanwhile may look like damage",
            path.display()
        );
    }
    let mut printer = Printer::new(path, arguments.quiet);
    let Some(volume) = open(path, &mut printer)? else {
        return Ok(printer.finish(None));
    };
    let outcome = check(&volume, &mut printer).map_err(OpenError::Core)?;
    Ok(printer.finish(Some(outcome)))
}

/// Opens the volume, by a backup of the superblock if need be; `None` if there is none.
fn open(path: &Path, printer: &mut Printer<'_>) -> Result<Option<Volume>, OpenError> {
    let error = match Volume::open(Device::open(path)?) {
        Ok(volume) => return Ok(Some(volume)),
        Err(error @ (OpenError::Io(_) | OpenError::Core(_))) => return Err(error),
        Err(error) => error,
    };
    let device = Device::open(path)?;
    let backup = match error {
        // The superblock is sound; no other will make the device longer.
        OpenError::Truncated { .. } => None,
        _ => find_backup(&device)?,
    };
    let Some(backup) = backup else {
        return match error {
            OpenError::Foreign => Err(error),
            error => {
                printer.wrong(Subject::Volume, format_args!("{error}"));
                Ok(None)
            }
        };
    };
    printer.wrong(
        Subject::Superblock(cowfs_core::units::FsBlock(0)),
        format_args!(
            "{error}; going on with the backup in block {}",
            backup.address
        ),
    );
    Volume::with_superblock(device, backup).map(Some)
}

/// Prints findings to standard output, with a bar below them while the check runs on a terminal.
struct Printer<'a> {
    path: &'a Path,
    quiet: bool,
    bar: ProgressBar,
    phase: &'static str,
    wrong: u64,
}

impl<'a> Printer<'a> {
    fn new(path: &'a Path, quiet: bool) -> Self {
        let bar = if quiet || !io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template("{msg:12} [{bar:40}] {pos}/{len} {eta}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        };
        Printer {
            path,
            quiet,
            bar,
            phase: "",
            wrong: 0,
        }
    }

    fn line(&self, text: fmt::Arguments<'_>) {
        // Whoever closed our standard output does not want to know.
        self.bar
            .suspend(|| writeln!(io::stdout(), "{text}").unwrap_or_default());
    }

    fn finish(self, outcome: Option<cowfs_fsck::Outcome>) -> u8 {
        self.bar.finish_and_clear();
        let path = self.path.display();
        if let (Some(outcome), false) = (outcome, self.quiet) {
            self.line(format_args!("{path}: {outcome}"));
        }
        match self.wrong {
            0 => {
                if !self.quiet {
                    self.line(format_args!("{path}: clean"));
                }
                CLEAN
            }
            1 => {
                self.line(format_args!("{path}: 1 error found and left"));
                ERRORS_LEFT
            }
            n => {
                self.line(format_args!("{path}: {n} errors found and left"));
                ERRORS_LEFT
            }
        }
    }
}

impl Findings for Printer<'_> {
    fn wrong(&mut self, subject: Subject, what: fmt::Arguments<'_>) {
        self.wrong += 1;
        self.line(format_args!("{subject}: {what}"));
    }

    fn note(&mut self, what: fmt::Arguments<'_>) {
        if !self.quiet {
            self.line(format_args!("{}: {what}", self.path.display()));
        }
    }

    fn progress(&mut self, progress: Progress) {
        if progress.phase != self.phase {
            self.phase = progress.phase;
            self.bar.reset();
            self.bar.set_message(progress.phase);
        }
        self.bar.set_length(progress.all);
        self.bar.set_position(progress.done);
    }
}
