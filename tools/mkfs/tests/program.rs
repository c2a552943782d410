// SPDX-License-Identifier: GPL-2.0

//! mkfs.cowfs as a program: what it refuses, and what it makes.

use cowfs_core::ondisk::{header, Kind, Superblock};
use cowfs_core::store::Reader;
use cowfs_core::units::{AgNumber, FsBlock};
use cowfs_image::device::Device;
use cowfs_image::volume::{Journal, Volume};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use tempfile::NamedTempFile;

fn mkfs(path: &Path, options: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mkfs-cowfs"))
        .args(options)
        .arg(path)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn refused(path: &Path, options: &[&str], why: &str) {
    let (code, _, text) = mkfs(path, options);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(why), "{text}");
}

fn made(path: &Path, options: &[&str]) -> String {
    let (code, text, errors) = mkfs(path, options);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    text
}

fn file(bytes: u64) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(bytes).unwrap();
    file
}

fn volume(file: &NamedTempFile) -> Volume {
    Volume::open(Device::open(file.path()).unwrap()).unwrap()
}

#[test]
fn options_reach_the_superblock() {
    let file = file(64 << 20);
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    let text = made(
        file.path(),
        &["-L", "a label", "-U", uuid, "-b", "2048", "-J", "12M"],
    );
    assert!(
        text.contains(uuid) && text.contains("\"a label\""),
        "{text}"
    );
    let volume = volume(&file);
    let sb = volume.superblock();
    assert_eq!(&sb.label[..8], b"a label\0");
    assert_eq!(sb.uuid[..4], [1, 0x23, 0x45, 0x67]);
    assert_eq!((sb.block_size, sb.journal_blocks), (2048, 6144));
    assert_eq!(sb.blocks, (64 << 20) / 2048);
    assert_ne!(sb.hash_seed, [0; 16]);
    assert!(sb.made > 1_600_000_000);
    match volume.journal() {
        Journal::Clean(journal) => assert_eq!(journal.blocks, 6144),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_volumes_have_different_uuids_and_seeds() {
    let [a, b] = [(); 2].map(|()| {
        let file = file(64 << 20);
        made(file.path(), &["-q"]);
        volume(&file).superblock().clone()
    });
    assert_ne!(a.uuid, b.uuid);
    assert_ne!(a.hash_seed, b.hash_seed);
}

/// What an earlier volume left in groups that were not used since would else be found by a repair.
#[test]
fn metadata_of_a_volume_with_the_same_uuid_is_another_s() {
    let file = file(64 << 20);
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    let [old, new] = [(); 2].map(|()| {
        made(file.path(), &["-q", "-f", "-K", "-U", uuid]);
        let volume = volume(&file);
        assert_eq!(volume.superblock().uuid[..4], [1, 0x23, 0x45, 0x67]);
        let geometry = volume.superblock().geometry().unwrap();
        let at = geometry.group_start(AgNumber(0));
        assert!(volume.read(at, Kind::Group).is_ok());
        let mut uuid = [0; 16];
        let header = at.0 * geometry.block_size() as u64 + header::UUID as u64;
        file.as_file().read_exact_at(&mut uuid, header).unwrap();
        assert_eq!(uuid, geometry.uuid);
        uuid
    });
    assert_ne!(old, new);
}

#[test]
fn every_backup_is_the_superblock() {
    let file = file(700 << 20);
    made(file.path(), &["-q", "-b", "1024"]);
    let volume = volume(&file);
    let geometry = volume.superblock().geometry().unwrap();
    let backups: Vec<FsBlock> = Superblock::backups(&geometry).collect();
    assert!(backups.len() > 5, "{backups:?}");
    for at in backups {
        let mut copy = volume.read_superblock(at).unwrap();
        copy.address = FsBlock(0);
        assert_eq!(copy, *volume.superblock());
    }
}

#[test]
fn quiet_says_nothing() {
    assert_eq!(made(file(64 << 20).path(), &["-q"]), "");
}

#[test]
fn a_dry_run_writes_nothing() {
    let file = file(64 << 20);
    let text = made(file.path(), &["-n"]);
    assert!(text.contains("blocks="), "{text}");
    assert_eq!(file.as_file().metadata().unwrap().blocks(), 0);
    assert_eq!(file.as_file().metadata().unwrap().len(), 64 << 20);
}

/// The minimum that is named is enough, and one byte less is not.
#[test]
fn the_minimum_is_exact() {
    for size in ["1024", "2048", "4096"] {
        let (code, _, text) = mkfs(file(512).path(), &["-b", size]);
        assert_eq!(code, Some(1));
        let least: u64 = text
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("no number in {text:?}"));
        refused(
            file(least - 1).path(),
            &["-b", size],
            &format!("at least {least} bytes"),
        );
        let fits = file(least);
        made(fits.path(), &["-b", size]);
        assert_eq!(
            volume(&fits).superblock().blocks * size.parse::<u64>().unwrap(),
            least
        );
    }
}

#[test]
fn a_journal_too_small_is_refused() {
    refused(
        file(64 << 20).path(),
        &["-J", "1M"],
        "at least 5271552 bytes",
    );
}

#[test]
fn a_journal_larger_than_the_device_is_refused() {
    refused(file(64 << 20).path(), &["-J", "64M"], "too small");
    refused(file(64 << 20).path(), &["-J", "900T"], "too");
}

#[test]
fn what_a_device_holds_is_kept_unless_forced() {
    let file = file(64 << 20);
    file.as_file().write_all_at(b"XFSB", 0).unwrap();
    refused(file.path(), &["-q"], "(xfs); use -f");
    made(file.path(), &["-q", "-f"]);
    refused(file.path(), &["-q"], "(cowfs); use -f");
}

/// Signatures beyond the first block are gone, too, even where nothing can be discarded.
#[test]
fn no_other_signature_survives() {
    for options in [&["-q", "-f"][..], &["-q", "-f", "-K"]] {
        let file = file(64 << 20);
        for (at, magic) in [
            (0x438, &b"\x53\xef"[..]),
            (0x10040, b"_BHRfS_M"),
            (0x20000, b"\x0c\xb1\xba\0\0\0\0\0"),
            ((64 << 20) - 512, b"EFI PART"),
        ] {
            file.as_file().write_all_at(magic, at).unwrap();
        }
        made(file.path(), options);
        let bytes = std::fs::read(file.path()).unwrap();
        let found = |magic: &[u8], at: usize| bytes[at..].starts_with(magic);
        assert!(!found(b"\x53\xef", 0x438));
        assert!(!found(b"_BHRfS_M", 0x10040));
        assert!(!found(b"\x0c\xb1\xba", 0x20000));
        assert!(!found(b"EFI PART", (64 << 20) - 512));
    }
}

/// An old log must not look like a part of the new one.
#[test]
fn an_old_journal_is_wiped_where_nothing_is_discarded() {
    let file = file(64 << 20);
    let garbage = vec![0xa5; 64 << 20];
    file.as_file().write_all_at(&garbage, 0).unwrap();
    made(file.path(), &["-q", "-f", "-K"]);
    let volume = volume(&file);
    let sb = volume.superblock();
    let bytes = std::fs::read(file.path()).unwrap();
    let start = sb.journal_start.0 as usize * 4096;
    let end = start + sb.journal_blocks as usize * 4096;
    assert!(bytes[start + 1024..end].iter().all(|byte| *byte == 0));
    assert!(
        bytes[end + 64 * 4096..].contains(&0xa5),
        "-K discards nothing"
    );
}

#[test]
fn a_label_too_long_is_refused() {
    let file = file(64 << 20);
    made(file.path(), &["-q", "-L", &"x".repeat(64)]);
    refused(
        file.path(),
        &["-f", "-L", &"x".repeat(65)],
        "at most 64 bytes",
    );
}

#[test]
fn wrong_arguments_are_refused() {
    let file = file(64 << 20);
    for options in [
        &["-b", "512"][..],
        &["-b", "8192"],
        &["-U", "not a uuid"],
        &["-J", "some"],
        &["--nothing"],
    ] {
        assert_eq!(mkfs(file.path(), options).0, Some(1));
    }
    refused(Path::new("/nonexistent"), &[], "cannot open");
    refused(Path::new("/dev/null"), &[], "neither a block device nor");
}

/// As near to 16 TiB as a file of ext4 comes, with hardly any work: what is written is less than a
/// megabyte.
#[test]
fn sixteen_tebibytes_take_little_work() {
    let file = file((16 << 40) - 4096);
    made(file.path(), &["-q"]);
    let written = file.as_file().metadata().unwrap().blocks() * 512;
    assert!(written < 1 << 20, "{written} bytes were allocated");
    let volume = volume(&file);
    assert_eq!(volume.superblock().blocks, (1 << 32) - 1);
}
