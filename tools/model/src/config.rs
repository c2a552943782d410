// SPDX-License-Identifier: GPL-2.0

//! What is explored: the file as it is at first, the writers, and what may happen.

/// Which fork a write goes to. Only the first is what cowfs does; the others show that each of its
/// rules is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Where `C` is real, join; else in place where `D` is not shared; else through `C`.
    Ours,
    /// Through `C` wherever something is staged, even where `D` is not shared.
    StagedFirst,
    /// In place wherever `D` is not shared, even where `C` is real.
    InPlaceFirst,
}

/// What may happen beside writes that succeed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// The device fails.
    pub failure: bool,
    /// Writes end early.
    pub short: bool,
    /// Unwritten blocks are given back: memory is short, or some time has passed.
    pub cancel: bool,
    /// The clone is deleted.
    pub delete: bool,
    /// A clone is made.
    pub clone: bool,
    /// The file is truncated.
    pub truncate: bool,
}

/// What the writers write.
#[derive(Clone, Copy, Debug)]
pub enum Writes {
    /// Any range of at most so many blocks.
    UpTo(u8),
    /// Each writer this first block and number of blocks.
    Fixed(&'static [(u8, u8)]),
}

/// What is explored.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data fork at first, a letter for each block: `S` shared with the clone, `R` the file's
    /// alone, `-` a hole.
    pub file: &'static str,
    /// The CoW extent size in blocks.
    pub hint: u32,
    /// Number of direct writers.
    pub direct: usize,
    /// Number of buffered writers.
    pub buffered: usize,
    /// What the writers write.
    pub writes: Writes,
    /// What else may happen.
    pub events: Events,
    /// Which fork a write goes to.
    pub policy: Policy,
}

impl Config {
    /// Blocks of the file.
    pub fn blocks(&self) -> u8 {
        self.file.len() as u8
    }

    /// The ranges, as first block and number of blocks, that a writer may choose from.
    pub fn ranges(&self, writer: usize) -> Vec<(u8, u8)> {
        let blocks = self.blocks();
        match self.writes {
            Writes::UpTo(longest) => (0..blocks)
                .flat_map(|start| (1..=longest.min(blocks - start)).map(move |len| (start, len)))
                .collect(),
            Writes::Fixed(ranges) => ranges.get(writer).copied().into_iter().collect(),
        }
    }

    /// Whether two writers are alike.
    pub fn alike(&self, one: usize, other: usize) -> bool {
        let same_sort = (one < self.direct) == (other < self.direct);
        same_sort && matches!(self.writes, Writes::UpTo(_))
    }
}
