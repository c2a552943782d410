// SPDX-License-Identifier: GPL-2.0

//! How a repair gets to the device: after the journal's replay, and so that the power may fail at any
//! write.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use common::{put32, sample, u32_at, Builder, Image, Lines, GROUP, SIZE};
use cowfs_core::inode::FileType;
use cowfs_core::ondisk::{group, header, inode, superblock, Geometry};
use cowfs_core::store::Reader;
use cowfs_core::units::FsBlock;
use cowfs_fsck::{check, repair};
use cowfs_image::device::{self, Device};
use cowfs_image::journal::testlog::TestLog;
use cowfs_image::volume::{Journal, Volume};

fn journal(image: &Image) -> Journal {
    let volume = Volume::open(Device::open(image.path()).unwrap()).unwrap();
    match volume.journal() {
        Journal::Clean(sb) => Journal::Clean(sb.clone()),
        Journal::NeedsReplay(sb) => Journal::NeedsReplay(sb.clone()),
        Journal::Unusable(error) => panic!("{error}"),
    }
}

/// Whether no kernel mounts the volume, for what its journal is like.
fn is_refused(image: &Image) -> bool {
    let volume = Volume::open(Device::open(image.path()).unwrap()).unwrap();
    match volume.journal() {
        Journal::Unusable(_) => true,
        _ => !volume.replay().faults.is_empty(),
    }
}

fn put_log(image: &Image, log: &TestLog) {
    let start = image.geometry.journal_start.0;
    for (n, block) in log.image().chunks(SIZE).enumerate() {
        image.put(FsBlock(start + n as u64), block);
    }
}

/// An image whose journal holds what is right, while what is home is wrong.
fn unreplayed() -> (Image, FsBlock, Vec<u8>) {
    let image = sample();
    let at = image.tree("many");
    let right = image.block(at);
    let mut log = TestLog::new(SIZE as u32, image.geometry.journal_blocks, 7, 33);
    log.data(&[(at.0, right.clone())]);
    log.commit();
    // Not finished: must not be taken for a part of what comes next.
    log.data(&[(at.0, vec![9; SIZE])]);
    put_log(&image, &log);
    image.put(at, &[0x55; SIZE]);
    (image, at, right)
}

#[test]
fn the_journal_is_replayed_for_good() {
    for option in ["-p", "-y"] {
        let (image, at, right) = unreplayed();
        let (code, text) = image.fsck(&[option]);
        assert_eq!(code, Some(0), "{text}");
        assert!(
            matches!(journal(&image), Journal::Clean(sb) if sb.sequence > 34),
            "{text}"
        );
        assert!(image.block(at) == right);
        // The orphan of the sample is work for a mount, and was done here.
        assert!(text.contains("without a name: deleted"), "{text}");
        assert_eq!(image.fsck(&["-n"]).0, Some(0));
        let before = std::fs::read(image.path()).unwrap();
        let (code, text) = image.fsck(&[option]);
        assert_eq!(code, Some(0), "{text}");
        assert!(
            std::fs::read(image.path()).unwrap() == before,
            "wrote again"
        );
    }
}

/// A bad block in the log costs that block, and whoever starts the machine decides about it.
#[test]
fn a_damaged_journal_is_replayed_as_far_as_it_is_sound() {
    let image = sample();
    let (at, group) = (image.tree("many"), image.group(0));
    let (right, header) = (image.block(at), image.block(group));
    let mut log = TestLog::new(SIZE as u32, image.geometry.journal_blocks, 7, 33);
    log.data(&[(at.0, right.clone())]);
    log.commit();
    let descriptor = log.data(&[(group.0, header)]);
    log.commit();
    log.blocks[descriptor as usize + 1][300] ^= 1;
    put_log(&image, &log);
    image.put(at, &[0x55; SIZE]);
    let before = std::fs::read(image.path()).unwrap();

    let (code, text) = image.fsck(&["-p"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(std::fs::read(image.path()).unwrap() == before, "{text}");

    let (code, text) = image.fsck(&["-y"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("bad checksum of a data block"), "{text}");
    assert!(image.block(at) == right, "{text}");
    assert!(
        matches!(journal(&image), Journal::Clean(sb) if sb.sequence > 34),
        "{text}"
    );
    assert_eq!(image.fsck(&["-n"]).0, Some(0));
}

#[test]
fn checking_replays_nothing() {
    let (image, _, _) = unreplayed();
    let before = std::fs::read(image.path()).unwrap();
    assert_eq!(image.fsck(&["-n"]).0, Some(0));
    assert!(std::fs::read(image.path()).unwrap() == before);
}

/// Damage of many sorts, in several groups.
fn damage(image: &Image) {
    image.edit_inode("deep", |b| b[inode::LINKS] ^= 5);
    image.edit(image.group(0), |b| {
        let free = u32_at(b, group::FREE);
        put32(b, group::FREE, free ^ 3);
    });
    image.put(image.tree("many"), &[0; SIZE]);
    image.edit(image.child(image.tree("tree"), 1), |b| {
        b[header::SIZE + 16] ^= 0x40
    });
    image.put(Geometry::VOLUME, &[1; SIZE]);
}

/// A device that keeps writes in a cache until it is told to sync. When the power fails, any of
/// those are lost.
#[derive(Debug)]
struct Flaky {
    file: File,
    cache: RefCell<Vec<(u64, Vec<u8>)>>,
    writes_left: Cell<u64>,
    seed: u64,
}

impl device::Image for Flaky {
    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(to, at)?;
        for (place, bytes) in &*self.cache.borrow() {
            for (n, byte) in to.iter_mut().enumerate() {
                let n = (at + n as u64).wrapping_sub(*place) as usize;
                *byte = *bytes.get(n).unwrap_or(byte);
            }
        }
        Ok(())
    }

    fn write_at(&self, at: u64, from: &[u8]) -> io::Result<()> {
        match self.writes_left.get() {
            0 => self.fail(),
            n => {
                self.writes_left.set(n - 1);
                self.cache.borrow_mut().push((at, from.to_vec()));
                Ok(())
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        if self.writes_left.get() == 0 {
            return self.fail();
        }
        for (at, bytes) in self.cache.take() {
            self.file.write_all_at(&bytes, at)?;
        }
        Ok(())
    }
}

impl Flaky {
    fn fail(&self) -> io::Result<()> {
        for (n, (at, bytes)) in self.cache.take().into_iter().enumerate() {
            let chance = (self.seed + n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
            if chance < 10 {
                self.file.write_all_at(&bytes, at)?;
            }
        }
        Err(io::Error::other("the power has failed"))
    }
}

fn mend(image: &Image, writes: u64) -> io::Result<()> {
    let flaky = Flaky {
        file: image.handle(),
        cache: RefCell::default(),
        writes_left: Cell::new(writes),
        seed: writes,
    };
    let bytes = image.geometry.blocks << image.geometry.block_shift;
    let mut volume = Volume::open(Device::of_image(Box::new(flaky), bytes)).unwrap();
    let mut lines = Lines::default();
    repair(&volume, &mut lines).unwrap();
    let mut left = Lines::default();
    check(&volume, &mut left).unwrap();
    // The journal and the superblock are made anew by writing everything out.
    left.wrong
        .retain(|line| !line.starts_with("journal") && !line.starts_with("superblock"));
    assert_eq!(left.wrong, [""; 0]);
    volume.write_out()
}

/// Wherever the power fails, the next check finds what was before, or what was to be; never a
/// mixture.
#[test]
fn the_power_may_fail_at_any_write() {
    let image = sample();
    damage(&image);
    let damaged = std::fs::read(image.path()).unwrap();
    let before = image.check();
    assert!(before.len() > 5);
    let mut outcomes = [0; 2];
    for writes in 0.. {
        std::fs::write(image.path(), &damaged).unwrap();
        let done = mend(&image, writes);
        let found = image.check();
        if done.is_ok() {
            assert_eq!(found, [""; 0]);
            break;
        }
        assert!(
            found.is_empty() || found == before,
            "after {writes} writes: {found:#?}"
        );
        outcomes[usize::from(found.is_empty())] += 1;
        let (code, text) = image.fsck(&["-y"]);
        assert!(matches!(code, Some(0 | 1)), "after {writes} writes: {text}");
        assert_eq!(image.fsck(&["-n"]).0, Some(0), "after {writes} writes");
    }
    assert!(outcomes.iter().all(|n| *n > 3), "{outcomes:?}");
}

/// The same with a log to be replayed first, whose state the damage is in.
#[test]
fn the_power_may_fail_during_replay() {
    let (image, _, _) = unreplayed();
    damage(&image);
    let damaged = std::fs::read(image.path()).unwrap();
    let before = image.check();
    assert!(before.len() > 5);
    for writes in 0.. {
        std::fs::write(image.path(), &damaged).unwrap();
        let done = mend(&image, writes);
        let found = image.check();
        if done.is_ok() {
            assert_eq!(found, [""; 0]);
            break;
        }
        assert!(
            found.is_empty() || found == before,
            "after {writes} writes: {found:#?}"
        );
    }
}

/// The same with a log of which a part is lost: until everything is as it is to be, no kernel mounts the volume.
#[test]
fn the_power_may_fail_after_a_part_of_the_log_was_lost() {
    let image = sample();
    let (at, group) = (image.tree("many"), image.group(0));
    let mut log = TestLog::new(SIZE as u32, image.geometry.journal_blocks, 7, 33);
    log.data(&[(at.0, image.block(at))]);
    log.commit();
    let descriptor = log.data(&[(group.0, image.block(group))]);
    log.commit();
    log.blocks[descriptor as usize + 1][300] ^= 1;
    put_log(&image, &log);
    image.put(at, &[0x55; SIZE]);
    image.edit(group, |b| {
        let free = u32_at(b, group::FREE);
        put32(b, group::FREE, free ^ 3);
    });
    let damaged = std::fs::read(image.path()).unwrap();
    for writes in 0.. {
        std::fs::write(image.path(), &damaged).unwrap();
        let done = mend(&image, writes);
        let found = image.check();
        if done.is_ok() {
            assert_eq!(found, [""; 0]);
            break;
        }
        assert!(
            found.is_empty() || is_refused(&image),
            "after {writes} writes: {found:#?}"
        );
        let (code, text) = image.fsck(&["-y"]);
        assert!(matches!(code, Some(0 | 1)), "after {writes} writes: {text}");
        assert_eq!(image.fsck(&["-n"]).0, Some(0), "after {writes} writes");
    }
}

/// More changes than the journal has room for are not made all at once, but where the power fails in
/// between, that is seen, and the next repair goes on.
#[test]
fn a_repair_larger_than_the_journal_can_be_interrupted() {
    let b = Builder::new(SIZE as u32, GROUP, 24);
    let root = b.root();
    let mut one_of_each = BTreeMap::new();
    let mut names = 0..;
    while one_of_each.len() as u64 <= u64::from(b.store.geometry().journal_blocks) {
        let name = names.next().map(|n: u32| n.to_string()).unwrap();
        let ino = b.create(root, &name, FileType::Regular);
        let (at, offset) = b.store.geometry().inode_at(ino).unwrap();
        one_of_each.insert(at, offset);
    }
    let image = b.finish(HashMap::from([("root", root)]));
    for (at, offset) in one_of_each {
        image.edit(at, |bytes| bytes[offset + inode::LINKS] += 1);
    }
    let damaged = std::fs::read(image.path()).unwrap();
    let is_enough = |writes: u64| {
        std::fs::write(image.path(), &damaged).unwrap();
        mend(&image, writes).is_ok()
    };
    let (mut few, mut enough) = (0, 1 << 16);
    while few + 1 < enough {
        let middle = (few + enough) / 2;
        match is_enough(middle) {
            true => enough = middle,
            false => few = middle,
        }
    }
    // At the beginning, now and then, and all of the end.
    let step = enough as usize / 8;
    for writes in (0..4).chain((4..few).step_by(step)).chain(few - 12..=few) {
        assert!(!is_enough(writes));
        let volume = Volume::open(Device::open(image.path()).unwrap()).unwrap();
        let is_known = volume.superblock().state & superblock::STATE_ERROR != 0;
        assert!(is_known || writes < 4, "after {writes} writes");
        let mut found = image.check();
        // That it was being repaired is the last that is forgotten.
        found.retain(|line| !line.starts_with("superblock"));
        assert!(
            writes < 4 || found.is_empty() || is_refused(&image),
            "after {writes} writes: {found:#?}"
        );
        // Nor after the next attempt.
        let again = mend(&image, 3);
        assert!(writes < 4 || again.is_ok() || found.is_empty() || is_refused(&image));
        // Nothing is lost by that: those who start the machine need not decide.
        let (code, text) = image.fsck(&["-p"]);
        let wanted = i32::from(again.is_err());
        assert_eq!(code, Some(wanted), "after {writes} writes: {text}");
        assert_eq!(image.fsck(&["-n"]).0, Some(0), "after {writes} writes");
    }
}

/// A journal that is damaged is made anew, and nothing left in it is ever taken for a transaction.
#[test]
fn a_damaged_journal_is_made_anew() {
    let image = sample();
    let mut log = TestLog::new(SIZE as u32, image.geometry.journal_blocks, 1, 500);
    for _ in 0..40 {
        log.data(&[(image.group(0).0, vec![7; SIZE])]);
        log.commit();
    }
    put_log(&image, &log);
    image.put(image.geometry.journal_start, &[0x55; SIZE]);
    image.edit_inode("deep", |b| b[inode::LINKS] ^= 5);
    let (code, text) = image.fsck(&["-p"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("run fsck.cowfs -y"), "{text}");
    let (code, text) = image.fsck(&["-y"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(matches!(journal(&image), Journal::Clean(sb) if sb.sequence > 540));
    assert_eq!(image.fsck(&["-n"]).0, Some(0));
}

/// An error the kernel noted is forgotten when there is none.
#[test]
fn an_aborted_journal_is_usable_again() {
    let image = sample();
    let mut log = TestLog::new(SIZE as u32, image.geometry.journal_blocks, 1, 5);
    log.sb.start = 0;
    log.sb.errno = -5;
    put_log(&image, &log);
    assert_eq!(image.fsck(&["-n"]).0, Some(4));
    let (code, text) = image.fsck(&["-p"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(matches!(journal(&image), Journal::Clean(sb) if sb.errno == 0));
    assert_eq!(image.fsck(&["-n"]).0, Some(0));
}
