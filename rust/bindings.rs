// SPDX-License-Identifier: GPL-2.0

//! Raw C interfaces: those of the kernel's own bindings, and those they lack.
//!
//! `bindgen.sh` generates only items of headers that the kernel's bindings do not include,
//! so a C type that both know, such as `struct inode`, is one Rust type. A type that the
//! kernel's bindings know by a forward declaration only (`struct kstatfs`) is complete here
//! and hides theirs; pointers to it are cast where the two meet. The build names the directory
//! of what is generated in the environment variable `RUST_BINDINGS`.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::as_underscore,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unknown_lints,
    unnecessary_transmutes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::ffi;
use pin_init::MaybeZeroable;

pub use helpers::*;
pub use kernel::bindings::*;

include!(concat!(env!("RUST_BINDINGS"), "/bindings_generated.rs"));

/// Wrappers of inline functions and macros, from `helpers.c`.
mod helpers {
    use super::*;

    include!(concat!(
        env!("RUST_BINDINGS"),
        "/bindings_helpers_generated.rs"
    ));
}
