// SPDX-License-Identifier: GPL-2.0

//! Sound volumes are found clean.

mod common;

use common::{put64, sample, Builder};
use cowfs_core::inode::FileType;
use cowfs_core::ondisk::inode;
use std::collections::HashMap;

#[test]
fn the_sample_is_clean_and_what_it_is_meant_to_be() {
    let image = sample();
    assert_eq!(image.check(), [""; 0]);
    let (tree, copy) = (image.inode("tree"), image.inode("tree-copy"));
    assert_eq!(tree[inode::HEIGHT], 2);
    assert_eq!(image.tree("tree"), image.tree("tree-twin"));
    assert_ne!(tree[inode::ROOT..][..8], copy[inode::ROOT..][..8]);
    // One leaf was copied, the others are shared.
    let children = |name| [0, 1, 2].map(|n| image.child(image.tree(name), n));
    let same: Vec<bool> = children("tree")
        .iter()
        .zip(children("tree-copy"))
        .map(|(a, b)| *a == b)
        .collect();
    assert_eq!(same.iter().filter(|same| **same).count(), 2, "{same:?}");
    assert_eq!(image.inode("many")[inode::HEIGHT], 2);
    assert_eq!(
        image.inode("long")[inode::FORMAT],
        inode::Format::LongSymlink as u8
    );
}

#[test]
fn fresh_volumes_of_all_block_sizes_are_clean() {
    for block_size in [1024, 2048, 4096] {
        for groups in [1, 2, 5] {
            let image = Builder::new(block_size, 1024, groups).finish(HashMap::new());
            assert_eq!(image.check(), [""; 0]);
        }
    }
}

#[test]
fn files_of_all_block_sizes_are_clean() {
    for block_size in [1024, 2048, 4096] {
        let b = Builder::new(block_size, 2048, 3);
        let dir = b.create(b.root(), "dir", FileType::Directory);
        for n in 0..20 {
            let file = b.create(dir, &format!("file {n}"), FileType::Regular);
            for piece in 0..n {
                b.write(file, piece * 3, 2, piece % 4 == 3);
            }
            let copy = b.create(b.root(), &format!("copy {n}"), FileType::Regular);
            b.clone_file(file, copy);
        }
        assert_eq!(b.finish(HashMap::new()).check(), [""; 0]);
    }
}

/// What a crash in a truncation leaves, or in a clone of a range: whatever makes the file longer takes
/// it away first.
#[test]
fn blocks_beyond_the_end_of_a_file_are_no_damage() {
    let image = sample();
    image.edit_inode("file", |b| put64(b, inode::SIZE_BYTES, 5000));
    assert_eq!(image.check(), [""; 0]);
}

/// The first leaf of a tree goes, and its neighbour gets its range: the first separator then means
/// nothing.
#[test]
fn a_tree_that_lost_its_first_leaf_is_clean() {
    let b = Builder::new(1024, 2048, 3);
    let file = b.create(b.root(), "file", FileType::Regular);
    for piece in 0..200 {
        b.write(file, piece * 3, 1, false);
    }
    let copy = b.create(b.root(), "copy", FileType::Regular);
    b.clone_file(file, copy);
    b.unmap(file, 0, 3 * 60);
    b.unmap(copy, 0, 3 * 20);
    assert_eq!(b.finish(HashMap::new()).check(), [""; 0]);
}
