// SPDX-License-Identifier: GPL-2.0

//! What an inode's slot says, checked, and how it is written back.
//!
//! Different parts of a slot belong to different code, and each stores its own only:
//!
//! ```text
//!   magic, generation              space::inodes, when the slot is allocated
//!   mode ... parent                Core
//!   format, root, height, count,   regular files: extent::Fork   directories: root.rs
//!   inline area, blocks            symbolic links: symlink.rs    others: zero
//!   FLAG_SHARED                    extent::Fork
//! ```

mod common;
mod file_type;
mod root;
pub mod symlink;

pub use common::{Core, Time, MAX_COW_EXTENT_SIZE};
pub use file_type::FileType;
pub use root::{add_blocks, load_root, store_root};

use super::block::Block;
use super::ondisk::inode::{Format, BLOCKS, FORMAT, GENERATION};

/// Makes the newly allocated slot at `at` one of format `format`, without contents.
pub fn init(buf: &impl Block, at: usize, format: Format) {
    buf.set_u8(at + FORMAT, format as u8);
}

/// The generation of the slot: no two inodes of the same number have the same.
pub fn generation(buf: &impl Block, at: usize) -> u32 {
    buf.u32(at + GENERATION)
}

/// How many blocks the inode points to, data and tree nodes.
pub fn blocks(buf: &impl Block, at: usize) -> u64 {
    buf.u64(at + BLOCKS)
}
