// SPDX-License-Identifier: GPL-2.0

//! What is damaged must not take along what lies beside it and is not: files that share nodes with a damaged one,
//! the node before one that begins wrongly, files whose blocks something else names.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{put16, put64, u16_at, u32_at, u64_at, Builder, Image, GROUP, SIZE};
use cowfs_core::inode::FileType;
use cowfs_core::ondisk::{group, header, inode};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock};

/// Extents of a leaf.
const LEAF: u64 = (SIZE as u64 - header::SIZE as u64) / 24;

/// Byte offset of record `n` of a leaf of extents.
fn extent(n: u64) -> usize {
    header::SIZE + 24 * n as usize
}

/// A file of 100 extents: a root and three leaves.
fn tree(b: &Builder, name: &'static str, from: u64) -> (&'static str, cowfs_core::units::Ino) {
    let ino = b.create(b.root(), name, FileType::Regular);
    for n in 0..100 {
        b.write(ino, from + 2 * n, 1, false);
    }
    (name, ino)
}

/// What a file has: its blocks, by their place in it.
fn contents(image: &Image, name: &str) -> BTreeMap<u64, u64> {
    let snapshot = image.snapshot();
    snapshot.nodes[&image.ino(name)].contents.clone()
}

/// Whether a file still has what it had.
fn keeps(before: &BTreeMap<u64, u64>, after: &BTreeMap<u64, u64>) -> bool {
    before
        .iter()
        .all(|(at, holds)| after.get(at) == Some(holds))
}

/// One wrong bit, which the checksum tells.
fn flip(image: &Image, at: FsBlock, byte: usize, mask: u8) {
    let mut bytes = image.block(at);
    bytes[byte] ^= mask;
    image.put(at, &bytes);
}

#[test]
fn a_node_that_begins_wrongly_does_not_cut_the_one_before() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let (_, ino) = tree(&b, "tree", 0);
    let copy = b.create(b.root(), "copy", FileType::Regular);
    b.clone_file(ino, copy);
    // From here on the leaf in the middle is "tree"'s alone.
    b.write(copy, 100, 1, false);
    let image = b.finish(HashMap::from([("tree", ino), ("copy", copy)]));
    let middle = image.child(image.tree("tree"), 1);
    assert_eq!(u64_at(&image.block(middle), extent(0)), 2 * LEAF);
    image.mark_data();
    let before = contents(&image, "tree");
    // "copy", of which no block is damaged, is looked at by this.
    image.damage_and_repair(|i| i.edit(middle, |b| put64(b, extent(0), 3)));
    let after = contents(&image, "tree");
    let lost: Vec<_> = before.keys().filter(|at| !after.contains_key(at)).collect();
    assert_eq!(lost, [&(2 * LEAF)]);
}

#[test]
fn a_pointer_to_anothers_node_does_not_cut_the_one_before() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let (one, two) = (tree(&b, "tree", 0), tree(&b, "other", 50));
    let image = b.finish(HashMap::from([one, two]));
    image.mark_data();
    let before = contents(&image, "tree");
    let wrong = image.child(image.tree("other"), 0);
    let root = image.tree("tree");
    image.damage_and_repair(|i| {
        let mut bytes = i.block(root);
        put64(&mut bytes, header::SIZE + 16 + 8, wrong.0);
        i.put(root, &bytes);
    });
    let mut expected = before;
    expected.retain(|at, _| *at < 2 * LEAF || *at >= 4 * LEAF);
    assert_eq!(contents(&image, "tree"), expected);
}

/// The first of two files with a damaged leaf ends with it, so that all of what it says fits there.
#[test]
fn a_damaged_node_is_cut_to_each_of_its_places() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let (_, ino) = tree(&b, "tree", 0);
    let snap = b.create(b.root(), "snap", FileType::Regular);
    b.clone_file(ino, snap);
    b.unmap(ino, 2 * LEAF, 200);
    let image = b.finish(HashMap::from([("tree", ino), ("snap", snap)]));
    image.mark_data();
    let before = contents(&image, "snap");
    let leaf = image.child(image.tree("snap"), 0);
    image.damage_and_repair(|i| flip(i, leaf, extent(LEAF - 1) + 16, 2));
    let after = contents(&image, "snap");
    assert!(keeps(&before, &after), "{before:?}\n{after:?}");
}

#[test]
fn a_map_that_names_another_block_takes_nothing_away() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let (_, ino) = tree(&b, "tree", 0);
    let twin = b.create(b.root(), "twin", FileType::Regular);
    b.clone_file(ino, twin);
    let image = b.finish(HashMap::from([("tree", ino), ("twin", twin)]));
    let (ag, block) = image.geometry.locate(image.tree("tree")).unwrap();
    let leaf = image.group_tree(ag.0, group::INODE_ROOT);
    let text = image.damage_and_repair(|i| {
        i.edit(leaf, |b| {
            let count = usize::from(u16_at(b, header::COUNT));
            let place = |n: usize| header::SIZE + 16 * n;
            let n = (0..count).filter(|n| u64_at(b, place(*n)) < u64::from(block.0));
            let n = n.count();
            b.copy_within(place(n)..place(count), place(n + 1));
            put64(b, place(n), u64::from(block.0));
            put64(b, place(n) + 8, 0);
            put16(b, header::COUNT, count as u16 + 1);
        });
    });
    assert!(text.contains("inode block: unreadable: removed"), "{text}");
}

/// Of a directory's only leaf the last write was lost: it names what was deleted.
#[test]
fn freed_inodes_do_not_come_back() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let dir = b.create(b.root(), "dir", FileType::Directory);
    let names: Vec<String> = (0..20).map(|n| format!("file {n:02}")).collect();
    let inos: Vec<_> = names
        .iter()
        .map(|name| {
            let ino = b.create(dir, name, FileType::Regular);
            b.write(ino, 0, 1, false);
            ino
        })
        .collect();
    let then = b.blocks();
    for n in 4..18 {
        b.orphan(dir, &names[n], inos[n]);
    }
    let image = b.finish(HashMap::from([("dir", dir)]));
    assert_eq!(image.fsck(&["-p"]).0, Some(0));
    assert_eq!(image.fsck(&["-n"]).0, Some(0));

    let header = image.block(image.group(0));
    let mut freed = 0;
    for (at, bytes) in &then {
        let Some((AgNumber(0), block)) = image.geometry.locate(*at) else {
            continue;
        };
        let byte = group::BITMAP + block.0 as usize / 8;
        let is_free = (header[byte] >> (block.0 % 8)) & 1 == 0;
        // What the disk has of a block that was freed is what it had.
        if is_free && u32_at(bytes, header::MAGIC) == cowfs_core::ondisk::Kind::Inodes.magic() {
            let mut bytes = bytes.clone();
            header::seal(&mut bytes);
            image.put(*at, &bytes);
            freed += 1;
        }
    }
    assert!(freed > 2, "only {freed} blocks of inodes are free");
    let leaf = image.tree("dir");
    let mut stale = then[&leaf].clone();
    header::seal(&mut stale);
    image.put(leaf, &stale);

    let (code, text) = image.fsck(&["-y"]);
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(image.fsck(&["-n"]).0, Some(0));
    assert!(!text.contains("found all the same"), "{text}");
    let snapshot = image.snapshot();
    let there = |n: usize| {
        let path = format!("/dir/{}", names[n]);
        snapshot.paths.contains_key(path.as_bytes())
    };
    for n in (0..4).chain(18..20) {
        assert!(there(n), "{}", names[n]);
    }
    assert!((6..16).all(|n| !there(n)), "{text}");
}

/// Of a group that had no inodes yet the header is back: what is there now is not what was freed.
#[test]
fn inodes_newer_than_their_header_stay() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let (name, big) = tree(&b, "big", 0);
    b.write(big, 1000, 1500, false);
    let then = b.blocks();
    let geometry = b.store.geometry().clone();
    let dirs: Vec<_> = (0..12)
        .map(|n| {
            let dir = b.create(b.root(), &format!("dir {n}"), FileType::Directory);
            b.create(dir, "file", FileType::Regular);
            geometry
                .locate(geometry.inode_at(dir).unwrap().0)
                .unwrap()
                .0
        })
        .collect();
    let image = b.finish(HashMap::from([(name, big)]));
    let stale = dirs.iter().map(|ag| geometry.group_start(*ag)).find(|at| {
        let old = then.get(at);
        old.is_some_and(|old| u32_at(old, group::INODE_BLOCKS) == 0)
    });
    let stale = stale.expect("a group that got its first inodes later");
    image.damage_and_repair(|i| {
        i.put(stale, &then[&stale]);
        i.edit(stale, |_| ());
    });
}

/// With the journal all that was newest of a group's metadata is gone, but not what it is about.
#[test]
fn inodes_newer_than_a_group_without_its_journal_stay() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let dir = b.create(b.root(), "dir", FileType::Directory);
    for n in 0..20 {
        b.create(dir, &format!("old {n}"), FileType::Regular);
    }
    let then = b.blocks();
    for n in 0..20 {
        b.create(dir, &format!("new {n}"), FileType::Regular);
    }
    let image = b.finish(HashMap::from([("dir", dir)]));
    let blocks = [
        image.group(0),
        image.group_tree(0, group::INODE_ROOT),
        image.group_tree(0, group::FREE_INODE_ROOT),
    ];
    image.damage_and_repair(|i| {
        for at in blocks.iter().filter(|at| then.contains_key(at)) {
            i.put(*at, &then[at]);
            i.edit(*at, |_| ());
        }
        i.put(i.geometry.journal_start, &[0xff; SIZE]);
    });
}

#[test]
fn two_wrong_separators_do_not_cut_a_sound_node() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let (name, ino) = tree(&b, "tree", 0);
    let image = b.finish(HashMap::from([(name, ino)]));
    image.mark_data();
    let before = contents(&image, "tree");
    let root = image.tree("tree");
    image.damage_and_repair(|i| {
        let mut bytes = i.block(root);
        put64(&mut bytes, header::SIZE + 16, 3);
        put64(&mut bytes, header::SIZE + 32, 5);
        i.put(root, &bytes);
    });
    assert_eq!(contents(&image, "tree"), before);
}

#[test]
fn the_separator_of_what_is_lost_does_not_cut_a_sound_node() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let (name, ino) = tree(&b, "tree", 0);
    let image = b.finish(HashMap::from([(name, ino)]));
    image.mark_data();
    let mut expected = contents(&image, "tree");
    let (root, nowhere) = (image.tree("tree"), image.geometry.blocks - 1);
    image.damage_and_repair(|i| {
        let mut bytes = i.block(root);
        put64(&mut bytes, header::SIZE + 16, 40);
        put64(&mut bytes, header::SIZE + 16 + 8, nowhere);
        i.put(root, &bytes);
    });
    expected.retain(|at, _| *at < 2 * LEAF || *at >= 4 * LEAF);
    assert_eq!(contents(&image, "tree"), expected);
}

/// Zeroes where a record was are no reason to give up the one before.
#[test]
fn a_lost_record_costs_no_other() {
    for (n, key) in [(1, 0), (2, 79)] {
        let b = Builder::new(SIZE as u32, GROUP, 5);
        let (name, ino) = tree(&b, "tree", 0);
        let image = b.finish(HashMap::from([(name, ino)]));
        image.mark_data();
        let mut expected = contents(&image, "tree");
        let root = image.tree("tree");
        image.damage_and_repair(|i| {
            let mut bytes = i.block(root);
            put64(&mut bytes, header::SIZE + 16 * n, key);
            put64(&mut bytes, header::SIZE + 16 * n + 8, 0);
            i.put(root, &bytes);
        });
        let lost = 2 * LEAF * n as u64..2 * LEAF * (n as u64 + 1);
        expected.retain(|at, _| !lost.contains(at));
        assert_eq!(contents(&image, "tree"), expected);
    }
}

/// Of three leaves in a row the first is lost, with a key that the others' do not go with; they are damaged, but may be
/// read record by record.
#[test]
fn a_lost_record_costs_no_damaged_one() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let ino = b.create(b.root(), "file", FileType::Regular);
    for n in 0..6 * LEAF {
        b.write(ino, 2 * n, 1, false);
    }
    let image = b.finish(HashMap::from([("file", ino)]));
    image.mark_data();
    let mut expected = contents(&image, "file");
    let root = image.tree("file");
    assert!(u16_at(&image.block(root), header::COUNT) >= 6);
    let damaged = [2, 3].map(|n| image.child(root, n));
    image.damage_and_repair(|i| {
        let mut bytes = i.block(root);
        put64(&mut bytes, header::SIZE + 16, 8 * LEAF - 1);
        put64(&mut bytes, header::SIZE + 16 + 8, 0);
        i.put(root, &bytes);
        for at in damaged {
            flip(i, at, header::CHECKSUM, 1);
        }
    });
    expected.retain(|at, _| *at < 2 * LEAF || *at >= 4 * LEAF);
    assert_eq!(contents(&image, "file"), expected);
}

/// A leaf is right for the file that ends with it, and then is not for the other: nobody has it any more.
#[test]
fn what_is_dropped_when_a_node_is_cut_again_is_free() {
    let b = Builder::new(SIZE as u32, GROUP, 8);
    let (root, full) = (b.root(), 120 * LEAF);
    let one = b.create(root, "one", FileType::Regular);
    for n in 0..5200 {
        b.write(one, 16 * n, 1, false);
    }
    let two = b.create(root, "two", FileType::Regular);
    b.unmap(one, 16 * (full - LEAF + 1), 16 * (LEAF - 1));
    b.clone_file(one, two);
    b.unmap(one, 16 * full, 16 * 1000);
    let image = b.finish(HashMap::from([("one", one), ("two", two)]));
    let top = image.tree("two");
    let leaf = (0..usize::from(u16_at(&image.block(top), header::COUNT)))
        .map(|n| image.child(top, n))
        .flat_map(|at| {
            let count = usize::from(u16_at(&image.block(at), header::COUNT));
            (0..count).map(move |n| (at, n))
        })
        .map(|(at, n)| image.child(at, n))
        .find(|at| u16_at(&image.block(*at), header::COUNT) == 1)
        .expect("a leaf of one record");
    assert_eq!(u64_at(&image.block(leaf), extent(0)), 16 * (full - LEAF));
    image.damage_and_repair(|i| flip(i, leaf, extent(0) + 2, 0x10));
}

#[test]
fn a_file_in_the_place_of_the_root_leaves_nothing_behind() {
    let b = Builder::new(SIZE as u32, GROUP, 5);
    let (_, ino) = tree(&b, "tree", 0);
    let root = b.root();
    let image = b.finish(HashMap::from([("tree", ino), ("root", root)]));
    image.damage_and_repair(|i| {
        let slot = i.inode("tree");
        i.edit_inode("root", |b| b.copy_from_slice(&slot));
        i.edit_inode("tree", |b| b[inode::LINKS..].fill(0));
    });
}
