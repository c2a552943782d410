// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over kernel interfaces that the `kernel` crate lacks.
//!
//! A module that wants them declares this file from its crate root,
//! `#[path = "../rust/lib.rs"] pub mod linux;`, so the paths are `crate::linux::…`.
//! Nothing here knows the module that uses it; the layout follows the `kernel` crate,
//! one file per C object, and every `unsafe` needed to use these interfaces is inside.
//!
//! - [`fs`]: the VFS — file systems, super blocks, inodes, directory entries, files.
//! - [`error`]: error numbers.
//! - [`iomap`]: file I/O in terms of extents; page cache, direct I/O, writeback.
//! - [`buffer_head`], [`jbd2`]: metadata blocks, and transactions over them.
//! - [`block`]: block devices. [`shared_bytes`]: memory that others may change.
//! - [`rwsem`], [`workqueue`], [`mm`]: locks, deferred work, memory reclaim.
//! - [`capability`]: privileges. [`crc32c`], [`random`]: checksums, random numbers. [`panic`](mod@panic): the end.

#[allow(dead_code)]
pub(crate) mod bindings;
pub mod block;
pub mod buffer_head;
pub mod capability;
pub mod crc32c;
pub mod error;
pub mod fs;
pub mod iomap;
pub mod jbd2;
pub mod mm;
pub mod panic;
pub mod random;
pub mod rwsem;
pub mod shared_bytes;
pub mod workqueue;
