// SPDX-License-Identifier: GPL-2.0

//! The protocol: where a write goes, and what happens when it is done.
//!
//! ```text
//!        D: --RRRRRRSSSRRRRRRRR---
//!   1    C: ------UUUUUUU---------     stage()     blocks leave the free map in memory
//!   2    C: ------UURRUUU---------     stage()     exactly those of this I/O become real
//!        ... the device writes ...
//!   3    D: --RRRRRRRRSRRRRRRRR---     complete()  one transaction maps what is real in its range
//!        C: ------UU--UUU---------
//!   or   C: ------UUUUUUU---------     fail()      as before; D as it was
//! ```
//!
//! The state machine is [`crate::libcowfs::cow`]; here it meets locks, space and transactions. See
//! `Documentation/design.md`.

use crate::error;
use crate::inode::{log, Contents, File, Map};
use crate::libcowfs::cow::{FileRange, Staged, State};
use crate::libcowfs::error::{Error, Result as CoreResult};
use crate::libcowfs::extent::Extent;
use crate::libcowfs::space;
use crate::libcowfs::store::Reader;
use crate::libcowfs::units::{FileBlock, FsBlock, Ino};
use crate::transaction::Tx;
use crate::view::View;
use crate::volume::Inode;
use kernel::prelude::*;

/// Where a write to a run of blocks goes.
pub(crate) enum Target {
    /// To blocks that are this file's alone.
    InPlace {
        /// The first of them.
        disk: FsBlock,
        /// How many of the file's blocks that holds for.
        len: u64,
        /// Whether they are preallocated: to be converted when written.
        unwritten: bool,
    },
    /// To new blocks, through the CoW fork.
    Cow {
        /// How many of the file's blocks that holds for.
        len: u64,
        /// What the data fork maps there, `None` for a hole.
        source: Option<Extent>,
    },
}

/// Decides where a write to the first blocks of `range` goes, by the rules of [`crate::libcowfs::cow`].
pub(crate) fn target(view: &View<'_>, file: &File, range: FileRange) -> CoreResult<Target> {
    let (state, run) = file.cow.lookup(range.start, range.len);
    if matches!(state, Some(State::Real(_))) {
        let found = file.fork.lookup(view, range.start, run)?;
        return Ok(Target::Cow {
            len: found.len,
            source: found.extent,
        });
    }
    let (found, shared) = file.fork.lookup_to_write(view, range.start, range.len)?;
    let Some(extent) = found.extent else {
        return Ok(Target::Cow {
            len: found.len,
            source: None,
        });
    };
    if shared {
        // Preallocated blocks may be shared by a clone too: there is nothing in them to be kept.
        return Ok(Target::Cow {
            len: found.len,
            source: Some(extent).filter(|extent| !extent.unwritten),
        });
    }
    // In place up to where another write is in flight through C.
    let mut len = run.min(found.len);
    while len < found.len {
        let (state, run) = file
            .cow
            .lookup(range.start.add(len), found.len.saturating_sub(len));
        if run == 0 || matches!(state, Some(State::Real(_))) {
            break;
        }
        len = len.saturating_add(run);
    }
    Ok(Target::InPlace {
        disk: extent.disk,
        len: len.min(found.len),
        unwritten: extent.unwritten,
    })
}

/// Blocks of `range` about which the CoW fork knows nothing.
fn holes(file: &File, range: FileRange) -> u64 {
    let mut rest = range;
    let mut holes = 0u64;
    while rest.len > 0 {
        let (state, run) = file.cow.lookup(rest.start, rest.len);
        if run == 0 {
            break;
        }
        if state.is_none() {
            holes = holes.saturating_add(run);
        }
        rest.skip_to(rest.start.add(run));
    }
    holes
}

/// Has as much promised as the CoW fork needs with `more` blocks more.
fn promise(view: &View<'_>, map: &mut Map, more: u64) -> bool {
    let wanted = map.promise_wanted(view.geometry(), more);
    if wanted <= map.promised {
        return true;
    }
    match view.volume().space.promise(wanted - map.promised) {
        Some(promise) => {
            map.promised = map.promised.saturating_add(promise.keep());
            true
        }
        None => false,
    }
}

/// Makes sure of what a write needs that finds its blocks staged already: completions may have taken more nodes than
/// were promised for them, and what is accepted now has to find some, too.
///
/// # Errors
///
/// `NoSpace`.
pub(crate) fn cover(view: &View<'_>, map: &mut Map) -> CoreResult {
    match promise(view, map, 0) {
        true => Ok(()),
        false => Err(Error::NoSpace),
    }
}

/// Whether a write to preallocated blocks is accepted: each that is not beside the one before splits an extent, for
/// which nobody promised nodes.
///
/// # Errors
///
/// `NoSpace`: the volume is full, and too much was taken for such nodes.
pub(crate) fn may_convert(view: &View<'_>) -> CoreResult {
    match view.volume().space.is_overdrawn() {
        true => Err(Error::NoSpace),
        false => Ok(()),
    }
}

/// Returns what is promised beyond need, and notes whether the inode still has anything staged.
pub(crate) fn settle(inode: &Inode, map: &mut Map) {
    let volume = inode.sb().info();
    let wanted = map.promise_wanted(&volume.geometry, 0);
    if map.promised > wanted {
        volume.space.give(map.promised - wanted);
        map.promised = wanted;
    }
    if let Contents::File(file) = &map.contents {
        if file.cow.is_empty() {
            volume.registry.remove(inode);
        }
    }
}

/// Reserves blocks for the first hole of `range` in the CoW fork (delayed allocation).
///
/// # Errors
///
/// `NoSpace`, `NoMemory`; nothing was reserved then.
pub(crate) fn reserve(
    view: &View<'_>,
    inode: &Inode,
    map: &mut Map,
    range: FileRange,
) -> CoreResult {
    let file = map.file().map_err(|_| Error::Invalid)?;
    if file.cow.is_empty() {
        view.volume()
            .registry
            .add(inode)
            .map_err(|_| Error::NoMemory)?;
    }
    let more = holes(file, range);
    if !promise(view, map, more) {
        settle(inode, map);
        return Err(Error::NoSpace);
    }
    let reserved = map
        .file()
        .map_err(|_| Error::Invalid)?
        .cow
        .reserve(range)
        .map(|_| ());
    settle(inode, map);
    reserved
}

/// The CoW extent size in blocks.
pub(crate) fn window(view: &View<'_>, map: &Map) -> u32 {
    match map.cow_extent_size {
        0 => view.volume().options.cow_extent_size(),
        size => size,
    }
}

/// Gives the first blocks of `range`, which all go through the CoW fork, blocks if they have none, and marks them
/// as written by the caller's I/O. Returns what was marked. Blocks are staged around them too, up to the borders of a
/// window of `window` blocks.
///
/// # Errors
///
/// `NoSpace`, `NoMemory` and those of reading metadata; nothing was marked then.
pub(crate) fn stage(
    view: &View<'_>,
    inode: &Inode,
    map: &mut Map,
    range: FileRange,
    window: u32,
) -> CoreResult<Staged> {
    let (state, run) = map
        .file()
        .map_err(|_| Error::Invalid)?
        .cow
        .lookup(range.start, range.len);
    if !matches!(state, Some(State::Unwritten(_) | State::Real(_))) {
        let hole = FileRange::new(range.start, run);
        allocate(view, inode, map, hole, window)?;
    }
    let file = map.file().map_err(|_| Error::Invalid)?;
    file.cow.mark(range)
}

/// Stages blocks for the beginning of `range`, which has none, and around it.
fn allocate(
    view: &View<'_>,
    inode: &Inode,
    map: &mut Map,
    range: FileRange,
    window: u32,
) -> CoreResult {
    let file = map.file().map_err(|_| Error::Invalid)?;
    if file.cow.is_empty() {
        view.volume()
            .registry
            .add(inode)
            .map_err(|_| Error::NoMemory)?;
    }
    let Some(gap) = file.cow.gap(range, window, FileRange::ALL) else {
        return Ok(());
    };
    // What nobody asked for is taken only if there is plenty. What is reserved was accepted: for want of more nodes
    // than were promised it is not refused.
    let generous = holes(file, gap.window);
    let needed = holes(file, gap.need);
    let want = if promise(view, map, generous) {
        gap.window.len
    } else if needed == 0 || promise(view, map, needed) {
        gap.need.len
    } else {
        settle(inode, map);
        return Err(Error::NoSpace);
    };
    let goal = gap.goal.unwrap_or_else(|| near(view, inode));
    let (disk, len) = space::stage(view, goal, u32::try_from(want).unwrap_or(u32::MAX))
        .inspect_err(|_| settle(inode, map))?;
    let at = gap.place(len).start;
    let staged = Staged {
        file: at,
        disk,
        len,
    };
    let file = map.file().map_err(|_| Error::Invalid)?;
    if let Err(e) = file.cow.allocate(staged) {
        space::unstage(view, disk, len)?;
        settle(inode, map);
        return Err(e);
    }
    settle(inode, map);
    Ok(())
}

/// Where to look for blocks of a file that has no neighbour to continue: in its inode's group.
pub(crate) fn near(view: &View<'_>, inode: &Inode) -> FsBlock {
    let geometry = view.geometry();
    geometry
        .inode_at(Ino(inode.ino()))
        .and_then(|(at, _)| geometry.locate(at))
        .map_or(geometry.ag_start, |(ag, _)| geometry.group_start(ag))
}

/// What a write that is done asks to be made known.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    /// The blocks it wrote.
    pub(crate) range: FileRange,
    /// The byte after its last one.
    pub(crate) end: u64,
    /// Whether some went through the CoW fork.
    pub(crate) cow: bool,
    /// Whether some were preallocated.
    pub(crate) unwritten: bool,
    /// Whether the file's size in memory is to grow with it (direct I/O), or did already.
    pub(crate) grow: bool,
}

/// Makes known what a write wrote: maps what is real in its range, converts what was unwritten, and sets the
/// size, in as few transactions as the journal allows: one, but for writes over very fragmented files.
///
/// # Errors
///
/// Those of reading and changing metadata. What could not be mapped is as if it had not been written.
pub(crate) fn complete(inode: &Inode, written: Written) -> Result {
    let sb = inode.sb();
    let mut todo = Todo {
        map: written.range,
        convert: written.range,
    };
    if !written.cow {
        todo.map.len = 0;
    }
    if !written.unwritten {
        todo.convert.len = 0;
    }
    complete_core(inode, written, &mut todo).map_err(|e| {
        // Blocks it did not mark, or that are mapped, may be another write's by now.
        fail(inode, todo.map);
        if written.grow {
            // What was mapped before the error may lie beyond the end, which did not move.
            inode.data().set_reaches_beyond(true);
        }
        error::report(sb, e)
    })
}

/// Credits the first transaction of a completion asks for: mapping one extent of a tree of common
/// height. The core asks for more if it needs more.
const CREDITS: u32 = 24;

fn complete_core(inode: &Inode, written: Written, todo: &mut Todo) -> CoreResult {
    let view = View::new(inode.sb());
    let _block = log::hold(&view, inode)?;
    let mut credits = CREDITS;
    loop {
        let mut tx = Tx::start(view, credits, view.volume().space.kept(0))?;
        let mut map = inode.data().map_mut();
        let promised = core::mem::take(&mut map.promised);
        let promised = view.volume().space.kept(promised);
        tx.promise().join(promised);

        map.changing();
        let ended = match todo.work(&mut tx, inode, &mut map) {
            Ok(()) => Some(Ok(())),
            Err(Error::NeedCredits) => None,
            // What was mapped before stays.
            Err(e) if e.is_refusal() => Some(Err(e)),
            Err(e) => {
                if map.file().is_ok_and(|file| file.fork.changed()) {
                    tx.rely();
                }
                keep_promise(&mut tx, &view, &mut map);
                drop(map);
                return Err(e);
            }
        };
        let mut changed = map.file().map_err(|_| Error::Invalid)?.fork.changed();
        if let Some(Ok(())) = ended {
            changed |= grow(inode, &mut map, &written);
        }
        keep_promise(&mut tx, &view, &mut map);
        if changed {
            log::log(&mut tx, inode, &mut map, true)?;
        } else {
            inode.data().changed_in(tx.tid(), true);
        }
        settle(inode, &mut map);
        drop(map);
        credits = tx.wanted().max(CREDITS);
        tx.finish()?;
        if let Some(result) = ended {
            return result;
        }
    }
}

/// Leaves the inode, of what it was promised before the transaction, as much as it needs for what is not mapped yet.
fn keep_promise(tx: &mut Tx<'_>, view: &View<'_>, map: &mut Map) {
    let wanted = map.promise_wanted(view.geometry(), 0);
    map.promised = tx.promise().split(wanted).keep();
}

/// Sets the sizes. Returns whether that on disk is to change.
fn grow(inode: &Inode, map: &mut Map, written: &Written) -> bool {
    let mut end = written.end;
    if written.grow {
        inode.extend_size(i64::try_from(end).unwrap_or(i64::MAX));
    } else {
        end = end.min(u64::try_from(inode.size()).unwrap_or(0));
    }
    if end > inode.data().disk_size() {
        inode.data().set_disk_size(map, end);
        return true;
    }
    false
}

/// What a completion still has to do.
struct Todo {
    map: FileRange,
    convert: FileRange,
}

impl Todo {
    /// Goes on until all is done or the transaction is full (`NeedCredits`).
    fn work(&mut self, tx: &mut Tx<'_>, inode: &Inode, map: &mut Map) -> CoreResult {
        let ino = Ino(inode.ino());
        let file = map.file().map_err(|_| Error::Invalid)?;
        while let Some(real) = file.cow.next_real(self.map) {
            let done = file.fork.replace(tx, ino, real.file, real.disk, real.len)?;
            let mut range = FileRange::new(real.file, u64::from(done));
            let next = range.end();
            space::commit_staged(tx, real.disk, done)?;
            while file.cow.take(&mut range)?.is_some() {}
            self.map.skip_to(next);
        }
        self.map.len = 0;
        while self.convert.len > 0 {
            let done = file
                .fork
                .convert(tx, ino, self.convert.start, self.convert.len)?;
            let next = self.convert.start.add(done);
            self.convert.skip_to(next);
        }
        Ok(())
    }
}

/// A write of `range` did not happen. What was staged for it stays, until it is given back as what nobody wrote: a page
/// may have been dirtied over it meanwhile.
pub(crate) fn fail(inode: &Inode, range: FileRange) {
    let mut map = inode.data().map_mut();
    if let Ok(file) = map.file() {
        // Without memory to split a piece the rest stays as it is, until the inode leaves memory.
        let _ = file.cow.fail(range);
    }
    settle(inode, &mut map);
}

/// Gives back what is staged for nobody. Blocks that a write to the page cache found staged are left to it: nothing was
/// reserved for it, and what it wrote would be lost. Such a write has its page locked from before it looks at
/// the map, or looks again whether the map has changed, until the page is dirty.
///
/// # Errors
///
/// `NoMemory`; some was given back then.
pub(crate) fn give_back_unwritten(inode: &Inode) -> CoreResult {
    let view = View::new(inode.sb());
    let mut map = inode.data().map_mut();
    let mut done = Ok(());
    if let Contents::File(file) = &mut map.contents {
        let mut at = FileBlock(0);
        while let Some(piece) = file.cow.next(at) {
            at = piece.end();
            let range = FileRange::between(piece.file, at);
            let (start, last) = bytes(&view, range);
            if matches!(piece.state, State::Unwritten(_)) && !inode.has_busy_pages(start, last) {
                done = done.and(unstage(&view, file, range));
            }
        }
    }
    settle(inode, &mut map);
    done
}

/// Gives back what is staged but not being written in `range`.
fn unstage(view: &View<'_>, file: &mut File, mut range: FileRange) -> CoreResult {
    while let Some(staged) = file.cow.cancel_unwritten(&mut range)? {
        space::unstage(view, staged.disk, staged.len)?;
    }
    Ok(())
}

/// Drops what is reserved in `range`, or staged but not being written. No page may be dirty there.
pub(crate) fn cancel(inode: &Inode, map: &mut Map, range: FileRange) -> CoreResult {
    let view = View::new(inode.sb());
    let Contents::File(file) = &mut map.contents else {
        return Ok(());
    };
    unstage(&view, file, range)?;
    file.cow.cancel_delalloc(range)?;
    settle(inode, map);
    Ok(())
}

/// The blocks that the bytes `[pos, pos + len)` touch.
pub(crate) fn blocks(view: &View<'_>, pos: i64, len: u64) -> FileRange {
    let shift = view.geometry().block_shift;
    let pos = u64::try_from(pos).unwrap_or(0);
    let first = pos >> shift;
    let end = view.volume().blocks_up(pos.saturating_add(len));
    FileRange::new(FileBlock(first), end.saturating_sub(first))
}

/// The first byte of a block, or the largest offset if that lies beyond.
pub(crate) fn offset(view: &View<'_>, block: FileBlock) -> i64 {
    let at = block.0.saturating_mul(view.geometry().block_size() as u64);
    i64::try_from(at).unwrap_or(i64::MAX)
}

/// The first and the last byte of `range`.
fn bytes(view: &View<'_>, range: FileRange) -> (i64, i64) {
    let last = offset(view, range.end()).saturating_sub(1);
    (offset(view, range.start), last)
}
