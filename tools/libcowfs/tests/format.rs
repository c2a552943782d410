// SPDX-License-Identifier: GPL-2.0

//! Layouts from the smallest volume to the largest, and their first metadata.

use cowfs_core::block::Block;
use cowfs_core::error::Error;
use cowfs_core::extent::most_credits;
use cowfs_core::format::{self, Unfit};
use cowfs_core::mem::MemStore;
use cowfs_core::ondisk::geometry::MIN_GROUP_BLOCKS;
use cowfs_core::ondisk::{self, inode, Geometry, Kind, Superblock};
use cowfs_core::space::{self, inodes, Purpose};
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{AgNumber, FsBlock};
use proptest::prelude::*;

const SIZES: [u32; 3] = [1024, 2048, 4096];

/// Checks a layout against the device it is for.
fn check(superblock: &Superblock, bytes: u64, block_size: u32) -> Geometry {
    // The superblock's own checks: areas in order, number of groups and summary blocks right.
    let decoded = Superblock::decode(&superblock.encode(), FsBlock(0)).unwrap();
    assert_eq!(&decoded, superblock);
    let geometry = superblock.geometry().unwrap();
    let blocks = bytes / u64::from(block_size);
    assert!(geometry.blocks <= blocks);
    // Nothing is wasted but less than the smallest group; or, where a summary block more would not pay,
    // as much as that describes.
    let wasted = blocks - geometry.blocks;
    let full = geometry.ag_count % geometry.groups_per_summary() == 0;
    assert!(
        wasted < u64::from(MIN_GROUP_BLOCKS) || (full && wasted < 2 * u64::from(MIN_GROUP_BLOCKS))
    );
    geometry
}

/// Makes the volume and uses its first and its last group.
fn make(geometry: Geometry) {
    let last = AgNumber(geometry.ag_count - 1);
    let store = MemStore::new(geometry).unwrap();
    store.run(|tx| format::write(tx, 1_700_000_000)).unwrap();
    let geometry = store.geometry();
    let written = store.metadata().len() as u64;
    assert_eq!(written, 1 + u64::from(geometry.summary_blocks) + 4);
    // Once more as after a mount.
    drop(store.begin(0));

    let (root, at) = inodes::read(&store, geometry.root).unwrap();
    assert_eq!(root.u16(at + inode::MODE), 0o040_755);
    assert_eq!(root.u32(at + inode::LINKS), 2);
    assert_eq!(root.u64(at + inode::PARENT), geometry.root.0);
    assert_eq!(root.u64(at + inode::SECONDS + 24), 1_700_000_000);
    assert_eq!(root.u8(at + inode::FORMAT), inode::Format::Directory as u8);

    let (free, inodes) = store.volume(|volume| (volume.free, volume.inodes)).unwrap();
    assert_eq!(inodes, 1);
    let groups = geometry.blocks - geometry.ag_start.0;
    assert!(free < groups && free > groups - 3 * u64::from(geometry.ag_count));
    let reserve = space::total_reserve(geometry);
    // What is set aside is a small part: under 2 % with blocks of 4 KiB, 7 % with 1 KiB; more only in tiny
    // groups.
    if geometry.ag_blocks > 6000 && groups > 6000 {
        let percent = if geometry.block_size() == 4096 { 2 } else { 7 };
        assert!(reserve * 100 < groups * percent, "{reserve} of {groups}");
    }
    assert!(reserve < free, "{reserve} of {free}");

    for ag in [AgNumber(0), last] {
        let goal = geometry.group_start(ag);
        let (at, len) = store
            .run(|tx| space::alloc(tx, goal, 8, Purpose::Data))
            .unwrap();
        assert_eq!(geometry.locate(at).unwrap().0, ag);
        assert!(store.read(geometry.group_start(ag), Kind::Group).is_ok());
        store.run(|tx| space::free(tx, at, len)).unwrap();
    }
    assert_eq!(store.volume(|volume| volume.free).unwrap(), free);
}

#[test]
fn the_least_size_is_told_and_works() {
    for block_size in SIZES {
        let Err(Unfit::TooSmall(least)) = format::plan(0, block_size, None) else {
            panic!("no volume has no blocks");
        };
        // Superblock, volume block, summary, journal, backup, group.
        assert_eq!(least, (2 + 1 + 1024 + 1 + 64) * u64::from(block_size));
        let error = format::plan(least - 1, block_size, None).unwrap_err();
        assert_eq!(error, Unfit::TooSmall(least));
        assert!(error.to_string().contains(&least.to_string()));
        let superblock = format::plan(least, block_size, None).unwrap();
        make(check(&superblock, least, block_size));
    }
}

#[test]
fn sixteen_tebibytes_take_no_more_than_their_summary() {
    for block_size in SIZES {
        for bytes in [16 << 40, (16 << 40) - 12345, 1 << 30, 123 << 20] {
            let superblock = format::plan(bytes, block_size, None).unwrap();
            let geometry = check(&superblock, bytes, block_size);
            assert!(u64::from(geometry.journal_blocks) << geometry.block_shift <= 1 << 30);
            make(geometry);
        }
    }
}

#[test]
fn larger_devices_than_there_are_can_be_laid_out() {
    for block_size in SIZES {
        for bytes in [1 << 50, 1 << 60, u64::MAX] {
            let superblock = format::plan(bytes, block_size, None).unwrap();
            assert!(superblock.geometry().is_ok());
        }
    }
}

#[test]
fn impossible_wishes_are_named() {
    let plan = |size, journal| format::plan(1 << 30, size, journal).unwrap_err();
    for size in [0, 512, 3000, 8192, u32::MAX] {
        assert_eq!(plan(size, None), Unfit::BlockSize);
    }
    let Unfit::Journal(least) = plan(4096, Some(1024)) else {
        panic!("a journal of 4 MiB is too small for 1 GiB");
    };
    let least = (least / 4096) as u32;
    assert_eq!(
        plan(4096, Some(least - 1)),
        Unfit::Journal(u64::from(least) * 4096)
    );
    assert!(format::plan(1 << 30, 4096, Some(least)).is_ok());
    assert!(matches!(plan(4096, Some(1 << 18)), Unfit::TooSmall(_)));
    // The backups of the superblock come behind the journal, and are searched for in the first 4 GiB.
    assert_eq!(plan(4096, Some(u32::MAX)), Unfit::LargeJournal(3 << 30));
    for group in [0, 32, 100, 31552] {
        let error = format::plan_with_groups(1 << 30, 4096, None, group).unwrap_err();
        assert_eq!(error, Unfit::GroupSize);
    }
}

/// A third of the journal is what a transaction may have.
#[test]
fn the_journal_has_room_for_the_longest_step() {
    for block_size in SIZES {
        for mib in [
            16u64,
            64,
            123,
            246,
            500,
            1 << 10,
            4 << 10,
            1 << 20,
            16 << 20,
        ] {
            let superblock = format::plan(mib << 20, block_size, None).unwrap();
            let geometry = superblock.geometry().unwrap();
            let (most, journal) = (most_credits(&geometry), geometry.journal_blocks);
            println!("{block_size}: {mib} MiB: {most} of {journal} blocks");
            assert!(
                most + 64 <= journal / 3 - journal / 100,
                "{most} of {journal}"
            );
            // Not for the price of much of the volume.
            let part = u64::from(journal) * 100 * u64::from(block_size) / (mib << 20);
            assert!(
                mib < 64 || part <= if block_size < 4096 { 25 } else { 12 },
                "{part} %"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_size_has_a_layout(
        size in prop::sample::select(&SIZES[..]),
        blocks in 1092u64..40_000_000,
        groups in 1u32..108,
        fine in any::<bool>(),
    ) {
        let bytes = blocks * u64::from(size) + 17;
        let group = if fine { groups * 64 } else { Geometry::max_group_blocks(size as usize) };
        let journal = Some(1024);
        let superblock = format::plan_with_groups(bytes, size, journal, group).unwrap();
        check(&superblock, bytes, size);
    }

    /// Around the sizes where another summary block is needed.
    #[test]
    fn the_edge_of_a_summary_block_is_no_trap(
        size in prop::sample::select(&SIZES[..]),
        summaries in 1u64..5,
        off in -200i64..200,
    ) {
        let per = u64::from(size) - 64;
        let blocks = 3 + summaries + 1024 + summaries * per * 64;
        let blocks = blocks.checked_add_signed(off).unwrap();
        let superblock =
            format::plan_with_groups(blocks * u64::from(size), size, Some(1024), 64).unwrap();
        check(&superblock, blocks * u64::from(size), size);
    }
}

/// Above all not in the journal, where a change to it would be one to the log.
#[test]
fn metadata_is_only_where_its_kind_can_be() {
    let geometry = format::plan_with_groups(8 << 20, 1024, Some(1024), 1024)
        .unwrap()
        .geometry()
        .unwrap();
    let store = MemStore::new(geometry.clone()).unwrap();
    let says = |at: FsBlock, kind| {
        let mut tx = store.begin_unlimited();
        let buf = tx.create(at, kind, 0).unwrap();
        ondisk::verify(&buf, &geometry, at, kind)
    };
    let wrong = |at| Err(Error::Corrupt(at, "metadata where its kind cannot be"));
    let header = geometry.group_start(AgNumber(0));
    for kind in Kind::ALL {
        for at in [
            geometry.journal_start,
            geometry.journal_start.add(1),
            Geometry::VOLUME,
            geometry.summary_start,
            header,
        ] {
            let fits = match kind {
                Kind::Volume => at == Geometry::VOLUME,
                Kind::Summary => at == geometry.summary_start,
                Kind::Group => continue,
                _ => false,
            };
            assert_eq!(says(at, kind) == wrong(at), !fits, "{kind:?} in {at}");
        }
        let inside = header.add(5);
        let anywhere = !matches!(kind, Kind::Volume | Kind::Summary | Kind::Group);
        assert_eq!(
            says(inside, kind) != wrong(inside),
            anywhere || kind == Kind::Group
        );
    }
}
