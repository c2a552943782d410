// SPDX-License-Identifier: GPL-2.0

//! Inode records: stored and loaded again, and what a hostile disk may say in them.

use cowfs_core::block::Block;
use cowfs_core::btree::Root;
use cowfs_core::error::{Error, Result};
use cowfs_core::format;
use cowfs_core::inode::{self, symlink, Core, FileType, Time};
use cowfs_core::mem::{MemStore, MemTx};
use cowfs_core::ondisk::inode::*;
use cowfs_core::ondisk::{header, Kind};
use cowfs_core::space::inodes;
use cowfs_core::store::{Reader, Transaction};
use cowfs_core::units::{FsBlock, Ino};
use proptest::prelude::*;

const TYPES: [(FileType, Format); 7] = [
    (FileType::Fifo, Format::None),
    (FileType::CharDevice, Format::None),
    (FileType::Directory, Format::Directory),
    (FileType::BlockDevice, Format::None),
    (FileType::Regular, Format::Extents),
    (FileType::Symlink, Format::Symlink),
    (FileType::Socket, Format::None),
];

fn volume(block_size: u32) -> MemStore {
    let bytes = (1024 + 500) * u64::from(block_size);
    let plan = format::plan(bytes, block_size, Some(1024)).unwrap();
    let store = MemStore::new(plan.geometry().unwrap()).unwrap();
    store.run(|tx| format::write(tx, 0)).unwrap();
    store
}

/// A new inode, which `f` fills in.
fn make<V>(
    store: &MemStore,
    format: Format,
    f: impl FnOnce(&mut MemTx<'_>, Ino, usize) -> Result<V>,
) -> (Ino, Result<V>) {
    let root = store.geometry().root;
    let ino = store.run(|tx| inodes::alloc(tx, root, false)).unwrap();
    let done = store.run(|tx| {
        let (buf, at) = inodes::read(tx, ino)?;
        tx.modify(&buf)?;
        inode::init(&buf, at, format);
        f(tx, ino, at)
    });
    (ino, done)
}

fn core() -> impl Strategy<Value = (Core, Format)> {
    let time = (any::<i64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanoseconds)| Time {
        seconds,
        nanoseconds,
    });
    let numbers = any::<(u16, u32, u32, u32, u32, u32, u64)>();
    let size = 1u64..4096;
    (0..TYPES.len(), numbers, size, prop::array::uniform4(time)).prop_map(
        |(kind, (mode, links, uid, gid, generation, rdev, parent), size, times)| {
            let (file_type, format) = TYPES[kind];
            let core = Core {
                mode: file_type.mode() | mode & 0o7777,
                links,
                uid,
                gid,
                size,
                times,
                generation,
                flags: 0,
                rdev,
                cow_extent_size: rdev % (inode::MAX_COW_EXTENT_SIZE + 1),
                parent: Ino(parent),
            };
            (core, format)
        },
    )
}

proptest! {
    #[test]
    fn what_is_stored_is_loaded((core, format) in core()) {
        let store = volume(1024);
        let (ino, done) = make(&store, format, |tx, ino, at| {
            let (buf, _) = inodes::read(tx, ino)?;
            // What is not Core's to store.
            let rest = [(BLOCKS, 8), (ROOT, 8), (FORMAT, 1), (HEIGHT, 1), (COUNT, 2)];
            let shared = core.mode >> 12 == FileType::Regular as u16;
            for (field, len) in rest.into_iter().filter(|(field, _)| *field != FORMAT) {
                buf.store(at + field, &[0x5a; 8][..len]);
            }
            buf.store(at + INLINE, &[0xa5; INLINE_SIZE]);
            if shared {
                buf.set_u32(at + FLAGS, FLAG_SHARED);
            }
            core.store(&buf, at);
            for (field, len) in rest.into_iter().filter(|(field, _)| *field != FORMAT) {
                let mut bytes = [0; 8];
                buf.load(at + field, &mut bytes[..len]);
                assert_eq!(&bytes[..len], &[0x5a; 8][..len]);
            }
            assert_eq!(buf.u8(at + FORMAT), format as u8);
            assert_eq!(buf.u8(at + INLINE), 0xa5);
            assert_eq!(buf.u32(at + FLAGS) & FLAG_SHARED != 0, shared);
            assert_eq!(inode::blocks(&buf, at), 0x5a5a_5a5a_5a5a_5a5a);
            Ok(())
        });
        done.unwrap();
        let (buf, at) = inodes::read(&store, ino).unwrap();
        assert_eq!(Core::load(&buf, at, FsBlock(9)), Ok(core));
        assert_eq!(inode::generation(&buf, at), core.generation);
        // Its neighbours in the block are as they were.
        let (root, at) = inodes::read(&store, store.geometry().root).unwrap();
        assert_eq!(root.u16(at + MODE), 0o040_755);
    }

    #[test]
    fn targets(
        block_size in prop_oneof![Just(1024u32), Just(2048), Just(4096)],
        len in prop_oneof![1usize..300, 900usize..1000, 4000..4096usize, Just(128), Just(129)],
        byte in 1u8..=255,
    ) {
        let store = volume(block_size);
        let free = store.volume(|v| v.free).unwrap();
        let target: Vec<u8> = (0..len).map(|n| byte.wrapping_add((n % 7) as u8).max(1)).collect();
        let mut tx = store.begin(symlink::CREDITS + 8);
        tx.need(symlink::CREDITS + 8).unwrap();
        let ino = inodes::alloc(&mut tx, store.geometry().root, false).unwrap();
        let (buf, at) = inodes::read(&tx, ino).unwrap();
        tx.modify(&buf).unwrap();
        inode::init(&buf, at, Format::Symlink);
        symlink::write(&mut tx, ino, &buf, at, &target).unwrap();
        tx.commit().unwrap();

        let (buf, at) = inodes::read(&store, ino).unwrap();
        let mut read = [0; symlink::MAX_TARGET];
        let got = symlink::read(&store, &buf, at, &mut read).unwrap();
        assert_eq!(&read[..got], &target);
        assert_eq!(buf.u64(at + SIZE_BYTES), len as u64);
        assert_eq!(symlink::read(&store, &buf, at, &mut read[..len - 1]), Err(Error::Invalid));
        let blocks = free - store.volume(|v| v.free).unwrap();
        let most = if len <= INLINE_SIZE { 0 } else { len.div_ceil(block_size as usize - 64) };
        // The inode may have needed a block too.
        assert!(blocks <= most as u64 + 1, "{blocks}");
        assert_eq!(inode::blocks(&buf, at), most as u64);

        let free = store.volume(|v| v.free).unwrap();
        let mut tx = store.begin(symlink::CREDITS);
        tx.need(symlink::CREDITS).unwrap();
        symlink::free(&mut tx, &buf, at).unwrap();
        tx.commit().unwrap();
        assert_eq!(store.volume(|v| v.free), Ok(free + most as u64));
        assert!(symlink::read(&store, &buf, at, &mut read).is_err());
        assert_eq!(inode::blocks(&buf, at), 0);
    }

    /// Random bytes are never taken for a target, a tree or an inode without complaint that lets
    /// something impossible through; nothing panics.
    #[test]
    fn random_slots(bytes in prop::collection::vec(any::<u8>(), SIZE), format in 0u8..8, count in 0u16..200, size in 0u64..5000) {
        let store = volume(1024);
        let (ino, _) = make(&store, Format::Symlink, |tx, ino, at| {
            let (buf, _) = inodes::read(tx, ino)?;
            buf.store(at + 2, &bytes[2..]);
            buf.set_u8(at + FORMAT, format);
            buf.set_u16(at + COUNT, count);
            buf.set_u64(at + SIZE_BYTES, size);
            Ok(())
        });
        let (buf, at) = inodes::read(&store, ino).unwrap();
        let mut to = [0; symlink::MAX_TARGET];
        if let Ok(len) = symlink::read(&store, &buf, at, &mut to) {
            assert!(len as u64 == size && !to[..len].contains(&0));
        }
        if let Ok(core) = Core::load(&buf, at, FsBlock(1)) {
            let file_type = FileType::in_mode(core.mode).unwrap();
            assert!(file_type.allows(Format::from_u8(format).unwrap()));
        }
        if let Ok(root) = inode::load_root(&buf, at, FsBlock(1)) {
            assert!(root.height <= 10);
        }
    }
}

/// Each check of a record, one at a time.
#[test]
fn impossible_records() {
    let store = volume(1024);
    let sound = |file_type: FileType| Core {
        mode: file_type.mode() | 0o644,
        links: 0,
        size: 3,
        ..Core::default()
    };
    type Store<'a> = &'a dyn Fn(usize, u64, usize);
    let check = |file_type: FileType, change: &dyn Fn(Store<'_>)| {
        let format = TYPES.iter().find(|(is, _)| *is == file_type).unwrap().1;
        let (ino, done) = make(&store, format, |tx, ino, at| {
            let (buf, _) = inodes::read(tx, ino)?;
            sound(file_type).store(&buf, at);
            change(&|field, value, len| buf.store(at + field, &value.to_le_bytes()[..len]));
            Ok(())
        });
        done.unwrap();
        let (buf, at) = inodes::read(&store, ino).unwrap();
        let loaded = Core::load(&buf, at, FsBlock(77));
        store.run(|tx| inodes::free(tx, ino)).unwrap();
        match loaded {
            Ok(_) => None,
            Err(Error::Corrupt(FsBlock(77), what)) => Some(what),
            Err(other) => panic!("{other:?}"),
        }
    };
    let regular = FileType::Regular;
    for (file_type, _) in TYPES {
        assert_eq!(check(file_type, &|_| ()), None);
    }
    assert_eq!(
        check(regular, &|set| set(SIZE_BYTES, i64::MAX as u64, 8)),
        None
    );
    assert_eq!(
        check(regular, &|set| set(FLAGS, u64::from(FLAG_SHARED), 4)),
        None
    );
    assert_eq!(check(regular, &|set| set(FORMAT, 2, 1)), None);
    assert_eq!(check(FileType::Symlink, &|set| set(FORMAT, 5, 1)), None);

    type Change = fn(&dyn Fn(usize, u64, usize));
    let cases: [(FileType, Change, &str); 15] = [
        (regular, |set| set(MODE, 0o644, 2), "inode of no known type"),
        (
            regular,
            |set| set(MODE, 0o170_644, 2),
            "inode of no known type",
        ),
        (
            regular,
            |set| set(FORMAT, 0, 1),
            "inode of a format that does not fit its type",
        ),
        (
            regular,
            |set| set(FORMAT, 3, 1),
            "inode of a format that does not fit its type",
        ),
        (
            regular,
            |set| set(FORMAT, 77, 1),
            "inode of a format that does not fit its type",
        ),
        (
            FileType::Fifo,
            |set| set(FORMAT, 1, 1),
            "inode of a format that does not fit its type",
        ),
        (
            FileType::Directory,
            |set| set(FORMAT, 2, 1),
            "inode of a format that does not fit its type",
        ),
        (regular, |set| set(FLAGS, 2, 4), "inode with unknown flags"),
        (
            FileType::Directory,
            |set| set(FLAGS, 1, 4),
            "inode with shared blocks that is no regular file",
        ),
        (
            regular,
            |set| set(SIZE_BYTES, 1 << 63, 8),
            "inode too large",
        ),
        (
            FileType::Symlink,
            |set| set(SIZE_BYTES, 0, 8),
            "symbolic link of impossible length",
        ),
        (
            FileType::Symlink,
            |set| set(SIZE_BYTES, 4096, 8),
            "symbolic link of impossible length",
        ),
        (
            regular,
            |set| set(COW_EXTENT_SIZE, 65537, 4),
            "inode with an impossible CoW extent size",
        ),
        (
            regular,
            |set| set(NANOSECONDS, 1_000_000_000, 4),
            "inode with nanoseconds out of range",
        ),
        (
            regular,
            |set| set(NANOSECONDS + 12, 0xffff_ffff, 4),
            "inode with nanoseconds out of range",
        ),
    ];
    for (file_type, change, what) in cases {
        assert_eq!(check(file_type, &change), Some(what));
    }
}

#[test]
fn roots() {
    let store = volume(1024);
    let (ino, _) = make(&store, Format::Directory, |tx, ino, at| {
        let (buf, _) = inodes::read(tx, ino)?;
        let load = || inode::load_root(&buf, at, FsBlock(5));
        assert_eq!(load(), Ok(Root::EMPTY));
        let root = Root {
            block: FsBlock(1234),
            height: 3,
        };
        inode::store_root(&buf, at, Format::ExtentTree, root);
        assert_eq!(
            (load(), buf.u8(at + FORMAT)),
            (Ok(root), Format::ExtentTree as u8)
        );
        for (block, height) in [(0, 1), (7, 0), (7, 11)] {
            buf.set_u64(at + ROOT, block);
            buf.set_u8(at + HEIGHT, height);
            assert!(matches!(load(), Err(Error::Corrupt(FsBlock(5), _))));
        }
        inode::add_blocks(&buf, at, 5);
        inode::add_blocks(&buf, at, -3);
        assert_eq!(inode::blocks(&buf, at), 2);
        inode::add_blocks(&buf, at, -3);
        assert_eq!(inode::blocks(&buf, at), 0);
        Ok(())
    });
    assert_ne!(ino, store.geometry().root);
}

#[test]
fn targets_that_cannot_be() {
    let store = volume(1024);
    let (_, done) = make(&store, Format::Symlink, |tx, ino, at| {
        let (buf, _) = inodes::read(tx, ino)?;
        let mut write = |target: &[u8]| symlink::write(tx, ino, &buf, at, target);
        assert_eq!(write(b""), Err(Error::Invalid));
        assert_eq!(write(b"a\0b"), Err(Error::Invalid));
        assert_eq!(write(&[b'x'; 4096]), Err(Error::TooBig));
        Ok(())
    });
    done.unwrap();
}

/// Blocks of a target are checked before they are read or freed.
#[test]
fn a_target_in_blocks_of_something_else() {
    let store = volume(1024);
    let target = [b'x'; 2000];
    let (ino, done) = make(&store, Format::Symlink, |tx, ino, at| {
        let (buf, _) = inodes::read(tx, ino)?;
        symlink::write(tx, ino, &buf, at, &target)
    });
    done.unwrap();
    let (block, at) = store.geometry().inode_at(ino).unwrap();
    store.with_bytes(block, |bytes| {
        let here = block.0.to_le_bytes();
        bytes[at + INLINE + 8..][..8].copy_from_slice(&here);
        header::seal(bytes);
    });
    let buf = store.read(block, Kind::Inodes).unwrap();
    let mut to = [0; 4095];
    let done = symlink::read(&store, &buf, at, &mut to);
    assert!(matches!(done, Err(Error::Corrupt(at, _)) if at == block));
    let free = store.volume(|v| v.free).unwrap();
    let mut tx = store.begin_unlimited();
    assert!(symlink::free(&mut tx, &buf, at).is_err());
    drop(tx);
    assert_eq!(store.volume(|v| v.free), Ok(free));
}

/// Space that ends in the middle of a target is all given back.
#[test]
fn a_target_on_a_full_volume() {
    let store = volume(1024);
    let (ino, _) = make(&store, Format::Symlink, |_, _, _| Ok(()));
    let (buf, at) = inodes::read(&store, ino).unwrap();
    let mut taken = Vec::new();
    while let Ok((block, _)) = store
        .run(|tx| cowfs_core::space::alloc(tx, FsBlock(0), 1, cowfs_core::space::Purpose::Data))
    {
        taken.push(block);
    }
    store
        .run(|tx| cowfs_core::space::free(tx, taken[0], 1))
        .unwrap();
    let free = store.volume(|v| v.free).unwrap();
    let done = store.run(|tx| {
        tx.modify(&buf)?;
        symlink::write(tx, ino, &buf, at, &[b'x'; 4000])
    });
    assert_eq!(done, Err(Error::NoSpace));
    assert_eq!(store.volume(|v| v.free), Ok(free));
    let done = store.run(|tx| {
        tx.modify(&buf)?;
        symlink::write(tx, ino, &buf, at, &[b'x'; 900])
    });
    assert_eq!(done, Ok(()));
}

#[test]
fn types() {
    for (file_type, format) in TYPES {
        assert_eq!(FileType::from_u8(file_type as u8), Some(file_type));
        assert_eq!(
            FileType::in_mode(file_type.mode() | 0o7777),
            Some(file_type)
        );
        assert!(file_type.allows(format));
    }
    for number in [0, 3, 5, 7, 9, 11, 13, 14, 15, 255] {
        assert_eq!(FileType::from_u8(number), None);
    }
}
