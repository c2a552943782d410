// SPDX-License-Identifier: GPL-2.0

//! The operations that are timed one by one. Preparation is not counted, and where a file system
//! puts work off, a sync afterwards is counted, so that nobody wins by being late.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Subcommand;
use rustix::fs::{fstatvfs, ioctl_ficlone, syncfs, OFlags};
use rustix::mount::{mount, MountFlags};

/// Size and alignment of single writes.
const BLOCK: usize = 4096;

/// A block as direct I/O wants it.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

/// One operation.
#[derive(Subcommand)]
pub enum Operation {
    /// Make a file of as many extents, by writing every other block
    Fragment {
        /// The file
        file: PathBuf,
        /// How many extents
        extents: u64,
    },
    /// Clone a file
    Clone {
        /// The file
        source: PathBuf,
        /// Its clone, a new file
        clone: PathBuf,
    },
    /// Remove a file, and wait until that is done
    Unlink {
        /// The file
        file: PathBuf,
    },
    /// Write one block in the middle of a file
    Overwrite {
        /// The file
        file: PathBuf,
    },
    /// Make clones in a new directory
    Clones {
        /// The file
        source: PathBuf,
        /// The directory
        directory: PathBuf,
        /// How many clones
        count: u64,
    },
    /// Clone a file over and over, and count the first direct write to each clone
    FirstWrite {
        /// The file
        source: PathBuf,
        /// How many clones
        count: u64,
    },
    /// Make small files in a new directory
    Create {
        /// The directory
        directory: PathBuf,
        /// How many files
        count: u64,
    },
    /// Look at all of them
    Stat {
        /// The directory
        directory: PathBuf,
        /// How many files
        count: u64,
    },
    /// Remove all of them
    UnlinkAll {
        /// The directory
        directory: PathBuf,
        /// How many files
        count: u64,
    },
    /// Mount a volume
    Mount {
        /// The type of file system
        fstype: String,
        /// The device
        device: PathBuf,
        /// Where
        directory: PathBuf,
    },
}

impl Operation {
    /// Performs the operation; returns how long what counts of it took.
    pub fn perform(&self) -> Result<Duration> {
        match self {
            Self::Fragment { file, extents } => timed(|| fragment(file, *extents)),
            Self::Clone { source, clone } => {
                let source = open(source)?;
                let clone = create(clone, OFlags::empty())?;
                timed(|| Ok(ioctl_ficlone(&clone, &source)?))
            }
            Self::Unlink { file } => removed(parent(file), &[file]),
            Self::Overwrite { file } => {
                let handle = OpenOptions::new()
                    .write(true)
                    .custom_flags(OFlags::DIRECT.bits() as i32)
                    .open(file)?;
                let blocks = handle.metadata()?.len() / BLOCK as u64;
                let block = Block([0x3c; BLOCK]);
                timed(|| Ok(handle.write_all_at(&block.0, blocks / 2 * BLOCK as u64)?))
            }
            Self::Clones {
                source,
                directory,
                count,
            } => {
                fs::create_dir(directory)?;
                let source = open(source)?;
                timed(|| {
                    for path in names(directory, *count) {
                        ioctl_ficlone(create(&path, OFlags::empty())?, &source)?;
                    }
                    Ok(())
                })
            }
            Self::FirstWrite { source, count } => first_write(source, *count),
            Self::Create { directory, count } => {
                fs::create_dir(directory)?;
                let handle = open(directory)?;
                timed(|| {
                    for path in names(directory, *count) {
                        fs::write(path, [0x5a; 1024])?;
                    }
                    Ok(syncfs(&handle)?)
                })
            }
            Self::Stat { directory, count } => timed(|| {
                for path in names(directory, *count) {
                    fs::metadata(path)?;
                }
                Ok(())
            }),
            Self::UnlinkAll { directory, count } => {
                let paths: Vec<_> = names(directory, *count).collect();
                removed(directory, &paths)
            }
            Self::Mount {
                fstype,
                device,
                directory,
            } => timed(|| {
                let none = MountFlags::empty();
                Ok(mount(device, directory, fstype.as_str(), none, None)?)
            }),
        }
    }
}

/// Removes files, and waits until the file system is done with it.
fn removed(directory: &Path, files: &[impl AsRef<Path>]) -> Result<Duration> {
    let directory = open(directory)?;
    syncfs(&directory)?;
    let before = inodes(&directory)?;
    timed(|| {
        for file in files {
            fs::remove_file(file)?;
        }
        syncfs(&directory)?;
        // XFS leaves the work to a worker.
        while before > 0 && inodes(&directory)? + files.len() as u64 > before {
            thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    })
}

fn timed(operation: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    operation()?;
    Ok(start.elapsed())
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| path.display().to_string())
}

/// How many inodes are in use, or 0 where nobody counts them.
fn inodes(file: &File) -> Result<u64> {
    let stat = fstatvfs(file)?;
    Ok(stat.f_files.saturating_sub(stat.f_ffree))
}

fn create(path: &Path, flags: OFlags) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .with_context(|| path.display().to_string())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn names(directory: &Path, count: u64) -> impl Iterator<Item = PathBuf> + '_ {
    (0..count).map(|i| directory.join(format!("file{i}")))
}

/// The size comes first: preallocation beyond the end of a file would fill the holes.
fn fragment(path: &Path, extents: u64) -> Result<()> {
    let file = create(path, OFlags::empty())?;
    let stride = 2 * BLOCK as u64;
    file.set_len(extents * stride)?;
    for i in 0..extents {
        file.write_all_at(&[0xc3; BLOCK], i * stride)?;
    }
    Ok(file.sync_all()?)
}

fn first_write(source: &Path, count: u64) -> Result<Duration> {
    let path = parent(source).join("first-write");
    let source = open(source)?;
    let block = Block([0x3c; BLOCK]);
    let mut total = Duration::ZERO;
    for i in 0..count {
        let clone = create(&path, OFlags::DIRECT)?;
        ioctl_ficlone(&clone, &source)?;
        // Somewhere else each time; the file is at least as long.
        let at = i * 7919 % count * BLOCK as u64;
        total += timed(|| Ok(clone.write_all_at(&block.0, at)?))?;
        fs::remove_file(&path)?;
    }
    Ok(total)
}
