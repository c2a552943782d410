/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The headers from which bindgen makes bindings_generated.rs: what the kernel's
 * own Rust bindings (rust/bindings/bindings_helper.h) do not cover. Only items of
 * headers that those do not include are generated, see bindgen.sh.
 *
 * Sorted alphabetically.
 */

#include <linux/hrtimer_types.h>

#include <linux/backing-dev.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/crc32c.h>
#include <linux/dcache.h>
#include <linux/exportfs.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/iomap.h>
#include <linux/iversion.h>
#include <linux/jbd2.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/percpu_counter.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/stat.h>
#include <linux/statfs.h>
#include <linux/uio.h>
#include <linux/user_namespace.h>
#include <linux/workqueue.h>
#include <linux/writeback.h>
#include <linux/xattr.h>
#include <uapi/linux/fs.h>
#include <uapi/linux/magic.h>

/* bindgen does not evaluate macros with casts: name such constants here. */
const fop_flags_t RUST_CONST_HELPER_FOP_BUFFER_RASYNC = FOP_BUFFER_RASYNC;
const fop_flags_t RUST_CONST_HELPER_FOP_BUFFER_WASYNC = FOP_BUFFER_WASYNC;
const fop_flags_t RUST_CONST_HELPER_FOP_DIO_PARALLEL_WRITE = FOP_DIO_PARALLEL_WRITE;
const fop_flags_t RUST_CONST_HELPER_FOP_DONTCACHE = FOP_DONTCACHE;
const gfp_t RUST_CONST_HELPER_GFP_NOFS = GFP_NOFS;
const gfp_t RUST_CONST_HELPER___GFP_FS = __GFP_FS;
const int RUST_CONST_HELPER_IOCB_APPEND = IOCB_APPEND;
const int RUST_CONST_HELPER_IOCB_ATOMIC = IOCB_ATOMIC;
const int RUST_CONST_HELPER_IOCB_DSYNC = IOCB_DSYNC;
const int RUST_CONST_HELPER_IOCB_HIPRI = IOCB_HIPRI;
const int RUST_CONST_HELPER_IOCB_NOWAIT = IOCB_NOWAIT;
const int RUST_CONST_HELPER_IOCB_SYNC = IOCB_SYNC;
const int RUST_CONST_HELPER_IOCB_DONTCACHE = IOCB_DONTCACHE;
const fmode_t RUST_CONST_HELPER_FMODE_CAN_ATOMIC_WRITE = FMODE_CAN_ATOMIC_WRITE;
const fmode_t RUST_CONST_HELPER_FMODE_CAN_ODIRECT = FMODE_CAN_ODIRECT;
const fmode_t RUST_CONST_HELPER_FMODE_NOWAIT = FMODE_NOWAIT;
const fmode_t RUST_CONST_HELPER_FMODE_READ = FMODE_READ;
const fmode_t RUST_CONST_HELPER_FMODE_WRITE = FMODE_WRITE;
const loff_t RUST_CONST_HELPER_MAX_LFS_FILESIZE = MAX_LFS_FILESIZE;
const slab_flags_t RUST_CONST_HELPER_SLAB_ACCOUNT = SLAB_ACCOUNT;
const slab_flags_t RUST_CONST_HELPER_SLAB_RECLAIM_ACCOUNT = SLAB_RECLAIM_ACCOUNT;
const unsigned long RUST_CONST_HELPER_SB_ACTIVE = SB_ACTIVE;
const unsigned long RUST_CONST_HELPER_SB_RDONLY = SB_RDONLY;
const unsigned long RUST_CONST_HELPER_SB_POSIXACL = SB_POSIXACL;
