// SPDX-License-Identifier: GPL-2.0

//! What repair decides where it has a choice: which of two is right, how much of what is damaged is
//! kept, and where the rest goes.

mod common;

use std::collections::HashMap;

use common::snapshot::Snapshot;
use common::{put16, put32, put64, sample, u16_at, u64_at, Builder, Image, GROUP, SIZE};
use cowfs_core::inode::FileType;
use cowfs_core::ondisk::{group, header, inode, volume, Geometry};
use cowfs_core::space::{total_reserve, VolumeState};
use cowfs_core::units::{FsBlock, Ino};
use cowfs_image::device::Device;
use cowfs_image::volume::Volume;

/// Damages an image and has it repaired; returns what is in it before and after, and what was said.
fn repaired(image: &Image, damage: impl FnOnce(&Image)) -> (Snapshot, Snapshot, String) {
    image.mark_data();
    let before = image.snapshot();
    let text = image.damage_and_repair(damage);
    (before, image.snapshot(), text)
}

fn ino_at(snapshot: &Snapshot, path: &str) -> Ino {
    let found = snapshot.paths.get(path.as_bytes());
    found.unwrap_or_else(|| panic!("no {path}")).0
}

fn contents(snapshot: &Snapshot, ino: Ino) -> Vec<(u64, u64)> {
    let contents = &snapshot.nodes[&ino].contents;
    contents.iter().map(|(at, holds)| (*at, *holds)).collect()
}

#[test]
fn data_of_two_files_is_shared_from_then_on() {
    let image = sample();
    let other = u64_at(&image.inode("file"), inode::INLINE + 8);
    let (before, after, text) = repaired(&image, |i| {
        i.edit_inode("deep", |b| {
            b[inode::COUNT] = 1;
            put64(b, inode::SIZE_BYTES, 1024);
            put64(b, inode::BLOCKS, 1);
            put64(b, inode::INLINE + 8, other);
            put32(b, inode::INLINE + 16, 1);
        });
    });
    assert!(text.contains("nothing is lost"), "{text}");
    assert_eq!(contents(&after, image.ino("deep")), [(0, other)]);
    let file = image.ino("file");
    assert_eq!(contents(&after, file), contents(&before, file));
    let flags = image.inode("deep")[inode::FLAGS];
    assert_eq!(u32::from(flags) & inode::FLAG_SHARED, inode::FLAG_SHARED);
}

#[test]
fn a_tree_of_two_files_is_shared_from_then_on() {
    let image = sample();
    let tree = image.inode("tree");
    let (before, after, text) = repaired(&image, |i| {
        i.edit_inode("deep", |b| {
            b[inode::FORMAT] = inode::Format::ExtentTree as u8;
            b[inode::HEIGHT] = tree[inode::HEIGHT];
            b[inode::ROOT..inode::ROOT + 8].copy_from_slice(&tree[inode::ROOT..inode::ROOT + 8]);
            b[inode::EPOCH..inode::EPOCH + 8]
                .copy_from_slice(&tree[inode::EPOCH..inode::EPOCH + 8]);
        });
    });
    assert!(text.contains("nothing is lost"), "{text}");
    for name in ["tree", "tree-twin", "deep"] {
        assert_eq!(
            contents(&after, image.ino(name)),
            contents(&before, image.ino("tree"))
        );
    }
}

/// Who shares the top of a tree shares what is below, whatever epoch that claims to be of.
#[test]
fn nothing_below_a_shared_node_is_of_a_files_own_epoch() {
    let image = sample();
    assert_eq!(image.tree("tree"), image.tree("tree-twin"), "shared");
    let own = u64_at(&image.inode("tree-twin"), inode::EPOCH);
    let leaf = image.child(image.tree("tree"), 1);
    let (before, after, text) = repaired(&image, |i| {
        i.edit(leaf, |b| put64(b, header::EPOCH, own));
        i.edit_inode("tree", |b| put64(b, inode::EPOCH, own + 1));
        i.edit(Geometry::VOLUME, |b| put64(b, volume::EPOCH, own + 1));
    });
    assert!(text.contains("or what is below it"), "{text}");
    assert_eq!(after.nodes, before.nodes);
    for name in ["tree", "tree-twin", "tree-copy"] {
        assert!(u64_at(&image.inode(name), inode::EPOCH) > own, "{name}");
    }
}

#[test]
fn metadata_wins_over_data() {
    let image = sample();
    let node = image.group_tree(0, group::INODE_ROOT).0;
    let (_, after, text) = repaired(&image, |i| {
        i.edit_inode("file", |b| put64(b, inode::INLINE + 8, node));
    });
    assert!(text.contains("over metadata"), "{text}");
    let kept = contents(&after, image.ino("file"));
    assert!(kept.iter().all(|(_, holds)| *holds != node), "{kept:?}");
}

/// A node of "tree" is said to lie in the middle of the data of the others: they keep the rest on both sides, as
/// long as there is room for two extents instead of one.
#[test]
fn data_beside_metadata_is_kept() {
    let b = Builder::new(SIZE as u32, 512, 3);
    let root = b.root();
    let [file, full, tree] = ["file", "full", "tree"].map(|name| {
        let ino = b.create(root, name, FileType::Regular);
        (name, ino)
    });
    b.write(file.1, 0, 12, false);
    b.write(full.1, 0, 12, false);
    for n in 1..inode::INLINE_EXTENTS as u64 {
        b.write(full.1, 20 * n, 1, false);
    }
    for n in 0..20 {
        b.write(tree.1, 2 * n, 1, false);
    }
    let image = b.finish(HashMap::from([file, full, tree]));

    for name in ["file", "full"] {
        let within = u64_at(&image.inode(name), inode::INLINE + 8) + 4;
        image.mark_data();
        let before = image.snapshot();
        let mut node = image.block(image.tree("tree"));
        put64(&mut node, header::ADDRESS, within);
        image.put(FsBlock(within), &node);
        image.edit(FsBlock(within), |_| ());
        image.edit_inode("tree", |b| put64(b, inode::ROOT, within));
        let (code, text) = image.fsck(&["-y"]);
        assert_eq!(code, Some(1), "{text}");
        assert_eq!(image.check(), [""; 0]);
        let after = image.snapshot();
        let kept = if name == "file" { 11 } else { 7 };
        assert!(
            text.contains(&format!("over metadata: {kept} of 12 blocks kept")),
            "{text}"
        );
        let mut rest = contents(&before, image.ino(name));
        rest.retain(|(at, _)| *at > 4 || *at < 4 && name == "file");
        assert_eq!(contents(&after, image.ino(name)), rest, "{name}");
        for other in ["file", "full", "tree"].iter().filter(|it| **it != name) {
            let ino = image.ino(other);
            assert_eq!(contents(&after, ino), contents(&before, ino), "{other}");
        }
    }
}

/// Without a map, inode blocks are searched for, and one that is damaged is as good as others: most of its inodes
/// are.
#[test]
fn a_damaged_inode_block_is_found_by_searching() {
    let image = sample();
    let deep = image.ino("deep");
    let (at, _) = image.geometry.inode_at(deep).unwrap();
    assert_ne!(at, image.geometry.inode_at(image.ino("root")).unwrap().0);
    let group = image.geometry.locate(at).unwrap().0;
    let (before, after, _) = repaired(&image, |i| {
        let mut bytes = i.block(at);
        bytes[SIZE - 1] ^= 1;
        i.put(at, &bytes);
        i.put(i.group(group.0), &[0; SIZE]);
    });
    assert_eq!(ino_at(&after, "/dir/sub/deep"), deep);
    assert_eq!(after.nodes.get(&deep), before.nodes.get(&deep));
}

/// Of a tree whose leaf is gone, the file keeps what the other leaves map; so do its clones.
#[test]
fn a_lost_leaf_becomes_a_hole() {
    let image = sample();
    let leaf = image.child(image.tree("tree"), 1);
    assert_eq!(leaf, image.child(image.tree("tree-copy"), 1), "shared");
    let bytes = image.block(leaf);
    let count = usize::from(u16_at(&bytes, header::COUNT));
    let range = u64_at(&bytes, header::SIZE)..=u64_at(&bytes, header::SIZE + 24 * (count - 1));
    let (before, after, _) = repaired(&image, |i| i.put(leaf, &[0x11; SIZE]));
    for name in ["tree", "tree-copy", "tree-twin"] {
        let ino = image.ino(name);
        let mut rest = contents(&before, ino);
        rest.retain(|(at, _)| !range.contains(at));
        assert_eq!(contents(&after, ino), rest, "{name}");
        assert_eq!(after.nodes[&ino].core.2, before.nodes[&ino].core.2, "size");
    }
}

/// A wrong bit costs what it hit, not all the block.
#[test]
fn a_flipped_bit_in_a_leaf_costs_one_extent() {
    let image = sample();
    let leaf = image.child(image.tree("tree"), 1);
    let (before, after, text) = repaired(&image, |i| {
        let mut bytes = i.block(leaf);
        // The highest bit of the key of record 3.
        bytes[header::SIZE + 3 * 24 + 7] ^= 0x80;
        i.put(leaf, &bytes);
    });
    assert!(text.contains("what makes sense in it is kept"), "{text}");
    let (a, b) = (
        contents(&before, image.ino("tree")),
        contents(&after, image.ino("tree")),
    );
    assert_eq!(b.len(), a.len() - 1);
    assert!(b.iter().all(|block| a.contains(block)));
}

#[test]
fn a_wrong_separator_costs_nothing() {
    for change in [1, 2, 3, 2u64.wrapping_neg(), 3u64.wrapping_neg()] {
        let image = sample();
        let (before, after, _) = repaired(&image, |i| {
            i.edit(i.tree("tree"), |b| {
                let key = u64_at(b, header::SIZE + 16);
                put64(b, header::SIZE + 16, key.wrapping_add(change));
            });
        });
        let ino = image.ino("tree");
        assert_eq!(contents(&after, ino), contents(&before, ino), "{change}");
    }
}

/// A pointer that leads to a node of another place costs what it led to before, and no more: neither the node
/// there, nor what is beside it, nor another file's contents.
#[test]
fn a_wrong_pointer_costs_what_it_pointed_to() {
    for (file, child) in [("tree", 0), ("tree", 2), ("tree-copy", 0)] {
        let image = sample();
        let root = image.tree("tree");
        let lost = image.block(image.child(root, 1));
        let count = usize::from(u16_at(&lost, header::COUNT));
        let range = u64_at(&lost, header::SIZE)..=u64_at(&lost, header::SIZE + 24 * (count - 1));
        let wrong = image.child(image.tree(file), child);
        assert!(
            file == "tree" || wrong != image.child(root, child),
            "not shared"
        );
        let (before, after, _) = repaired(&image, |i| {
            i.edit(root, |b| put64(b, header::SIZE + 16 + 8, wrong.0))
        });
        for name in ["tree", "tree-copy", "tree-twin"] {
            let ino = image.ino(name);
            let mut rest = contents(&before, ino);
            rest.retain(|(at, _)| image.tree(name) != root || !range.contains(at));
            assert_eq!(contents(&after, ino), rest, "{name}: {file} {child}");
        }
    }
}

#[test]
fn a_wrong_height_costs_nothing() {
    for name in ["tree", "many"] {
        for height in [0, 1, 3, 200] {
            let image = sample();
            let (before, after, _) = repaired(&image, |i| {
                i.edit_inode(name, |b| b[inode::HEIGHT] = height)
            });
            let ino = image.ino(name);
            assert_eq!(after.nodes.get(&ino), before.nodes.get(&ino), "{name}");
            assert!(
                after.paths.keys().eq(before.paths.keys()),
                "{name} {height}"
            );
        }
    }
}

/// The mode and the format of an inode say its type, and either may be wrong.
#[test]
fn a_wrong_type_is_told_from_the_rest() {
    for name in ["file", "tree", "dir", "many", "short", "long"] {
        let right = sample().inode(name);
        let (kind, format) = (u16_at(&right, inode::MODE) >> 12, right[inode::FORMAT]);
        let kinds = [0, 1, 2, 4, 6, 8, 10, 12, 15];
        let changes = kinds
            .into_iter()
            .map(|kind| (kind, format))
            .chain((0..8).map(|format| (kind, format)));
        for wrong in changes.filter(|wrong| *wrong != (kind, format)) {
            let image = sample();
            let (before, after, _) = repaired(&image, |i| {
                i.edit_inode(name, |b| {
                    let mode = (u16_at(b, inode::MODE) & 0o7777) | (wrong.0 << 12);
                    put16(b, inode::MODE, mode);
                    b[inode::FORMAT] = wrong.1;
                });
            });
            let ino = image.ino(name);
            assert_eq!(
                after.nodes.get(&ino),
                before.nodes.get(&ino),
                "{name} as {wrong:?}"
            );
            assert!(
                after.paths.keys().eq(before.paths.keys()),
                "{name} as {wrong:?}"
            );
        }
    }
}

/// The names in a directory's damaged leaf are kept: their hashes vouch for them.
#[test]
fn names_in_a_damaged_leaf_stay() {
    let image = sample();
    let mut leaf = image.tree("many");
    while u16_at(&image.block(leaf), header::LEVEL) > 0 {
        leaf = image.child(leaf, 0);
    }
    let (before, after, _) = repaired(&image, |i| {
        let mut bytes = i.block(leaf);
        let first = usize::from(u16_at(&bytes, header::SIZE));
        // A letter of one name.
        bytes[first + 20] ^= 1;
        i.put(leaf, &bytes);
    });
    let gone = before
        .paths
        .keys()
        .filter(|path| !after.paths.contains_key(*path));
    assert_eq!(gone.count(), 1);
}

#[test]
fn what_cannot_be_reached_is_in_lost_and_found() {
    let image = sample();
    let (before, after, text) = repaired(&image, |i| i.put(i.tree("root"), &[0; SIZE]));
    assert!(text.contains("made as /lost+found"), "{text}");
    let place = |name| format!("/lost+found/#{}", image.ino(name));
    for name in [
        "file", "copy", "tree", "short", "long", "pipe", "dir", "many",
    ] {
        assert_eq!(ino_at(&after, &place(name)), image.ino(name));
    }
    // Directories with all that is in them.
    assert_eq!(
        ino_at(&after, &(place("dir") + "/sub/deep")),
        image.ino("deep")
    );
    let many = |snapshot: &Snapshot, at: &str| {
        let inside = snapshot
            .paths
            .keys()
            .filter(|path| path.starts_with(at.as_bytes()));
        inside.count()
    };
    assert_eq!(many(&after, &place("many")), many(&before, "/many"));
    // Deleted files are no lost ones.
    assert!(!after.nodes.contains_key(&image.ino("orphan")));
}

#[test]
fn lost_and_found_is_used_again() {
    let b = Builder::new(SIZE as u32, 1024, 3);
    let place = b.create(b.root(), "lost+found", FileType::Directory);
    let file = b.create(b.root(), "file", FileType::Regular);
    // The name it would get is taken.
    b.link(place, &format!("#{file}"), place, FileType::Regular);
    let dir = b.create(b.root(), "dir", FileType::Directory);
    let other = b.create(dir, "other", FileType::Regular);
    let image = b.finish(HashMap::from([("dir", dir), ("place", place)]));
    image.edit_inode("place", |b| put16(b, inode::MODE, 0o4_0700));
    let taken = format!("#{other}");
    image.edit(image.tree("place"), |b| {
        // Leads to "file", and is called like the other file's number.
        let at = usize::from(u16_at(b, header::SIZE));
        put64(b, at + 8, file.0);
        assert_eq!(usize::from(b[at + 17]), taken.len());
    });
    let (code, text) = image.fsck(&["-y"]);
    assert_eq!(code, Some(1), "{text}");
    let (_, after, text) = repaired(&image, |i| i.put(i.tree("dir"), &[0; SIZE]));
    assert!(!text.contains("made as /lost+found"), "{text}");
    assert_eq!(ino_at(&after, &format!("/lost+found/#{other}")), other);
    assert_eq!(ino_at(&after, "/lost+found"), place);
}

/// What others can look into is no place for what need not be theirs.
#[test]
fn lost_and_found_of_somebody_else_is_not_used() {
    for (mode, user) in [(0o4_0755, 0), (0o4_0700, 1000)] {
        let b = Builder::new(SIZE as u32, 1024, 3);
        let place = b.create(b.root(), "lost+found", FileType::Directory);
        let dir = b.create(b.root(), "dir", FileType::Directory);
        let other = b.create(dir, "other", FileType::Regular);
        let image = b.finish(HashMap::from([("dir", dir), ("place", place)]));
        image.edit_inode("place", |b| {
            put16(b, inode::MODE, mode);
            put32(b, inode::UID, user);
        });
        let (_, after, text) = repaired(&image, |i| i.put(i.tree("dir"), &[0; SIZE]));
        assert!(text.contains("made as /lost+found.1"), "{text}");
        assert_eq!(ino_at(&after, &format!("/lost+found.1/#{other}")), other);
        assert_eq!(ino_at(&after, "/lost+found"), place);
    }
}

/// Nothing of a group's own metadata is needed.
/// The longest run of free blocks in a group, but for the last few.
fn free_run(image: &Image, ag: u32) -> (FsBlock, u32) {
    let header = image.block(image.group(ag));
    let is_free = |block: usize| (header[group::BITMAP + block / 8] >> (block % 8)) & 1 == 0;
    // The first two may be the header of a group never used, and a backup.
    let (mut best, mut start) = ((0, 0), 2);
    for block in 2..=GROUP as usize {
        if block == GROUP as usize || !is_free(block) {
            best = best.max((block - start, start));
            start = block + 1;
        }
    }
    (
        image.group(ag).add(best.1 as u64),
        best.0.saturating_sub(8) as u32,
    )
}

/// More may be in use than was marked so, and what is left be less than the groups' trees may need. The kernel
/// mounts such a volume all the same.
#[test]
fn too_few_free_blocks_keep_nobody_from_using_the_volume() {
    let image = sample();
    image.damage_and_repair(|i| {
        i.edit_inode("deep", |b| {
            let mut file = 0;
            for ag in 0..5 {
                let (at, len) = free_run(i, ag);
                let extent = inode::INLINE + 24 * ag as usize;
                put64(b, extent, file);
                put64(b, extent + 8, at.0);
                put32(b, extent + 16, len);
                file += u64::from(len);
            }
            b[inode::COUNT] = 5;
            put64(b, inode::BLOCKS, file);
            put64(b, inode::SIZE_BYTES, file * SIZE as u64);
        });
    });
    assert!(u64_at(&image.inode("deep"), inode::BLOCKS) > 4000);
    let volume = Volume::open(Device::open(image.path()).unwrap()).unwrap();
    let state = VolumeState::load(&volume).unwrap();
    assert!(state.free < total_reserve(&image.geometry), "{state:?}");
}

#[test]
fn a_group_is_made_anew_from_its_inodes() {
    for (block_size, group_blocks) in [(1024, 2048), (2048, 1024), (4096, 1024)] {
        let b = Builder::new(block_size, group_blocks, 3);
        for n in 0..60 {
            let file = b.create(b.root(), &format!("file {n}"), FileType::Regular);
            for piece in 0..n % 9 {
                b.write(file, piece * 3, 2, piece % 4 == 3);
            }
            let copy = b.create(b.root(), &format!("copy {n}"), FileType::Regular);
            b.clone_file(file, copy);
        }
        let image = b.finish(HashMap::new());
        let (before, after, _) = repaired(&image, |i| {
            for ag in 0..3 {
                let header = i.block(i.group(ag));
                for at in [
                    group::REFCOUNT_ROOT,
                    group::INODE_ROOT,
                    group::FREE_INODE_ROOT,
                ] {
                    if u64_at(&header, at) != 0 {
                        i.put(FsBlock(u64_at(&header, at)), &vec![3; block_size as usize]);
                    }
                }
                i.put(i.group(ag), &vec![0; block_size as usize]);
            }
            for at in 1..3 {
                i.put(FsBlock(at), &vec![0; block_size as usize]);
            }
        });
        assert_eq!(after.nodes, before.nodes);
        assert!(after.paths.keys().eq(before.paths.keys()));
    }
}

/// Of a few extents one has a wrong place in the file: the others are not what is dropped.
#[test]
fn one_wrong_place_costs_one_extent() {
    let b = Builder::new(SIZE as u32, GROUP, 4);
    let file = b.create(b.root(), "file", FileType::Regular);
    for n in 0..4 {
        b.write(file, 16 * n, 2, false);
    }
    let image = b.finish(HashMap::from([("file", file)]));
    image.mark_data();
    let before = image.snapshot();
    let text = image.damage_and_repair(|i| {
        i.edit_inode("file", |b| put64(b, inode::INLINE, 1 << 20));
    });
    let after = image.snapshot();
    let mut left = before.nodes[&file].contents.clone();
    left.retain(|block, _| *block >= 16);
    assert!(after.nodes[&file].contents == left, "{text}");
}
