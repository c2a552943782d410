// SPDX-License-Identifier: GPL-2.0

//! Each invariant broken once, checksums made right again: the check says what is wrong, and where, and repair
//! makes it right.

mod common;

use common::{put16, put32, put64, sample, u16_at, u32_at, u64_at, Image, SIZE};
use cowfs_core::ondisk::{group, header, inode, summary, volume, Geometry, Superblock};
use cowfs_core::units::{AgBlock, AgNumber, FsBlock};

/// Damages the sample and demands a finding that contains each of the words.
fn finds(damage: impl Fn(&Image), words: &[&str]) {
    let image = sample();
    damage(&image);
    let found = image.check();
    assert!(
        found
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word))),
        "no finding with {words:?} among the {} that begin with {:#?}",
        found.len(),
        &found[..found.len().min(20)]
    );
}

macro_rules! damages {
    ($($name:ident: $damage:expr => $($word:literal),+;)*) => {
        mod found {
            use super::*;
            $(
                #[test]
                fn $name() {
                    finds($damage, &[$($word),+]);
                }
            )*
        }
        mod repaired {
            use super::*;
            $(
                #[test]
                fn $name() {
                    let text = sample().damage_and_repair($damage);
                    println!("{text}");
                }
            )*
        }
    };
}

fn flip(image: &Image, at: FsBlock, byte: usize) {
    let mut bytes = image.block(at);
    bytes[byte] ^= 1;
    image.put(at, &bytes);
}

/// Adds `n` to the 32-bit integer at `at`.
fn add32(bytes: &mut [u8], at: usize, n: u32) {
    let value = u32_at(bytes, at).wrapping_add(n);
    put32(bytes, at, value);
}

/// Adds `n` to the 64-bit integer at `at`.
fn add64(bytes: &mut [u8], at: usize, n: u64) {
    let value = u64_at(bytes, at).wrapping_add(n);
    put64(bytes, at, value);
}

/// The first record of a leaf of 16-byte records.
const FIRST: usize = header::SIZE;

/// The only node of the orphan tree.
fn orphan_leaf(image: &Image) -> FsBlock {
    FsBlock(u64_at(&image.block(Geometry::VOLUME), volume::ORPHAN_ROOT))
}

/// Disk address of the first extent of an inode with inline extents.
fn data(image: &Image, name: &str) -> FsBlock {
    FsBlock(u64_at(&image.inode(name), inode::INLINE + 8))
}

fn set_bit(image: &Image, at: FsBlock, used: bool) {
    let (ag, block) = image.geometry.locate(at).unwrap();
    image.edit(image.group(ag.0), |b| {
        let byte = &mut b[group::BITMAP + block.0 as usize / 8];
        let bit = 1 << (block.0 % 8);
        assert_ne!(*byte & bit != 0, used);
        *byte ^= bit;
        let change = if used { u32::MAX } else { 1 };
        add32(b, group::FREE, change);
    });
}

fn edit_superblock(image: &Image, at: FsBlock, f: impl FnOnce(&mut Superblock)) {
    let mut bytes = image.block(at);
    let mut sb = Superblock::decode(bytes[..512].try_into().unwrap(), at).unwrap();
    f(&mut sb);
    bytes[..512].copy_from_slice(&sb.encode());
    image.put(at, &bytes);
}

fn backup(image: &Image, n: usize) -> FsBlock {
    Superblock::backups(&image.geometry).nth(n).unwrap()
}

/// The leaf of a directory's tree that comes first.
fn first_leaf(image: &Image, name: &str) -> FsBlock {
    let mut at = image.tree(name);
    while u16_at(&image.block(at), header::LEVEL) > 0 {
        at = image.child(at, 0);
    }
    at
}

/// Changes the first entry in a directory.
fn edit_entry(image: &Image, dir: &str, f: impl FnOnce(&mut [u8])) {
    image.edit(first_leaf(image, dir), |b| {
        let at = usize::from(u16_at(b, header::SIZE));
        f(&mut b[at..]);
    });
}

/// Changes the entry called `name` of the directory `dir`, wherever it is.
fn edit_named(image: &Image, dir: &str, name: &str, f: impl FnOnce(&mut [u8])) {
    let leaf = first_leaf(image, dir);
    image.edit(leaf, |b| {
        let at = (0..usize::from(u16_at(b, header::COUNT)))
            .map(|index| usize::from(u16_at(b, header::SIZE + 2 * index)))
            .find(|at| &b[at + 18..][..usize::from(b[at + 17])] == name.as_bytes())
            .unwrap();
        f(&mut b[at..]);
    });
}

const ENTRY_INO: usize = 8;
const ENTRY_TYPE: usize = 16;
const ENTRY_NAME: usize = 18;

damages! {
    // Superblock copies, summary, volume block.
    state_error: |i| edit_superblock(i, FsBlock(0), |sb| sb.state = 1)
        => "superblock in block 0", "error was found while";
    backup_missing: |i| i.put(backup(i, 0), &[0; SIZE]) => "superblock in block", "missing";
    backup_damaged: |i| flip(i, backup(i, 1), 100) => "superblock in block", "checksum";
    backup_differs: |i| edit_superblock(i, backup(i, 1), |sb| sb.made += 1) => "differs";
    volume_block_damaged: |i| flip(i, Geometry::VOLUME, 70) => "volume: block 1", "checksum";
    volume_free: |i| i.edit(Geometry::VOLUME, |b| add64(b, volume::FREE, 1))
        => "volume: counts", "free blocks";
    volume_inodes: |i| i.edit(Geometry::VOLUME, |b| add64(b, volume::INODES, 1))
        => "volume: counts", "inodes";
    summary_damaged: |i| flip(i, i.geometry.summary_start, 70) => "block 2", "checksum";
    summary_byte: |i| i.edit(i.geometry.summary_start, |b| b[header::SIZE] ^= 1)
        => "group 0: the summary's byte";
    summary_byte_of_no_class: |i| i.edit(i.geometry.summary_start, |b| b[header::SIZE] = u8::MAX)
        => "group 0: the summary's byte is 255";
    summary_unused: |i| i.edit(i.geometry.summary_start, |b| b[header::SIZE] = summary::UNUSED)
        => "inode", "not in use";
    summary_beyond: |i| i.edit(i.geometry.summary_start, |b| b[header::SIZE + 5] = 3)
        => "group 5, which does not exist";

    // Group headers.
    group_damaged: |i| flip(i, i.group(0), 900) => "group 0", "checksum";
    group_of_another: |i| i.edit(i.group(0), |b| put64(b, header::OWNER, 3))
        => "group 0", "of group 3";
    group_free: |i| i.edit(i.group(0), |b| add32(b, group::FREE, 1))
        => "group 0: counts", "free blocks";
    group_tree_blocks: |i| i.edit(i.group(0), |b| add32(b, group::TREE_BLOCKS, 1))
        => "group 0: counts", "its own trees";
    group_inode_blocks: |i| i.edit(i.group(0), |b| add32(b, group::INODE_BLOCKS, 1))
        => "group 0: counts", "inode blocks";
    group_free_inodes: |i| i.edit(i.group(0), |b| add32(b, group::FREE_INODES, 1))
        => "group 0: counts", "free inodes";
    group_beyond_its_end: |i| i.edit(i.group(0), |b| b[group::BITMAP + 1024 / 8] |= 1)
        => "group 0", "beyond the group's end";

    // The bitmap against what is in use.
    leaked_block: |i| {
        let free = i.geometry.address(AgNumber(0), AgBlock(1020));
        set_bit(i, free, true);
    } => "marked used, but nothing refers to it";
    block_in_use_marked_free: |i| set_bit(i, data(i, "file"), false)
        => "in use, but marked free";

    group_trees_too_large: |i| i.edit(i.group(0), |b| put32(b, group::TREE_BLOCKS, 1 << 20))
        => "group 0", "blocks of its own trees, more than";
    // The groups' trees.
    tree_height: |i| i.edit(i.group(0), |b| put32(b, group::INODE_ROOT + 8, 11))
        => "group 0", "impossible height 11";
    tree_of_too_many_levels: |i| i.edit(i.group(0), |b| put32(b, group::INODE_ROOT + 8, 5))
        => "group 0", "height 5 of at most 3";
    tree_root_and_height: |i| i.edit(i.group(0), |b| put64(b, group::INODE_ROOT, 0))
        => "group 0", "does not go with height";
    tree_root_in_another_group: |i| {
        let there = i.group(1).add(5).0;
        i.edit(i.group(0), |b| put64(b, group::INODE_ROOT, there));
    } => "group 0", "outside the group";
    tree_level: |i| i.edit(i.group(0), |b| put32(b, group::INODE_ROOT + 8, 2))
        => "group 0", "has level 0 where 1 belongs";
    tree_node_twice: |i| {
        let root = i.group_tree(0, group::INODE_ROOT);
        i.edit(i.group(0), |b| put64(b, group::FREE_INODE_ROOT, root.0));
    } => "group 0", "in use already";
    tree_node_of_another: |i| i.edit(i.group_tree(0, group::INODE_ROOT), |b| {
        put64(b, header::OWNER, 4);
    }) => "group 0", "belongs to 4";
    tree_node_damaged: |i| flip(i, i.group_tree(0, group::REFCOUNT_ROOT), 66)
        => "group 0", "checksum";
    count_too_high: |i| i.edit(i.group_tree(0, group::REFCOUNT_ROOT), |b| add32(b, FIRST + 12, 1))
        => "reference count 3, but 2 references";
    count_of_one: |i| i.edit(i.group_tree(0, group::REFCOUNT_ROOT), |b| put32(b, FIRST + 12, 1))
        => "useless reference count 1";
    count_missing: |i| i.edit(i.group_tree(0, group::REFCOUNT_ROOT), |b| {
        add64(b, FIRST, 1);
        add32(b, FIRST + 8, u32::MAX);
    }) => "reference count 1, but 2 references";
    count_of_free_blocks: |i| i.edit(i.group_tree(0, group::REFCOUNT_ROOT), |b| {
        let count = usize::from(u16_at(b, header::COUNT));
        let at = FIRST + 16 * count;
        put64(b, at, 1000);
        put32(b, at + 8, 3);
        put32(b, at + 12, 2);
        put16(b, header::COUNT, count as u16 + 1);
    }) => "reference count 2, but 0 references";
    counts_overlap: |i| i.edit(i.group_tree(0, group::REFCOUNT_ROOT), |b| put32(b, FIRST + 8, 900))
        => "group 0", "told twice";
    count_beyond_the_group: |i| i.edit(i.group_tree(0, group::REFCOUNT_ROOT), |b| {
        put32(b, FIRST + 8, 5000);
    }) => "group 0", "impossible blocks";
    inode_map_record: |i| i.edit(i.group_tree(0, group::INODE_ROOT), |b| put64(b, FIRST + 8, 1))
        => "group 0", "impossible record";
    inode_block_not_in_free_tree: |i| i.edit(i.group(0), |b| {
        put64(b, group::FREE_INODE_ROOT, 0);
        put32(b, group::FREE_INODE_ROOT + 8, 0);
    }) => "is not in the free inode tree";
    free_tree_names_a_full_block: |i| {
        let map = i.block(i.group_tree(0, group::INODE_ROOT));
        i.edit(i.group_tree(0, group::FREE_INODE_ROOT), |b| {
            assert!(u64_at(&map, FIRST) < u64_at(b, FIRST));
            put64(b, FIRST, u64_at(&map, FIRST));
        });
    } => "has no free inode, but is in the free inode tree";
    free_tree_names_no_inode_block: |i| i.edit(i.group_tree(0, group::FREE_INODE_ROOT), |b| {
        let last = FIRST + 16 * (usize::from(u16_at(b, header::COUNT)) - 1);
        put64(b, last, 900);
    }) => "not in the inode map";

    // Inode blocks.
    inode_block_damaged: |i| flip(i, i.geometry.inode_at(i.ino("file")).unwrap().0, 300)
        => "group 0", "checksum";
    inode_block_of_another: |i| i.edit(i.geometry.inode_at(i.ino("file")).unwrap().0, |b| {
        put64(b, header::OWNER, 2);
    }) => "inode block is of group 2";
    inode_block_mask: |i| i.edit(i.geometry.inode_at(i.ino("file")).unwrap().0, |b| {
        b[inode::IN_USE] &= !1;
    }) => "impossible set of inodes";
    free_inode_not_cleared: |i| {
        let (at, offset) = i.geometry.inode_at(i.ino("pipe")).unwrap();
        i.edit(at, |b| b[inode::IN_USE] &= !(1 << (offset / inode::SIZE)));
    } => "is free, but not cleared";

    // Fields of inodes.
    inode_magic: |i| i.edit_inode("pipe", |b| b[inode::MAGIC] ^= 1) => "inode", "wrong magic";
    inode_type: |i| i.edit_inode("pipe", |b| put16(b, inode::MODE, 0o7_0644))
        => "does not go with mode 70644";
    inode_format: |i| i.edit_inode("pipe", |b| b[inode::FORMAT] = 1)
        => "format 1 does not go with mode";
    inode_flags: |i| i.edit_inode("file", |b| put32(b, inode::FLAGS, 0x81)) => "flags 0x80";
    inode_shared_pipe: |i| i.edit_inode("pipe", |b| put32(b, inode::FLAGS, 1))
        => "no regular file";
    inode_nanoseconds: |i| i.edit_inode("file", |b| put32(b, inode::NANOSECONDS + 8, 1_000_000_000))
        => "ctime has 1000000000 nanoseconds";
    inode_size: |i| i.edit_inode("file", |b| put64(b, inode::SIZE_BYTES, 1 << 63))
        => "impossible size";
    inode_rdev: |i| i.edit_inode("file", |b| put32(b, inode::RDEV, 5)) => "is no device";
    inode_parent: |i| i.edit_inode("file", |b| put64(b, inode::PARENT, 5)) => "is no directory";
    inode_cow_extent_size: |i| i.edit_inode("file", |b| {
        put32(b, inode::COW_EXTENT_SIZE, 1 << 17);
    }) => "impossible CoW extent size";
    inode_blocks: |i| i.edit_inode("tree", |b| add64(b, inode::BLOCKS, 1))
        => "counts 105 blocks, but points to 104";
    link_blocks: |i| i.edit_inode("long", |b| add64(b, inode::BLOCKS, 1)) => "counts 4 blocks";
    directory_blocks: |i| i.edit_inode("many", |b| add64(b, inode::BLOCKS, 1)) => "blocks, but points to";
    short_link_size: |i| i.edit_inode("short", |b| add64(b, inode::SIZE_BYTES, 1))
        => "symbolic link of size 41 with 40 bytes";
    short_link_with_nul: |i| i.edit_inode("short", |b| b[inode::INLINE + 3] = 0) => "NUL";
    long_link_size: |i| i.edit_inode("long", |b| put64(b, inode::SIZE_BYTES, 4000))
        => "symbolic link of size 4000 in 3 blocks";
    long_link_address: |i| i.edit_inode("long", |b| put64(b, inode::INLINE, 7))
        => "symbolic link block", "impossible address 7";
    long_link_block_twice: |i| i.edit_inode("long", |b| {
        let first = u64_at(b, inode::INLINE);
        put64(b, inode::INLINE + 8, first);
    }) => "symbolic link block", "in use already";
    long_link_damaged: |i| flip(i, FsBlock(u64_at(&i.inode("long"), inode::INLINE)), 99)
        => "inode", "checksum";
    long_link_of_another: |i| i.edit(FsBlock(u64_at(&i.inode("long"), inode::INLINE)), |b| {
        put64(b, header::OWNER, 77);
    }) => "symbolic link block", "belongs to 77";

    // Extents.
    extent_of_no_length: |i| i.edit_inode("file", |b| put32(b, inode::INLINE + 16, 0))
        => "impossible extent of 0 blocks";
    extent_too_long: |i| i.edit_inode("file", |b| put32(b, inode::INLINE + 16, 2049))
        => "impossible extent of 2049 blocks";
    extent_beyond_all_files: |i| i.edit_inode("file", |b| put64(b, inode::INLINE + 48, 1 << 53))
        => "impossible extent";
    extent_reserved: |i| i.edit_inode("file", |b| put32(b, inode::INLINE + 20, 1))
        => "impossible extent";
    extents_overlap: |i| i.edit_inode("file", |b| put64(b, inode::INLINE + 24, 3))
        => "file block 3 overlaps";
    extent_outside_the_groups: |i| i.edit_inode("file", |b| put64(b, inode::INLINE + 8, 3))
        => "not in one group";
    extent_over_a_group_s_end: |i| {
        let last = i.group(1).0 - 2;
        i.edit_inode("file", |b| put64(b, inode::INLINE + 8, last));
    } => "not in one group";
    extent_over_metadata: |i| {
        let node = i.group_tree(0, group::INODE_ROOT).0;
        i.edit_inode("file", |b| put64(b, inode::INLINE + 8, node));
    } => "metadata, but mapped as data by inode";
    too_many_inline_extents: |i| i.edit_inode("file", |b| b[inode::COUNT] = 6)
        => "6 extents in the inode";
    block_mapped_twice: |i| {
        let other = data(i, "orphan").0;
        i.edit_inode("deep", |b| {
            b[inode::COUNT] = 1;
            put64(b, inode::SIZE_BYTES, 1024);
            put64(b, inode::BLOCKS, 1);
            put64(b, inode::INLINE + 8, other);
            put32(b, inode::INLINE + 16, 1);
        });
    } => "reference count 1, but 2 references";
    shared_without_mark: |i| i.edit_inode("copy", |b| put32(b, inode::FLAGS, 0))
        => "not marked as sharing";
    shared_tree_without_mark: |i| i.edit_inode("tree-twin", |b| put32(b, inode::FLAGS, 0))
        => "not marked as sharing";
    extent_tree_without_node: |i| i.edit_inode("tree", |b| {
        put64(b, inode::ROOT, 0);
        b[inode::HEIGHT] = 0;
    }) => "extent tree without a node";
    extent_node_damaged: |i| flip(i, i.child(i.tree("tree"), 1), 70) => "inode", "checksum";
    extent_node_address: |i| i.edit(i.tree("tree"), |b| put64(b, FIRST + 8, 2))
        => "extent tree node: impossible address 2";
    extent_node_is_data: |i| {
        let data = data(i, "file").0;
        i.edit(i.tree("tree"), |b| put64(b, FIRST + 8, data));
    } => "extent tree node", "in use already";
    extent_node_range: |i| i.edit(i.tree("tree"), |b| add64(b, FIRST + 16, 1))
        => "extent tree node", "outside of its place";
    extent_node_reference_lost: |i| {
        // Two parents of the leaf, but its count says three.
        let leaf = i.child(i.tree("tree"), 2);
        let (ag, block) = i.geometry.locate(leaf).unwrap();
        let root = i.group_tree(ag.0, group::REFCOUNT_ROOT);
        i.edit(root, |b| {
            let at = (0..usize::from(u16_at(b, header::COUNT)))
                .map(|n| FIRST + 16 * n)
                .find(|at| {
                    let first = u64_at(b, *at);
                    (first..first + u64::from(u32_at(b, at + 8))).contains(&u64::from(block.0))
                })
                .unwrap();
            add32(b, at + 12, 1);
        });
    } => "reference count 3, but 2 references";
    shared_node_in_the_wrong_place: |i| {
        // The copy's last leaf takes the place of its first one, too.
        let root = i.tree("tree-copy");
        let last = i.child(root, 2).0;
        i.edit(root, |b| put64(b, FIRST + 8, last));
    } => "do not belong in place";
    epoch_of_the_volume: |i| i.edit(Geometry::VOLUME, |b| put64(b, volume::EPOCH, u64::MAX))
        => "impossible epoch";
    epoch_of_the_future: |i| i.edit_inode("tree", |b| put64(b, inode::EPOCH, 1000))
        => "is of epoch 1000, which has not begun";
    node_of_the_future: |i| i.edit(i.tree("tree-copy"), |b| put64(b, header::EPOCH, 1000))
        => "extent tree node", "is of epoch 1000, which has not begun";
    shared_node_of_own_epoch: |i| {
        let epoch = u64_at(&i.inode("tree"), inode::EPOCH);
        i.edit(i.tree("tree"), |b| put64(b, header::EPOCH, epoch));
    } => "is shared, but of the file's own epoch";
    extent_tree_loop: |i| {
        let root = i.tree("tree").0;
        i.edit(FsBlock(root), |b| put64(b, FIRST + 8, root));
    } => "extent tree node", "in use already";

    // Directories.
    entry_name: |i| edit_entry(i, "many", |e| e[ENTRY_NAME] = b'/') => "impossible name";
    entry_hash: |i| edit_entry(i, "many", |e| e[ENTRY_NAME] ^= 1) => "is not that of the name";
    entry_twice: |i| i.edit(first_leaf(i, "many"), |b| {
        // The second entry's name becomes the first one's, with the next key.
        let places = [0, 2].map(|n| usize::from(u16_at(b, header::SIZE + n)));
        let (first, second) = (places[0], places[1]);
        let len = usize::from(b[first + 17]);
        assert_eq!(b[second + 17] as usize, len, "choose other names");
        b.copy_within(first..first + 18 + len, second);
        b[second] += 1;
    }) => "a second one of this name";
    entry_inode: |i| edit_entry(i, "many", |e| put64(e, ENTRY_INO, 1)) => "inode 1 is not in use";
    entry_type_beyond: |i| edit_entry(i, "many", |e| e[ENTRY_TYPE] |= 0x10) => "of type 0o30, but inode";
    entry_type: |i| edit_entry(i, "many", |e| e[ENTRY_TYPE] = 4) => "of type 0o4, but inode";
    directory_size: |i| i.edit_inode("many", |b| add64(b, inode::SIZE_BYTES, 1))
        => "directory of size";
    directory_node_of_another: |i| i.edit(i.tree("many"), |b| put64(b, header::OWNER, 9))
        => "directory node", "belongs to 9";
    directory_leaf_damaged: |i| flip(i, first_leaf(i, "many"), 900) => "inode", "checksum";
    directory_parent: |i| {
        let other = i.ino("many").0;
        i.edit_inode("sub", |b| put64(b, inode::PARENT, other));
    } => "as its parent, but is in directory";
    directory_linked_twice: |i| {
        let dir = i.ino("dir").0;
        edit_named(i, "root", "pipe", |e| {
            put64(e, ENTRY_INO, dir);
            e[ENTRY_TYPE] = 4;
        });
    } => "has an entry in", "already";
    entry_for_the_root: |i| {
        let root = i.ino("root").0;
        edit_named(i, "dir", "sub", |e| put64(e, ENTRY_INO, root));
    } => "leads to the root directory";
    directory_in_itself: |i| {
        let dir = i.ino("dir").0;
        edit_named(i, "dir", "sub", |e| put64(e, ENTRY_INO, dir));
        edit_named(i, "root", "dir", |e| {
            let pipe = i.ino("pipe").0;
            put64(e, ENTRY_INO, pipe);
        });
    } => "its own ancestor";

    // Links and orphans.
    root_is_no_directory: |i| i.edit_inode("root", |b| put16(b, inode::MODE, 0o10_0644))
        => "no root directory here";
    root_parent: |i| {
        let dir = i.ino("dir").0;
        i.edit_inode("root", |b| put64(b, inode::PARENT, dir));
    } => "the root directory names";
    file_links: |i| i.edit_inode("deep", |b| add32(b, inode::LINKS, 1))
        => "has 202 links, but 201 were found";
    directory_links: |i| i.edit_inode("dir", |b| add32(b, inode::LINKS, 1))
        => "has 4 links, but 3 were found";
    orphan_links: |i| i.edit_inode("orphan", |b| put32(b, inode::LINKS, 1))
        => "has 1 links, but 0 were found";
    no_entry: |i| {
        let deep = i.ino("deep").0;
        edit_named(i, "root", "pipe", |e| {
            put64(e, ENTRY_INO, deep);
            e[ENTRY_TYPE] = 8;
        });
    } => "no directory entry leads to it, and it is not on the orphan list";
    orphan_forgotten: |i| i.edit(Geometry::VOLUME, |b| {
        put64(b, volume::ORPHAN_ROOT, 0);
        put32(b, volume::ORPHAN_ROOT + 8, 0);
    }) => "no directory entry leads to it, and it is not on the orphan list";
    orphan_not_in_use: |i| {
        i.edit(orphan_leaf(i), |b| put64(b, FIRST + 16, 99_999));
    } => "orphan list: inode 99999 is not in use";
    count_of_a_file_being_cut: |i| {
        let file = i.ino("file").0;
        i.edit(orphan_leaf(i), |b| put64(b, FIRST + 16, file));
        i.edit_inode("file", |b| add64(b, inode::BLOCKS, 1));
    } => "blocks, but points to";
    orphan_levels: |i| i.edit(Geometry::VOLUME, |b| put32(b, volume::ORPHAN_ROOT + 8, 5))
        => "volume", "height 5 of at most 4";
    orphan_with_entries: |i| {
        let (dir, orphan) = (i.ino("dir").0, i.ino("orphan").0);
        edit_named(i, "root", "dir", |e| {
            put64(e, ENTRY_INO, orphan);
            e[ENTRY_TYPE] = 8;
        });
        i.edit_inode("orphan", |b| put32(b, inode::LINKS, 1));
        i.edit_inode("dir", |b| put32(b, inode::LINKS, 0));
        i.edit_inode("root", |b| add32(b, inode::LINKS, u32::MAX));
        i.edit(orphan_leaf(i), |b| put64(b, FIRST + 16, dir));
    } => "has no name, but entries";
    orphan_reserved: |i| {
        i.edit(orphan_leaf(i), |b| put64(b, FIRST + 24, 1));
    } => "orphan tree: reserved field";
}
