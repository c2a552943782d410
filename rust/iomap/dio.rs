// SPDX-License-Identifier: GPL-2.0

//! Direct I/O: between the device and the caller's memory.

use core::{
    ffi::{c_int, c_uint},
    marker::PhantomData,
    ptr::{null, null_mut},
};
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*};

use super::{map::flags, operations::Table, Operations};
use crate::linux::{
    bindings,
    fs::{FileSystem, Inode, IovIter, Kiocb},
};

flags! {
    /// How to do direct I/O.
    Flags(u32) {
        /// Wait for the I/O even if the caller would not.
        FORCE_WAIT = IOMAP_DIO_FORCE_WAIT,
        /// Fail with `EAGAIN` rather than allocate or zero anything.
        OVERWRITE_ONLY = IOMAP_DIO_OVERWRITE_ONLY,
        /// Return what has been done when the caller's memory has to be faulted in.
        PARTIAL = IOMAP_DIO_PARTIAL,
        /// Split I/O at file system blocks only.
        FSBLOCK_ALIGNED = IOMAP_DIO_FSBLOCK_ALIGNED,
        /// Copy instead of using the caller's memory, which could change meanwhile.
        BOUNCE = IOMAP_DIO_BOUNCE,
    }
}

flags! {
    /// What a write met.
    EndFlags(u32) {
        /// Unwritten extents.
        UNWRITTEN = IOMAP_DIO_UNWRITTEN,
        /// Extents that were mapped as [`MapFlags::SHARED`](super::MapFlags::SHARED).
        COW = IOMAP_DIO_COW,
    }
}

/// A piece of direct I/O that is over, as far as the device is concerned.
pub struct Ended<'a, F: FileSystem> {
    /// The file's inode.
    pub inode: &'a Inode<F>,
    /// Where it began.
    pub pos: i64,
    /// How many bytes were submitted, which may come with an error.
    pub size: usize,
    /// Whether all of them got through.
    pub result: Result,
    /// What a write met.
    pub flags: EndFlags,
}

/// What a file system does when direct I/O is over.
#[vtable]
pub trait DioOps: 'static {
    /// The file system.
    type FileSystem: FileSystem;

    /// Makes known what has been written, or gives back what was prepared for it; for reads, to which
    /// other operations are given, or [`read`] is used, looks at what has been read.
    ///
    /// Failure becomes that of the I/O. Called by the submitter if it waits. Else called by a work
    /// queue, or, if the write was in place (`flags` is empty, no block was new), did not make the file
    /// longer and has not failed, in interrupt context: then it must not sleep.
    fn end_io(_io: Ended<'_, Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The C table of an implementation.
struct DioTable<D>(PhantomData<D>);

impl<D: DioOps> DioTable<D> {
    const OPS: &'static bindings::iomap_dio_ops = &bindings::iomap_dio_ops {
        end_io: if D::HAS_END_IO {
            Some(Self::end_io)
        } else {
            None
        },
        submit_io: None,
        bio_set: null_mut(),
    };

    /// # Safety
    ///
    /// To be called by iomap only, for a file of `D::FileSystem`.
    unsafe extern "C" fn end_io(
        iocb: *mut bindings::kiocb,
        size: isize,
        error: c_int,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: The control block is valid, and so is the file that it holds, during the call.
        let (inode, pos) = unsafe {
            (
                Inode::<D::FileSystem>::from_raw((*(*iocb).ki_filp).f_inode),
                (*iocb).ki_pos,
            )
        };
        let result = D::end_io(Ended {
            inode,
            pos,
            size: usize::try_from(size).unwrap_or(0),
            result: if error < 0 {
                Err(Error::from_errno(error))
            } else {
                Ok(())
            },
            flags: EndFlags::from_raw(flags),
        });
        match result {
            Err(error) => error.to_errno(),
            Ok(()) => 0,
        }
    }
}

/// Reads or writes what `iter` says at the control block's position.
///
/// Returns the number of bytes done, having moved the position on. Fails with `EIOCBQUEUED` if the I/O
/// is under way and the caller will be told; then `iocb` says nothing about it any more. Fails
/// with `ENOTBLK` if the I/O is to be tried through the page cache. `done_before` is the number of bytes
/// done already in earlier calls for the same request, which are added to the result.
///
/// The inode must be locked: shared for reads and for writes that neither allocate nor extend in a way
/// that others could meet, else exclusively.
pub fn rw<O, D>(
    iocb: &mut Kiocb<'_, O::FileSystem>,
    iter: &mut IovIter,
    flags: Flags,
    done_before: usize,
) -> Result<usize>
where
    O: Operations,
    D: DioOps<FileSystem = O::FileSystem>,
{
    // SAFETY: The table is for inodes of this type.
    unsafe { rw_raw::<O>(iocb, iter, DioTable::<D>::OPS, flags, done_before) }
}

/// As [`rw`], with nothing to be done at the end: for reads.
pub fn read<O: Operations>(
    iocb: &mut Kiocb<'_, O::FileSystem>,
    iter: &mut IovIter,
    flags: Flags,
    done_before: usize,
) -> Result<usize> {
    // SAFETY: There is no table.
    unsafe { rw_raw::<O>(iocb, iter, null(), flags, done_before) }
}

/// # Safety
///
/// `ops` must be null or a table for inodes of `O::FileSystem` that lives for ever.
unsafe fn rw_raw<O: Operations>(
    iocb: &mut Kiocb<'_, O::FileSystem>,
    iter: &mut IovIter,
    ops: *const bindings::iomap_dio_ops,
    flags: Flags,
    done_before: usize,
) -> Result<usize> {
    // SAFETY: Both arguments are valid, and the operations are for inodes of this type. If the I/O is
    // queued, the control block is not used any more.
    let ret = unsafe {
        bindings::iomap_dio_rw(
            iocb.as_raw(),
            iter.as_raw(),
            Table::<O>::OPS,
            ops,
            flags.into_raw(),
            null_mut(),
            done_before,
        )
    };
    iocb.outcome(ret)
}

/// Reads, the quick way: at most one block, aligned, inside the file, and in one extent.
///
/// Returns as [`rw`], which is to be used if this fails with `ENOTBLK`. [`Operations::end`] is not called. Fails
/// with `EINVAL` if `iter` is for a write.
pub fn read_simple<O: Operations>(
    iocb: &mut Kiocb<'_, O::FileSystem>,
    iter: &mut IovIter,
) -> Result<usize> {
    if !iter.is_destination() {
        return Err(EINVAL);
    }
    // SAFETY: Both arguments are valid, and the function is for inodes of this type. If the I/O is
    // queued, the control block is not used any more.
    let ret = unsafe {
        bindings::iomap_dio_read_simple(iocb.as_raw(), iter.as_raw(), Some(Table::<O>::begin))
    };
    iocb.outcome(ret)
}
