// SPDX-License-Identifier: GPL-2.0

//! Mounting and remounting.
//!
//! The kernel collects the options of a mount in a `struct fs_context`, to which the file
//! system's own [`MountOptions`] belong; when they are complete, it asks for a super block or
//! for the change of one.
//!
//! ```text
//!   init_fs_context ─► parse_param … ─► get_tree ─► fill_super ─► free     mount
//!                                    └► reconfigure ────────────► free     remount
//! ```
//!
//! C header: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use super::{
    parameter::{Parameter, Value},
    super_block::{
        new::{clean_up, NewSuperBlock},
        operations::Table as SuperTable,
    },
    FileSystem, Registration, SuperBlock,
};
use crate::linux::{bindings, error::EUCLEAN};
use core::{marker::PhantomData, mem, ptr};
use kernel::{
    error::{from_result, to_result},
    ffi::c_int,
    prelude::*,
    sync::aref::ARef,
};

/// The mount options of a file system.
pub trait MountOptions: Send + Sized + 'static {
    /// By what the options are told apart.
    type Key: Copy + 'static;

    /// The options there are; at most 255.
    const PARAMETERS: &'static [Parameter<Self::Key>];

    /// What holds if no option is given.
    fn new() -> Self;

    /// Takes note of an option. `EINVAL` if the value will not do.
    fn parse(&mut self, key: Self::Key, value: Value<'_>) -> Result;
}

impl MountOptions for () {
    type Key = ();

    const PARAMETERS: &'static [Parameter<()>] = &[];

    fn new() {}

    fn parse(&mut self, _key: (), _value: Value<'_>) -> Result {
        Err(EINVAL)
    }
}

/// What a remount changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconfigure {
    was_read_only: bool,
    read_only: bool,
}

impl Reconfigure {
    /// Whether it is to be read-only.
    pub fn is_read_only(self) -> bool {
        self.read_only
    }

    /// Whether it becomes read-only, and was not.
    pub fn to_read_only(self) -> bool {
        self.read_only && !self.was_read_only
    }

    /// Whether it becomes writable, and was not.
    pub fn to_read_write(self) -> bool {
        !self.read_only && self.was_read_only
    }
}

/// The `struct fs_context_operations` of `F`.
pub(super) struct Context<F>(PhantomData<F>);

impl<F: FileSystem> Context<F> {
    const TABLE: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(Self::free),
        parse_param: Some(Self::parse_param),
        get_tree: Some(Self::get_tree),
        reconfigure: Some(Self::reconfigure),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS for a new context of `F`.
    pub(super) unsafe extern "C" fn init_fs_context(
        context: *mut kernel::bindings::fs_context,
    ) -> c_int {
        let context: *mut bindings::fs_context = context.cast();
        from_result(|| {
            let options = KBox::new(F::Options::new(), GFP_KERNEL)?;
            // SAFETY: The context is valid and ours; it holds the options until `free`.
            unsafe {
                (*context).fs_private = KBox::into_raw(options).cast();
                (*context).ops = ptr::from_ref(&Self::TABLE).cast();
            }
            Ok(0)
        })
    }

    /// The options, if the context still has them.
    ///
    /// # Safety
    ///
    /// `context` must be one that [`Self::init_fs_context`] set up, and nobody else use it.
    unsafe fn take_options(context: *mut bindings::fs_context) -> Option<KBox<F::Options>> {
        // SAFETY: The context is valid.
        let options = unsafe { mem::replace(&mut (*context).fs_private, ptr::null_mut()) };
        // SAFETY: If it is not null, it is what `init_fs_context` put there.
        (!options.is_null()).then(|| unsafe { KBox::from_raw(options.cast()) })
    }

    /// # Safety
    ///
    /// Called by the VFS for a context that [`Self::init_fs_context`] set up, once.
    unsafe extern "C" fn free(context: *mut bindings::fs_context) {
        // SAFETY: As promised by the caller.
        drop(unsafe { Self::take_options(context) });
    }

    /// # Safety
    ///
    /// Called by the VFS for a context that [`Self::init_fs_context`] set up.
    unsafe extern "C" fn parse_param(
        context: *mut bindings::fs_context,
        parameter: *mut bindings::fs_parameter,
    ) -> c_int {
        from_result(|| {
            let mut result = bindings::fs_parse_result::default();
            // SAFETY: Context and parameter are valid, and the table of the type ends with an
            // empty entry. A parameter that is not ours is reported by `ENOPARAM`.
            let index = unsafe {
                bindings::__fs_parse(
                    &raw mut (*context).log,
                    Registration::<F>::from_raw((*context).fs_type).parameters(),
                    parameter,
                    &mut result,
                )
            };
            to_result(index)?;
            let declared = F::Options::PARAMETERS.get(index as usize).ok_or(EINVAL)?;
            // SAFETY: The options are there until the super block is asked for, and the VFS lets
            // only one task use a context.
            let options = unsafe { (*context).fs_private.cast::<F::Options>().as_mut() };
            // SAFETY: The parameter was just parsed as the one declared with this index.
            let value = unsafe { declared.value(&*parameter, &result) };
            let done = value.and_then(|value| options.ok_or(EBUSY)?.parse(declared.key(), value));
            if done.is_err() {
                // SAFETY: Context and parameter are valid; its name is NUL-terminated.
                unsafe { bindings::errorfc_bad_value(context, (*parameter).key) };
            }
            done.map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a context that [`Self::init_fs_context`] set up.
    unsafe extern "C" fn get_tree(context: *mut bindings::fs_context) -> c_int {
        // SAFETY: As promised by the caller. `fill_super` is for the super blocks that these
        // functions make for a context.
        unsafe {
            if F::REQUIRES_DEV {
                bindings::get_tree_bdev(context, Some(Self::fill_super))
            } else {
                bindings::get_tree_nodev(context, Some(Self::fill_super))
            }
        }
    }

    /// # Safety
    ///
    /// Called for a context that [`Self::init_fs_context`] set up, and a new super block of its
    /// type, that nobody else uses.
    unsafe extern "C" fn fill_super(
        sb: *mut bindings::super_block,
        context: *mut bindings::fs_context,
    ) -> c_int {
        from_result(|| {
            // SAFETY: As promised by the caller.
            let options = unsafe { Self::take_options(context) }.ok_or(EINVAL)?;
            // SAFETY: The super block is valid, and of `F`.
            unsafe { (*sb).s_op = SuperTable::<F::SuperOps>::get() };
            // INVARIANT: A new super block has no data yet.
            // SAFETY: As promised by the caller.
            let new = unsafe { NewSuperBlock::from_raw(sb) };
            let filled = F::fill_super(new, KBox::into_inner(options));
            // SAFETY: As promised by the caller.
            let filled = filled.and_then(|root| unsafe { Self::set_root(sb, root) });
            if filled.is_err() {
                // Inodes are not cached before the super block is active, so those that were in
                // use are gone with their last reference. If somebody still holds one, which is
                // a bug, the super block must stay for it.
                // SAFETY: The super block is valid, and no others use it.
                unsafe {
                    if !clean_up::<F>(sb) {
                        pr_err!("{}: inodes are in use after a failed mount\n", F::NAME);
                        bindings::sb_pin(sb);
                    }
                }
            }
            filled.map(|()| 0)
        })
    }

    /// Makes `root` the root directory.
    ///
    /// # Safety
    ///
    /// `sb` must be a new super block of `F`.
    unsafe fn set_root(sb: *mut bindings::super_block, root: ARef<super::Inode<F>>) -> Result {
        if root.sb().as_raw() != sb || !root.is_dir() {
            return Err(EUCLEAN);
        }
        // SAFETY: The root is an inode of this super block; `d_make_root` takes the reference.
        unsafe {
            let root = bindings::d_make_root(ARef::into_raw(root).as_ptr().cast());
            if root.is_null() {
                return Err(ENOMEM);
            }
            (*sb).s_root = root;
        }
        Ok(())
    }

    /// # Safety
    ///
    /// Called by the VFS for a context that [`Self::init_fs_context`] set up for the super block
    /// of its root, which is locked.
    unsafe extern "C" fn reconfigure(context: *mut bindings::fs_context) -> c_int {
        from_result(|| {
            // SAFETY: As promised by the caller.
            let options = unsafe { Self::take_options(context) }.ok_or(EINVAL)?;
            // SAFETY: As promised by the caller; a super block with a root was filled.
            let (sb, read_only) = unsafe {
                let sb = SuperBlock::<F>::from_raw((*(*context).root).d_sb);
                let flags = (*context).sb_flags as usize;
                // Flags that are not to be changed are to stay.
                let changes = (*context).sb_flags_mask as usize & bindings::SB_RDONLY != 0;
                (
                    sb,
                    if changes {
                        flags & bindings::SB_RDONLY != 0
                    } else {
                        sb.is_read_only()
                    },
                )
            };
            let change = Reconfigure {
                was_read_only: sb.is_read_only(),
                read_only,
            };
            // As in C file systems: what cannot be written is no reason not to become read-only.
            let _ = sb.sync_locked();
            F::reconfigure(sb, KBox::into_inner(options), change)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of `F` that nobody uses any more.
    pub(super) unsafe extern "C" fn kill_sb(sb: *mut bindings::super_block) {
        // SAFETY: As promised by the caller.
        unsafe {
            if F::REQUIRES_DEV {
                bindings::kill_block_super(sb);
            } else {
                bindings::kill_anon_super(sb);
            }
        }
    }
}
