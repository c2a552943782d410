// SPDX-License-Identifier: GPL-2.0

//! Journaling of metadata blocks: jbd2.
//!
//! A change that must happen as a whole is made under a [`Handle`]. Handles of many tasks join the
//! running transaction; the journal's thread commits it from time to time, when somebody asks for
//! it, or when it is full. A handle says in advance how many blocks it may change ([`Credits`]), so
//! that the log never runs out of space in the middle.
//!
//! ```text
//!   Journal::init_dev ─▶ Unloaded ─load()─▶ Journal ─start(credits)─▶ Handle
//!                        (replays the log)     │                        │ get_write_access(bh)
//!                                              │                        │ …change bh.data()…
//!            JournalOps::frozen(block)  ◀──────┤ commit                 │ dirty_metadata(bh)
//!            JournalOps::committed(tid) ◀──────┘                        ▼ stop()
//! ```
//!
//! A block belongs to one transaction at a time. While it is being written to the log, the next
//! transaction works on the same buffer; [`Handle::get_write_access`] has the older content copied
//! out before, if that is still needed.
//!
//! # Nesting
//!
//! Starting a handle while the task has one open on the same journal does not open another: both are
//! the same handle to the journal, which ends with the last of them. That is how an operation that
//! the kernel calls back from within a transaction takes part in it. The inner one's credits are
//! added to those of the outer. Handles on two journals cannot be nested (`EINVAL`).
//!
//! C header: [`include/linux/jbd2.h`](srctree/include/linux/jbd2.h)

mod handle;
mod journal;

pub use handle::{Handle, Reservation};
pub use journal::{Features, Journal, Unloaded, UpdatesLocked};

use core::cmp::Ordering;
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*};

use super::shared_bytes::SharedBytes;

/// What a file system does when its journal commits.
#[vtable]
pub trait JournalOps: Send + Sync + 'static {
    /// The content of `block` is about to be written to the log as it is now in `data`: the last
    /// moment to change it, in particular to fill in its checksum.
    ///
    /// Called for each block of a transaction once per commit; without this method none. Others may
    /// read the buffer meanwhile, but who changes buffers only after [`Handle::get_write_access`]
    /// is kept out. Called with spinlocks held: must not sleep.
    fn frozen(&self, _block: u64, _data: SharedBytes<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Transaction `tid` is over: on disk for good, or with an error if the journal has been aborted.
    ///
    /// Called by the journal's thread or by [`Journal::destroy`], for one transaction after the other.
    /// May sleep, but must not start a handle nor wait for a commit.
    fn committed(&self, _tid: Tid, _result: Result) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The number of a transaction.
///
/// Numbers wrap around; they are compared by the shorter way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tid(u32);

impl Tid {
    /// The number as it is stored.
    #[inline]
    pub const fn from_raw(tid: u32) -> Self {
        Self(tid)
    }

    /// The stored number.
    #[inline]
    pub const fn into_raw(self) -> u32 {
        self.0
    }
}

impl PartialOrd for Tid {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        // CAST: The sign bit of the difference tells which way round is the shorter.
        Some((self.0.wrapping_sub(other.0) as i32).cmp(&0))
    }
}

/// How much a handle may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credits {
    /// Blocks it may change.
    pub blocks: u32,
    /// Blocks it may revoke, that is, free although they may still be in the log.
    pub revokes: u32,
}

impl Credits {
    /// Credits to change `blocks` blocks and revoke none.
    #[inline]
    pub const fn blocks(blocks: u32) -> Self {
        Self { blocks, revokes: 0 }
    }

    /// The two numbers as C takes them.
    fn to_c(self) -> Result<(i32, i32)> {
        // The C code adds to these: leave it room.
        const MAX: u32 = 1 << 24;
        if self.blocks > MAX || self.revokes > MAX {
            return Err(ENOSPC);
        }
        // CAST: Checked above.
        Ok((self.blocks as i32, self.revokes as i32))
    }
}
