// SPDX-License-Identifier: GPL-2.0

//! Writing dirty pages back.
//!
//! [`writepages`] walks over the dirty pages of a file. For each range it asks where to write it
//! ([`WritebackOps::map_range`]), gathers what is contiguous into an *ioend*, and when that is complete
//! submits it. What happens at the end depends on the ioend:
//!
//! ```text
//!   map_range ─▶ ioend ─▶ prepare_submit ─▶ I/O ─┬─▶ nothing to be done: pages are clean
//!                                                └─▶ needs_completion: IoendList of the inode
//!                                                      work queue: sort, merge
//!                                                        ─▶ end_ioend ─▶ pages are clean
//! ```
//!
//! The I/O ends in interrupt context, so what has to sleep is left to a work queue. It finds the ioends
//! of one inode together, sorts them and merges those that are contiguous in the file and on disk, so
//! that one transaction does for many.

mod ioend;

pub use ioend::{Ioend, IoendFlags, IoendList};

use core::{
    ffi::{c_int, c_uint},
    marker::PhantomData,
};
use kernel::{
    error::{to_result, VTABLE_DEFAULT_ERROR},
    prelude::*,
};

use super::{Iomap, MapType};
use crate::linux::{
    bindings,
    fs::{AddressSpace, FileSystem, Inode, WritebackControl},
    mm::NofsScope,
    workqueue::OwnedQueue,
};

/// How a file system writes back.
#[vtable]
pub trait WritebackOps: Sized + 'static {
    /// The file system.
    type FileSystem: FileSystem;

    /// What it remembers from one range to the next in one call of [`writepages`].
    type State: Default;

    /// Finds out where the byte at `pos` is to be written, and sets the context's mapping to that; `len`
    /// bytes there are dirty.
    ///
    /// The mapping of the last range is still there: if it [covers](Iomap::covers) `pos` and still is
    /// right, nothing needs to be done. To be set to a hole if the range is not to be written any more.
    /// Called with the page locked; allocations do not enter file systems.
    fn map_range(context: &mut WritebackContext<'_, Self>, pos: u64, len: u32) -> Result;

    /// [`WritebackOps::map_range`] has failed: what `len` bytes at `pos` had reserved is not needed any
    /// more, for their pages count as clean.
    fn discard_range(_inode: &Inode<Self::FileSystem>, _pos: u64, _len: u64) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The I/O is about to be submitted. If that fails, so does the I/O, with what follows from it.
    fn prepare_submit(_inode: &Inode<Self::FileSystem>, _ioend: &Ioend) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Whether [`WritebackOps::end_ioend`] has to be called when the I/O has succeeded. It always is when
    /// it has failed before it was submitted.
    fn needs_completion(_inode: &Inode<Self::FileSystem>, _ioend: &Ioend) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Where ioends wait for their completion, and the queue that will run it. Called in interrupt
    /// context.
    ///
    /// Both must always be the same for an inode.
    fn completion(inode: &Inode<Self::FileSystem>) -> (&IoendList<Self>, &OwnedQueue);

    /// The I/O is over: makes known what has been written, or gives back what was prepared for it.
    ///
    /// May sleep; allocations do not enter file systems. Failure is remembered for `fsync`.
    fn end_ioend(inode: &Inode<Self::FileSystem>, ioend: &Ioend, result: Result) -> Result;
}

/// Writeback in progress.
///
/// # Invariants
///
/// `context` is valid and used only by us, for `'a`, and its inode is one of `W::FileSystem`.
pub struct WritebackContext<'a, W: WritebackOps> {
    context: &'a mut bindings::iomap_writepage_ctx,
    state: &'a mut W::State,
}

impl<'a, W: WritebackOps> WritebackContext<'a, W> {
    /// The inode.
    pub fn inode(&self) -> &'a Inode<W::FileSystem> {
        // SAFETY: By the type invariant; writeback keeps the inode.
        unsafe { Inode::from_raw(self.context.inode) }
    }

    /// The mapping.
    pub fn map(&mut self) -> &mut Iomap {
        // SAFETY: By the type invariant.
        unsafe { Iomap::from_raw(&mut self.context.iomap) }
    }

    /// What was remembered.
    pub fn state(&mut self) -> &mut W::State {
        self.state
    }
}

/// Writes dirty pages of `mapping` back, as far as `control` asks for it.
pub fn writepages<W: WritebackOps>(
    mapping: &AddressSpace<W::FileSystem>,
    control: &WritebackControl<W::FileSystem>,
) -> Result {
    let mut context = Context::<W> {
        context: bindings::iomap_writepage_ctx {
            inode: mapping.host().as_raw(),
            wbc: control.as_raw(),
            ops: Table::<W>::OPS,
            ..pin_init::zeroed()
        },
        state: W::State::default(),
    };
    // SAFETY: The context is valid, its table is for inodes of this type and expects this context, and
    // the control is used by this task only.
    to_result(unsafe { bindings::iomap_writepages((&raw mut context).cast()) })
}

/// The C context with what we add.
#[repr(C)]
struct Context<W: WritebackOps> {
    context: bindings::iomap_writepage_ctx,
    state: W::State,
}

/// The C table of an implementation.
struct Table<W>(PhantomData<W>);

impl<W: WritebackOps> Table<W> {
    const OPS: &'static bindings::iomap_writeback_ops = &bindings::iomap_writeback_ops {
        writeback_range: Some(Self::writeback_range),
        writeback_submit: Some(Self::writeback_submit),
    };

    /// # Safety
    ///
    /// To be called by iomap only, for a context made by [`writepages`].
    unsafe extern "C" fn writeback_range(
        context: *mut bindings::iomap_writepage_ctx,
        folio: *mut bindings::folio,
        pos: u64,
        len: c_uint,
        end: u64,
    ) -> isize {
        // SAFETY: By this function's safety requirement, and iomap does not use the context meanwhile.
        match unsafe { Self::map(&mut *context.cast(), pos, len) } {
            Ok(()) => {
                // SAFETY: The context has a mapping; the other arguments are those we got.
                // CAST: File offsets are less than `i64::MAX`.
                let done = unsafe {
                    bindings::iomap_add_to_ioend(context, folio, pos as i64, end as i64, len)
                };
                if done < 0 {
                    // SAFETY: As for this function.
                    unsafe { Self::discard(context, folio, pos) };
                }
                done
            }
            Err(error) => {
                // SAFETY: As for this function.
                unsafe { Self::discard(context, folio, pos) };
                error.to_errno() as isize
            }
        }
    }

    /// Has the range mapped, and makes sure that iomap can use the result.
    fn map(context: &mut Context<W>, pos: u64, len: u32) -> Result {
        let inode = context.context.inode;
        // SAFETY: The context's inode is valid, with a super block.
        context.context.iomap.bdev = unsafe { (*(*inode).i_sb).s_bdev };
        if context.context.iomap.bdev.is_null() {
            return Err(ENODEV);
        }
        let _nofs = NofsScope::enter();
        // INVARIANT: The context is ours, made by `writepages` for an inode of this type.
        let mut context = WritebackContext {
            context: &mut context.context,
            state: &mut context.state,
        };
        W::map_range(&mut context, pos, len)?;
        let map = context.map();
        let usable = matches!(
            map.map_type(),
            Some(MapType::Hole | MapType::Mapped | MapType::Unwritten)
        );
        if !usable || !i64::try_from(pos).is_ok_and(|pos| map.is_sane(pos)) {
            return Err(EIO);
        }
        Ok(())
    }

    /// Tells the file system that the folio will not be written from `pos` on.
    ///
    /// # Safety
    ///
    /// `context` must be valid, with an inode of this type, and `folio` locked.
    unsafe fn discard(
        context: *mut bindings::iomap_writepage_ctx,
        folio: *mut bindings::folio,
        pos: u64,
    ) {
        if !W::HAS_DISCARD_RANGE {
            return;
        }
        // SAFETY: The folio is valid.
        let (start, size) = unsafe { (bindings::folio_pos(folio), bindings::folio_size(folio)) };
        let end = u64::try_from(start)
            .unwrap_or(0)
            .saturating_add(size as u64);
        // SAFETY: By this function's safety requirement.
        let inode = unsafe { Inode::<W::FileSystem>::from_raw((*context).inode) };
        let _nofs = NofsScope::enter();
        W::discard_range(inode, pos, end.saturating_sub(pos));
    }

    /// # Safety
    ///
    /// To be called by iomap only, for a context made by [`writepages`] with an ioend.
    unsafe extern "C" fn writeback_submit(
        context: *mut bindings::iomap_writepage_ctx,
        mut error: c_int,
    ) -> c_int {
        // SAFETY: By this function's safety requirement.
        let (ioend, inode) = unsafe {
            (
                (*context).wb_ctx.cast::<bindings::iomap_ioend>(),
                Inode::<W::FileSystem>::from_raw((*context).inode),
            )
        };
        // SAFETY: The ioend stays as it is until it is submitted.
        let view = unsafe { Ioend::from_raw(ioend) };
        if W::HAS_PREPARE_SUBMIT && error == 0 {
            let _nofs = NofsScope::enter();
            if let Err(failure) = W::prepare_submit(inode, view) {
                error = failure.to_errno();
            }
        }
        if error != 0 || !W::HAS_NEEDS_COMPLETION || W::needs_completion(inode, view) {
            // SAFETY: The ioend is ours until it is submitted, and belongs to an inode of this type.
            unsafe { IoendList::<W>::attach(ioend) };
        }
        // SAFETY: The context is valid and has an ioend.
        unsafe { bindings::iomap_ioend_writeback_submit(context, error) }
    }
}
