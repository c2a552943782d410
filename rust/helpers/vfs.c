// SPDX-License-Identifier: GPL-2.0
/* Inline functions and macros of the VFS. */

#include <linux/backing-dev.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

/* inode cache */

__rust_helper struct kmem_cache *
rust_helper_inode_cache_create(const char *name, unsigned int size,
			       unsigned int align, void (*ctor)(void *))
{
	struct kmem_cache_args args = {
		.align = align,
		.ctor = ctor,
	};

	return kmem_cache_create(name, size, &args,
				 SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT);
}

__rust_helper void *rust_helper_alloc_inode_sb(struct super_block *sb,
					       struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

/* Count inodes of a super block, and wait until there are none. */

__rust_helper void rust_helper_inodes_inc(atomic_long_t *count)
{
	atomic_long_inc(count);
}

__rust_helper void rust_helper_inodes_dec(atomic_long_t *count)
{
	if (atomic_long_dec_and_test(count))
		wake_up_var(count);
}

__rust_helper void rust_helper_inodes_wait(atomic_long_t *count)
{
	/* All they did comes before what the caller frees now. */
	wait_var_event(count, !atomic_long_read_acquire(count));
}

/* inode */

/*
 * An inode that is being evicted cannot be kept: a reference taken now would
 * outlive it.
 */
__rust_helper void rust_helper_inode_get(struct inode *inode)
{
	BUG_ON(!igrab(inode));
}

__rust_helper loff_t rust_helper_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}

__rust_helper void rust_helper_i_size_write(struct inode *inode, loff_t size)
{
	i_size_write(inode, size);
}

/*
 * Raise the size to @end where writers of the size need not hold i_rwsem, such
 * as completions of direct I/O: i_lock serialises them.
 */
__rust_helper bool rust_helper_i_size_extend(struct inode *inode, loff_t end)
{
	bool grown;

	spin_lock(&inode->i_lock);
	grown = end > i_size_read(inode);
	if (grown)
		i_size_write(inode, end);
	spin_unlock(&inode->i_lock);
	return grown;
}

__rust_helper unsigned int rust_helper_i_uid_read(const struct inode *inode)
{
	return i_uid_read(inode);
}

__rust_helper unsigned int rust_helper_i_gid_read(const struct inode *inode)
{
	return i_gid_read(inode);
}

__rust_helper void rust_helper_i_uid_write(struct inode *inode, unsigned int uid)
{
	i_uid_write(inode, uid);
}

__rust_helper void rust_helper_i_gid_write(struct inode *inode, unsigned int gid)
{
	i_gid_write(inode, gid);
}

__rust_helper unsigned int rust_helper_inode_state_read_once(struct inode *inode)
{
	return inode_state_read_once(inode);
}

__rust_helper void rust_helper_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

__rust_helper bool rust_helper_inode_trylock(struct inode *inode)
{
	return inode_trylock(inode);
}

__rust_helper void rust_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

__rust_helper void rust_helper_inode_lock_shared(struct inode *inode)
{
	inode_lock_shared(inode);
}

__rust_helper bool rust_helper_inode_trylock_shared(struct inode *inode)
{
	return inode_trylock_shared(inode);
}

__rust_helper void rust_helper_inode_unlock_shared(struct inode *inode)
{
	inode_unlock_shared(inode);
}

__rust_helper void rust_helper_inode_lock_downgrade(struct inode *inode)
{
	downgrade_write(&inode->i_rwsem);
}

__rust_helper struct timespec64 rust_helper_inode_get_atime(const struct inode *inode)
{
	return inode_get_atime(inode);
}

__rust_helper struct timespec64 rust_helper_inode_get_mtime(const struct inode *inode)
{
	return inode_get_mtime(inode);
}

__rust_helper struct timespec64 rust_helper_inode_get_ctime(const struct inode *inode)
{
	return inode_get_ctime(inode);
}

__rust_helper void rust_helper_inode_set_atime_to_ts(struct inode *inode,
						     struct timespec64 ts)
{
	inode_set_atime_to_ts(inode, ts);
}

__rust_helper void rust_helper_inode_set_mtime_to_ts(struct inode *inode,
						     struct timespec64 ts)
{
	inode_set_mtime_to_ts(inode, ts);
}

__rust_helper bool rust_helper_inode_is_open_for_write(const struct inode *inode)
{
	return inode_is_open_for_write(inode);
}

__rust_helper bool rust_helper_is_sync(const struct inode *inode)
{
	return IS_SYNC(inode);
}

__rust_helper bool rust_helper_is_dirsync(const struct inode *inode)
{
	return IS_DIRSYNC(inode);
}

/* page cache of an inode */

__rust_helper void rust_helper_filemap_invalidate_lock(struct address_space *mapping)
{
	filemap_invalidate_lock(mapping);
}

__rust_helper void rust_helper_filemap_invalidate_unlock(struct address_space *mapping)
{
	filemap_invalidate_unlock(mapping);
}

__rust_helper void rust_helper_filemap_invalidate_lock_shared(struct address_space *mapping)
{
	filemap_invalidate_lock_shared(mapping);
}

__rust_helper bool rust_helper_filemap_invalidate_trylock_shared(struct address_space *mapping)
{
	return filemap_invalidate_trylock_shared(mapping);
}

__rust_helper void rust_helper_filemap_invalidate_unlock_shared(struct address_space *mapping)
{
	filemap_invalidate_unlock_shared(mapping);
}

__rust_helper void rust_helper_mapping_set_large_folios(struct address_space *mapping)
{
	mapping_set_large_folios(mapping);
}

__rust_helper size_t
rust_helper_mapping_max_folio_size(const struct address_space *mapping)
{
	return mapping_max_folio_size(mapping);
}

__rust_helper void rust_helper_filemap_set_wb_err(struct address_space *mapping, int error)
{
	filemap_set_wb_err(mapping, error);
}

__rust_helper bool rust_helper_filemap_range_is_busy(struct address_space *mapping,
						     loff_t start, loff_t end)
{
	if (filemap_range_has_writeback(mapping, start, end))
		return true;
	/*
	 * A folio that became dirty after that was looked for, and was unlocked before
	 * that was: the lock's release makes it show now.
	 */
	smp_rmb();
	return filemap_range_has_writeback(mapping, start, end);
}

/* Delayed work on the system's queue for any CPU. */

__rust_helper void rust_helper_init_delayed_work(struct delayed_work *work, work_func_t function)
{
	INIT_DELAYED_WORK(work, function);
}

__rust_helper bool rust_helper_queue_delayed_work_unbound(struct delayed_work *work,
							  unsigned long delay)
{
	return queue_delayed_work(system_dfl_wq, work, delay);
}

__rust_helper bool rust_helper_mod_delayed_work_unbound(struct delayed_work *work,
							unsigned long delay)
{
	return mod_delayed_work(system_dfl_wq, work, delay);
}

/* super block */

__rust_helper void rust_helper_sb_start_write(struct super_block *sb)
{
	sb_start_write(sb);
}

__rust_helper void rust_helper_sb_end_write(struct super_block *sb)
{
	sb_end_write(sb);
}

__rust_helper void rust_helper_sb_start_pagefault(struct super_block *sb)
{
	sb_start_pagefault(sb);
}

__rust_helper void rust_helper_sb_end_pagefault(struct super_block *sb)
{
	sb_end_pagefault(sb);
}

__rust_helper void rust_helper_sb_start_intwrite(struct super_block *sb)
{
	sb_start_intwrite(sb);
}

__rust_helper bool rust_helper_sb_start_write_trylock(struct super_block *sb)
{
	return sb_start_write_trylock(sb);
}

__rust_helper void rust_helper_sb_end_intwrite(struct super_block *sb)
{
	sb_end_intwrite(sb);
}

__rust_helper void rust_helper_super_set_uuid(struct super_block *sb, const u8 *uuid,
					      unsigned int len)
{
	super_set_uuid(sb, uuid, len);
}

__rust_helper bool rust_helper_sb_has_inodes(struct super_block *sb)
{
	return !list_empty_careful(&sb->s_inodes);
}

__rust_helper void rust_helper_sb_pin(struct super_block *sb)
{
	atomic_inc(&sb->s_active);
}

__rust_helper void rust_helper_unregister_unused_filesystem(struct file_system_type *type)
{
	BUG_ON(!hlist_empty(&type->fs_supers));
	unregister_filesystem(type);
}

__rust_helper void rust_helper_errorfc_bad_value(struct fs_context *fc, const char *key)
{
	errorfc(fc, "Bad value for '%s'", key);
}

/* files */

__rust_helper int rust_helper_finish_open_simple(struct file *file, int error)
{
	return finish_open_simple(file, error);
}

__rust_helper void rust_helper_file_accessed(struct file *file)
{
	file_accessed(file);
}

__rust_helper ssize_t rust_helper_generic_write_sync(struct kiocb *iocb, ssize_t count)
{
	return generic_write_sync(iocb, count);
}

__rust_helper bool rust_helper_dir_emit(struct dir_context *ctx, const char *name,
					int len, u64 ino, unsigned int type)
{
	return dir_emit(ctx, name, len, ino, type);
}

__rust_helper bool rust_helper_dir_emit_dots(struct file *file, struct dir_context *ctx)
{
	return dir_emit_dots(file, ctx);
}

/* iov_iter */

__rust_helper size_t rust_helper_iov_iter_count(const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

__rust_helper void rust_helper_iov_iter_truncate(struct iov_iter *iter, u64 count)
{
	iov_iter_truncate(iter, count);
}

__rust_helper void rust_helper_iov_iter_reexpand(struct iov_iter *iter, size_t count)
{
	iov_iter_reexpand(iter, count);
}

/* folios */

__rust_helper loff_t rust_helper_folio_pos(const struct folio *folio)
{
	return folio_pos(folio);
}

__rust_helper size_t rust_helper_folio_size(const struct folio *folio)
{
	return folio_size(folio);
}

__rust_helper struct address_space *rust_helper_folio_mapping_raw(const struct folio *folio)
{
	return folio->mapping;
}

__rust_helper struct dentry *rust_helper_file_path_dentry(const struct file *file)
{
	return file->f_path.dentry;
}
