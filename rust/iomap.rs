// SPDX-License-Identifier: GPL-2.0

//! iomap: file I/O in terms of extents.
//!
//! A file system tells where a range of a file is, extent by extent; iomap does the I/O. What is asked
//! depends on the purpose (reading, preparing a write, writing back, reporting), so a file system has
//! one implementation of [`Operations`] per purpose, usually an empty type:
//!
//! ```text
//!   read, write, seek, fiemap …          writeback                       completion
//!     Operations::begin ─▶ Iomap           WritebackOps::map_range         dio:       DioOps::end_io
//!     (iomap works on the range)           WritebackOps::prepare_submit    writeback: WritebackOps::end_ioend
//!     Operations::end(written)             (I/O)
//! ```
//!
//! All addresses and lengths are in bytes.
//!
//! C header: [`include/linux/iomap.h`](srctree/include/linux/iomap.h); documentation:
//! `Documentation/filesystems/iomap/`

pub mod buffered;
pub mod dio;
mod map;
mod operations;
mod query;
pub mod writeback;

pub use map::{Flags, Iomap, MapFlags, MapType};
pub use operations::Operations;
pub use query::{bmap, fiemap, seek_data, seek_hole};

use kernel::prelude::*;

/// The number of bytes that C code returned, or its error.
fn to_count(ret: isize) -> Result<usize> {
    // CAST: Negative results are error numbers, which fit.
    usize::try_from(ret).map_err(|_| Error::from_errno(ret as i32))
}

/// The file offset that C code returned, or its error.
fn to_offset(ret: i64) -> Result<i64> {
    if ret < 0 {
        // CAST: Negative results are error numbers, which fit.
        return Err(Error::from_errno(ret as i32));
    }
    Ok(ret)
}
