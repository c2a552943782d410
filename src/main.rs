// SPDX-License-Identifier: GPL-2.0

//! cowfs: a copy-on-write file system.
//!
//! `Documentation/design.md` tells how it works. The layers, of which each uses only those below:
//!
//! ```text
//!   super_block  namei  directory  symlink  file/  pages  ioctl  what the VFS calls
//!   io/  cow  truncate  evict  orphan  room  reclaim           how it is done
//!   inode/  transaction  view  space  groups  volume  buffer   a mounted volume
//!   libcowfs/                                                  the format and its algorithms
//!   linux (../rust)                                            the kernel, made safe
//! ```

#[path = "../rust/lib.rs"]
pub mod linux;

mod buffer;
mod cow;
mod directory;
mod error;
mod evict;
mod file;
mod groups;
mod inode;
mod io;
mod ioctl;
pub mod libcowfs;
mod namei;
mod options;
mod orphan;
mod pages;
mod reclaim;
mod room;
mod space;
mod super_block;
mod symlink;
mod transaction;
mod truncate;
mod view;
mod volume;

use kernel::prelude::*;
use linux::fs::Registration;
use super_block::Cowfs;

module! {
    type: CowfsModule,
    name: "cowfs",
    authors: ["the cowfs developers"],
    description: "Copy-on-write file system",
    license: "GPL",
    alias: ["fs-cowfs"],
}

/// The module as long as it is loaded.
#[pin_data]
pub(crate) struct CowfsModule {
    #[pin]
    registration: Registration<Cowfs>,
}

impl kernel::InPlaceModule for CowfsModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registration <- Registration::new(module),
        })
    }
}
