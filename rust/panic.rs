// SPDX-License-Identifier: GPL-2.0

//! Stopping the machine.
//!
//! C header: [`include/linux/panic.h`](srctree/include/linux/panic.h)

use kernel::prelude::*;

/// Stops the machine because of `what`, met on `whom`: for administrators who asked for that, as
/// with the mount option `errors=panic` of many file systems, and for nothing else.
pub fn panic(whom: &CStr, what: &CStr) -> ! {
    // SAFETY: The format asks for two strings.
    unsafe {
        kernel::bindings::panic(
            c"%s: %s\n".as_char_ptr(),
            whom.as_char_ptr(),
            what.as_char_ptr(),
        )
    }
}
