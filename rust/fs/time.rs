// SPDX-License-Identifier: GPL-2.0

//! Time stamps of files.
//!
//! C header: [`include/linux/time64.h`](srctree/include/linux/time64.h)

use crate::linux::bindings;
use kernel::ffi::c_long;

/// A point in time as files record it, `struct timespec64`.
///
/// # Invariants
///
/// `nsec` is below 10^9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespec {
    sec: i64,
    nsec: u32,
}

impl Timespec {
    /// Nanoseconds in a second.
    pub const NSEC_PER_SEC: u32 = 1_000_000_000;

    /// `sec` seconds and `nsec` nanoseconds after the epoch, if `nsec` is below a second.
    pub const fn new(sec: i64, nsec: u32) -> Option<Self> {
        if nsec < Self::NSEC_PER_SEC {
            // INVARIANT: Just checked.
            Some(Self { sec, nsec })
        } else {
            None
        }
    }

    /// Whole seconds since the epoch.
    pub const fn sec(self) -> i64 {
        self.sec
    }

    /// Nanoseconds since that second.
    pub const fn nsec(self) -> u32 {
        self.nsec
    }

    pub(super) fn from_raw(ts: bindings::timespec64) -> Self {
        // INVARIANT: The remainder is below a second.
        Self {
            sec: ts.tv_sec,
            nsec: (ts.tv_nsec.unsigned_abs() % Self::NSEC_PER_SEC as usize) as u32,
        }
    }

    pub(super) fn into_raw(self) -> bindings::timespec64 {
        bindings::timespec64 {
            tv_sec: self.sec,
            tv_nsec: self.nsec as c_long,
        }
    }
}
