// SPDX-License-Identifier: GPL-2.0

//! How often the blocks of a group are referenced, for those that are more than once.

use std::collections::BTreeMap;

/// A run of blocks with the same count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    len: u32,
    count: u32,
}

/// Counts of at least 2 as runs of blocks; neighbours with the same count are one run, as in the
/// group's reference count tree.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    runs: BTreeMap<u32, Run>,
}

impl Counts {
    /// The count of block `at` (1 stands for no run), and for how many blocks below `end` it holds.
    pub fn at(&self, at: u32, end: u32) -> (u32, u32) {
        if let Some((start, run)) = self.runs.range(..=at).next_back() {
            let beyond = start + run.len;
            if at < beyond {
                return (run.count, beyond.min(end) - at);
            }
        }
        let next = self
            .runs
            .range(at..)
            .next()
            .map_or(end, |(start, _)| *start);
        (1, next.min(end) - at)
    }

    /// The first run that reaches beyond block `from`, as far as it is at or after it: its first block,
    /// its length and its count.
    pub fn next(&self, from: u32) -> Option<(u32, u32, u32)> {
        let before = self.runs.range(..=from).next_back();
        if let Some((start, run)) = before.filter(|(start, run)| *start + run.len > from) {
            return Some((from, start + run.len - from, run.count));
        }
        let (start, run) = self.runs.range(from..).next()?;
        Some((*start, run.len, run.count))
    }

    /// Appends a run behind all others, as it was read from disk; false if it does not lie there.
    pub fn push(&mut self, start: u32, len: u32, count: u32) -> bool {
        let end = self.runs.last_key_value().map_or(0, |(s, r)| s + r.len);
        if start < end {
            return false;
        }
        self.runs.insert(start, Run { len, count });
        true
    }

    /// Adds one to the count of each of the blocks `[start, start + len)`.
    pub fn add(&mut self, start: u32, len: u32) {
        let end = start + len;
        self.cut(start);
        self.cut(end);
        let mut at = start;
        while at < end {
            let (count, len) = self.at(at, end);
            let count = count.saturating_add(1);
            self.runs.insert(at, Run { len, count });
            at += len;
        }
        self.merge(start, end);
    }

    /// Makes a run begin at `at` if one passes over it.
    fn cut(&mut self, at: u32) {
        let Some((start, run)) = self.runs.range_mut(..at).next_back() else {
            return;
        };
        let before = at - *start;
        if before < run.len {
            let rest = Run {
                len: run.len - before,
                count: run.count,
            };
            run.len = before;
            self.runs.insert(at, rest);
        }
    }

    /// Merges the runs from the one before `from` to the one at `to`.
    fn merge(&mut self, from: u32, to: u32) {
        let first = self
            .runs
            .range(..from)
            .next_back()
            .map_or(from, |(s, _)| *s);
        let starts: Vec<u32> = self.runs.range(first..=to).map(|(s, _)| *s).collect();
        let mut last: Option<(u32, Run)> = None;
        for start in starts {
            let Some(run) = self.runs.get(&start).copied() else {
                continue;
            };
            last = match last {
                Some((s, r)) if s + r.len == start && r.count == run.count => {
                    self.runs.remove(&start);
                    let len = r.len + run.len;
                    let merged = Run { len, ..r };
                    self.runs.insert(s, merged);
                    Some((s, merged))
                }
                _ => Some((start, run)),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All operations against an array of counts.
    #[test]
    fn agrees_with_an_array() {
        const SIZE: u32 = 40;
        let mut counts = Counts::default();
        let mut model = [1u32; SIZE as usize];
        let mut random = 12345u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        for _ in 0..2000 {
            if next(50) == 0 {
                counts = Counts::default();
                model = [1; SIZE as usize];
            }
            let start = next(SIZE);
            let len = 1 + next(SIZE - start);
            counts.add(start, len);
            for count in &mut model[start as usize..(start + len) as usize] {
                *count += 1;
            }
            let mut runs = Vec::new();
            for chunk in model.chunk_by(|a, b| a == b) {
                runs.push((chunk[0], chunk.len() as u32));
            }
            let mut found = Vec::new();
            let mut at = 0;
            while at < SIZE {
                let (count, len) = counts.at(at, SIZE);
                found.push((count, len));
                at += len;
            }
            assert_eq!(found, runs);
        }
    }

    #[test]
    fn next_finds_the_rest_of_a_run_and_the_one_after() {
        let mut counts = Counts::default();
        assert_eq!(counts.next(0), None);
        assert!(counts.push(5, 5, 2) && counts.push(10, 1, 3));
        assert_eq!(counts.next(0), Some((5, 5, 2)));
        assert_eq!(counts.next(7), Some((7, 3, 2)));
        assert_eq!(counts.next(10), Some((10, 1, 3)));
        assert_eq!(counts.next(11), None);
    }

    #[test]
    fn runs_from_disk_must_ascend() {
        let mut counts = Counts::default();
        assert!(counts.push(5, 5, 2));
        assert!(!counts.push(9, 1, 2));
        assert!(counts.push(10, 1, 3));
        assert_eq!(counts.at(0, 20), (1, 5));
        assert_eq!(counts.at(7, 20), (2, 3));
        assert_eq!(counts.at(11, 20), (1, 9));
    }
}
