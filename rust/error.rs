// SPDX-License-Identifier: GPL-2.0

//! Error numbers, as file systems use them.
//!
//! All come from the `kernel` crate. Two of them mean something to file systems in particular:
//! `EUCLEAN` says that the volume is damaged, and `EIOCBQUEUED` that a read or write will be
//! completed later.

pub use kernel::error::code::*;
