// SPDX-License-Identifier: GPL-2.0

//! Error numbers, as file systems use them.
//!
//! All come from the `kernel` crate. Two of them mean something to file systems in particular:
//! `EUCLEAN` says that the volume is damaged, and `EIOCBQUEUED` that a read or write will be
//! completed later.

pub use kernel::error::code::*;

#[cfg(linux_7_2)]
pub use missing::*;

/// Numbers that the `kernel` crate does not have yet.
#[cfg(linux_7_2)]
mod missing {
    use core::num::NonZeroI32;
    use kernel::error::{code::EINVAL, Error};

    const fn error(number: u32) -> Error {
        match NonZeroI32::new(-(number as i32)) {
            // SAFETY: `Error` is a struct of this one field, and what it demands of that, to be the negative of an
            // error number, holds. There is no other constructor that is const.
            Some(number) => unsafe { core::mem::transmute::<NonZeroI32, Error>(number) },
            None => EINVAL,
        }
    }

    macro_rules! declare {
        ($($name:ident),*) => {
            $(
                #[allow(missing_docs, reason = "include/uapi/asm-generic/errno.h has them")]
                pub const $name: Error = error(kernel::bindings::$name);
            )*
        };
    }

    declare!(
        EDEADLK,
        ENAMETOOLONG,
        ENOTEMPTY,
        EOPNOTSUPP,
        ESHUTDOWN,
        EUCLEAN
    );
}
