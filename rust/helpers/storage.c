// SPDX-License-Identifier: GPL-2.0

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/crc32c.h>
#include <linux/iomap.h>
#include <linux/jbd2.h>
#include <linux/llist.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/string.h>
#include <linux/version.h>
#include <linux/workqueue.h>

/*
 * Memory shared with others. Opaque calls on purpose: for Rust, these are not
 * accesses of its own that could race with the others'.
 */

__rust_helper void rust_helper_shared_copy(void *dst, const void *src, size_t len)
{
	memmove(dst, src, len);
}

__rust_helper void rust_helper_shared_fill(void *dst, int byte, size_t len)
{
	memset(dst, byte, len);
}

__rust_helper int rust_helper_shared_compare(const void *a, const void *b, size_t len)
{
	return memcmp(a, b, len);
}

/* Loads before it come before loads behind it. */
__rust_helper void rust_helper_load_barrier(void)
{
	smp_rmb();
}

/* Buffer heads. */

__rust_helper struct buffer_head *rust_helper_sb_bread(struct super_block *sb, sector_t block)
{
	return sb_bread(sb, block);
}

__rust_helper struct buffer_head *rust_helper_sb_getblk(struct super_block *sb, sector_t block)
{
	return sb_getblk(sb, block);
}

__rust_helper void rust_helper_get_bh(struct buffer_head *bh)
{
	get_bh(bh);
}

__rust_helper void rust_helper_lock_buffer(struct buffer_head *bh)
{
	lock_buffer(bh);
}

__rust_helper void rust_helper_wait_on_buffer(struct buffer_head *bh)
{
	wait_on_buffer(bh);
}

__rust_helper bool rust_helper_buffer_uptodate(const struct buffer_head *bh)
{
	return buffer_uptodate(bh);
}

__rust_helper void rust_helper_set_buffer_uptodate(struct buffer_head *bh)
{
	set_buffer_uptodate(bh);
}

__rust_helper int rust_helper_bh_read(struct buffer_head *bh, blk_opf_t op_flags)
{
	return bh_read(bh, op_flags);
}

/* jbd2. */

__rust_helper handle_t *rust_helper_journal_current_handle(void)
{
	return journal_current_handle();
}

__rust_helper bool rust_helper_journal_info_set(void)
{
	return current->journal_info;
}

__rust_helper bool rust_helper_is_journal_aborted(journal_t *journal)
{
	return is_journal_aborted(journal);
}

__rust_helper bool rust_helper_is_handle_aborted(handle_t *handle)
{
	return is_handle_aborted(handle);
}

__rust_helper tid_t rust_helper_jbd2_get_latest_transaction(journal_t *journal)
{
	return jbd2_get_latest_transaction(journal);
}

__rust_helper int rust_helper_jbd2_handle_buffer_credits(handle_t *handle)
{
	return jbd2_handle_buffer_credits(handle);
}

__rust_helper void rust_helper_write_lock(rwlock_t *lock)
{
	write_lock(lock);
}

__rust_helper void rust_helper_write_unlock(rwlock_t *lock)
{
	write_unlock(lock);
}

/* Block devices. */

__rust_helper u64 rust_helper_bdev_nr_bytes(struct block_device *bdev)
{
	return bdev_nr_bytes(bdev);
}

__rust_helper unsigned int rust_helper_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

__rust_helper unsigned int rust_helper_bdev_physical_block_size(struct block_device *bdev)
{
	return bdev_physical_block_size(bdev);
}

__rust_helper unsigned int rust_helper_bdev_dma_alignment(struct block_device *bdev)
{
	return bdev_dma_alignment(bdev);
}

__rust_helper unsigned int rust_helper_bdev_max_discard_sectors(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev);
}

__rust_helper unsigned int rust_helper_bdev_discard_granularity(struct block_device *bdev)
{
	return bdev_discard_granularity(bdev);
}

__rust_helper unsigned int rust_helper_bdev_block_size(struct block_device *bdev)
{
	return block_size(bdev);
}

__rust_helper bool rust_helper_bdev_rot(struct block_device *bdev)
{
	return bdev_rot(bdev);
}

__rust_helper bool rust_helper_bdev_write_cache(struct block_device *bdev)
{
	return bdev_write_cache(bdev);
}

__rust_helper bool rust_helper_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

/* iomap. */

__rust_helper void rust_helper_bio_clear_complete_in_task(struct bio *bio)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	bio_clear_flag(bio, BIO_COMPLETE_IN_TASK);
#endif
}

__rust_helper void rust_helper_iomap_bio_read_folio(struct folio *folio,
						    const struct iomap_ops *ops)
{
	iomap_bio_read_folio(folio, ops);
}

__rust_helper void rust_helper_iomap_bio_readahead(struct readahead_control *rac,
						   const struct iomap_ops *ops)
{
	iomap_bio_readahead(rac, ops);
}

__rust_helper ssize_t rust_helper_iomap_dio_read_simple(struct kiocb *iocb,
							struct iov_iter *iter,
							iomap_iter_begin_fn begin)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	return iomap_dio_read_simple(iocb, iter, begin);
#else
	return -ENOTBLK;
#endif
}

__rust_helper bool rust_helper_llist_add(struct llist_node *node, struct llist_head *head)
{
	return llist_add(node, head);
}

__rust_helper struct llist_node *rust_helper_llist_del_all(struct llist_head *head)
{
	return llist_del_all(head);
}

__rust_helper void rust_helper_list_add(struct list_head *entry, struct list_head *head)
{
	list_add(entry, head);
}

__rust_helper void rust_helper_list_del_init(struct list_head *entry)
{
	list_del_init(entry);
}

__rust_helper int rust_helper_cond_resched(void)
{
	return cond_resched();
}

/* Locks, memory, work queues. */

__rust_helper void rust_helper_init_rwsem(struct rw_semaphore *sem, const char *name,
					  struct lock_class_key *key)
{
	__init_rwsem(sem, name, key);
}

__rust_helper unsigned int rust_helper_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

__rust_helper void rust_helper_memalloc_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

__rust_helper void rust_helper_memalloc_retry_wait(gfp_t flags)
{
	memalloc_retry_wait(flags);
}

__rust_helper struct workqueue_struct *rust_helper_alloc_workqueue(const char *name,
								   unsigned int flags,
								   int max_active)
{
	return alloc_workqueue("%s", flags, max_active, name);
}
