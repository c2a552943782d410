// SPDX-License-Identifier: GPL-2.0

//! Two tasks change two clones at once. Each holds its own inode's lock, but they share nodes, and
//! only the counts tell them so: what one has looked up may be different when it acts.

use crate::check::check;
use crate::world::{volume_of, Cell, End, File, Tx, World};
use cowfs_core::space;
use cowfs_core::store::Reader;
use cowfs_core::units::{FileBlock, FsBlock, Ino};
use std::cell::RefCell;
use std::rc::Rc;

const SIZE: u64 = 1200;

/// File 0 of so many extents, one block each and one block apart, and its clone, file 1.
fn clones_of(extents: u64) -> World {
    let mut world = World::new(volume_of(9, 4, 2048), SIZE, 1);
    world.create();
    for at in (0..2 * extents).step_by(2) {
        assert_eq!(world.write(0, at, 1), End::Finished);
    }
    assert_eq!(world.clone_file(0), End::Finished);
    world
}

/// Two files with trees of several levels.
fn clones() -> World {
    let world = clones_of(SIZE / 2);
    assert!(world.files[0].fork.height() >= 3);
    world
}

/// Something a task does to its file. Returns the blocks that it wrote.
type Act = fn(&mut Tx, Ino, &mut File) -> Vec<FsBlock>;

const ACTS: [(&str, Act); 5] = [
    ("write at 100", |tx, ino, file| write(tx, ino, file, 100)),
    ("write at 102", |tx, ino, file| write(tx, ino, file, 102)),
    ("write at 800", |tx, ino, file| write(tx, ino, file, 800)),
    ("truncate", |tx, ino, file| cut(tx, ino, file, 501)),
    ("drop", |tx, ino, file| cut(tx, ino, file, 0)),
];

/// Maps block `at` to a new block.
fn write(tx: &mut Tx, ino: Ino, file: &mut File, at: u64) -> Vec<FsBlock> {
    let (disk, _) = space::stage(tx, FsBlock(0), 1).unwrap();
    assert_eq!(file.fork.replace(tx, ino, FileBlock(at), disk, 1), Ok(1));
    space::commit_staged(tx, disk, 1).unwrap();
    file.cells[at as usize] = Cell::Data(contents(disk));
    vec![disk]
}

fn cut(tx: &mut Tx, ino: Ino, file: &mut File, from: u64) -> Vec<FsBlock> {
    while !file.fork.truncate(tx, ino, FileBlock(from)).unwrap() {}
    file.cells[from as usize..].fill(Cell::Hole);
    Vec::new()
}

/// What is written to a block, told apart by its address.
fn contents(disk: FsBlock) -> u64 {
    (1 << 40) + disk.0
}

/// Has `f` done when credits are asked for, after that was done `skip` times.
fn later(tx: &mut Tx, skip: u32, f: impl FnOnce(&mut Tx) + 'static) {
    tx.meanwhile(move |tx| match skip {
        0 => f(tx),
        _ => later(tx, skip - 1, f),
    });
}

fn race(theirs: Act, ours: Act, skip: u32) {
    let mut world = clones();
    let (one, two) = (world.ino(0), world.ino(1));
    let mut mine = std::mem::take(&mut world.files[1]);
    let other = Rc::new(RefCell::new(std::mem::take(&mut world.files[0])));
    let written = Rc::new(RefCell::new(None));
    let mut tx = world.store.begin_unlimited();
    later(&mut tx, skip, {
        let (other, written) = (other.clone(), written.clone());
        move |tx| *written.borrow_mut() = Some(theirs(tx, one, &mut other.borrow_mut()))
    });
    let mut blocks = ours(&mut tx, two, &mut mine);
    if written.borrow().is_none() {
        tx.meanwhile(|_| ());
        *written.borrow_mut() = Some(theirs(&mut tx, one, &mut other.borrow_mut()));
    }
    tx.commit().unwrap();
    blocks.extend(written.take().unwrap());
    let disk = blocks.into_iter().map(|disk| (disk, contents(disk)));
    world.contents.extend(disk);
    world.files = vec![other.take(), mine];
    check(&world);
    while !world.files.is_empty() {
        world.remove(0);
    }
    check(&world);
}

#[test]
fn whoever_comes_in_between_is_noticed() {
    for (their_name, theirs) in ACTS {
        for (our_name, ours) in ACTS {
            for skip in 0..4 {
                println!("{their_name} comes in after {skip} steps of: {our_name}");
                race(theirs, ours, skip);
            }
        }
    }
}

/// Each file's blocks: whether they are shared now, and whether so for who would write in place.
fn shared<R: Reader>(reader: &R, file: &File) -> Vec<(bool, bool)> {
    (0..SIZE)
        .step_by(2)
        .map(|at| {
            let now = file.fork.lookup_shared(reader, FileBlock(at), 1).unwrap();
            let lasting = file.fork.lookup_to_write(reader, FileBlock(at), 1).unwrap();
            assert_eq!(now.0, lasting.0);
            (now.1, lasting.1)
        })
        .collect()
}

#[test]
fn what_a_crash_makes_shared_again_is_not_written_in_place() {
    let mut alone = 0;
    for (name, act) in ACTS {
        let mut world = clones();
        let ino = world.ino(0);
        let mut other = std::mem::take(&mut world.files[0]);
        assert!(shared(world.store, &world.files[1])
            .iter()
            .all(|both| *both == (true, true)));
        let mut tx = world.store.begin_unlimited();
        act(&mut tx, ino, &mut other);
        let within = shared(&tx, &world.files[1]);
        assert!(within.iter().all(|(_, lasting)| *lasting), "{name}");
        alone += within.iter().filter(|(now, _)| !now).count();
        tx.commit().unwrap();
        let after = shared(world.store, &world.files[1]);
        assert!(after.iter().all(|(now, lasting)| now == lasting), "{name}");
    }
    assert!(alone > SIZE as usize / 2, "{alone}");
}

/// Takes the mapping of every block but a few, so that nodes become sparse.
fn thin_out(tx: &mut Tx, ino: Ino, file: &mut File) -> Vec<FsBlock> {
    for at in (0..SIZE).filter(|at| at % 100 > 4) {
        file.fork.unmap(tx, ino, FileBlock(at), 1).unwrap();
        file.cells[at as usize] = Cell::Hole;
    }
    Vec::new()
}

/// Maps blocks between those mapped, so that nodes split.
fn fill_up(tx: &mut Tx, ino: Ino, file: &mut File) -> Vec<FsBlock> {
    (1..80)
        .step_by(2)
        .flat_map(|at| write(tx, ino, file, at))
        .collect()
}

#[test]
fn nor_once_the_node_above_it_was_changed() {
    let ours: [(&str, Act); 4] = [
        ACTS[0],
        ("thin out", thin_out),
        ("fill up", fill_up),
        ACTS[3],
    ];
    for extents in [12, SIZE / 2] {
        for (their_name, theirs) in ACTS {
            for (our_name, ours) in ours {
                let mut world = clones_of(extents);
                let (one, two) = (world.ino(0), world.ino(1));
                let [mut other, mut mine] = std::mem::take(&mut world.files).try_into().unwrap();
                let mut tx = world.store.begin_unlimited();
                theirs(&mut tx, one, &mut other);
                let new = ours(&mut tx, two, &mut mine);
                for at in 0..SIZE {
                    let at = FileBlock(at);
                    let (found, shared) = mine.fork.lookup_to_write(&tx, at, 1).unwrap();
                    let Some(extent) = found.extent.filter(|old| !new.contains(&old.disk)) else {
                        continue;
                    };
                    let name = format!("{their_name}, {our_name} of {extents}: {extent:?}");
                    assert!(shared, "{name} may be written in place");
                }
                tx.commit().unwrap();
            }
        }
    }
}
