// SPDX-License-Identifier: GPL-2.0

//! Nodes whose records all have one size: an array that fills the block from byte 64 on.

use super::super::block::Block;
use super::super::ondisk::header;
use super::node;
use super::{Layout, Record};
use core::marker::PhantomData;

/// A record of fixed size.
pub trait Fixed: Record + Copy {
    /// Its size in bytes.
    const SIZE: usize;
    /// Loads the record stored at byte `at`.
    fn load<B: Block>(buf: &B, at: usize) -> Self;
}

/// The array layout of records `R`.
pub struct Array<R>(PhantomData<R>);

/// Any record of `SIZE` bytes, for checking nodes whose records mean nothing to us.
#[derive(Clone, Copy)]
pub(super) struct Sized<const SIZE: usize>(u64);

impl<R: Fixed> Array<R> {
    /// Most records a node in a block of `size` bytes holds.
    #[inline]
    pub const fn capacity(size: usize) -> usize {
        (size - header::SIZE) / R::SIZE
    }

    /// Loads record `index`, which is below the node's count.
    #[inline]
    pub fn get<B: Block>(buf: &B, index: usize) -> R {
        R::load(buf, Self::place(buf, index))
    }
}

impl<R: Fixed> Layout for Array<R> {
    type Record<'a> = R;

    #[inline]
    fn place<B: Block>(_buf: &B, index: usize) -> usize {
        header::SIZE + index * R::SIZE
    }

    fn storable<B: Block>(_buf: &B, _add: &[R]) -> bool {
        true
    }

    #[inline]
    fn fits<B: Block>(buf: &B, _at: usize, remove: usize, add: &[R]) -> bool {
        node::count(buf).saturating_sub(remove) + add.len() <= Self::capacity(buf.size())
    }

    #[inline]
    fn splice<B: Block>(buf: &B, at: usize, remove: usize, add: &[R]) {
        let count = node::count(buf);
        let tail = count.saturating_sub(at + remove);
        if add.len() != remove {
            buf.copy_within(
                Self::place(buf, at + remove),
                Self::place(buf, at + add.len()),
                tail * R::SIZE,
            );
            node::set_count(buf, at + add.len() + tail);
        }
        for (index, record) in add.iter().enumerate() {
            record.store(buf, Self::place(buf, at + index));
        }
    }

    fn middle<B: Block>(buf: &B, at: usize, remove: usize) -> usize {
        let half = node::count(buf) / 2;
        // Few records are removed where some are added: next to them is near enough.
        if half <= at || half >= at + remove {
            half
        } else if at > 0 {
            at
        } else {
            at + remove
        }
    }

    fn split<B: Block>(buf: &B, to: &B, at: usize) {
        let moved = node::count(buf).saturating_sub(at);
        to.copy_from(buf, Self::place(buf, at), header::SIZE, moved * R::SIZE);
        node::set_count(to, moved);
        node::set_count(buf, at);
    }

    fn sparse<B: Block>(buf: &B) -> bool {
        node::count(buf) < Self::capacity(buf.size()) / 2
    }

    fn mergeable<B: Block>(left: &B, right: &B) -> bool {
        let capacity = Self::capacity(left.size());
        node::count(left) + node::count(right) <= capacity - capacity / 8
    }

    fn merge<B: Block>(left: &B, right: &B) {
        let (have, more) = (node::count(left), node::count(right));
        let to = Self::place(left, have);
        left.copy_from(right, header::SIZE, to, more * R::SIZE);
        node::set_count(left, have + more);
    }

    fn verify<B: Block>(buf: &B) -> core::result::Result<(), &'static str> {
        let count = node::count(buf);
        if count > Self::capacity(buf.size()) {
            return Err("tree node with more records than fit");
        }
        let mut last = Self::key(buf, 0);
        for index in 1..count {
            let key = Self::key(buf, index);
            if key <= last {
                return Err("tree node with keys out of order");
            }
            last = key;
        }
        Ok(())
    }
}

impl<const SIZE: usize> Record for Sized<SIZE> {
    fn key(&self) -> u64 {
        self.0
    }

    fn size(&self) -> usize {
        SIZE
    }

    fn store<B: Block>(&self, buf: &B, at: usize) {
        buf.set_u64(at, self.0);
    }
}

impl<const SIZE: usize> Fixed for Sized<SIZE> {
    const SIZE: usize = SIZE;

    fn load<B: Block>(buf: &B, at: usize) -> Self {
        Self(buf.u64(at))
    }
}
