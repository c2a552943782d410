// SPDX-License-Identifier: GPL-2.0

//! The B+tree that all maps of a volume are made of.
//!
//! ```text
//!   Root ──► level 2   [ 0 | 700 ]              interior nodes: (key, child), array layout
//!                       │     └─────────┐
//!            level 1   [ 0 | 210 ]     [ 700 | 805 ]
//!                       │    │           │      └────────────┐
//!            level 0   [..] [210 ...]   [700 ...]           [805 ...]   leaves: records
//! ```
//!
//! Every node is one metadata block. Keys are 64-bit; the key beside a child pointer (the *separator*) is
//! at most the smallest key below it, and more than every key left of it. The first separator of a
//! node means nothing but that it is in order: what counts is the one that leads to the node, or
//! that leads to its parent if that is the first again, or 0 at the tree's left edge. So every leaf
//! owns a range of keys, from its separator up to the next one ([`Cursor::bounds`]), and a record
//! is always put into the leaf whose range holds its key. No node is empty; a tree without records
//! has no node.
//!
//! * [`Tree`] names a tree: the kind of its blocks and the layout of its leaves ([`mod@array`] for records of one
//!   size, [`slotted`] for names).
//! * [`Cursor`] finds records and walks over them (`cursor.rs`).
//! * [`Cursor::splice`] is the one way to change a tree: it exchanges some records of one leaf for others, and
//!   splits, merges and *shadows* nodes as that demands (`change.rs`, `shrink.rs`).
//! * [`Owner`] is the tree's holder: it gives and takes the nodes' blocks, and says which nodes
//!   are shared with another tree and must be copied before they are changed.

pub mod array;
mod change;
mod cursor;
pub mod node;
mod shrink;
pub mod slotted;

pub use array::{Array, Fixed};
pub use cursor::Cursor;
pub use slotted::{Format, Slotted};

use super::block::Block;
use super::error::{Error, Result};
use super::ondisk::Kind;
use super::store::{Reader, Transaction};
use super::units::FsBlock;
use node::Branch;

/// Most levels a tree can have. Each node has at least two children or records when it splits, so
/// this is far beyond what a volume has room for; it bounds every walk on a hostile disk.
pub const MAX_HEIGHT: usize = 10;

/// Most records one [`Cursor::splice`] may add.
pub const MAX_ADD: usize = 4;

/// A tree: where its root node is and how many levels it has. Height 0 is the empty tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// The root node's address.
    pub block: FsBlock,
    /// Levels of the tree.
    pub height: u8,
}

impl Root {
    /// The tree without records.
    pub const EMPTY: Root = Root {
        block: FsBlock::NULL,
        height: 0,
    };

    /// Whether the tree has no records.
    pub const fn is_empty(self) -> bool {
        self.height == 0
    }

    /// Most nodes one [`Cursor::splice`] makes part of a transaction, new ones included.
    pub const fn credits(self) -> u32 {
        2 * self.height as u32 + 1
    }

    /// Most nodes one [`Cursor::splice`] allocates for splits. (Shadowing allocates up to
    /// `height` more.)
    pub const fn splits(self) -> u32 {
        self.height as u32 + 1
    }
}

/// A sort of tree.
pub trait Tree {
    /// The kind of its blocks.
    const KIND: Kind;
    /// The layout of its leaves.
    type Leaf: Layout;
}

/// A record to be stored in a leaf.
pub trait Record {
    /// Its key, which is also the first thing [`Record::store`] stores.
    fn key(&self) -> u64;
    /// Its size in bytes.
    fn size(&self) -> usize;
    /// Stores it at byte `at`.
    fn store<B: Block>(&self, buf: &B, at: usize);
}

/// How a node's records lie in its block. Positions count records from 0.
///
/// All functions rely on what `verify` checked and on the caller's `at + remove <= count`.
pub trait Layout {
    /// What is stored.
    type Record<'a>: Record;

    /// Byte offset of record `index`, which begins with its key.
    fn place<B: Block>(buf: &B, index: usize) -> usize;

    /// The key of record `index`.
    #[inline]
    fn key<B: Block>(buf: &B, index: usize) -> u64 {
        buf.u64(Self::place(buf, index))
    }

    /// Whether `add` is small enough to be stored in any node at all.
    fn storable<B: Block>(buf: &B, add: &[Self::Record<'_>]) -> bool;

    /// Whether `add` would fit in the place of the `remove` records from `at` on.
    fn fits<B: Block>(buf: &B, at: usize, remove: usize, add: &[Self::Record<'_>]) -> bool;

    /// Puts `add`, which fits, in the place of the `remove` records from `at` on.
    fn splice<B: Block>(buf: &B, at: usize, remove: usize, add: &[Self::Record<'_>]);

    /// Where to split a node in two about equal parts, but not inside the `remove` records from
    /// `at` on.
    fn middle<B: Block>(buf: &B, at: usize, remove: usize) -> usize;

    /// Moves the records from `at` on to the empty node `to`.
    fn split<B: Block>(buf: &B, to: &B, at: usize);

    /// Whether a node is so empty that it should be merged with a neighbour.
    fn sparse<B: Block>(buf: &B) -> bool;

    /// Whether the records of both fit in one node, with some room left, so that it need not be
    /// split again soon.
    fn mergeable<B: Block>(left: &B, right: &B) -> bool;

    /// Appends all records of `right` to `left`.
    fn merge<B: Block>(left: &B, right: &B);

    /// Checks that all records lie inside the block and their keys ascend.
    ///
    /// # Errors
    ///
    /// What is wrong.
    fn verify<B: Block>(buf: &B) -> core::result::Result<(), &'static str>;
}

/// The holder of a tree.
pub trait Owner<T: Transaction> {
    /// What the nodes' headers name as owner.
    fn id(&self) -> u64;

    /// What the nodes' headers name as epoch.
    fn epoch(&self) -> u64 {
        0
    }

    /// Allocates a block for a node, near the block `near` if that is not null.
    ///
    /// # Errors
    ///
    /// `NoSpace`, with nothing changed.
    fn alloc(&mut self, tx: &mut T, near: FsBlock) -> Result<FsBlock>;

    /// Frees the block of a node, of which this tree was the only holder, and has the transaction
    /// forget it. Also called for a block just allocated of which no node was made.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`; the transaction is lost then.
    fn free(&mut self, tx: &mut T, at: FsBlock) -> Result;

    /// Whether a node, a neighbour of an unshared one below the same parent, has other holders than
    /// that parent.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    fn is_shared(&mut self, _tx: &mut T, _at: FsBlock) -> Result<bool> {
        Ok(false)
    }

    /// The tree is about to hold a copy of the shared node `node` instead of the node itself:
    /// whatever the node refers to gets one more reference, and then the node loses one.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`; the transaction is lost then.
    fn shadow(&mut self, _tx: &mut T, _node: &T::Buf) -> Result {
        Ok(())
    }
}

/// Checks the parts of a node that the code relies on without looking again.
///
/// # Errors
///
/// `Corrupt`, saying what is wrong.
pub fn verify(buf: &impl Block, at: FsBlock, kind: Kind) -> Result {
    let bad = |what| Err(Error::Corrupt(at, what));
    let level = node::level(buf);
    if level >= MAX_HEIGHT {
        return bad("tree node of impossible level");
    }
    if node::count(buf) == 0 {
        return bad("empty tree node");
    }
    let sound = if level > 0 {
        Array::<Branch>::verify(buf)
    } else {
        match kind {
            Kind::Extent => Array::<array::Sized<24>>::verify(buf),
            Kind::Directory => slotted::verify_slots(buf),
            _ => Array::<array::Sized<16>>::verify(buf),
        }
    };
    sound.map_err(|what| Error::Corrupt(at, what))
}

/// The record with key `key`.
///
/// # Errors
///
/// `Corrupt` or `Io`.
pub fn lookup<T, V, R>(reader: &R, root: Root, key: u64) -> Result<Option<V>>
where
    T: Tree<Leaf = Array<V>>,
    V: Fixed,
    R: Reader,
{
    let mut cursor = Cursor::<T, R::Buf>::new();
    cursor.seek(reader, root, key)?;
    Ok(cursor.get().filter(|found| found.key() == key))
}

/// Adds a record.
///
/// # Errors
///
/// `Exists` if there is one with its key, `NoSpace` if a node is needed and there is no block for
/// it; nothing is changed then. `Corrupt` or `Io`: the transaction is lost.
pub fn insert<T, X, O>(
    tx: &mut X,
    owner: &mut O,
    root: &mut Root,
    record: <T::Leaf as Layout>::Record<'_>,
) -> Result
where
    T: Tree,
    X: Transaction,
    O: Owner<X>,
{
    let mut cursor = Cursor::<T, X::Buf>::new();
    cursor.seek(tx, *root, record.key())?;
    cursor.insert(tx, owner, root, record)
}

/// Removes the record with key `key`; returns whether there was one.
///
/// # Errors
///
/// `Corrupt` or `Io`: the transaction is lost.
pub fn remove<T, X, O>(tx: &mut X, owner: &mut O, root: &mut Root, key: u64) -> Result<bool>
where
    T: Tree,
    X: Transaction,
    O: Owner<X>,
{
    let mut cursor = Cursor::<T, X::Buf>::new();
    cursor.seek(tx, *root, key)?;
    if cursor.key() != Some(key) {
        return Ok(false);
    }
    cursor.remove(tx, owner, root)?;
    Ok(true)
}
