// SPDX-License-Identifier: GPL-2.0

//! How the core reads and changes metadata.
//!
//! ```text
//!    kernel:  buffer heads + a jbd2 handle          native:  blocks in memory or an image file
//!                   \                                          /
//!                    Reader: read(address, kind) -> verified block
//!                    Transaction: modify, create, release; group and volume state, locked
//! ```
//!
//! A transaction is atomic and its changes may be read back at once. Every block is read through
//! [`Reader::read`], which hands out only blocks whose header, checksum and record counts were
//! verified by [`super::ondisk::verify`].

use super::block::Block;
use super::error::Result;
use super::ondisk::{Geometry, Kind};
use super::space::{GroupState, Hints, VolumeState};
use super::units::{AgNumber, FsBlock};

/// Reads verified metadata blocks.
pub trait Reader {
    /// A reference to a block in memory.
    type Buf: Block + Clone;

    /// The volume's fixed layout.
    fn geometry(&self) -> &Geometry;

    /// What is remembered about where space may be found: one object for each mounted volume.
    fn hints(&self) -> &Hints;

    /// Reads the metadata block at `at`, which must be of `kind`.
    ///
    /// # Errors
    ///
    /// `Corrupt` if it is anything else or damaged, `Io` if the device fails.
    fn read(&self, at: FsBlock, kind: Kind) -> Result<Self::Buf>;

    /// Whether transaction `id` is on disk, so that no crash can undo it.
    fn is_on_disk(&self, id: u64) -> bool;

    /// Somebody has to write elsewhere what could be written in place, were transaction `id` on disk.
    fn held_up(&self, _id: u64) {}

    /// Runs `f` with the in-memory state of group `ag` locked and loaded: to look at the group's
    /// trees, which may change while it is not locked, or to stage blocks. The rules for nesting
    /// are those of [`Transaction::with_group`].
    fn in_group<R>(
        &self,
        ag: AgNumber,
        f: impl FnOnce(&Self, &mut GroupState) -> Result<R>,
    ) -> Result<R>;
}

/// An atomic set of changes to metadata.
///
/// Group locks and the volume lock are innermost: at most one of them is held at a time, so no
/// closure given to `in_group`, `with_group` or `with_volume` may call any of the three.
pub trait Transaction: Reader {
    /// The number of the journal's transaction that this is part of. A later one has a greater
    /// number.
    fn id(&self) -> u64;

    /// Makes `buf` part of the transaction. To be called before its first byte is changed; calling
    /// it again is cheap. On an error nothing may be changed.
    fn modify(&mut self, buf: &Self::Buf) -> Result;

    /// Makes the newly allocated block `at` part of the transaction: all zero but for its header
    /// (magic, uuid, address, `owner`).
    fn create(&mut self, at: FsBlock, kind: Kind, owner: u64) -> Result<Self::Buf>;

    /// Forgets the contents of metadata block `at`, which was freed in this transaction: it is
    /// revoked, so that no later replay writes over whatever the block is used for next.
    fn forget(&mut self, at: FsBlock) -> Result;

    /// Metadata block `at` was freed in this transaction, but stays set aside for metadata: its contents
    /// are not revoked, and it may be [created](Transaction::create) again at once.
    fn retire(&mut self, at: FsBlock) -> Result;

    /// Whether `blocks` more blocks can be made part of this transaction, which is enlarged if it
    /// can be. To be asked before the first change of a step.
    ///
    /// # Errors
    ///
    /// `NeedCredits` if they cannot: end the transaction at the last consistent state and go on
    /// in a new one.
    fn need(&mut self, blocks: u32) -> Result;

    /// Runs `f` with the in-memory state of group `ag` locked and loaded.
    fn with_group<R>(
        &mut self,
        ag: AgNumber,
        f: impl FnOnce(&mut Self, &mut GroupState) -> Result<R>,
    ) -> Result<R>;

    /// Runs `f` with the in-memory state of the volume locked.
    fn with_volume<R>(
        &mut self,
        f: impl FnOnce(&mut Self, &mut VolumeState) -> Result<R>,
    ) -> Result<R>;

    /// The blocks `[at, at + len)`, which lie in one group, were freed on disk. They may be
    /// allocated again only when this transaction is on disk: the provider then calls
    /// [`GroupState::give_back`]. Adds to the volume's count of free blocks. Called with the
    /// group's lock held.
    fn freed(&mut self, at: FsBlock, len: u32);

    /// The blocks `[at, at + len)` were marked used on disk. Takes from the volume's count of
    /// free blocks. Called with the group's lock held.
    ///
    /// Blocks of the groups' own trees come from the groups' reserve, which the volume's count
    /// does not tell apart: neither of these two is called for them (see [`super::space`]).
    fn used(&mut self, at: FsBlock, len: u32);
}
