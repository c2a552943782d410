// SPDX-License-Identifier: GPL-2.0

//! What differs between the kernel and userland: containers whose growth can fail, and CRC32C.
//!
//! ```text
//!                 kernel.rs (built with the module)        native.rs (tools and tests)
//!   Vec<T>        kernel::alloc::KVVec                     alloc::vec::Vec
//!   Map<K, V>     kernel::rbtree::RBTree                   alloc::collections::BTreeMap
//!   Hint          kernel::sync::atomic::Atomic<u32>        core::sync::atomic::AtomicU32
//!   crc32c        the kernel's crc32c()                    crate crc32c
//! ```

mod hint;
pub use self::hint::Hint;

#[cfg(MODULE)]
mod kernel;
#[cfg(MODULE)]
pub use self::kernel::{crc32c, Map, Vec};

#[cfg(not(MODULE))]
mod native;
#[cfg(not(MODULE))]
pub use self::native::{crc32c, Map, Vec};
