// SPDX-License-Identifier: GPL-2.0

//! Which changes to make, if nobody says: bytes, and whole fields that become what is suspicious.

use cowfs_core::ondisk::header;
use fastrand::Rng;

use crate::Targets;

/// Most changes to one volume.
const CHANGES: usize = 5;
/// How often a place is chosen anew because it holds zero, which is mostly not in use.
const TRIES: usize = 8;

impl Targets {
    /// Chooses changes to the volume with these `bytes`: input for [`Targets::damage`].
    pub fn choose(&self, bytes: &[u8], random: &mut Rng) -> Vec<u8> {
        let mut input = Vec::new();
        for _ in 0..random.usize(1..=CHANGES) {
            let index = random.usize(..self.blocks.len());
            let from = self.blocks[index].0 as usize * self.size;
            let block = &bytes[from..from + self.size];
            // What all blocks begin with is looked at before anything else.
            let first = match random.u8(..8) {
                0 => 0,
                _ => header::SIZE,
            };
            let place = (0..TRIES)
                .map(|_| random.usize(first..self.size))
                .reduce(|one, next| if block[one] != 0 { one } else { next })
                .unwrap_or(first);
            let change = |place: usize, how: u8, value: u8| {
                let [b0, b1] = (index as u16).to_le_bytes();
                let [p0, p1] = (place as u16).to_le_bytes();
                [b0, b1, p0, p1, how, value]
            };
            if random.bool() {
                let value = match random.bool() {
                    true => random.choice([0, 1, 0x7f, 0x80, 0xff]).unwrap_or(0),
                    false => random.u8(..),
                };
                input.extend(change(place, random.u8(..), value));
                continue;
            }
            let width = random.choice([2, 4, 8]).unwrap_or(8);
            let place = place / width * width;
            let value = self.suspicious(field(block, place, width), block, random);
            let value = value.to_le_bytes();
            for (n, byte) in value.into_iter().take(width).enumerate() {
                input.extend(change(place + n, 0, byte));
            }
        }
        input
    }

    /// What a field that holds `old` could hold to be wrong.
    fn suspicious(&self, old: u64, block: &[u8], random: &mut Rng) -> u64 {
        match random.u8(..10) {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX as u64,
            3 => old.wrapping_add(1),
            4 => old.wrapping_sub(1),
            5 => old << 1,
            6 => self.end,
            7 => self.end.wrapping_add(random.u64(..)),
            8 => random.u64(..self.end),
            _ => field(block, random.usize(..block.len() / 8) * 8, 8),
        }
    }
}

/// The number in the `width` bytes at `place`.
fn field(block: &[u8], place: usize, width: usize) -> u64 {
    let bytes = block[place..place + width].iter().rev();
    bytes.fold(0, |value, byte| (value << 8) | u64::from(*byte))
}
