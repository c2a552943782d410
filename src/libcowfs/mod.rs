// SPDX-License-Identifier: GPL-2.0

//! The portable core of cowfs: the on-disk format and every algorithm that reads or changes it.
//!
//! The kernel module, mkfs, fsck and the native tests compile this same code, as libxfs is shared
//! by XFS and xfsprogs. It does no I/O and takes no locks of its own: metadata blocks come from a
//! [`store::Reader`], changes go to a [`store::Transaction`], and both are provided by the side
//! that uses it. Nothing in here trusts what a disk holds, and nothing in here panics.
//!
//! ```text
//!   units, error            newtypes for every unit; what can go wrong
//!   platform/               containers and checksum of the side we are compiled for
//!   block, store            bytes of one metadata block; reading and changing metadata
//!   ondisk/                 layout of every structure, field by field
//!   btree/                  the B+tree all maps are made of
//!   space/                  allocation groups: free blocks, reference counts, inode blocks
//!   extent/                 a file's data fork: lookup, replace, clone, drop
//!   cow/                    a file's CoW fork: delalloc, unwritten, real
//!   dir/                    directories
//!   inode/                  an inode's other fields; targets of symbolic links
//!   format                  making a new volume
//! ```
#![forbid(unsafe_code)]

pub mod block;
pub mod btree;
pub mod cow;
pub mod dir;
pub mod error;
pub mod extent;
pub mod format;
pub mod inode;
pub mod ondisk;
pub mod platform;
pub mod space;
pub mod store;
pub mod units;
