// SPDX-License-Identifier: GPL-2.0

//! What all nodes have in common: level and record count in the header; and the records of
//! interior nodes.

use super::super::block::Block;
use super::super::ondisk::header;
use super::super::units::FsBlock;
use super::{Array, Fixed, Layout, Record};

/// The node's level: 0 in leaves.
#[inline]
pub fn level<B: Block>(buf: &B) -> usize {
    usize::from(buf.u16(header::LEVEL))
}

/// Sets the node's level.
#[inline]
pub fn set_level<B: Block>(buf: &B, level: usize) {
    buf.set_u16(header::LEVEL, level as u16);
}

/// The node's number of records.
#[inline]
pub fn count<B: Block>(buf: &B) -> usize {
    usize::from(buf.u16(header::COUNT))
}

/// Sets the node's number of records.
#[inline]
pub fn set_count<B: Block>(buf: &B, count: usize) {
    buf.set_u16(header::COUNT, count as u16);
}

/// The node's own address.
#[inline]
pub fn address<B: Block>(buf: &B) -> FsBlock {
    FsBlock(buf.u64(header::ADDRESS))
}

/// The epoch of its owner in which the node was made.
#[inline]
pub fn epoch<B: Block>(buf: &B) -> u64 {
    buf.u64(header::EPOCH)
}

/// The child that record `index` of an interior node points to.
#[inline]
pub fn child<B: Block>(buf: &B, index: usize) -> FsBlock {
    FsBlock(buf.u64(Array::<Branch>::place(buf, index) + Branch::CHILD))
}

/// Points record `index` of an interior node to `child`.
#[inline]
pub fn set_child<B: Block>(buf: &B, index: usize, child: FsBlock) {
    buf.set_u64(Array::<Branch>::place(buf, index) + Branch::CHILD, child.0);
}

/// The number of records with a key of at most `key`.
#[inline]
pub fn up_to<L: Layout, B: Block>(buf: &B, key: u64) -> usize {
    let (mut from, mut to) = (0, count(buf));
    while from < to {
        let middle = (from + to) / 2;
        if L::key(buf, middle) <= key {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}

/// A record of an interior node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// At most the smallest key below the child.
    pub key: u64,
    /// The child node.
    pub child: FsBlock,
}

impl Branch {
    /// Byte offset of the child's address in the record.
    const CHILD: usize = 8;
}

impl Record for Branch {
    #[inline]
    fn key(&self) -> u64 {
        self.key
    }

    #[inline]
    fn size(&self) -> usize {
        Self::SIZE
    }

    #[inline]
    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.key);
        buf.set_u64(at + Self::CHILD, self.child.0);
    }
}

impl Fixed for Branch {
    const SIZE: usize = 16;

    #[inline]
    fn load<B: Block>(buf: &B, at: usize) -> Self {
        Branch {
            key: buf.u64(at),
            child: FsBlock(buf.u64(at + Self::CHILD)),
        }
    }
}
