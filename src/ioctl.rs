// SPDX-License-Identifier: GPL-2.0

//! What is asked by number: stopping a volume by force.
//!
//! `FS_IOC_SHUTDOWN` leaves the volume as a power cut would, or better, and everything that is asked of it from then
//! on fails with `EIO`. Of what was done before,
//!
//! ```text
//!   DEFAULT       everything is on the disk: the volume is frozen first
//!   LOGFLUSH      what changed of the metadata is, data only as far as it was written back
//!   NOLOGFLUSH    only what somebody waited for
//! ```

use crate::linux::capability::{capable, Capability};
use crate::linux::fs::File;
use crate::super_block::Cowfs;
use crate::volume::Super;
use kernel::ioctl::_IOR;
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};

/// As in `include/uapi/linux/fs.h`.
const SHUTDOWN: u32 = _IOR::<u32>(b'X' as u32, 125);

/// The flags of [`SHUTDOWN`].
const DEFAULT: u32 = 0;
const LOGFLUSH: u32 = 1;
const NOLOGFLUSH: u32 = 2;

/// Does what `command` says.
pub(crate) fn ioctl(file: &File<Cowfs>, command: u32, argument: usize) -> Result<isize> {
    match command {
        SHUTDOWN => {
            if !capable(Capability::SYS_ADMIN) {
                return Err(EPERM);
            }
            let argument = UserSlice::new(UserPtr::from_addr(argument), size_of::<u32>());
            shut_down(file.inode().sb(), argument.reader().read()?)?;
            Ok(0)
        }
        _ => Err(ENOTTY),
    }
}

fn shut_down(sb: &Super, how: u32) -> Result {
    if how > NOLOGFLUSH {
        return Err(EINVAL);
    }
    let volume = sb.info();
    if volume.is_stopped() {
        return Ok(());
    }
    pr_alert!("cowfs ({}): shutdown was asked for ({})\n", sb.name(), how);
    let frozen = match how {
        DEFAULT => Some(volume.device.freeze()?),
        _ => None,
    };
    if let (LOGFLUSH, Some(journal)) = (how, volume.journal()) {
        // A journal that failed is stopped already.
        let _ = journal.force_commit();
    }
    volume.stop();
    drop(frozen);
    Ok(())
}
