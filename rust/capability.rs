// SPDX-License-Identifier: GPL-2.0

//! What tasks are privileged to do.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use kernel::{bindings, ffi::c_int};

/// A privilege, `CAP_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability(c_int);

impl Capability {
    /// To administrate the system.
    pub const SYS_ADMIN: Self = Self(bindings::CAP_SYS_ADMIN as c_int);
}

/// Whether the task at work has a privilege in the initial user namespace; if so, it is taken to be used.
pub fn capable(capability: Capability) -> bool {
    // SAFETY: Always callable in a task's context, for any of the numbers that there are.
    unsafe { bindings::capable(capability.0) }
}
