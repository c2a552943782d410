// SPDX-License-Identifier: GPL-2.0

//! Every metadata block of a volume lost in turn, in every way a block is lost: overwritten by garbage
//! or zeros, a bit flipped, an older state left. Repair gets the rest back.

mod common;

use common::{sample, sample_with_history, Image, SIZE};
use cowfs_core::ondisk::{header, Kind, Superblock};
use cowfs_core::units::FsBlock;

/// Addresses of all blocks with the common header, outside of the journal.
fn metadata(image: &Image) -> Vec<FsBlock> {
    (0..image.geometry.blocks)
        .map(FsBlock)
        .filter(|at| Kind::from_magic(common::u32_at(&image.block(*at), 0)).is_some())
        .collect()
}

/// Damages each metadata block of a volume by `damage`, which may leave it as it is, and repairs it.
fn each_block(image: &Image, damage: impl Fn(FsBlock, &mut Vec<u8>)) {
    image.mark_data();
    let good = std::fs::read(image.path()).unwrap();
    let mut repaired = 0;
    for at in metadata(image) {
        let mut bytes = image.block(at);
        let before = bytes.clone();
        damage(at, &mut bytes);
        if bytes == before {
            continue;
        }
        println!("block {at}");
        image.damage_and_repair(|image| image.put(at, &bytes));
        std::fs::write(image.path(), &good).unwrap();
        repaired += 1;
    }
    assert!(repaired > 5, "{repaired}");
}

#[test]
fn garbage() {
    each_block(&sample(), |at, bytes| {
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = (at.0 as usize * 31 + n * n * 7 + n) as u8;
        }
    });
}

#[test]
fn zeros() {
    each_block(&sample(), |_, bytes| bytes.fill(0));
}

#[test]
fn a_flipped_bit_in_the_contents() {
    each_block(&sample(), |at, bytes| {
        let n = header::SIZE + (at.0 as usize * 37) % (SIZE - header::SIZE);
        bytes[n] ^= 1 << (at.0 % 8);
    });
}

#[test]
fn a_flipped_bit_in_the_header() {
    each_block(&sample(), |at, bytes| {
        bytes[(at.0 as usize * 5) % header::SIZE] ^= 1 << (at.0 % 8)
    });
}

#[test]
fn the_second_half_of_a_torn_write() {
    each_block(&sample(), |_, bytes| bytes[512..].fill(0));
}

/// The last write of the block was lost: it holds what it did some time ago, and is sound.
#[test]
fn lost_writes() {
    let (image, history) = sample_with_history();
    each_block(&image, |at, bytes| {
        if let Some(old) = history.get(&at) {
            bytes.clone_from(old);
        }
    });
}

/// All copies of the superblock but one.
#[test]
fn superblocks() {
    let image = sample();
    let copies: Vec<FsBlock> = std::iter::once(FsBlock(0))
        .chain(Superblock::backups(&image.geometry))
        .collect();
    for left in &copies {
        let text = image.damage_and_repair(|image| {
            for at in copies.iter().filter(|at| *at != left) {
                image.put(*at, &[0x77; SIZE]);
            }
        });
        assert!(text.contains("nothing is lost"), "{text}");
    }
}
