// SPDX-License-Identifier: GPL-2.0

//! What the kernel asks of open files.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    dir::DirContext,
    iov_iter::IovIter,
    kiocb::Kiocb,
    mapping::MappingArea,
    remap::{RemapFlags, RemapRange},
    File, FileSystem, OpeningFile, SeekFrom,
};
use crate::linux::bindings;
use core::{marker::PhantomData, mem::MaybeUninit};
use kernel::{
    error::{from_result, VTABLE_DEFAULT_ERROR},
    ffi::{c_int, c_long, c_uint, c_ulong},
    prelude::*,
};

/// What files can do, `FOP_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileOperationsFlags(u32);

impl FileOperationsFlags {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// Buffered reads need not block.
    pub const BUFFERED_READ_ASYNC: Self = Self(bindings::FOP_BUFFER_RASYNC);
    /// Buffered writes need not block.
    pub const BUFFERED_WRITE_ASYNC: Self = Self(bindings::FOP_BUFFER_WASYNC);
    /// Direct writes to one file can run at the same time.
    pub const PARALLEL_DIRECT_WRITE: Self = Self(bindings::FOP_DIO_PARALLEL_WRITE);
    /// Buffered I/O can leave nothing in the page cache.
    pub const DONTCACHE: Self = Self(bindings::FOP_DONTCACHE);

    /// These and those.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The operations of open files, `struct file_operations`.
///
/// Those that are not implemented fail or do what the kernel does without them.
#[vtable]
pub trait FileOperations {
    /// The file system whose files these are.
    type FileSystem: FileSystem;

    /// What the files can do.
    const FLAGS: FileOperationsFlags = FileOperationsFlags::NONE;

    /// The file is being opened.
    fn open(_file: &mut OpeningFile<'_, Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The last reference to the open file is gone.
    fn release(_file: &File<Self::FileSystem>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Find the offset that is meant, and make it the file position.
    fn llseek(_file: &File<Self::FileSystem>, _offset: i64, _whence: SeekFrom) -> Result<i64> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Read.
    fn read_iter(_iocb: &mut Kiocb<'_, Self::FileSystem>, _iter: &mut IovIter) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Write.
    fn write_iter(_iocb: &mut Kiocb<'_, Self::FileSystem>, _iter: &mut IovIter) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Emit entries of a directory, which is locked shared, from the position on.
    fn iterate_shared(_context: &mut DirContext<'_, Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Do what a number says.
    fn ioctl(_file: &File<Self::FileSystem>, _command: u32, _argument: usize) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Map the file into memory. Without an implementation, only private mappings and shared
    /// ones of file systems that need not know of writes are handled.
    fn mmap(_area: &mut MappingArea<'_, Self::FileSystem>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Make everything from `start` to `last` durable; if `datasync`, only what is needed to
    /// read it.
    fn fsync(_file: &File<Self::FileSystem>, _start: i64, _last: i64, _datasync: bool) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Allocate, free or zero space; `mode` is of `FALLOC_FL_*`.
    fn fallocate(_file: &File<Self::FileSystem>, _mode: u32, _offset: i64, _len: i64) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Share a range of one file with another, and return how many bytes were.
    ///
    /// Both are of one super block.
    fn remap_file_range(
        _source: &File<Self::FileSystem>,
        _target: &File<Self::FileSystem>,
        _range: RemapRange,
    ) -> Result<i64> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The `struct file_operations` of `T`.
pub(in crate::linux::fs) struct Table<T>(PhantomData<T>);

extern "C" {
    /// `THIS_MODULE`, of which only the address is of interest. `ModuleMetadata` has it since Linux 7.3.
    static __this_module: u8;
}

/// Wraps a callback in `Some` if the trait implements it.
macro_rules! callback {
    ($has:ident, $callback:expr) => {
        if T::$has {
            Some($callback)
        } else {
            None
        }
    };
}

impl<T: FileOperations> Table<T> {
    pub(in crate::linux::fs) fn get() -> *const bindings::file_operations {
        &Self::TABLE
    }

    const TABLE: bindings::file_operations = bindings::file_operations {
        owner: (&raw const __this_module).cast_mut().cast(),
        fop_flags: T::FLAGS.0,
        open: if T::HAS_OPEN {
            Some(Self::open)
        } else {
            Some(bindings::generic_file_open)
        },
        release: callback!(HAS_RELEASE, Self::release),
        llseek: if T::HAS_LLSEEK {
            Some(Self::llseek)
        } else {
            Some(bindings::generic_file_llseek)
        },
        read: callback!(HAS_ITERATE_SHARED, bindings::generic_read_dir),
        read_iter: callback!(HAS_READ_ITER, Self::read_iter),
        splice_read: callback!(HAS_READ_ITER, bindings::filemap_splice_read),
        write_iter: callback!(HAS_WRITE_ITER, Self::write_iter),
        splice_write: callback!(HAS_WRITE_ITER, bindings::iter_file_splice_write),
        iopoll: callback!(HAS_WRITE_ITER, bindings::iocb_bio_iopoll),
        iterate_shared: callback!(HAS_ITERATE_SHARED, Self::iterate_shared),
        unlocked_ioctl: callback!(HAS_IOCTL, Self::ioctl),
        compat_ioctl: if T::HAS_IOCTL {
            bindings::compat_ptr_ioctl
        } else {
            None
        },
        mmap_prepare: if T::HAS_MMAP {
            Some(Self::mmap)
        } else if T::HAS_READ_ITER {
            Some(bindings::generic_file_readonly_mmap_prepare)
        } else {
            None
        },
        get_unmapped_area: callback!(HAS_MMAP, bindings::thp_get_unmapped_area),
        fsync: callback!(HAS_FSYNC, Self::fsync),
        fallocate: callback!(HAS_FALLOCATE, Self::fallocate),
        remap_file_range: callback!(HAS_REMAP_FILE_RANGE, Self::remap_file_range),
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS for a file of `T::FileSystem` that is being opened.
    unsafe extern "C" fn open(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: As promised by the caller.
        // INVARIANT: Nobody else uses a file before it is open.
        from_result(|| unsafe {
            T::open(&mut OpeningFile(File::from_raw(file)))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a file of `T::FileSystem`, once.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: As promised by the caller.
        T::release(unsafe { File::from_raw(file) });
        0
    }

    /// # Safety
    ///
    /// Called by the VFS for a file of `T::FileSystem`.
    unsafe extern "C" fn llseek(file: *mut bindings::file, offset: i64, whence: c_int) -> i64 {
        // SAFETY: As promised by the caller.
        let file = unsafe { File::from_raw(file) };
        match SeekFrom::from_raw(whence).and_then(|whence| T::llseek(file, offset, whence)) {
            Ok(offset) => offset,
            Err(error) => error.to_errno().into(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for a file of `T::FileSystem`.
    unsafe extern "C" fn read_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        let mut spare = MaybeUninit::uninit();
        // SAFETY: As promised by the caller; both are for this call only.
        let (mut iocb, iter) =
            unsafe { (Kiocb::from_raw(iocb, &mut spare), IovIter::from_raw(iter)) };
        let most = iter.count();
        let read = T::read_iter(&mut iocb, iter);
        iocb.answer(read, most)
    }

    /// # Safety
    ///
    /// Called by the VFS for a file of `T::FileSystem`.
    unsafe extern "C" fn write_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        let mut spare = MaybeUninit::uninit();
        // SAFETY: As promised by the caller; both are for this call only.
        let (mut iocb, iter) =
            unsafe { (Kiocb::from_raw(iocb, &mut spare), IovIter::from_raw(iter)) };
        let most = iter.count();
        let written = T::write_iter(&mut iocb, iter);
        iocb.answer(written, most)
    }

    /// # Safety
    ///
    /// Called by the VFS for a directory of `T::FileSystem` that is locked.
    unsafe extern "C" fn iterate_shared(
        file: *mut bindings::file,
        context: *mut bindings::dir_context,
    ) -> c_int {
        // SAFETY: As promised by the caller; the context is for this call only.
        from_result(|| unsafe {
            T::iterate_shared(&mut DirContext::from_raw(file, context))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a file of `T::FileSystem`.
    unsafe extern "C" fn ioctl(
        file: *mut bindings::file,
        command: c_uint,
        argument: c_ulong,
    ) -> c_long {
        // SAFETY: As promised by the caller.
        match T::ioctl(unsafe { File::from_raw(file) }, command, argument) {
            Ok(result) => result,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// Called by the memory management for a file of `T::FileSystem`.
    unsafe extern "C" fn mmap(desc: *mut bindings::vm_area_desc) -> c_int {
        // SAFETY: As promised by the caller; the area is for this call only.
        from_result(|| unsafe {
            T::mmap(&mut MappingArea::from_raw(desc))?;
            if (*desc).vm_ops.is_null() {
                // Without operations, it would be anonymous memory.
                return Err(ENODEV);
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a file of `T::FileSystem`.
    unsafe extern "C" fn fsync(
        file: *mut bindings::file,
        start: i64,
        last: i64,
        datasync: c_int,
    ) -> c_int {
        // SAFETY: As promised by the caller.
        from_result(|| unsafe {
            T::fsync(File::from_raw(file), start, last, datasync != 0)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a file of `T::FileSystem`.
    unsafe extern "C" fn fallocate(
        file: *mut bindings::file,
        mode: c_int,
        offset: i64,
        len: i64,
    ) -> c_long {
        // SAFETY: As promised by the caller.
        let done = unsafe { T::fallocate(File::from_raw(file), mode as u32, offset, len) };
        match done {
            Ok(()) => 0,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for files of one super block of `T::FileSystem`.
    unsafe extern "C" fn remap_file_range(
        source: *mut bindings::file,
        pos_in: i64,
        target: *mut bindings::file,
        pos_out: i64,
        len: i64,
        flags: c_uint,
    ) -> i64 {
        let range = RemapRange {
            pos_in,
            pos_out,
            len,
            flags: RemapFlags::from_raw(flags),
        };
        // SAFETY: As promised by the caller.
        let shared =
            unsafe { T::remap_file_range(File::from_raw(source), File::from_raw(target), range) };
        match shared {
            Ok(bytes) => bytes,
            Err(error) => error.to_errno().into(),
        }
    }
}
