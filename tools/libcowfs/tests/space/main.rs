// SPDX-License-Identifier: GPL-2.0

//! Space against simple models, and after each run a census of the whole volume: every block is
//! in exactly one state, every count is right.

mod blocks;
mod census;
mod inodes;
mod orphans;
mod refcounts;
mod reserve;
mod search;

use cowfs_core::format;
use cowfs_core::mem::MemStore;

/// A new volume with `groups` groups of `group` blocks, and one of `rest` blocks if that is not 0.
fn volume(block_size: u32, group: u32, groups: u32, rest: u32) -> MemStore {
    let blocks = |groups: u32| 4 + 1024 + u64::from(groups) * u64::from(group) + u64::from(rest);
    let bytes = blocks(groups) * u64::from(block_size);
    let plan = format::plan_with_groups(bytes, block_size, Some(1024), group).unwrap();
    let geometry = plan.geometry().unwrap();
    assert_eq!(geometry.ag_count, groups + u32::from(rest != 0));
    let store = MemStore::new(geometry).unwrap();
    store.run(|tx| format::write(tx, 0)).unwrap();
    store
}
