// SPDX-License-Identifier: GPL-2.0

//! Ranges of a file's blocks, and runs of blocks staged for them.

use super::super::units::{FileBlock, FsBlock};

/// Blocks `[start, start + len)` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileRange {
    /// The first block.
    pub start: FileBlock,
    /// How many.
    pub len: u64,
}

impl FileRange {
    /// A whole file.
    pub const ALL: FileRange = FileRange {
        start: FileBlock(0),
        len: u64::MAX,
    };

    /// The `len` blocks from `start` on.
    pub const fn new(start: FileBlock, len: u64) -> Self {
        FileRange { start, len }
    }

    /// The blocks from `start` up to `end`; none where `end` is not beyond `start`.
    pub const fn between(start: FileBlock, end: FileBlock) -> Self {
        FileRange::new(start, end.since(start))
    }

    /// The first block beyond the range.
    pub const fn end(&self) -> FileBlock {
        self.start.add(self.len)
    }

    /// Whether there is no block in the range.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `at` is in the range.
    pub fn contains(&self, at: FileBlock) -> bool {
        self.start <= at && at < self.end()
    }

    /// The blocks that are in `self` and in `other`.
    pub fn intersect(&self, other: FileRange) -> FileRange {
        FileRange::between(self.start.max(other.start), self.end().min(other.end()))
    }

    /// Moves the start up to `to`, but not beyond the end, which stays.
    pub fn skip_to(&mut self, to: FileBlock) {
        let end = self.end();
        *self = FileRange::between(to.max(self.start).min(end), end);
    }
}

/// A run of staged blocks, contiguous in the file and on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Staged {
    /// The first block of the file they are staged for.
    pub file: FileBlock,
    /// The first block on disk.
    pub disk: FsBlock,
    /// How many.
    pub len: u32,
}

impl Staged {
    /// The blocks of the file they are staged for.
    pub const fn range(&self) -> FileRange {
        FileRange::new(self.file, self.len as u64)
    }
}
