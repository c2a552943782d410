// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over kernel interfaces that the `kernel` crate lacks.
//!
//! A module that wants them declares this file from its crate root,
//! `#[path = "../rust/lib.rs"] pub mod linux;`, so the paths are `crate::linux::…`.
//! Nothing here knows the module that uses it; the layout follows the `kernel` crate,
//! one file per C object, and every `unsafe` needed to use these interfaces is inside.
//!
//! - [`fs`]: the VFS — file systems, super blocks, inodes, directory entries, files.

#[allow(dead_code)]
pub(crate) mod bindings;
pub mod fs;
