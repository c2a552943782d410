// SPDX-License-Identifier: GPL-2.0

//! From what went wrong in the core to an errno, and to the one line the log gets.

use crate::libcowfs::error::Error as Core;
use crate::libcowfs::units::FsBlock;
use crate::linux::error::EUCLEAN;
use crate::volume::Super;
use kernel::error::Error;
use kernel::prelude::*;

/// What `errors=` asks for when the volume is found to be corrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnError {
    /// Say so, fail the operation, and stop writing.
    #[default]
    RemountRo,
    /// Go on instead.
    Continue,
    /// Stop the machine.
    Panic,
}

impl OnError {
    /// The one with this number.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        [Self::RemountRo, Self::Continue, Self::Panic]
            .into_iter()
            .find(|it| *it as u32 == number)
    }
}

/// Has what the core can print printed by the kernel.
pub(crate) struct Shown<T>(pub T);

impl<T: core::fmt::Display> kernel::fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        self.0.fmt(f)
    }
}

/// The errno for `error`, which belongs to no volume or was logged already.
pub(crate) fn errno(error: Core) -> Error {
    match error {
        Core::Io(_) => EIO,
        Core::Corrupt(..) => EUCLEAN,
        Core::NoSpace | Core::NeedCredits => ENOSPC,
        Core::NoMemory => ENOMEM,
        Core::NotFound => ENOENT,
        Core::Exists => EEXIST,
        Core::Invalid => EINVAL,
        Core::TooBig => EFBIG,
        Core::ReadOnly => EROFS,
    }
}

/// The errno for `error`. What only the volume can be to blame for is logged, and answered as its
/// `errors=` option says.
pub(crate) fn report(sb: &Super, error: Core) -> Error {
    if let Core::Corrupt(..) | Core::Io(_) = error {
        pr_err!("cowfs ({}): {}\n", sb.name(), Shown(error));
    }
    if let Core::Corrupt(..) = error {
        sb.info().corrupt(sb);
    }
    if error == Core::ReadOnly && sb.info().is_stopped() {
        return EIO;
    }
    errno(error)
}

/// The core's error for one of the kernel, met at block `at`.
pub(crate) fn core(error: Error, at: FsBlock) -> Core {
    if error == ENOMEM {
        Core::NoMemory
    } else if error == ENOSPC {
        // Only the journal has limits that are told so.
        Core::NeedCredits
    } else if error == EROFS {
        Core::ReadOnly
    } else if error == EUCLEAN {
        Core::Corrupt(at, "no such group")
    } else {
        Core::Io(at)
    }
}
