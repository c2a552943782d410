// SPDX-License-Identifier: GPL-2.0

//! Taking and giving up blocks, wherever on the volume they are.

use super::super::error::{Error, Result};
use super::super::store::{Reader, Transaction};
use super::super::units::{AgBlock, AgNumber, FsBlock};
use super::group;
use super::search::Search;

/// What blocks are allocated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Contents of files: in runs as long as can be had.
    Data,
    /// Metadata of files: one block, kept together near the group's start.
    Tree,
}

/// The group that `[at, at + len)` lies in, and where in it.
pub(super) fn group_of<R: Reader>(
    reader: &R,
    at: FsBlock,
    len: u32,
) -> Result<(AgNumber, AgBlock)> {
    let geometry = reader.geometry();
    match geometry.locate(at) {
        Some(place) if geometry.in_one_group(at, len) => Ok(place),
        _ => Err(Error::Corrupt(at, "blocks outside the groups")),
    }
}

/// Stages up to `want` blocks in a row, near `goal`; the first block of a group as the goal means
/// anywhere in that group. In memory only: no transaction is needed, and a crash forgets it.
///
/// # Errors
///
/// `NoSpace` if there is no room on the volume: never to a caller who was promised a block.
pub fn stage<R: Reader>(reader: &R, goal: FsBlock, want: u32) -> Result<(FsBlock, u32)> {
    let mut search = Search::new(reader.geometry(), reader.hints(), goal, want);
    while let Some(next) = search.next(reader)? {
        let found = reader.in_group(next.ag, |_, state| {
            Ok(state.stage(next.goal, want, next.fit))
        })?;
        if let Some(found) = found {
            search.found(reader.hints(), next.ag);
            return Ok(found);
        }
    }
    Err(Error::NoSpace)
}

/// Gives staged blocks back.
///
/// # Errors
///
/// `Corrupt` if they are not in one group.
pub fn unstage<R: Reader>(reader: &R, at: FsBlock, len: u32) -> Result {
    let (ag, _) = group_of(reader, at, len)?;
    reader.in_group(ag, |_, state| {
        state.unstage(at, len);
        Ok(())
    })?;
    reader.hints().given_back();
    Ok(())
}

/// Marks staged blocks, all or part of what was staged at once, used on disk.
/// Changes at most [`credits::COMMIT`](super::credits::COMMIT) blocks.
///
/// # Errors
///
/// `Corrupt` if the disk says they are used already, and those of the transaction. They are still
/// staged then.
pub fn commit_staged<T: Transaction>(tx: &mut T, at: FsBlock, len: u32) -> Result {
    let (ag, _) = group_of(tx, at, len)?;
    tx.with_group(ag, |tx, state| group::commit(tx, state, at, len))
}

/// Allocates up to `want` blocks in a row, near `goal` as in [`stage`]; one for
/// [`Purpose::Tree`]. Changes at most [`credits::COMMIT`](super::credits::COMMIT) blocks.
///
/// # Errors
///
/// As those of [`stage`] and [`commit_staged`]; nothing is allocated then.
pub fn alloc<T: Transaction>(
    tx: &mut T,
    goal: FsBlock,
    want: u32,
    purpose: Purpose,
) -> Result<(FsBlock, u32)> {
    let want = match purpose {
        Purpose::Data => want,
        Purpose::Tree => 1,
    };
    let mut search = Search::new(tx.geometry(), tx.hints(), goal, want);
    while let Some(next) = search.next(tx)? {
        let found = tx.with_group(next.ag, |tx, state| {
            let found = match purpose {
                Purpose::Data => state.stage(next.goal, want, next.fit),
                Purpose::Tree => state.stage_node(next.goal).map(|at| (at, 1)),
            };
            let Some((at, len)) = found else {
                return Ok(None);
            };
            match group::commit(tx, state, at, len) {
                Ok(()) => Ok(Some((at, len))),
                Err(error) => {
                    state.unstage(at, len);
                    Err(error)
                }
            }
        })?;
        if let Some(found) = found {
            search.found(tx.hints(), next.ag);
            return Ok(found);
        }
    }
    Err(Error::NoSpace)
}

/// Marks blocks free, which become available with the commit. Their reference counts are not
/// looked at: this is for blocks that have none, and [`refcount::release`](super::refcount::release) for others. Metadata
/// blocks must be [forgotten](Transaction::forget) as well. Changes at most
/// [`credits::COMMIT`](super::credits::COMMIT) blocks.
///
/// # Errors
///
/// `Corrupt` if one of the blocks is free already.
pub fn free<T: Transaction>(tx: &mut T, at: FsBlock, len: u32) -> Result {
    let (ag, _) = group_of(tx, at, len)?;
    tx.with_group(ag, |tx, state| group::free(tx, state, at, len))
}
