// SPDX-License-Identifier: GPL-2.0

//! Ioends and their completion.

use core::{marker::PhantomData, ptr::null_mut};
use kernel::{container_of, prelude::*, static_lock_class, sync::LockClassKey, types::Opaque};

use super::WritebackOps;
use crate::linux::{bindings, fs::Inode, iomap::map::flags, mm::NofsScope};

flags! {
    /// What an ioend is about.
    IoendFlags(u16) {
        /// Extents mapped as [`MapFlags::SHARED`](crate::linux::iomap::MapFlags::SHARED).
        SHARED = IOMAP_IOEND_SHARED,
        /// Unwritten extents.
        UNWRITTEN = IOMAP_IOEND_UNWRITTEN,
        /// Not merged with what was before.
        BOUNDARY = IOMAP_IOEND_BOUNDARY,
        /// Direct I/O.
        DIRECT = IOMAP_IOEND_DIRECT,
    }
}

/// A contiguous range of a file, being written to contiguous blocks.
#[repr(transparent)]
pub struct Ioend(Opaque<bindings::iomap_ioend>);

impl Ioend {
    /// # Safety
    ///
    /// For `'a`, `ioend` must be valid and not be changed.
    pub(super) unsafe fn from_raw<'a>(ioend: *mut bindings::iomap_ioend) -> &'a Self {
        // SAFETY: By the safety requirement; the type is transparent.
        unsafe { &*ioend.cast() }
    }

    /// Where in the file it starts.
    pub fn offset(&self) -> i64 {
        // SAFETY: Valid and not changed as long as the reference.
        unsafe { (*self.0.get()).io_offset }
    }

    /// How long it is. Does not go beyond the size that the file had when it was submitted.
    pub fn size(&self) -> usize {
        // SAFETY: As above.
        unsafe { (*self.0.get()).io_size }
    }

    /// The byte of the device where it starts.
    pub fn addr(&self) -> u64 {
        // SAFETY: As above.
        unsafe { (*self.0.get()).io_sector }.saturating_mul(bindings::SECTOR_SIZE.into())
    }

    /// What it is about.
    pub fn flags(&self) -> IoendFlags {
        // SAFETY: As above.
        IoendFlags::from_raw(unsafe { (*self.0.get()).io_flags })
    }
}

/// The ioends of one inode that wait for their completion.
///
/// To be put into the file system's inode. Ioends are added without a lock. The one that finds the list
/// empty queues the work; the work takes the list as a whole, so that whoever comes next finds it empty
/// again. Between the two, there is exactly one who is about to queue the work, or one queued work: so an
/// ioend on the list is completed only by work queued by itself or after somebody else who was on
/// the list, and nobody touches list or work after its own ioend may be gone, and the inode with it.
///
/// # Invariants
///
/// `head` is a list of ioends of one inode, by their `io_list`, and `work` runs `run`.
#[repr(C)]
#[pin_data]
pub struct IoendList<W> {
    #[pin]
    head: Opaque<bindings::llist_head>,
    #[pin]
    work: Opaque<bindings::work_struct>,
    _ops: PhantomData<W>,
}

// SAFETY: The list is only used with atomic operations, the work item by functions that expect any task.
unsafe impl<W> Send for IoendList<W> {}

// SAFETY: As above.
unsafe impl<W> Sync for IoendList<W> {}

impl<W: WritebackOps> IoendList<W> {
    /// An initialiser of an empty list.
    pub fn new() -> impl PinInit<Self> {
        let key: Pin<&'static LockClassKey> = static_lock_class!();
        // INVARIANT: Empty, and the work is as it has to be.
        pin_init!(Self {
            head: Opaque::new(bindings::llist_head { first: null_mut() }),
            work <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes; the name and the key live for ever.
                unsafe {
                    bindings::init_work_with_key(
                        slot,
                        Some(Self::run),
                        false,
                        c"ioends".as_char_ptr(),
                        key.as_ptr(),
                    )
                }
            }),
            _ops: PhantomData,
        })
    }

    /// Has `ioend` come to the list of its inode when its I/O is over.
    ///
    /// # Safety
    ///
    /// `ioend` must be valid, not submitted yet, and of an inode of `W::FileSystem`.
    pub(super) unsafe fn attach(ioend: *mut bindings::iomap_ioend) {
        // SAFETY: By the safety requirement. The block layer's own deferral to a task is not needed.
        unsafe {
            let bio = &raw mut (*ioend).io_bio;
            (*bio).bi_end_io = Some(Self::end_bio);
            bindings::bio_clear_complete_in_task(bio);
        }
    }

    /// Called when the I/O is over, in any context.
    ///
    /// # Safety
    ///
    /// To be called by the block layer only, for a bio set up by `attach`.
    unsafe extern "C" fn end_bio(bio: *mut bindings::bio) {
        // SAFETY: The bio is that of an ioend of an inode of this type, which stays until the pages of
        // the ioend are clean.
        let (ioend, inode) = unsafe {
            let ioend = container_of!(bio, bindings::iomap_ioend, io_bio);
            (ioend, Inode::<W::FileSystem>::from_raw((*ioend).io_inode))
        };
        let (list, queue) = W::completion(inode);
        let (head, work, queue) = (list.head.get(), list.work.get(), queue.as_raw());
        // SAFETY: `io_list` is not in use, and larger than the node that is made of it. The list is that
        // of the inode.
        let was_empty = unsafe {
            let node = (&raw mut (*ioend).io_list).cast::<bindings::llist_node>();
            bindings::llist_add(node, head)
        };
        if was_empty {
            // SAFETY: The list was empty, so nobody but us queues the work, and until then our ioend
            // stays, with the inode, its list, and the file system's queue.
            unsafe {
                bindings::queue_work_on(
                    bindings::wq_misc_consts_WORK_CPU_UNBOUND as i32,
                    queue,
                    work,
                );
            }
        }
    }

    /// Completes all ioends on the list.
    ///
    /// # Safety
    ///
    /// To be called by a work queue only, for the work item of a list.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        let mut pending = bindings::list_head::default();
        let pending = &raw mut pending;
        // No reference to the list: it goes with its inode when the last ioend is finished.
        // SAFETY: The work item is inside a list, of an inode that stays as long as its ioends do. They
        // are linked by their `io_list`, the latest first, and moved to a list with the latest last.
        unsafe {
            let list = container_of!(Opaque::cast_from(work), Self, work);
            let head = Opaque::cast_into(&raw const (*list).head);
            let mut node = bindings::llist_del_all(head);
            bindings::INIT_LIST_HEAD(pending);
            while !node.is_null() {
                let next = (*node).next;
                bindings::list_add(node.cast(), pending);
                node = next;
            }
            bindings::iomap_sort_ioends(pending);
        }
        // We may be what reclaim waits for.
        let _nofs = NofsScope::enter();
        loop {
            // SAFETY: All on the list are ioends that are ours to finish, of an inode that stays until
            // then; each is taken off the list.
            unsafe {
                let first = (*pending).next;
                if first == pending {
                    break;
                }
                bindings::list_del_init(first);
                let ioend = container_of!(first, bindings::iomap_ioend, io_list);
                bindings::iomap_ioend_try_merge(ioend, pending);
                Self::finish(ioend);
                bindings::cond_resched();
            }
        }
    }

    /// # Safety
    ///
    /// `ioend`, with what it was merged with, must be over, ours to finish, and of an inode of
    /// `W::FileSystem`.
    unsafe fn finish(ioend: *mut bindings::iomap_ioend) {
        // SAFETY: The ioend is valid.
        let errno = unsafe { bindings::blk_status_to_errno((*ioend).io_bio.bi_status) };
        let result = if errno < 0 {
            Err(Error::from_errno(errno))
        } else {
            Ok(())
        };
        // SAFETY: The inode stays until the ioend is finished, and nobody changes the ioend meanwhile.
        let result = unsafe {
            let inode = Inode::<W::FileSystem>::from_raw((*ioend).io_inode);
            W::end_ioend(inode, Ioend::from_raw(ioend), result)
        };
        let errno = result.map_or_else(Error::to_errno, |()| 0);
        // SAFETY: The ioend is ours to finish, and not used afterwards.
        unsafe { bindings::iomap_finish_ioends(ioend, errno) };
    }
}
