// SPDX-License-Identifier: GPL-2.0

//! Making a file system known to the kernel.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    context::{Context, MountOptions},
    inode::cache::InodeCache,
    parameter::ParameterTable,
    FileSystem,
};
use crate::linux::bindings;
use kernel::{container_of, error::to_result, prelude::*, types::Opaque, ThisModule};

/// A registered file system: as long as it exists, `F` can be mounted.
///
/// A module holds it while it is loaded; a mounted file system keeps its module loaded. It must
/// not be dropped while `F` is mounted, so a module makes it last, when nothing can fail any more.
///
/// # Invariants
///
/// `file_system_type` is registered. It is the type of all super blocks of `F`, and is not
/// written while they exist, but by the VFS.
#[pin_data(PinnedDrop)]
pub struct Registration<F: FileSystem> {
    #[pin]
    file_system_type: Opaque<bindings::file_system_type>,
    parameters: ParameterTable<<F::Options as MountOptions>::Key>,
    inode_cache: InodeCache<F>,
}

// SAFETY: A file system may be registered by one thread and unregistered by another.
unsafe impl<F: FileSystem> Send for Registration<F> {}

// SAFETY: Nothing of it can be changed but by dropping it.
unsafe impl<F: FileSystem> Sync for Registration<F> {}

impl<F: FileSystem> Registration<F> {
    /// Registers `F`, whose code belongs to `module`.
    pub fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            parameters: ParameterTable::new(F::Options::PARAMETERS)?,
            inode_cache: InodeCache::new()?,
            file_system_type <- {
                let parameters = parameters.as_ptr();
                Opaque::try_ffi_init(move |slot: *mut bindings::file_system_type| {
                    // SAFETY: `slot` is valid for writes, and will stay where it is. The tables
                    // live as long as the registration.
                    unsafe {
                        slot.write(pin_init::zeroed());
                        (*slot).name = F::NAME.as_char_ptr();
                        (*slot).owner = module.as_ptr();
                        (*slot).fs_flags = Self::FLAGS as i32;
                        (*slot).parameters = parameters.cast();
                        (*slot).init_fs_context = Some(Context::<F>::init_fs_context);
                        (*slot).kill_sb = Some(Context::<F>::kill_sb);
                    }
                    // SAFETY: The type is complete, and unregistered before it goes.
                    to_result(unsafe { bindings::register_filesystem(slot) })
                })
            },
        })
    }

    const FLAGS: u32 = {
        let mut flags = 0;
        if F::REQUIRES_DEV {
            flags |= bindings::FS_REQUIRES_DEV;
        }
        if F::ALLOW_IDMAP {
            flags |= bindings::FS_ALLOW_IDMAP;
        }
        if F::MULTIGRAIN_TIMES {
            flags |= bindings::FS_MGTIME;
        }
        if F::USERNS_MOUNT {
            flags |= bindings::FS_USERNS_MOUNT;
        }
        flags
    };

    /// The registration that a type belongs to.
    ///
    /// # Safety
    ///
    /// `file_system_type` must be that of a `Registration<F>` that lives for `'a`.
    pub(super) unsafe fn from_raw<'a>(
        file_system_type: *mut bindings::file_system_type,
    ) -> &'a Self {
        let opaque = Opaque::cast_from(file_system_type).cast_mut();
        // SAFETY: As promised by the caller.
        unsafe { &*container_of!(opaque, Self, file_system_type) }
    }

    pub(super) fn inode_cache(&self) -> &InodeCache<F> {
        &self.inode_cache
    }

    pub(super) fn parameters(&self) -> *const bindings::fs_parameter_spec {
        self.parameters.as_ptr()
    }
}

#[pinned_drop]
impl<F: FileSystem> PinnedDrop for Registration<F> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants, the type is registered. If super blocks are left, which
        // need it, this does not return.
        unsafe { bindings::unregister_unused_filesystem(self.file_system_type.get()) };
    }
}
