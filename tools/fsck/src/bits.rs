// SPDX-License-Identifier: GPL-2.0

//! A set of a group's blocks.

/// A set of the numbers below a bound.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// The empty set, of numbers below `len`.
    pub fn new(len: u32) -> Self {
        Bits {
            words: vec![0; len.div_ceil(64) as usize],
        }
    }

    /// Whether `n` is in the set.
    pub fn has(&self, n: u32) -> bool {
        let word = self.words.get((n / 64) as usize);
        word.is_some_and(|word| (word >> (n % 64)) & 1 != 0)
    }

    /// Adds `n`; false if it was there already.
    pub fn insert(&mut self, n: u32) -> bool {
        let Some(word) = self.words.get_mut((n / 64) as usize) else {
            return false;
        };
        let bit = 1 << (n % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Takes `n` out.
    pub fn remove(&mut self, n: u32) {
        if let Some(word) = self.words.get_mut((n / 64) as usize) {
            *word &= !(1 << (n % 64));
        }
    }

    /// The 64 members from `64 * index` on.
    pub fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    /// Sets the 64 members from `64 * index` on.
    pub fn put_word(&mut self, index: usize, word: u64) {
        if let Some(to) = self.words.get_mut(index) {
            *to = word;
        }
    }

    /// How many numbers from `from` on, below `end`, are in the set if `from` is, or not if not.
    pub fn run(&self, from: u32, end: u32) -> u32 {
        let inside = self.has(from);
        let mut at = from;
        while at < end {
            let word = self.words.get((at / 64) as usize).copied().unwrap_or(0);
            let word = if inside { !word } else { word };
            let left = 64 - at % 64;
            let same = (word >> (at % 64)).trailing_zeros().min(left);
            at += same;
            if same < left {
                break;
            }
        }
        at.min(end) - from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_both_sorts() {
        let mut bits = Bits::new(300);
        for n in 60..200 {
            assert!(bits.insert(n));
        }
        assert!(!bits.insert(64));
        assert_eq!(bits.run(0, 300), 60);
        assert_eq!(bits.run(60, 300), 140);
        assert_eq!(bits.run(63, 100), 37);
        assert_eq!(bits.run(200, 300), 100);
        assert_eq!(bits.run(10, 20), 10);
        assert_eq!(bits.run(5, 5), 0);
    }
}
