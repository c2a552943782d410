// SPDX-License-Identifier: GPL-2.0

//! Where findings and progress go.

use std::fmt;

use cowfs_core::units::{AgNumber, FsBlock, Ino};

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A copy of the superblock, by the block it is in.
    Superblock(FsBlock),
    /// The journal.
    Journal,
    /// The volume's counters and orphan list.
    Volume,
    /// An allocation group.
    Group(AgNumber),
    /// A run of blocks, by its first and its length.
    Blocks(FsBlock, u32),
    /// An inode.
    Inode(Ino),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Superblock(at) => write!(f, "superblock in block {at}"),
            Subject::Journal => f.write_str("journal"),
            Subject::Volume => write!(f, "volume"),
            Subject::Group(ag) => write!(f, "group {ag}"),
            Subject::Blocks(at, 0 | 1) => write!(f, "block {at}"),
            Subject::Blocks(at, len) => write!(f, "blocks {at}-{}", at.add(u64::from(len - 1))),
            Subject::Inode(ino) => write!(f, "inode {ino}"),
        }
    }
}

/// What a repair costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: what was wrong follows from what is right.
    Safe,
    /// Something is gone, or may not be what it was.
    Loss,
}

/// Takes the findings of a check, one line each.
pub trait Findings {
    /// `what` is wrong with `subject`.
    fn wrong(&mut self, subject: Subject, what: fmt::Arguments<'_>);
    /// A repair did `what` about `subject`.
    fn repaired(&mut self, _effect: Effect, _subject: Subject, _what: fmt::Arguments<'_>) {}
    /// Something to know that is no error.
    fn note(&mut self, what: fmt::Arguments<'_>);
    /// The check has come so far.
    fn progress(&mut self, progress: Progress);
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being looked at: its plural.
    pub phase: &'static str,
    /// How many of them are done.
    pub done: u64,
    /// How many there are.
    pub all: u64,
}
