// SPDX-License-Identifier: GPL-2.0

//! Whatever metadata says, the check comes to an end: it neither panics nor hangs. Checksums are
//! made right, so that nothing stops the damage at the door.

mod common;

use common::{sample, Image};
use cowfs_core::ondisk::Kind;
use cowfs_core::units::FsBlock;

/// A generator of numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below
    }
}

/// Addresses of all blocks with the common header.
fn metadata(image: &Image) -> Vec<FsBlock> {
    (0..image.geometry.blocks)
        .map(FsBlock)
        .filter(|at| {
            let magic = common::u32_at(&image.block(*at), 0);
            Kind::from_magic(magic).is_some()
        })
        .collect()
}

#[test]
fn damage_anywhere_ends_in_findings() {
    let image = sample();
    let blocks = metadata(&image);
    assert!(blocks.len() > 30);
    let mut numbers = Numbers(20_261_122);
    let mut found = 0;
    let rounds = 400;
    for _ in 0..rounds {
        let at = blocks[numbers.next(blocks.len() as u64) as usize];
        let before = image.block(at);
        image.edit(at, |bytes| {
            for _ in 0..=numbers.next(3) {
                // Mostly where structure is: the header, the first records, the last bytes.
                let place = match numbers.next(4) {
                    0 => numbers.next(bytes.len() as u64),
                    1 => bytes.len() as u64 - 1 - numbers.next(64),
                    _ => 40 + numbers.next(120),
                } as usize;
                bytes[place] = match numbers.next(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[place].wrapping_add(1),
                    _ => numbers.next(256) as u8,
                };
            }
        });
        found += usize::from(!image.check().is_empty());
        image.put(at, &before);
    }
    // Unused bytes may hold anything; most are not unused.
    assert!(found > rounds / 3, "only {found} of {rounds} were noticed");
    assert_eq!(image.check(), [""; 0]);
}

/// Blocks that swap their places, their addresses made right.
#[test]
fn blocks_in_each_other_s_place_are_noticed() {
    let image = sample();
    let blocks = metadata(&image);
    let mut numbers = Numbers(7);
    for _ in 0..200 {
        let [a, b] = [(); 2].map(|()| blocks[numbers.next(blocks.len() as u64) as usize]);
        let (block_a, block_b) = (image.block(a), image.block(b));
        if block_a == block_b {
            continue;
        }
        for (at, from) in [(a, &block_b), (b, &block_a)] {
            image.edit(at, |bytes| {
                bytes.copy_from_slice(from);
                common::put64(bytes, 24, at.0);
            });
        }
        assert!(!image.check().is_empty(), "blocks {a} and {b}");
        image.put(a, &block_a);
        image.put(b, &block_b);
    }
}
