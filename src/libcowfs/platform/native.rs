// SPDX-License-Identifier: GPL-2.0

//! The userland side of [`super`].

extern crate alloc;

use super::super::error::{Error, Result};
use alloc::collections::BTreeMap;
use core::ops::{Deref, DerefMut};

/// CRC32C of `bytes` continued from `seed`, not inverted at the end (the kernel's convention).
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !::crc32c::crc32c_append(!seed, bytes)
}

/// A growable array.
#[derive(Debug, Default)]
pub struct Vec<T>(alloc::vec::Vec<T>);

impl<T> Vec<T> {
    /// An empty array.
    pub const fn new() -> Self {
        Self(alloc::vec::Vec::new())
    }

    /// Appends `value`.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn push(&mut self, value: T) -> Result {
        self.0.try_reserve(1).map_err(|_| Error::NoMemory)?;
        self.0.push(value);
        Ok(())
    }

    /// Grows or shrinks to `len` elements, new ones being `value`.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn resize(&mut self, len: usize, value: T) -> Result
    where
        T: Clone,
    {
        let more = len.saturating_sub(self.0.len());
        self.0.try_reserve(more).map_err(|_| Error::NoMemory)?;
        self.0.resize(len, value);
        Ok(())
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
#[derive(Clone, Debug)]
pub struct Map<K: Ord, V>(BTreeMap<K, V>);

impl<K: Ord + Copy, V: Copy> Map<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether the map is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the value of `key` and returns the one it had.
    ///
    /// # Errors
    ///
    /// `NoMemory`; the map is unchanged then.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>> {
        Ok(self.0.insert(key, value))
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// Moves the entry of key `from` to key `to` with a new value, which cannot fail for memory.
    /// Does nothing if there is no such entry.
    pub fn rekey(&mut self, from: &K, to: K, value: V) {
        if self.0.remove(from).is_some() {
            self.0.insert(to, value);
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
        self.0.range(key..).next().map(|(k, v)| (*k, *v))
    }

    /// The last entry at or before `key`.
    pub fn at_or_before(&self, key: &K) -> Option<(K, V)> {
        self.0.range(..=key).next_back().map(|(k, v)| (*k, *v))
    }
}

impl<K: Ord + Copy, V: Copy> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
