// SPDX-License-Identifier: GPL-2.0

//! Blocks that say who wrote them, when and where: what `selftests/lib/stamp.c` makes.
//!
//! ```text
//!    0  u64  magic
//!    8  u64  writer
//!   16  u64  number of the write
//!   24  u64  offset in the file, bytes
//!   32  u64  checksum of the whole block, this word left out
//!   40       words that depend on all of these
//! ```

/// Eight bytes that no stamp contains: what the device holds before it is written.
pub const POISON: u64 = 0x214e_4f53_494f_5021;

const MAGIC: u64 = 0x706d_6174_732d_6563;
const SUM: usize = 4;
/// The sizes of blocks.
const SIZES: [usize; 3] = [1024, 2048, 4096];

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Whole, of this write and for this offset.
    Good {
        /// The number of the write.
        write: u64,
        /// The offset in the file it was made for, in bytes.
        offset: u64,
    },
    /// All zeroes.
    Zero,
    /// At least a part was never written.
    Poison,
    /// Parts of different contents.
    Torn,
    /// No stamp.
    Garbage,
}

fn words(block: &[u8]) -> impl Iterator<Item = u64> + '_ {
    block.chunks_exact(8).map(|chunk| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

fn mix(sum: u64, word: u64) -> u64 {
    let sum = (sum ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    sum ^ (sum >> 32)
}

fn checksum(block: &[u8]) -> u64 {
    words(block)
        .enumerate()
        .filter(|(n, _)| *n != SUM)
        .fold(block.len() as u64, |sum, (_, word)| mix(sum, word))
}

/// Looks at a block.
pub fn judge(block: &[u8]) -> Verdict {
    let mut head = [0; SUM + 1];
    for (to, word) in head.iter_mut().zip(words(block)) {
        *to = word;
    }
    let [magic, _, write, offset, sum] = head;
    if magic == MAGIC && sum == checksum(block) {
        return Verdict::Good { write, offset };
    }
    let (mut all, mut zeroes) = (0, 0);
    for word in words(block) {
        if word == POISON {
            return Verdict::Poison;
        }
        all += 1;
        zeroes += usize::from(word == 0);
    }
    if zeroes == all {
        Verdict::Zero
    } else if magic == MAGIC || zeroes > 0 {
        Verdict::Torn
    } else {
        Verdict::Garbage
    }
}

/// The number of the write that made the block at the start of `bytes`, and the size of that block.
pub fn find(bytes: &[u8]) -> Option<(u64, usize)> {
    SIZES
        .into_iter()
        .find_map(|size| match judge(bytes.get(..size)?) {
            Verdict::Good { write, .. } => Some((write, size)),
            _ => None,
        })
}

/// Makes a block, for tests.
#[doc(hidden)]
pub fn make(block: &mut [u8], writer: u64, write: u64, offset: u64) {
    let body = (write.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset).wrapping_add(writer);
    for (n, chunk) in block.chunks_exact_mut(8).enumerate() {
        let word = match n {
            0 => MAGIC,
            1 => writer,
            2 => write,
            3 => offset,
            _ => body.wrapping_add(n as u64),
        };
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    let sum = checksum(block);
    block[SUM * 8..][..8].copy_from_slice(&sum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_blocks_apart() {
        let mut block = vec![0; 4096];
        assert_eq!(judge(&block), Verdict::Zero);
        make(&mut block, 3, 77, 8192);
        let good = Verdict::Good {
            write: 77,
            offset: 8192,
        };
        assert_eq!(judge(&block), good);

        let mut other = vec![0; 4096];
        make(&mut other, 3, 78, 8192);
        let mut torn = block.clone();
        torn[2048..].copy_from_slice(&other[2048..]);
        assert_eq!(judge(&torn), Verdict::Torn);

        let mut part = block.clone();
        part[4088..].copy_from_slice(&POISON.to_le_bytes());
        assert_eq!(judge(&part), Verdict::Poison);
        assert_eq!(judge(&[0x5a; 4096]), Verdict::Garbage);
    }

    /// The words that `stamp_make(block, 64, 7, 9, 1024)` of the C side makes.
    #[test]
    fn agrees_with_the_c_side() {
        let body = (9u64.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 1024).wrapping_add(7);
        let mut block = vec![0; 64];
        make(&mut block, 7, 9, 1024);
        let words: Vec<u64> = words(&block).collect();
        assert_eq!(words[..4], [MAGIC, 7, 9, 1024]);
        assert_eq!(words[5..], [body + 5, body + 6, body + 7]);
        assert_eq!(words[SUM], C_SIDE_SUM);
    }

    /// Printed by a C program that includes `selftests/lib/stamp.c`.
    const C_SIDE_SUM: u64 = 0xd442_c26a_6024_2820;
}
