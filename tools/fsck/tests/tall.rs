// SPDX-License-Identifier: GPL-2.0

//! Trees of three levels, with nodes shared above the leaves: a separator that is wrong, in whichever bit, is found
//! and put right, and costs nothing; a pointer that is wrong costs what it pointed to.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::snapshot::Snapshot;
use common::{put32, put64, u16_at, u64_at, Builder, Image, GROUP, SIZE};
use cowfs_core::inode::FileType;
use cowfs_core::ondisk::header;
use cowfs_core::units::{FsBlock, Ino};

/// A file, a clone of it that has a root of its own, and a directory.
fn tall() -> Image {
    let b = Builder::new(SIZE as u32, GROUP, 8);
    let root = b.root();
    let file = b.create(root, "file", FileType::Regular);
    for n in 0..5200 {
        b.write(file, 16 * n, 1, false);
    }
    let twin = b.create(root, "twin", FileType::Regular);
    b.clone_file(file, twin);
    b.write(twin, 0, 1, false);
    let empty = b.create(root, "empty", FileType::Regular);
    let names = b.create(root, "names", FileType::Directory);
    for n in 0..3000 {
        b.link(
            names,
            &format!("name number {n:08}"),
            empty,
            FileType::Regular,
        );
    }
    b.finish(HashMap::from([
        ("file", file),
        ("twin", twin),
        ("names", names),
    ]))
}

fn separator(n: usize) -> usize {
    header::SIZE + 16 * n
}

type Contents = BTreeMap<Ino, BTreeMap<u64, u64>>;

fn contents(snapshot: &Snapshot) -> Contents {
    let nodes = snapshot.nodes.iter();
    nodes
        .map(|(ino, node)| (*ino, node.contents.clone()))
        .collect()
}

#[test]
fn a_wrong_separator_above_others_costs_nothing() {
    let image = tall();
    image.mark_data();
    let bytes = std::fs::read(image.path()).unwrap();
    let before = image.snapshot();
    let mut repaired = 0;
    for name in ["file", "twin", "names"] {
        let top = image.tree(name);
        assert_eq!(u16_at(&image.block(top), header::LEVEL), 2, "{name}");
        assert!(u16_at(&image.block(top), header::COUNT) > 2, "{name}");
        let middle = image.child(top, 1);
        let places: [(FsBlock, usize); 5] =
            [(top, 1), (top, 2), (middle, 0), (middle, 1), (middle, 2)];
        for (at, n) in places {
            for bit in [1, 5, 13, 30] {
                image.edit(at, |b| {
                    let key = u64_at(b, separator(n));
                    put64(b, separator(n), key ^ (1 << bit));
                });
                let what = format!("{name}: separator {n} of {at}, bit {bit}");
                let (code, text) = image.fsck(&["-y"]);
                assert!(matches!(code, Some(0 | 1)), "{what}: {text}");
                repaired += code.unwrap();
                let (code, again) = image.fsck(&["-n"]);
                assert_eq!(code, Some(0), "{what}: {again}\nafter\n{text}");
                let after = image.snapshot();
                assert!(after.paths == before.paths, "{what}: {text}");
                assert!(contents(&after) == contents(&before), "{what}: {text}");
                std::fs::write(image.path(), &bytes).unwrap();
            }
        }
    }
    assert!(repaired > 40, "only {repaired} mattered");
}

/// Two files of three levels whose nodes are not of the same length.
fn two() -> Image {
    let b = Builder::new(SIZE as u32, GROUP, 12);
    let root = b.root();
    let mut inos = HashMap::new();
    for (name, distance) in [("first", 16), ("second", 24)] {
        let ino = b.create(root, name, FileType::Regular);
        for n in 0..5200 {
            b.write(ino, distance * n, 1, false);
        }
        inos.insert(name, ino);
    }
    b.finish(inos)
}

#[test]
fn a_wrong_pointer_above_the_leaves_costs_what_it_pointed_to() {
    for (wrong, right) in [("first", "second"), ("second", "first")] {
        for (child, other) in [(0, 1), (1, 0), (1, 1)] {
            let image = two();
            image.mark_data();
            let before = image.snapshot();
            let (from, to) = (image.tree(wrong), image.child(image.tree(right), other));
            let text = image.damage_and_repair(|i| {
                i.edit(from, |b| put64(b, separator(child) + 8, to.0));
            });
            let after = image.snapshot();
            let whole = |snapshot: &Snapshot| snapshot.nodes[&image.ino(right)].contents.clone();
            let what = format!("{wrong}: child {child} is {right}'s {other}");
            assert!(whole(&after) == whole(&before), "{what}: {text}");
        }
    }
}

/// What is to be with the file whose nodes its clone shares.
#[derive(Clone, Copy, PartialEq)]
enum Maker {
    Deleted,
    Orphan,
    /// Met after its clone.
    Later,
}

/// The nodes of a clone are those of another file, which need not be there any more.
fn an_extent_too_long(maker: Maker) {
    let b = Builder::new(SIZE as u32, GROUP, 8);
    let root = b.root();
    let early = b.create(root, "early", FileType::Regular);
    let file = b.create(root, "file", FileType::Regular);
    for n in 0..5200 {
        b.write(file, 16 * n, 1, false);
    }
    let twin = match maker {
        Maker::Later => early,
        _ => b.create(root, "twin", FileType::Regular),
    };
    b.clone_file(file, twin);
    if maker != Maker::Later {
        b.orphan(root, "file", file);
    }
    let image = b.finish(HashMap::from([("twin", twin)]));
    if maker == Maker::Deleted {
        assert_eq!(image.fsck(&["-p"]).0, Some(0));
    }
    image.mark_data();
    let before = contents(&image.snapshot());
    let middle = image.child(image.tree("twin"), 1);
    let last = usize::from(u16_at(&image.block(middle), header::COUNT)) - 1;
    let leaf = image.child(middle, last);
    let count = usize::from(u16_at(&image.block(leaf), header::COUNT));
    let text = image.damage_and_repair(|i| {
        i.edit(leaf, |b| put32(b, header::SIZE + 24 * (count - 1) + 16, 32));
    });
    let after = contents(&image.snapshot());
    let kept = |(at, holds): (&u64, &u64)| after[&twin].get(at) == Some(holds);
    assert!(before[&twin].iter().all(kept), "{text}");
    if maker == Maker::Later {
        assert!(after[&file] == after[&twin], "{text}");
    }
}

#[test]
fn an_extent_too_long_costs_no_node_of_a_clone_either() {
    for maker in [Maker::Deleted, Maker::Orphan, Maker::Later] {
        an_extent_too_long(maker);
    }
}

/// A pointer to a node of another level, which is met there before it is met where it belongs.
#[test]
fn a_wrong_pointer_of_a_directory_costs_no_other_node() {
    let image = tall();
    let before = image.snapshot();
    let top = image.tree("names");
    let (first, second) = (image.child(top, 0), image.child(top, 1));
    // What is lost is the first leaf of the first node: all else keeps its name.
    let lost = usize::from(u16_at(&image.block(image.child(first, 0)), header::COUNT));
    let text = image.damage_and_repair(|i| {
        i.edit(first, |b| put64(b, separator(0) + 8, second.0));
    });
    let after = image.snapshot();
    let kept = |snapshot: &Snapshot| {
        let names = snapshot.paths.keys();
        names.filter(|path| path.starts_with(b"/names/")).count()
    };
    assert_eq!(kept(&after), kept(&before) - lost, "{text}");
}
