// SPDX-License-Identifier: GPL-2.0

//! Which records of a damaged node to believe.
//!
//! Keys ascend. If some do not, as few records as possible are taken for damaged: those that are not in
//! the longest ascending subsequence, found by patience sorting. The last pile's top and the way
//! back from it are that sequence:
//!
//! ```text
//!     keys   10  20  900  30  40  5  50          piles   10  20  30  40  50
//!     kept   10  20       30  40     50          (tops)   5      900
//! ```

/// The positions of the longest ascending subsequence of `keys`.
pub fn ascending(keys: &[u64]) -> Vec<usize> {
    // The position of the smallest key that ends a sequence of each length, and each one's predecessor.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(keys.len());
    for (n, key) in keys.iter().enumerate() {
        let pile = ends.partition_point(|end| keys.get(*end).is_some_and(|other| other < key));
        before.push(pile.checked_sub(1).and_then(|left| ends.get(left).copied()));
        match ends.get_mut(pile) {
            Some(end) => *end = n,
            None => ends.push(n),
        }
    }
    let mut kept = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(n) = next {
        kept.push(n);
        next = before.get(n).copied().flatten();
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::ascending;

    fn kept(keys: &[u64]) -> Vec<u64> {
        ascending(keys).into_iter().map(|n| keys[n]).collect()
    }

    #[test]
    fn one_wrong_key_costs_one_record() {
        assert_eq!(kept(&[]), [0; 0]);
        assert_eq!(kept(&[7]), [7]);
        assert_eq!(kept(&[1, 2, 3]), [1, 2, 3]);
        assert_eq!(kept(&[10, 20, 900, 30, 40, 5, 50]), [10, 20, 30, 40, 50]);
        assert_eq!(kept(&[u64::MAX, 1, 2, 3]), [1, 2, 3]);
        assert_eq!(kept(&[5, 6, 7, 0]), [5, 6, 7]);
    }

    #[test]
    fn equal_keys_do_not_ascend() {
        assert_eq!(kept(&[4, 4, 4]).len(), 1);
        assert_eq!(kept(&[1, 4, 4, 9]), [1, 4, 9]);
    }
}
