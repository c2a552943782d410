// SPDX-License-Identifier: GPL-2.0

//! What an interrupt does. Until something is written the program just ends: all repairs are in memory. From then on
//! what was begun is finished, as the user wants a sound volume more than a prompt.

use std::io;
use std::process;
use std::sync::{Mutex, PoisonError};

/// The user did not want to wait for the end.
const CANCELED: i32 = 32;

static IS_WRITING: Mutex<bool> = Mutex::new(false);

/// Has SIGINT, SIGTERM and SIGHUP end the program.
///
/// # Errors
///
/// Those of the system.
pub fn allow() -> io::Result<()> {
    ctrlc::set_handler(|| {
        let is_writing = IS_WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_writing {
            eprintln!("fsck.cowfs: interrupted: nothing was written");
            process::exit(CANCELED);
        }
    })
    .map_err(io::Error::other)
}

/// From now on the program is not interrupted.
pub fn refuse() {
    *IS_WRITING.lock().unwrap_or_else(PoisonError::into_inner) = true;
}
