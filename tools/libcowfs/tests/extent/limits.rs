// SPDX-License-Identifier: GPL-2.0

//! What clones cost, and what is refused.

use crate::check::check;
use crate::world::{volume_of, Cell, End, World};
use cowfs_core::btree::{node, Cursor, Root};
use cowfs_core::error::Error;
use cowfs_core::extent::{most_credits, Extents, Fork, MAX_LEN};
use cowfs_core::mem::{Buf, MemStore};
use cowfs_core::ondisk::{inode, Kind};
use cowfs_core::space;
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{FileBlock, FsBlock};

/// A file of `extents` extents of one block each.
fn fragmented(store: &'static MemStore, extents: u64) -> World {
    let mut world = World::new(store, 2 * extents, 1);
    world.create();
    for n in 0..extents {
        assert_eq!(world.write(0, 2 * n, 1), End::Finished);
    }
    world
}

/// Blocks touched by a transaction that does `f`.
fn touched(world: &mut World, f: impl FnOnce(&mut World, &mut crate::world::Tx)) -> usize {
    let mut tx = world.store.begin_unlimited();
    f(world, &mut tx);
    let touched = tx.touched();
    tx.commit().unwrap();
    touched
}

#[test]
fn a_clone_costs_the_same_whatever_the_size() {
    let mut cost = Vec::new();
    for extents in [50, 2000] {
        let mut world = fragmented(volume_of(10, 8, 1024), extents);
        let target = world.create();
        let cloned = touched(&mut world, |world, tx| {
            let mut from = std::mem::take(&mut world.files[0]);
            Fork::clone_whole(tx, &mut from.fork, &mut world.files[target].fork).unwrap();
            world.files[target].cells = from.cells.clone();
            world.files[0] = from;
        });
        check(&world);
        let dropped = touched(&mut world, |world, tx| {
            let ino = world.ino(target);
            let fork = &mut world.files[target].fork;
            while !fork.truncate(tx, ino, FileBlock(0)).unwrap() {}
            world.files[target].cells.fill(Cell::Hole);
        });
        check(&world);
        cost.push((cloned, dropped));
    }
    assert_eq!(cost[0], cost[1]);
    assert!(cost[0].0 <= 3 && cost[0].1 <= 3, "{cost:?}");
}

#[test]
fn a_write_to_a_clone_copies_one_path() {
    let mut world = fragmented(volume_of(10, 8, 1024), 3000);
    assert_eq!(world.clone_file(0), End::Finished);
    let nodes = |world: &World| world.store.metadata().len();
    let before = nodes(&world);
    let height = usize::from(world.files[1].fork.height());
    assert!(height >= 3);
    assert_eq!(world.write(1, 1000, 1), End::Finished);
    check(&world);
    // The path, and the first leaves of reference counts.
    assert!(nodes(&world) - before <= height + 3);
    let before = nodes(&world);
    assert_eq!(world.write(1, 1002, 1), End::Finished);
    assert!(nodes(&world) - before <= 1, "a path is copied once");
    check(&world);
}

#[test]
fn a_file_never_shared_looks_up_no_counts() {
    let mut world = fragmented(volume_of(10, 8, 1024), 100);
    assert!(!world.files[0].fork.is_flagged_shared());
    assert_eq!(world.write(0, 0, 200), End::Finished);
    assert_eq!(world.truncate(0, 50), End::Finished);
    assert!(!world.files[0].fork.is_flagged_shared());
    check(&world);
}

#[test]
fn adjacent_writes_are_one_extent() {
    let mut world = World::new(volume_of(10, 4, 1024), 64, 1);
    world.create();
    let (disk, len) = space::stage(world.store, FsBlock(500), 30).unwrap();
    assert_eq!(len, 30);
    let ino = world.ino(0);
    // Middle, end, begin.
    for (at, n) in [(10, 10), (20, 10), (0, 10)] {
        world
            .store
            .run(|tx| {
                let from = disk.add(at);
                let fork = &mut world.files[0].fork;
                assert_eq!(fork.replace(tx, ino, FileBlock(at), from, n), Ok(n));
                space::commit_staged(tx, from, n)
            })
            .unwrap();
    }
    assert_eq!(world.files[0].fork.inline().len(), 1);
    assert_eq!(world.files[0].fork.inline()[0].len, 30);
}

#[test]
fn a_fork_survives_its_inode() {
    let mut world = fragmented(volume_of(10, 4, 1024), 4);
    world.clone_file(0);
    for n in 4..8 {
        world.write(1, 2 * n % 8, 1);
    }
    world.preallocate(0, 1, 1);
    let mut trees = fragmented(volume_of(10, 4, 1024), 90);
    trees.clone_file(0);
    for world in [&world, &trees] {
        for file in &world.files {
            let mut fork = file.fork.clone();
            fork.logged();
            let at = FsBlock(700);
            world
                .store
                .run(|tx| {
                    let buf = tx.create(at, Kind::Inodes, 0)?;
                    fork.store(&buf, 512);
                    let loaded = Fork::load(tx, &buf, 512, at)?;
                    assert_eq!(loaded, fork);
                    assert!(!loaded.changed());
                    tx.forget(at)
                })
                .unwrap();
        }
    }
}

#[test]
fn a_damaged_inode_is_corrupt() {
    use cowfs_core::block::Block;
    let world = fragmented(volume_of(10, 4, 1024), 4);
    let at = FsBlock(700);
    world
        .store
        .run(|tx| {
            let buf = tx.create(at, Kind::Inodes, 0)?;
            let fork = world.files[0].fork.clone();
            let refused = |change: &dyn Fn()| {
                fork.store(&buf, 256);
                assert!(Fork::load(tx, &buf, 256, at).is_ok());
                change();
                let loaded = Fork::load(tx, &buf, 256, at);
                assert!(matches!(loaded, Err(Error::Corrupt(block, _)) if block == at));
            };
            let first = 256 + inode::INLINE;
            refused(&|| buf.set_u16(256 + inode::COUNT, 6));
            refused(&|| buf.set_u8(256 + inode::FORMAT, 3));
            refused(&|| buf.set_u8(256 + inode::FORMAT, 77));
            refused(&|| buf.set_u8(256 + inode::FORMAT, 2));
            refused(&|| buf.set_u32(first + 16, 0));
            refused(&|| buf.set_u32(first + 16, 3));
            refused(&|| buf.set_u32(first + 16, u32::MAX));
            refused(&|| buf.set_u64(first, u64::MAX));
            refused(&|| buf.set_u64(first + 8, 1));
            refused(&|| buf.set_u64(first + 8, 1 << 62));
            refused(&|| {
                buf.set_u8(256 + inode::FORMAT, 2);
                buf.set_u8(256 + inode::HEIGHT, 1);
            });
            refused(&|| {
                buf.set_u8(256 + inode::FORMAT, 2);
                buf.set_u64(256 + inode::ROOT, 600);
                buf.set_u8(256 + inode::HEIGHT, 11);
            });
            tx.forget(at)
        })
        .unwrap();
}

#[test]
fn arguments_are_checked() {
    let mut world = fragmented(volume_of(10, 4, 1024), 4);
    world.create();
    let ino = world.ino(0);
    world
        .store
        .run(|tx| {
            let other = world.files[0].fork.clone();
            let fork = &mut world.files[0].fork;
            let (at, disk) = (FileBlock(0), FsBlock(300));
            assert_eq!(fork.replace(tx, ino, at, disk, 0), Err(Error::Invalid));
            assert_eq!(fork.unmap(tx, ino, at, 0), Err(Error::Invalid));
            let twice = fork.insert_unwritten(tx, ino, at, disk, 1);
            assert_eq!(twice, Err(Error::Exists));
            // The source must be flagged first.
            let shared = fork.share_range(tx, ino, &other, at, FileBlock(1), 1);
            assert_eq!(shared, Err(Error::Invalid));
            let mut other = other;
            other.flag_shared();
            let cloned = Fork::clone_whole(tx, &mut other, fork);
            assert_eq!(cloned, Err(Error::Exists));
            assert_eq!(fork.root(), Root::EMPTY);
            assert_eq!(tx.geometry().block_size(), 1024);
            Ok(())
        })
        .unwrap();
    check(&world);
}

#[test]
fn blocks_side_by_side_are_freed_at_once() {
    let steps = |world: &mut World, stride: u64| {
        world.create();
        // Every other block of the file, in the order of the disk or in another one.
        let (disk, len) = space::stage(world.store, FsBlock(3000), 400).unwrap();
        assert_eq!(len, 400);
        let ino = world.ino(0);
        world
            .store
            .run(|tx| {
                let fork = &mut world.files[0].fork;
                for n in 0..400 {
                    let at = FileBlock(2 * (n * stride % 400));
                    assert_eq!(fork.replace(tx, ino, at, disk.add(n), 1), Ok(1));
                }
                space::commit_staged(tx, disk, 400)
            })
            .unwrap();
        let mut steps = 0;
        world
            .store
            .run(|tx| {
                let fork = &mut world.files[0].fork;
                while !fork.truncate(tx, ino, FileBlock(0))? {
                    steps += 1;
                }
                Ok(())
            })
            .unwrap();
        check(world);
        steps
    };
    let world = || World::new(volume_of(10, 4, 1024), 800, 1);
    let (ordered, scattered) = (steps(&mut world(), 1), steps(&mut world(), 123));
    // Leaf by leaf, 40 extents each; or eight runs at a time.
    assert!(ordered <= 11, "{ordered} steps");
    assert!(scattered >= 40, "{scattered} steps");
}

#[test]
fn a_small_journal_is_enough_for_long_extents() {
    // A volume of 64 MiB and its journal of 4 MiB, of which a transaction may have a quarter.
    let mut world = World::new(volume_of(12, 1, 15_000 / 64 * 64), 9000, 1);
    world.create();
    let ino = world.ino(0);
    for n in 0..5 {
        // Five extents apart from each other, so that they stay in the inode.
        let (disk, len) = space::stage(world.store, FsBlock(100 + 2100 * n), 1500).unwrap();
        let at = FileBlock(1700 * n);
        let mut tx = world.store.begin(200);
        let fork = &mut world.files[0].fork;
        assert_eq!(fork.replace(&mut tx, ino, at, disk, len), Ok(len));
        space::commit_staged(&mut tx, disk, len).unwrap();
        tx.commit().unwrap();
        world.files[0].cells[at.0 as usize..][..len as usize]
            .iter_mut()
            .zip(disk.0..)
            .for_each(|(cell, disk)| *cell = Cell::Data(disk));
        let blocks = disk.0..disk.0 + u64::from(len);
        world
            .contents
            .extend(blocks.map(|block| (FsBlock(block), block)));
    }
    let target = world.create();
    let mut tx = world.store.begin(200);
    let mut from = std::mem::take(&mut world.files[0]);
    let to = &mut world.files[target];
    Fork::clone_whole(&mut tx, &mut from.fork, &mut to.fork).unwrap();
    to.cells = from.cells.clone();
    world.files[0] = from;
    tx.commit().unwrap();
    check(&world);
    // Unmapping a part of each, and all of one.
    let mut tx = world.store.begin(200);
    let fork = &mut world.files[1].fork;
    let done = fork.unmap(&mut tx, ino, FileBlock(100), 8000).unwrap();
    world.files[1].cells[100..][..done as usize].fill(Cell::Hole);
    tx.commit().unwrap();
    check(&world);
    let mut tx = world.store.begin(200);
    let fork = &mut world.files[0].fork;
    assert_eq!(fork.truncate(&mut tx, ino, FileBlock(0)), Ok(true));
    world.files[0].cells.fill(Cell::Hole);
    tx.commit().unwrap();
    check(&world);
}

#[test]
fn no_extent_is_longer_than_may_be() {
    let mut world = World::new(volume_of(12, 1, 15_000 / 64 * 64), 6000, 1);
    world.create();
    let ino = world.ino(0);
    let (disk, len) = space::stage(world.store, FsBlock(1000), 5000).unwrap();
    assert_eq!(len, 5000);
    for piece in [0..1, 1..3000, 3000..5000] {
        let (mut at, end) = (piece.start, piece.end);
        while at < end {
            let mut tx = world.store.begin_unlimited();
            let fork = &mut world.files[0].fork;
            let from = disk.add(at);
            let n = fork
                .replace(&mut tx, ino, FileBlock(at), from, (end - at) as u32)
                .unwrap();
            space::commit_staged(&mut tx, from, n).unwrap();
            tx.commit().unwrap();
            for block in at..at + u64::from(n) {
                world.files[0].cells[block as usize] = Cell::Data(block);
                world.contents.insert(disk.add(block), block);
            }
            at += u64::from(n);
        }
    }
    check(&world);
    let extents = world.files[0].fork.inline();
    assert!((3..=4).contains(&extents.len()), "{extents:?}");
    assert!(extents.iter().all(|extent| extent.len <= MAX_LEN));
}

#[test]
fn a_reference_is_taken_back_if_there_is_no_space_for_its_extent() {
    let mut world = fragmented(volume_of(10, 1, 1024), 30);
    let ino = world.ino(0);
    world.files[0].fork.flag_shared();
    let source = world.files[0].fork.clone();
    // All the room is staged.
    while space::stage(world.store, FsBlock(0), 1).is_ok() {}
    let mut done = 0;
    for at in (1..60).step_by(2) {
        let (from, to) = (FileBlock(at - 1), FileBlock(at));
        let mut tx = world.store.begin_unlimited();
        let fork = &mut world.files[0].fork;
        let before = fork.clone();
        let shared = fork.share_range(&mut tx, ino, &source, from, to, 1);
        tx.commit().unwrap();
        if shared == Err(Error::NoSpace) {
            assert_eq!(world.files[0].fork, before);
            break;
        }
        assert_eq!(shared, Ok(1));
        let cells = &mut world.files[0].cells;
        cells[at as usize] = cells[at as usize - 1];
        done += 1;
    }
    assert!((1..30).contains(&done), "the leaf is never full");
    check(&world);
}

#[test]
fn nodes_of_the_present_epoch_are_known_to_be_the_files_own() {
    let mut world = fragmented(volume_of(10, 8, 1024), 3000);
    let epochs = |world: &World, file: usize, at: u64| {
        let mut cursor = Cursor::<Extents, Buf>::new();
        let root = world.files[file].fork.root();
        cursor.seek(world.store, root, at).unwrap();
        cursor.nodes().map(node::epoch).collect::<Vec<_>>()
    };
    assert_eq!(epochs(&world, 0, 1000), [0, 0, 0]);
    assert_eq!(world.clone_file(0), End::Finished);
    let epoch = world.store.volume(|volume| volume.epoch).unwrap();
    assert!(epoch > 0);
    assert_eq!(epochs(&world, 0, 1000), [0, 0, 0]);
    // A path that was copied.
    assert_eq!(world.write(1, 1000, 1), End::Finished);
    assert_eq!(epochs(&world, 1, 1000), [epoch; 3]);
    assert_eq!(epochs(&world, 0, 1000), [0, 0, 0]);
    // A leaf that is nobody else's any more.
    world.remove(1);
    assert_eq!(world.write(0, 1000, 1), End::Finished);
    assert_eq!(epochs(&world, 0, 1000), [epoch, 0, 0]);
    check(&world);
}

/// However fragmented the counts are, one step fits into a transaction of the smallest journal that such
/// a volume may have, and none asks for more than was computed.
#[test]
fn the_most_fragmented_leaf_is_copied_in_a_transaction_of_the_smallest_journal() {
    let most = |store: &MemStore| most_credits(store.geometry());
    // A file whose blocks, in runs of many lengths, other files refer to: the more, the more counts there are.
    let mut world = World::new(volume_of(10, 3, 3008), 6000, 1);
    world.create();
    for n in 0..90 {
        assert_eq!(world.write(0, 64 * n, 62), End::Finished);
    }
    for round in 0..3 {
        let target = world.create();
        for at in (round..5760).step_by(3 + round as usize) {
            assert_eq!(world.share(0, at, target, at, 1), End::Finished);
        }
    }
    let nodes = world.store.metadata().len();
    assert!(nodes > 150, "{nodes} nodes hold all counts");
    assert_eq!(world.clone_file(0), End::Finished);
    let clone = world.files.len() - 1;
    let before = world.store.most_asked();
    assert_eq!(world.write(clone, 3000, 1), End::Finished);
    check(&world);
    let asked = world.store.most_asked();
    assert!(
        asked > 128 && asked > before,
        "{asked} blocks, {before} before"
    );
    assert!(
        asked <= most(world.store),
        "{asked} blocks asked for, not {}",
        most(world.store)
    );
}
