// SPDX-License-Identifier: GPL-2.0

//! A number that many tasks read and change without a lock, for hints: nobody may rely on it.

#[cfg(not(MODULE))]
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
#[cfg(MODULE)]
use kernel::sync::atomic::{Atomic, Relaxed};

#[cfg(MODULE)]
type AtomicU32 = Atomic<u32>;

/// A number shared without a lock. Reads and changes of different hints may be seen in any order.
#[derive(Debug)]
pub struct Hint(AtomicU32);

impl Hint {
    /// A hint of this value.
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// Its value.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Changes its value.
    #[inline]
    pub fn set(&self, value: u32) {
        self.0.store(value, Relaxed);
    }

    /// Adds 1, wrapping around, and returns the value before.
    #[inline]
    pub fn bump(&self) -> u32 {
        self.0.fetch_add(1, Relaxed)
    }
}
