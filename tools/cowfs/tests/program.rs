// SPDX-License-Identifier: GPL-2.0

//! cowfs as a program, on the sample volume of the check's tests.

#[path = "../../fsck/tests/common/mod.rs"]
mod common;

use common::{sample, u64_at, Image};
use cowfs_core::ondisk::{group, inode, volume, Geometry, Superblock};
use cowfs_core::units::{AgNumber, FsBlock};
use cowfs_image::journal::testlog::TestLog;
use std::process::Command;

fn cowfs(image: &Image, command: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cowfs"))
        .arg(command)
        .arg(image.path())
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// What the command prints, in which each of `words` must occur.
fn prints(image: &Image, command: &str, arguments: &[&str], words: &[&str]) -> String {
    let (success, text) = cowfs(image, command, arguments);
    assert!(success, "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    text
}

fn dumps(image: &Image, at: FsBlock, words: &[&str]) -> String {
    prints(image, "dump", &[&at.to_string()], words)
}

#[test]
fn info_shows_superblock_and_counters() {
    let image = sample();
    prints(
        &image,
        "info",
        &[],
        &[
            "766f6c75-6d65-206f-6620-612074657374",
            "block size       1024",
            "groups           5 of 1024 blocks",
            "journal state    clean",
            "inodes           14",
            "orphan tree      root",
        ],
    );
}

#[test]
fn info_shows_the_groups_in_use() {
    let image = sample();
    let text = prints(&image, "info", &["--groups"], &["refcount, inode map"]);
    let groups = text
        .lines()
        .skip_while(|line| !line.contains("first block"));
    let shown = groups.filter(|line| line.contains(" 1024 ")).count();
    let used = (0..5)
        .filter(|ag| image.block(image.group(*ag)).iter().any(|byte| *byte != 0))
        .count();
    assert!(used > 1);
    assert_eq!(shown, used, "{text}");
}

#[test]
fn info_tells_of_a_journal_that_needs_replay() {
    let image = sample();
    let size = common::SIZE as u32;
    let mut log = TestLog::new(size, image.geometry.journal_blocks, 5, 9);
    let descriptor = log.data(&[(image.group(0).0, image.block(image.group(0)))]);
    let revoke = log.revoke(&[4711]);
    let commit = log.commit();
    let start = image.geometry.journal_start;
    for (n, block) in log.image().chunks(common::SIZE).enumerate() {
        image.put(start.add(n as u64), block);
    }
    prints(
        &image,
        "info",
        &[],
        &["needs replay: from transaction 9 on, 1 transactions that change 1 blocks"],
    );
    let home = format!("block {}, checksum", image.group(0));
    let at = |n: u32| start.add(u64::from(n));
    dumps(
        &image,
        at(descriptor),
        &["descriptor of transaction 9", &home],
    );
    dumps(
        &image,
        at(revoke),
        &["revocations of transaction 9", "block 4711"],
    );
    dumps(
        &image,
        at(commit),
        &["commit of transaction 9, at 1000 seconds"],
    );
    dumps(
        &image,
        start,
        &["journal superblock, sound", "block 5, transaction 9"],
    );
    dumps(&image, image.group(0), &["as the journal has it"]);
}

#[test]
fn map_shows_extents_and_which_are_shared() {
    let image = sample();
    let text = prints(&image, "map", &["/file"], &["extents in the inode"]);
    let rows: Vec<&str> = text.lines().skip(3).collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(
        rows[0].contains("0-3 ") && rows[0].ends_with(" 4 shared"),
        "{text}"
    );
    assert!(
        rows[1].contains("10-12 ") && rows[1].ends_with(" 3 shared"),
        "{text}"
    );
    assert!(
        rows[2].contains("20-21 ") && rows[2].ends_with("unwritten"),
        "{text}"
    );

    let text = prints(&image, "map", &["/tree-copy"], &["height 2"]);
    let row = |at: u64| {
        let at = format!(" {at}-{at} ");
        text.lines()
            .find(|line| line.contains(&at))
            .unwrap()
            .to_owned()
    };
    assert!(row(48).ends_with("shared"), "{text}");
    assert!(!row(50).ends_with("shared"), "it was written since: {text}");
    assert_eq!(text.lines().count(), 3 + 100);
}

#[test]
fn map_takes_numbers_and_paths() {
    let image = sample();
    let deep = format!("inode {}: Regular", image.ino("deep"));
    prints(&image, "map", &["/dir/sub/deep"], &[&deep, "201 links"]);
    prints(&image, "map", &["/dir/../dir/./sub//deep"], &[&deep]);
    prints(&image, "map", &[&image.ino("deep").to_string()], &[&deep]);
    prints(
        &image,
        "map",
        &["/"],
        &["Directory", "\"tree-twin\"", "\"pipe\""],
    );
    prints(&image, "map", &["/many"], &["\"entry number 199\""]);
    prints(&image, "map", &["/short"], &[&"x".repeat(40)]);
    prints(&image, "map", &["/long"], &[&"x".repeat(2000)]);
    for (name, why) in [
        ("/none", "no \"none\""),
        ("/file/x", "is no directory"),
        ("file", "neither a number nor a path"),
        ("1", "inode 1"),
    ] {
        let (success, text) = cowfs(&image, "map", &[name]);
        assert!(!success && text.contains(why), "{text}");
    }
}

#[test]
fn dump_decodes_every_kind_of_block() {
    let image = sample();
    dumps(&image, FsBlock(0), &["superblock, sound", "root inode"]);
    let backup = Superblock::backups(&image.geometry).nth(1).unwrap();
    dumps(&image, backup, &["superblock, sound"]);
    dumps(
        &image,
        Geometry::VOLUME,
        &["volume block, sound", "inodes     14"],
    );
    dumps(&image, FsBlock(2), &["summary block, sound", "never used"]);
    dumps(
        &image,
        image.group(0),
        &["group header, sound", "blocks     1024"],
    );
    let (inodes, _) = image.geometry.inode_at(image.ino("file")).unwrap();
    dumps(
        &image,
        inodes,
        &["inode block, sound", "(Regular)", "unwritten"],
    );
    let tree = image.tree("tree");
    dumps(&image, tree, &["extent tree node, sound", "level      1"]);
    dumps(
        &image,
        image.child(tree, 0),
        &["level      0", "  0 + 1 -> "],
    );
    let node = |at| image.group_tree(0, at);
    dumps(
        &image,
        node(group::REFCOUNT_ROOT),
        &["count tree node, sound", "2 references"],
    );
    dumps(
        &image,
        node(group::INODE_ROOT),
        &["inode map node, sound", "of the group"],
    );
    dumps(
        &image,
        node(group::FREE_INODE_ROOT),
        &["free inode tree node, sound"],
    );
    let orphans = FsBlock(u64_at(&image.block(Geometry::VOLUME), volume::ORPHAN_ROOT));
    let orphan = format!("inode {}", image.ino("orphan"));
    dumps(&image, orphans, &["orphan tree node, sound", &orphan]);
    let many = image.tree("many");
    dumps(&image, many, &["directory node, sound", "level      1"]);
    dumps(&image, image.child(many, 0), &["entry number", "type 8"]);
    let link = FsBlock(u64_at(&image.inode("long"), inode::INLINE));
    dumps(
        &image,
        link,
        &["symbolic link block, sound", "|xxxxxxxxxxxxxxxx|"],
    );
    let data = image.geometry.group_start(AgNumber(0)).add(1000);
    dumps(&image, data, &["block 1000 of group 0", "00000400"]);
}

#[test]
fn dump_shows_the_bytes_of_a_damaged_block() {
    let image = sample();
    let at = image.tree("tree");
    let mut bytes = image.block(at);
    bytes[48] = 0xff;
    image.put(at, &bytes);
    dumps(&image, at, &["damaged", "bad checksum", "|cwEX"]);
    prints(&image, "dump", &["-x", "0"], &["|cowfs"]);
}

#[test]
fn dump_refuses_blocks_that_are_not_there() {
    let image = sample();
    let beyond = image.geometry.blocks.to_string();
    let (success, text) = cowfs(&image, "dump", &[&beyond]);
    assert!(!success && text.contains("outside the volume"), "{text}");
}
