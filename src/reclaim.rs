// SPDX-License-Identifier: GPL-2.0

//! Giving back what is held for later and was not asked for, without being told to: after a while,
//! and when memory is short. (Before anyone is told `ENOSPC`, it is [`room`](crate::room) that does.)
//!
//! A file keeps the blocks that were staged around its writes for as long as it is written to. Its
//! writer may go quiet without closing it, so a worker looks around: the first file that stages
//! something arms it, it comes every `cowlifetime=` seconds while there is one, and takes
//! from each that was not changed since its last visit.
//!
//! ```text
//!   first file stages -> (cowlifetime) -> visit: note each file's sequence; if it is the one noted
//!                              ^            |    before, give back what nobody wrote
//!                              +-- any left-+
//! ```
//!
//! When memory is short, groups are dropped at once; the worker, which may have to wait for locks, is told to come
//! soon.

use crate::cow;
use crate::linux::jbd2::Tid;
use crate::volume::Super;
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;
use kernel::time::msecs_to_jiffies;

/// How soon the worker comes when memory is short, in milliseconds: not at once, or it would take
/// from files which are being written to.
const SOON: u32 = 1000;

/// There is a first file with something staged.
pub(crate) fn arm(sb: &Super) {
    let seconds = sb.info().options.cow_lifetime();
    sb.schedule_background(msecs_to_jiffies(seconds.saturating_mul(1000)));
}

/// What [`arm`] goes by has changed: the worker comes as if something had been staged now.
pub(crate) fn rearm(sb: &Super) {
    let seconds = sb.info().options.cow_lifetime();
    sb.reschedule_background(msecs_to_jiffies(seconds.saturating_mul(1000)));
}

/// The worker's visit.
pub(crate) fn visit(sb: &Super) {
    let volume = sb.info();
    volume.hurried.store(false, Relaxed);
    // What is frozen keeps what it has until the next visit.
    if let Some(_writing) = sb.try_start_write() {
        volume.registry.each(sb, |inode| {
            let sequence = inode.data().map().sequence;
            if !volume.registry.is_quiet(inode, sequence) {
                return;
            }
            if let Err(e) = cow::give_back_unwritten(inode) {
                pr_debug!(
                    "cowfs: staged blocks of inode {} stay: {:?}\n",
                    inode.ino(),
                    e
                );
            }
        });
    }
    if !volume.registry.is_empty() {
        arm(sb);
    }
}

/// Looks at up to `count` groups in memory, and returns how many it dropped. Does not sleep.
pub(crate) fn shrink(sb: &Super, count: usize) -> usize {
    let volume = sb.info();
    if !volume.hurried.load(Relaxed) {
        volume.hurried.store(true, Relaxed);
        sb.reschedule_background(msecs_to_jiffies(SOON));
    }
    let settled = |id: u64| match volume.journal() {
        Some(journal) => journal.is_checkpointed(Tid::from_raw(id as u32)),
        None => true,
    };
    volume.space.groups.shrink(count, settled)
}
