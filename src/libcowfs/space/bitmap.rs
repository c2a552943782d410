// SPDX-License-Identifier: GPL-2.0

//! A set of blocks of one group, and the search for runs in it.
//!
//! Everything goes 64 blocks at a time. To find a run of `want` blocks, each word is looked at
//! once: the run may begin in the words before (`carry` blocks of them were in the set, up to this
//! word), or lie inside the word, which a few shifts tell (`w & w >> 1` has a bit where two in a
//! row begin, and so on by doubling), or begin at the word's top and be carried on.
//!
//! ```text
//!     word n-1            word n              word n+1
//!   ...01111111       1100 0111 1001        1110 ...         (bit 0 on the left)
//!       `-carry 7-->  `-2                       carry + 2 = 9 wanted? no
//!                          `-- 4 inside wanted? no
//!                                  1-- carry -->`- 1 + 3
//! ```

use super::super::error::Result;
use super::super::platform::Vec;

/// Bits of a word.
const BITS: u32 = u64::BITS;

/// The words that hold bits `[start, start + len)`, each with the mask of those bits.
pub(super) fn words(start: u32, len: u32) -> impl Iterator<Item = (usize, u64)> {
    let end = start.saturating_add(len);
    let mut at = start;
    core::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let low = at % BITS;
        let count = (BITS - low).min(end - at);
        let mask = (u64::MAX >> (BITS - count)) << low;
        let word = (at / BITS) as usize;
        at += count;
        Some((word, mask))
    })
}

/// A bit for each position at which `want` (1..=64) set bits of `word` begin.
fn starts(word: u64, want: u32) -> u64 {
    let mut left = word;
    let mut have = 1;
    while have < want && left != 0 {
        let step = have.min(want - have);
        left &= left >> step;
        have += step;
    }
    left
}

/// A set of blocks, numbered from 0.
#[derive(Debug)]
pub(super) struct Bitmap {
    /// Bits at and beyond `len` are clear.
    words: Vec<u64>,
    len: u32,
}

impl Bitmap {
    /// The empty set, for blocks below `len`.
    pub(super) fn new(len: u32) -> Result<Self> {
        let mut words = Vec::new();
        words.resize(len.div_ceil(BITS) as usize, 0)?;
        Ok(Self { words, len })
    }

    /// The number of blocks that could be in the set.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Bit `n` of the result is block `64 * index + n`.
    #[inline]
    fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    /// Replaces 64 blocks by the set bits of `word`.
    pub(super) fn put_word(&mut self, index: usize, word: u64) {
        let first = (index as u32).saturating_mul(BITS);
        let mask = match self.len.saturating_sub(first) {
            0 => 0,
            n if n >= BITS => u64::MAX,
            n => !(u64::MAX << n),
        };
        if let Some(to) = self.words.get_mut(index) {
            *to = word & mask;
        }
    }

    /// The number of blocks in the set.
    pub(super) fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Adds `[start, start + len)`. Returns how many of them were not in the set.
    pub(super) fn insert(&mut self, start: u32, len: u32) -> u32 {
        let len = len.min(self.len.saturating_sub(start));
        let mut new = 0;
        for (index, mask) in words(start, len) {
            if let Some(word) = self.words.get_mut(index) {
                new += (mask & !*word).count_ones();
                *word |= mask;
            }
        }
        new
    }

    /// Removes `[start, start + len)`. Returns how many of them were in the set.
    pub(super) fn remove(&mut self, start: u32, len: u32) -> u32 {
        let mut old = 0;
        for (index, mask) in words(start, len.min(self.len)) {
            if let Some(word) = self.words.get_mut(index) {
                old += (mask & *word).count_ones();
                *word &= !mask;
            }
        }
        old
    }

    /// The first block of the set at or after `from`.
    pub(super) fn next(&self, from: u32) -> Option<u32> {
        let mut index = (from / BITS) as usize;
        let mut word = self.word(index) & (u64::MAX << (from % BITS));
        loop {
            if word != 0 {
                return Some(index as u32 * BITS + word.trailing_zeros());
            }
            index += 1;
            word = *self.words.get(index)?;
        }
    }

    /// How many blocks from `start` on are in the set without a gap, at most `max`.
    pub(super) fn run_at(&self, start: u32, max: u32) -> u32 {
        let mut at = start;
        let mut left = max;
        while left > 0 {
            let low = at % BITS;
            let ones = (self.word((at / BITS) as usize) >> low).trailing_ones();
            let count = ones.min(left);
            at = at.saturating_add(count);
            left -= count;
            if ones < BITS - low {
                break;
            }
        }
        max - left
    }

    /// How many blocks just before `end` are in the set without a gap.
    pub(super) fn run_before(&self, end: u32) -> u32 {
        let mut at = end.min(self.len);
        while at > 0 {
            // The bits below `at` of its word, moved to the top.
            let used = (at - 1) % BITS + 1;
            let word = self.word(((at - 1) / BITS) as usize) << (BITS - used);
            let ones = word.leading_ones().min(used);
            at -= ones;
            if ones < used {
                break;
            }
        }
        end.min(self.len) - at
    }

    /// The first run of at least `want` blocks that begins at or after `from` and before `to`.
    /// What of a run lies before `from` does not count.
    pub(super) fn find(&self, from: u32, to: u32, want: u32) -> Option<u32> {
        let first = (from / BITS) as usize;
        let mut carry = 0;
        let mut skip = u64::MAX << (from % BITS);
        for (index, &word) in self.words.iter().enumerate().skip(first) {
            let word = word & skip;
            skip = u64::MAX;
            let base = index as u32 * BITS;
            let low = word.trailing_ones();
            if carry + low >= want && want > 0 {
                return Some(base - carry).filter(|&at| at < to);
            }
            if low == BITS {
                carry += BITS;
                continue;
            }
            if base >= to {
                return None;
            }
            if want <= BITS {
                let inside = starts(word, want);
                if inside != 0 {
                    return Some(base + inside.trailing_zeros()).filter(|&at| at < to);
                }
            }
            carry = word.leading_ones();
        }
        None
    }

    /// The longest run: its first block and its length; the first of several. Length 0 if the set
    /// is empty.
    pub(super) fn longest(&self) -> (u32, u32) {
        let mut best = (0, 0);
        // Runs that are no longer than the best so far are skipped 64 blocks at a time.
        let mut from = 0;
        while let Some(at) = self.find(from, self.len, best.1 + 1) {
            let len = self.run_at(at, self.len - at);
            best = (at, len);
            from = at + len;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::Bitmap;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The runs of `bits`: first block and length.
    fn runs(bits: &[bool]) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for at in (0..bits.len()).filter(|&at| bits[at]) {
            match runs.last_mut() {
                Some((first, len)) if *first + *len == at as u32 => *len += 1,
                _ => runs.push((at as u32, 1)),
            }
        }
        runs
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_bitmap_is_an_array_of_bits(
            len in 1u32..400,
            changes in prop::collection::vec((any::<bool>(), 0u32..400, 0u32..200), 0..30),
            from in 0u32..400,
            to in 0u32..400,
            want in 1u32..200,
        ) {
            let mut map = Bitmap::new(len).unwrap();
            let mut bits = std::vec![false; len as usize];
            for (insert, first, count) in changes {
                let mut changed = 0;
                let end = len.min(first.saturating_add(count));
                for bit in (first..end).map(|at| at as usize) {
                    changed += u32::from(bits[bit] != insert);
                    bits[bit] = insert;
                }
                let told = match insert {
                    true => map.insert(first, count),
                    false => map.remove(first, count),
                };
                prop_assert_eq!(told, changed);
            }
            let runs = runs(&bits);
            prop_assert_eq!(map.count(), runs.iter().map(|run| run.1).sum::<u32>());

            let longest = runs.iter().rev().max_by_key(|run| run.1);
            prop_assert_eq!(map.longest(), longest.copied().unwrap_or((0, 0)));

            let after = runs.iter().filter(|run| run.0 + run.1 > from);
            let mut after = after.map(|&(first, len)| {
                let start = first.max(from);
                (start, first + len - start)
            });
            prop_assert_eq!(map.next(from), after.clone().next().map(|run| run.0));
            let here = after.clone().find(|run| run.0 == from);
            prop_assert_eq!(map.run_at(from, want), here.map_or(0, |run| run.1.min(want)));
            let found = after.find(|run| run.1 >= want).map(|run| run.0);
            prop_assert_eq!(map.find(from, to, want), found.filter(|&at| at < to));

            let end = to.min(len);
            let before = runs.iter().find(|run| run.0 < end && run.0 + run.1 >= end);
            prop_assert_eq!(map.run_before(to), before.map_or(0, |run| end - run.0));
        }
    }
}
