// SPDX-License-Identifier: GPL-2.0

//! Names: what changes directories.
//!
//! Every operation here is one transaction: entry, inodes, link counts and orphan record change together.

use crate::error;
use crate::file::attr;
use crate::inode::make::{self, What};
use crate::inode::{log, read, Map};
use crate::libcowfs::dir::{self, Entry};
use crate::libcowfs::error::{Error as CoreError, Result as CoreResult};
use crate::libcowfs::inode::{symlink, FileType as EntryType};
use crate::libcowfs::space::{credits, orphans};
use crate::libcowfs::units::{FsBlock, Ino};
use crate::linux::error::{EMLINK, ENAMETOOLONG, ENOTEMPTY};
use crate::linux::fs::{
    Attr, Dentry, DeviceNumber, FileType, Inode as FsInode, InodeOperations, KStat, Locked,
    MntIdmap, Mode, NewInode, RenameFlags, StatMask, NAME_MAX,
};
use crate::orphan;
use crate::super_block::Cowfs;
use crate::transaction::Tx;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// Operations on directories.
pub(crate) struct Operations;

/// Credits for what is not in directory trees: an inode allocated or freed, one orphan record, the target of a
/// symbolic link, and four inodes.
pub(crate) const CREDITS: u32 = INODE + credits::ORPHAN + symlink::CREDITS + 4 * log::CREDITS;
/// Credits for allocating or freeing an inode, in groups of the largest size there is.
const INODE: u32 = 32;
/// Most blocks the orphan tree may take for one record.
pub(crate) const ORPHAN_NODES: u64 = 5;

/// The directory entry's type of an inode.
fn entry_type(inode: &Inode) -> EntryType {
    EntryType::from_mode(inode.mode().bits())
}

/// What an operation may take blocks from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// What is available.
    Available,
    /// What is available, else the slack.
    Slack,
}

/// Runs `f` in a transaction that changes `dirs` directory trees beside inodes, names and orphans, and
/// may allocate `blocks` blocks more than those trees need.
fn change<R>(
    dir: &Inode,
    room: Room,
    blocks: u64,
    dirs: u32,
    f: impl FnOnce(&mut Tx<'_>) -> CoreResult<R>,
) -> Result<R> {
    let sb = dir.sb();
    let view = View::new(sb);
    let tree = u64::from(dirs) * u64::from(dir::MAX_NEW_NODES) + ORPHAN_NODES;
    let promise = match view.volume().promise(sb, blocks.saturating_add(tree)) {
        // Removing names frees more than it takes: on a full volume that comes out of the slack.
        Err(e) if e == ENOSPC && room == Room::Slack => view.volume().space.kept(0),
        promise => promise?,
    };
    let size = CREDITS.saturating_add(dirs.saturating_mul(dir::CREDITS));
    let tid;
    let done = {
        let mut tx = Tx::start(view, size, promise).map_err(|e| error::report(sb, e))?;
        let done = f(&mut tx).map_err(|e| error::report(sb, e))?;
        tid = tx.finish().map_err(|e| error::report(sb, e))?;
        done
    };
    if dir.is_dirsync() {
        if let Some(journal) = view.volume().journal() {
            journal.complete(tid)?;
        }
    }
    Ok(done)
}

/// Enters `name` for `ino` into `dir`.
fn enter(
    tx: &mut Tx<'_>,
    locked: Locked<'_, Cowfs>,
    name: &[u8],
    ino: Ino,
    kind: EntryType,
) -> CoreResult {
    let dir = locked.inode();
    let mut map = dir.data().map_mut();
    let root = map.directory().map_err(|_| CoreError::Invalid)?;
    dir::insert(tx, Ino(dir.ino()), root, name, ino, kind)?;
    resize(locked, &mut map, |size| {
        size.saturating_add(dir::entry_size(name))
    });
    dir.touch_mtime();
    update_directory(tx, dir, map)
}

/// Takes `name` out of `dir`.
fn leave(tx: &mut Tx<'_>, locked: Locked<'_, Cowfs>, name: &[u8]) -> CoreResult {
    let dir = locked.inode();
    let mut map = dir.data().map_mut();
    let root = map.directory().map_err(|_| CoreError::Invalid)?;
    dir::remove(tx, Ino(dir.ino()), root, name)?;
    resize(locked, &mut map, |size| {
        size.saturating_sub(dir::entry_size(name))
    });
    dir.touch_mtime();
    update_directory(tx, dir, map)
}

/// Has `name` in `dir` name another inode.
fn point(tx: &mut Tx<'_>, dir: &Inode, name: &[u8], ino: Ino, kind: EntryType) -> CoreResult {
    let mut map = dir.data().map_mut();
    let root = map.directory().map_err(|_| CoreError::Invalid)?;
    dir::replace(tx, Ino(dir.ino()), root, name, ino, kind)?;
    dir.touch_mtime();
    update_directory(tx, dir, map)
}

/// Changes a directory's size, which is that of its entries.
fn resize(locked: Locked<'_, Cowfs>, map: &mut Map, change: impl FnOnce(u64) -> u64) {
    let data = locked.inode().data();
    let size = change(data.disk_size()).min(i64::MAX as u64);
    data.set_disk_size(map, size);
    locked.set_size(size as i64);
}

fn update_directory(
    tx: &mut Tx<'_>,
    dir: &Inode,
    mut map: crate::inode::MapWrite<'_>,
) -> CoreResult {
    log::log(tx, dir, &mut map, true)
}

/// Logs an inode whose links or times changed.
fn update(tx: &mut Tx<'_>, inode: &Inode) -> CoreResult {
    let mut map = inode.data().map_mut();
    log::log(tx, inode, &mut map, true)
}

/// One name of `inode` is gone.
fn unlinked(tx: &mut Tx<'_>, inode: &Inode) -> CoreResult {
    if inode.nlink() == 0 {
        let at = Ino(inode.ino());
        let geometry = &tx.view().volume().geometry;
        let block = geometry
            .inode_at(at)
            .map_or(FsBlock::NULL, |(block, _)| block);
        return Err(CoreError::Corrupt(block, "more names than links"));
    }
    if inode.is_dir() {
        inode.clear_nlink();
    } else {
        inode.drop_nlink();
    }
    inode.touch_ctime();
    if inode.nlink() == 0 {
        orphan::enter(tx, Ino(inode.ino()))?;
    }
    update(tx, inode)
}

/// Makes an inode named `entry` in `dir`.
fn make(
    idmap: &MntIdmap,
    dir: Locked<'_, Cowfs>,
    entry: &Dentry<Cowfs>,
    mode: Mode,
    what: What<'_>,
) -> Result<NewInode<Cowfs>> {
    let locked = dir;
    let dir = dir.inode();
    let name = entry.name();
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG);
    }
    let new = make::prepare(idmap, dir, mode, what)?;
    if new.is_dir() && dir.nlink() == u32::MAX {
        return Err(EMLINK);
    }
    let made = change(dir, Room::Available, make::BLOCKS, 1, |tx| {
        let new = make::allocate(tx, dir, new, what)?;
        let ino = Ino(new.ino());
        if new.is_dir() {
            dir.inc_nlink();
        }
        match enter(tx, locked, name, ino, entry_type(&new)) {
            // A directory may have too many names of one hash.
            Err(e) if e.is_refusal() => {
                if new.is_dir() {
                    dir.drop_nlink();
                }
                make::take_back(tx, new)?;
                return Ok(Err(e));
            }
            entered => entered?,
        }
        make::log_new(tx, &new)?;
        Ok(Ok(new))
    })?;
    made.map_err(|e| error::report(dir.sb(), e))
}

#[vtable]
impl InodeOperations for Operations {
    type FileSystem = Cowfs;

    fn lookup(dir: &Inode, entry: &Dentry<Cowfs>) -> Result<Option<ARef<Inode>>> {
        let sb = dir.sb();
        let name = entry.name();
        if name.len() > NAME_MAX {
            return Err(ENAMETOOLONG);
        }
        sb.info().check_runs()?;
        find(dir, name)?
            .map(|entry| read::get_linked(sb, entry.ino))
            .transpose()
    }

    fn create(
        idmap: &MntIdmap,
        dir: Locked<'_, Cowfs>,
        entry: &Dentry<Cowfs>,
        mode: Mode,
    ) -> Result<NewInode<Cowfs>> {
        make(idmap, dir, entry, mode, What::Plain)
    }

    fn mkdir(
        idmap: &MntIdmap,
        dir: Locked<'_, Cowfs>,
        entry: &Dentry<Cowfs>,
        mode: Mode,
    ) -> Result<NewInode<Cowfs>> {
        make(idmap, dir, entry, mode, What::Plain)
    }

    fn mknod(
        idmap: &MntIdmap,
        dir: Locked<'_, Cowfs>,
        entry: &Dentry<Cowfs>,
        mode: Mode,
        device: DeviceNumber,
    ) -> Result<NewInode<Cowfs>> {
        make(idmap, dir, entry, mode, What::Special(device))
    }

    fn symlink(
        idmap: &MntIdmap,
        dir: Locked<'_, Cowfs>,
        entry: &Dentry<Cowfs>,
        target: &CStr,
    ) -> Result<NewInode<Cowfs>> {
        let mode = Mode::new(FileType::Symlink, 0o777);
        make(idmap, dir, entry, mode, What::Symlink(target))
    }

    fn tmpfile(idmap: &MntIdmap, dir: &FsInode<Cowfs>, mode: Mode) -> Result<NewInode<Cowfs>> {
        let new = make::prepare(idmap, dir, mode, What::Plain)?;
        let made = change(dir, Room::Available, make::BLOCKS, 0, |tx| {
            let new = make::allocate(tx, dir, new, What::Plain)?;
            match orphan::enter(tx, Ino(new.ino())) {
                Err(e) if e.is_refusal() => {
                    make::take_back(tx, new)?;
                    return Ok(Err(e));
                }
                entered => entered?,
            }
            new.set_nlink(0);
            make::log_new(tx, &new)?;
            Ok(Ok(new))
        })?;
        made.map_err(|e| error::report(dir.sb(), e))
    }

    fn link(inode: Locked<'_, Cowfs>, dir: Locked<'_, Cowfs>, entry: &Dentry<Cowfs>) -> Result {
        let locked = dir;
        let (inode, dir) = (inode.inode(), dir.inode());
        let name = entry.name();
        if name.len() > NAME_MAX {
            return Err(ENAMETOOLONG);
        }
        change(dir, Room::Available, 0, 1, |tx| {
            let ino = Ino(inode.ino());
            enter(tx, locked, name, ino, entry_type(inode))?;
            if inode.nlink() == 0 {
                // A file made by O_TMPFILE gets its first name.
                orphans::remove(tx, ino)?;
                inode.set_nlink(1);
            } else {
                inode.inc_nlink();
            }
            inode.touch_ctime();
            update(tx, inode)
        })
    }

    fn unlink(dir: Locked<'_, Cowfs>, entry: &Dentry<Cowfs>, inode: Locked<'_, Cowfs>) -> Result {
        remove(dir, entry, inode.inode())
    }

    fn rmdir(dir: Locked<'_, Cowfs>, entry: &Dentry<Cowfs>, inode: Locked<'_, Cowfs>) -> Result {
        require_empty(inode.inode())?;
        remove(dir, entry, inode.inode())
    }

    fn rename(
        _idmap: &MntIdmap,
        old_dir: Locked<'_, Cowfs>,
        old: &Dentry<Cowfs>,
        new_dir: Locked<'_, Cowfs>,
        new: &Dentry<Cowfs>,
        flags: RenameFlags,
    ) -> Result {
        if flags.has_others() {
            return Err(EINVAL);
        }
        let inode = old.inode().ok_or(ENOENT)?;
        let (old, target, new) = (old.name(), new.inode(), new.name());
        if new.len() > NAME_MAX {
            return Err(ENAMETOOLONG);
        }
        let names = Names {
            old_dir,
            old,
            new_dir,
            new,
        };
        match target {
            Some(target) if flags.contains(RenameFlags::EXCHANGE) => names.exchange(inode, target),
            target => names.rename(inode, target),
        }
    }

    fn setattr(attr: &mut Attr<'_, Cowfs>) -> Result {
        attr::set(attr)
    }

    fn getattr(inode: &Inode, _wanted: StatMask, stat: &mut KStat) -> Result {
        attr::get(inode, stat);
        Ok(())
    }
}

/// The entry `name` of `dir`.
fn find(dir: &Inode, name: &[u8]) -> Result<Option<Entry>> {
    let view = View::new(dir.sb());
    let map = dir.data().map();
    dir::lookup(&view, map.directory_ref()?, name).map_err(|e| error::report(dir.sb(), e))
}

/// Takes `entry`, which names `inode`, out of `dir`.
fn remove(dir: Locked<'_, Cowfs>, entry: &Dentry<Cowfs>, inode: &Inode) -> Result {
    // What cannot be read is noticed before anything is changed.
    find(dir.inode(), entry.name())?.ok_or(ENOENT)?;
    let done = change(dir.inode(), Room::Slack, 0, 1, |tx| {
        if let Err(e) = orphan_first(tx, inode)? {
            return Ok(Err(e));
        }
        if inode.is_dir() {
            dir.inode().drop_nlink();
        }
        leave(tx, dir, entry.name())?;
        unlinked(tx, inode)?;
        Ok(Ok(()))
    })?;
    done.map_err(|e| error::report(inode.sb(), e))
}

/// Puts `inode` on the orphan list if the name it is about to lose is its last. That is the only step of taking a name
/// away that may find no room, if the slack is used up: nothing else is done before. The refusal is what is
/// returned.
fn orphan_first(tx: &mut Tx<'_>, inode: &Inode) -> CoreResult<CoreResult> {
    if inode.is_dir() || inode.nlink() == 1 {
        match orphan::enter(tx, Ino(inode.ino())) {
            Err(e) if e.is_refusal() => return Ok(Err(e)),
            entered => entered?,
        }
    }
    Ok(Ok(()))
}

fn require_empty(dir: &Inode) -> Result {
    if dir.data().map().directory_ref()?.is_empty() {
        Ok(())
    } else {
        Err(ENOTEMPTY)
    }
}

/// The two places of a rename.
struct Names<'a> {
    old_dir: Locked<'a, Cowfs>,
    old: &'a [u8],
    new_dir: Locked<'a, Cowfs>,
    new: &'a [u8],
}

impl Names<'_> {
    fn same_dir(&self) -> bool {
        self.old_dir.inode().ino() == self.new_dir.inode().ino()
    }

    /// A directory moved from `from` to `to`, which counts the name it has in there for `..`.
    fn moved(&self, inode: &Inode, from: &Inode, to: &Inode) {
        if inode.is_dir() && !self.same_dir() {
            from.drop_nlink();
            to.inc_nlink();
            inode.data().map_mut().parent = Ino(to.ino());
        }
    }

    /// What cannot be read is noticed before anything is changed.
    fn find(&self, both: bool) -> Result {
        find(self.old_dir.inode(), self.old)?.ok_or(ENOENT)?;
        match (find(self.new_dir.inode(), self.new)?, both) {
            (None, true) => Err(ENOENT),
            (Some(_), false) => Err(EEXIST),
            _ => Ok(()),
        }
    }

    fn rename(&self, inode: &Inode, target: Option<&Inode>) -> Result {
        if let Some(target) = target {
            if target.is_dir() {
                require_empty(target)?;
            }
        } else if inode.is_dir() && !self.same_dir() && self.new_dir.inode().nlink() == u32::MAX {
            return Err(EMLINK);
        }
        self.find(target.is_some())?;
        // Over another name it takes no block.
        let room = match target {
            Some(_) => Room::Slack,
            None => Room::Available,
        };
        let done = change(self.new_dir.inode(), room, 0, 2, |tx| {
            let (ino, kind) = (Ino(inode.ino()), entry_type(inode));
            match target {
                Some(target) => {
                    if let Err(e) = orphan_first(tx, target)? {
                        return Ok(Err(e));
                    }
                    point(tx, self.new_dir.inode(), self.new, ino, kind)?;
                    if target.is_dir() {
                        self.new_dir.inode().drop_nlink();
                    }
                    unlinked(tx, target)?;
                }
                None => enter(tx, self.new_dir, self.new, ino, kind)?,
            }
            self.moved(inode, self.old_dir.inode(), self.new_dir.inode());
            leave(tx, self.old_dir, self.old)?;
            if !self.same_dir() {
                update(tx, self.new_dir.inode())?;
            }
            inode.touch_ctime();
            update(tx, inode)?;
            Ok(Ok(()))
        })?;
        done.map_err(|e| error::report(inode.sb(), e))
    }

    fn exchange(&self, inode: &Inode, target: &Inode) -> Result {
        self.find(true)?;
        change(self.new_dir.inode(), Room::Slack, 0, 2, |tx| {
            let (a, b) = (Ino(inode.ino()), Ino(target.ino()));
            point(tx, self.new_dir.inode(), self.new, a, entry_type(inode))?;
            point(tx, self.old_dir.inode(), self.old, b, entry_type(target))?;
            self.moved(inode, self.old_dir.inode(), self.new_dir.inode());
            self.moved(target, self.new_dir.inode(), self.old_dir.inode());
            for inode in [inode, target] {
                inode.touch_ctime();
                update(tx, inode)?;
            }
            if !self.same_dir() {
                update(tx, self.old_dir.inode())?;
                update(tx, self.new_dir.inode())?;
            }
            Ok(())
        })
    }
}
