// SPDX-License-Identifier: GPL-2.0

//! The kernel's side of [`super`].
//!
//! Memory is asked for with `GFP_KERNEL`; inside a transaction the journal's `memalloc_nofs` scope
//! turns that into `GFP_NOFS`. Little is waited for and never refused: a transaction that
//! changed something has no way back. Only what depends on the size of a volume, and is made when it is
//! mounted, is more than `LITTLE`.

use super::super::error::{Error, Result};
use crate::linux::mm;
use core::ops::{Deref, DerefMut};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use kernel::rbtree::RBTree;

pub use crate::linux::crc32c::crc32c;

/// The size in bytes up to which memory is waited for.
const LITTLE: usize = 64 << 10;

/// A growable array.
#[derive(Default)]
pub struct Vec<T>(KVVec<T>);

impl<T: core::fmt::Debug> core::fmt::Debug for Vec<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Vec<T> {
    /// An empty array.
    pub const fn new() -> Self {
        Self(KVVec::new())
    }

    /// Appends `value`.
    ///
    /// # Errors
    ///
    /// `NoMemory`, only if it is longer than 64 KiB.
    pub fn push(&mut self, value: T) -> Result {
        self.reserve(1)?;
        self.0.push(value, GFP_KERNEL).map_err(|_| Error::NoMemory)
    }

    /// Grows or shrinks to `len` elements, new ones being `value`.
    ///
    /// # Errors
    ///
    /// `NoMemory`, only if it is longer than 64 KiB.
    pub fn resize(&mut self, len: usize, value: T) -> Result
    where
        T: Clone,
    {
        self.reserve(len.saturating_sub(self.0.len()))?;
        self.0
            .resize(len, value, GFP_KERNEL)
            .map_err(|_| Error::NoMemory)
    }

    fn reserve(&mut self, more: usize) -> Result {
        let len = self.0.len().saturating_add(more);
        if len.saturating_mul(size_of::<T>()) <= LITTLE {
            mm::retry(|| self.0.reserve(more, GFP_KERNEL));
            return Ok(());
        }
        self.0
            .reserve(more, GFP_KERNEL)
            .map_err(|_| Error::NoMemory)
    }

    /// Removes and returns the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Removes all elements; the memory is kept.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T> Deref for Vec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Vec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// An ordered map.
pub struct Map<K: Ord, V>(RBTree<K, V>);

impl<K: Ord + Copy, V: Copy> Map<K, V> {
    /// An empty map.
    pub fn new() -> Self {
        Self(RBTree::new())
    }

    /// Whether the map is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the value of `key` and returns the one it had.
    ///
    /// # Errors
    ///
    /// None here.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>> {
        let old = mm::retry(|| self.0.try_create_and_insert(key, value, GFP_KERNEL));
        Ok(old.map(|node| node.to_key_value().1))
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// Moves the entry of key `from` to key `to` with a new value, which cannot fail for memory.
    /// Does nothing if there is no such entry.
    pub fn rekey(&mut self, from: &K, to: K, value: V) {
        if let Some(node) = self.0.remove_node(from) {
            self.0.insert(node.into_reservation().into_node(to, value));
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<V> {
        self.0.get(key).copied()
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// The first entry at or after `key`.
    pub fn at_or_after(&self, key: &K) -> Option<(K, V)> {
        let cursor = self.0.cursor_lower_bound(key)?;
        let (k, v) = cursor.current();
        Some((*k, *v))
    }

    /// The last entry at or before `key`.
    pub fn at_or_before(&self, key: &K) -> Option<(K, V)> {
        let Some(cursor) = self.0.cursor_lower_bound(key) else {
            let last = self.0.cursor_back()?;
            let (k, v) = last.current();
            return Some((*k, *v));
        };
        let (k, v) = cursor.current();
        if k == key {
            return Some((*k, *v));
        }
        cursor.peek_prev().map(|(k, v)| (*k, *v))
    }
}

impl<K: Ord + Copy, V: Copy> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
