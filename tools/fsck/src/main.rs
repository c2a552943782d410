// SPDX-License-Identifier: GPL-2.0

//! fsck.cowfs: checks and repairs a cowfs volume. Exit codes are those of fsck(8).
#![forbid(unsafe_code)]

mod interrupt;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use cowfs_core::ondisk::superblock::RO_COMPAT_KNOWN;
use cowfs_fsck::{check, reclaim, repair, Effect, Findings, Progress, RepairError, Subject};
use cowfs_image::device::{user_of, Device};
use cowfs_image::journal::JournalError;
use cowfs_image::signature;
use cowfs_image::volume::{find_backup, Journal, OpenError, Volume};
use indicatif::{ProgressBar, ProgressStyle};
use thiserror::Error as ThisError;

/// No errors.
const CLEAN: u8 = 0;
/// Errors were found and corrected.
const CORRECTED: u8 = 1;
/// Errors were found and left.
const ERRORS_LEFT: u8 = 4;
/// The check could not be made.
const OPERATIONAL: u8 = 8;
/// Wrong usage.
const USAGE: u8 = 16;

/// Check and repair a cowfs volume.
#[derive(Parser)]
#[command(name = "fsck.cowfs", version, disable_version_flag = true)]
struct Arguments {
    /// Check only, change nothing: the default
    #[arg(short = 'n')]
    no_changes: bool,

    /// Check even if the volume seems to be clean: it always is checked
    #[arg(short = 'f')]
    force: bool,

    /// Repair what can be repaired without losing anything
    #[arg(short = 'p', short_alias = 'a', conflicts_with = "no_changes")]
    preen: bool,

    /// Repair whatever is wrong
    #[arg(short = 'y', conflicts_with_all = ["no_changes", "preen"])]
    yes: bool,

    /// Print nothing but findings and repairs
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
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("fsck.cowfs: {}: {error}", arguments.device.display());
            ExitCode::from(OPERATIONAL)
        }
    }
}

/// Why a volume was not checked, or not repaired.
#[derive(Debug, ThisError)]
enum Failure {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}; not repaired")]
    InUse(String),
    #[error("the volume has features that this version must not write")]
    Features,
    #[error("not a cowfs volume, but {0}, it seems")]
    Other(&'static str),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

fn run(arguments: &Arguments) -> Result<u8, Failure> {
    interrupt::allow().map_err(Failure::Signals)?;
    let path = &arguments.device;
    let repairs = arguments.preen || arguments.yes;
    if let Some(user) = user_of(path) {
        if repairs {
            return Err(Failure::InUse(user));
        }
        eprintln!(
            "fsck.cowfs: {}: {user}: what is written meanwhile may look like damage",
            path.display()
        );
    }
    let mut printer = Printer::new(path, arguments.quiet);
    let Some(mut volume) = open(path, repairs, &mut printer)? else {
        return Ok(printer.left());
    };
    let outcome = check(&volume, &mut printer).map_err(OpenError::Core)?;
    printer.outcome(&outcome);
    let wrong = printer.wrong;
    let needs_replay = matches!(volume.journal(), Journal::NeedsReplay(_));
    if !repairs || (wrong == 0 && outcome.orphans == 0 && !needs_replay) {
        return Ok(printer.left());
    }
    let newer = matches!(
        volume.journal(),
        Journal::Unusable(JournalError::Unsupported(_))
    );
    if newer || volume.superblock().ro_compat & !RO_COMPAT_KNOWN != 0 {
        return Err(Failure::Features);
    }
    let done = match wrong {
        0 => reclaim(&volume, &mut printer).map_err(RepairError::Core),
        _ => repair(&volume, &mut printer),
    };
    if let Err(error) = done {
        printer.refuse(format_args!("repair is not possible: {error}"));
        return Ok(printer.left());
    }
    if arguments.preen && printer.losses > 0 {
        printer.refuse(format_args!("this needs a decision: run fsck.cowfs -y"));
        return Ok(printer.left());
    }
    let left = recheck(&volume).map_err(OpenError::Core)?;
    if !left.is_empty() {
        printer.refuse(format_args!("repair is not possible, there would be left:"));
        for line in left.iter().take(MOST_LEFT) {
            printer.line(format_args!("{line}"));
        }
        return Ok(printer.left());
    }
    interrupt::refuse();
    volume.write_out()?;
    Ok(printer.corrected())
}

/// What is left to be said where a repair does not succeed.
const MOST_LEFT: usize = 20;

/// Checks the volume as it would be.
fn recheck(volume: &Volume) -> cowfs_core::error::Result<Vec<String>> {
    let mut lines = Left::default();
    check(volume, &mut lines)?;
    Ok(lines.0)
}

/// Collects what would be left.
#[derive(Default)]
struct Left(Vec<String>);

impl Findings for Left {
    fn wrong(&mut self, subject: Subject, what: fmt::Arguments<'_>) {
        // These are put right when all is written.
        if !matches!(subject, Subject::Superblock(_) | Subject::Journal) {
            self.0.push(format!("{subject}: {what}"));
        }
    }

    fn note(&mut self, _what: fmt::Arguments<'_>) {}

    fn progress(&mut self, _progress: Progress) {}
}

fn open_device(path: &Path, repairs: bool) -> Result<Device, Failure> {
    if !repairs {
        return Ok(Device::open(path).map_err(OpenError::Io)?);
    }
    match Device::open_exclusively(path) {
        Ok(device) => Ok(device),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            Err(Failure::InUse("in use by the system".to_owned()))
        }
        Err(error) => Err(OpenError::Io(error).into()),
    }
}

/// Opens the volume, by a backup of the superblock if need be; `None` if there is none.
fn open(path: &Path, repairs: bool, printer: &mut Printer<'_>) -> Result<Option<Volume>, Failure> {
    let error = match Volume::open(open_device(path, repairs)?) {
        Ok(volume) => return Ok(Some(volume)),
        Err(error @ (OpenError::Core(_) | OpenError::Newer)) => return Err(error.into()),
        Err(error) => error,
    };
    let device = open_device(path, repairs)?;
    if let (OpenError::Foreign, Ok(Some(other))) = (&error, signature::find(&device)) {
        // An old volume's backups may still be there.
        return Err(Failure::Other(other));
    }
    let backup = match error {
        // The superblock is sound; no other will make the device longer.
        OpenError::Truncated { .. } => None,
        _ => find_backup(&device),
    };
    let Some(backup) = backup else {
        return match error {
            OpenError::Foreign | OpenError::Io(_) => Err(error.into()),
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
    Ok(Some(Volume::with_superblock(device, backup)?))
}

/// Prints findings to standard output, with a bar below them while the check runs on a terminal.
struct Printer<'a> {
    path: &'a Path,
    quiet: bool,
    bar: ProgressBar,
    phase: &'static str,
    wrong: u64,
    losses: u64,
    refused: bool,
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
            losses: 0,
            refused: false,
        }
    }

    fn line(&self, text: fmt::Arguments<'_>) {
        // Whoever closed our standard output does not want to know.
        self.bar
            .suspend(|| writeln!(io::stdout(), "{text}").unwrap_or_default());
    }

    fn outcome(&self, outcome: &cowfs_fsck::Outcome) {
        if !self.quiet {
            self.line(format_args!("{}: {outcome}", self.path.display()));
        }
    }

    /// Nothing was written, and why.
    fn refuse(&mut self, why: fmt::Arguments<'_>) {
        self.refused = true;
        self.line(format_args!(
            "{}: nothing was written: {why}",
            self.path.display()
        ));
    }

    /// What is found is left as it is; the exit code.
    fn left(self) -> u8 {
        self.bar.finish_and_clear();
        let path = self.path.display();
        match self.wrong {
            0 if self.refused => self.line(format_args!("{path}: what is left to do was not done")),
            0 => {
                if !self.quiet {
                    self.line(format_args!("{path}: clean"));
                }
                return CLEAN;
            }
            1 => self.line(format_args!("{path}: 1 error found and left")),
            n => self.line(format_args!("{path}: {n} errors found and left")),
        }
        ERRORS_LEFT
    }

    /// All is written; the exit code.
    fn corrected(self) -> u8 {
        self.bar.finish_and_clear();
        let path = self.path.display();
        if self.wrong == 0 {
            if !self.quiet {
                self.line(format_args!("{path}: clean now"));
            }
            return CLEAN;
        }
        let lost = match self.losses {
            0 => "nothing is lost",
            _ => "see above for what is lost",
        };
        match self.wrong {
            1 => self.line(format_args!("{path}: 1 error found and corrected; {lost}")),
            n => self.line(format_args!(
                "{path}: {n} errors found and corrected; {lost}"
            )),
        }
        CORRECTED
    }
}

impl Findings for Printer<'_> {
    fn wrong(&mut self, subject: Subject, what: fmt::Arguments<'_>) {
        self.wrong += 1;
        self.line(format_args!("{subject}: {what}"));
    }

    fn repaired(&mut self, effect: Effect, subject: Subject, what: fmt::Arguments<'_>) {
        let word = match effect {
            Effect::Safe => "repair",
            Effect::Loss => {
                self.losses += 1;
                "repair, lossy"
            }
        };
        self.line(format_args!("{word}: {subject}: {what}"));
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
