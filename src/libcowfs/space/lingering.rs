// SPDX-License-Identifier: GPL-2.0

//! References that were given up, but that a crash brings back.
//!
//! ```text
//!      on disk            in memory                       after a crash, if B wrote x in place
//!
//!     A      B            A       B                               A      B
//!      \    /     A       |       |      not yet committed         \    /
//!       x: 2    ───────►  y: 1    x: 1                              x: 2     A sees what B wrote
//!               writes
//! ```
//!
//! B has `x` for itself once A wrote elsewhere, was truncated or is gone. But what B writes in place reaches the
//! disk at once, and A's own change with the next commit only. Until then `x` counts as shared for whoever
//! wants to write to it: B's write goes elsewhere, and is mapped by a transaction that does not come before A's.
//! So that B's file does not become fragmented only because A's was overwritten just before, the journal is
//! told ([`Reader::held_up`]), and commits early.
//!
//! Transactions are told apart by whether their numbers are even, as at most two are not on disk: the
//! running one and the one that is being committed.

use super::super::store::Reader;
use super::bitmap::Bitmap;

/// What one transaction did.
#[derive(Debug, Default)]
struct Given {
    /// Its number.
    id: u64,
    /// The blocks that lost all references but one; `None` if there was no memory to tell them.
    blocks: Option<Bitmap>,
    /// Whether there is any.
    any: bool,
}

/// Blocks of a group that lost all references but one in transactions that may not be on disk.
#[derive(Debug, Default)]
pub(super) struct Lingering([Given; 2]);

impl Lingering {
    /// Transaction `id` left the blocks `[first, first + count)` of a group of `len` blocks with one reference.
    pub(super) fn add(&mut self, id: u64, len: u32, first: u32, count: u32) {
        let [even, odd] = &mut self.0;
        let given = if id % 2 == 0 { even } else { odd };
        if given.id != id || !given.any {
            given.id = id;
            given.any = true;
            given.blocks = Bitmap::new(len).ok();
        }
        if let Some(blocks) = &mut given.blocks {
            blocks.insert(first, count);
        }
    }

    /// Whether block `first` is one of them, and how many of the `count` blocks from it on are alike.
    pub(super) fn lookup<R: Reader>(&self, reader: &R, first: u32, count: u32) -> (bool, u32) {
        let mut alike = count;
        for given in &self.0 {
            if !given.any || reader.is_on_disk(given.id) {
                continue;
            }
            let Some(blocks) = &given.blocks else {
                reader.held_up(given.id);
                return (true, count);
            };
            match blocks.run_at(first, count) {
                0 => {
                    let next = blocks.next(first).unwrap_or(u32::MAX);
                    alike = alike.min(next.saturating_sub(first));
                }
                run => {
                    reader.held_up(given.id);
                    return (true, run);
                }
            }
        }
        (false, alike)
    }

    /// Whether there is none any more, as `settled` says of transactions that are on disk.
    pub(super) fn is_over(&self, settled: impl Fn(u64) -> bool) -> bool {
        self.0.iter().all(|given| !given.any || settled(given.id))
    }
}
