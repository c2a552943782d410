// SPDX-License-Identifier: GPL-2.0
/*
 * Errors of the device on data: the caller is told, old data stays, what was
 * staged is given back, and all is well when the device is.
 */
#include "dm.h"
#include "fixture.h"
#include "hold.h"
#include "power.h"

/* Let all writes fail, or all reads, or nothing. */
static int failing_writes(void)
{
	struct dm_target t = { .sectors = dm_sectors(), .type = "flakey" };

	snprintf(t.params, sizeof(t.params), "%s 0 0 3600 1 error_writes", dm_number(NULL));
	return dm_load("scratch", &t, 1);
}

static int failing_reads(void)
{
	struct dm_target t = { .sectors = dm_sectors(), .type = "flakey" };

	snprintf(t.params, sizeof(t.params), "%s 0 0 3600 1 error_reads", dm_number(NULL));
	return dm_load("scratch", &t, 1);
}

static int healthy(void)
{
	struct dm_target t = dm_linear(0, dm_sectors(), NULL);

	return dm_load("scratch", &t, 1);
}

/* Nothing is in the journal or in memory, but for what is open. */
static int forget_all(void)
{
	int top = open(".", O_RDONLY | O_DIRECTORY);
	int done = ioctl(top, FIFREEZE, 0) || ioctl(top, FITHAW, 0);

	close(top);
	drop_caches();
	return done;
}

/* A file "f", and beside it one whose inode is in the same block. */
static int with_neighbour(off_t blk)
{
	for (int i = 0; i < 20; i++) {
		int fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0644);
		struct stat f, beside;
		char name[32];

		if (fd < 0 || close(open("beside", O_CREAT | O_EXCL | O_RDWR, 0644)) ||
		    fstat(fd, &f) || stat("beside", &beside))
			return -1;
		/* Slots of 256 bytes each are counted from the start of the volume. */
		if (!is_cowfs() || (off_t)f.st_ino / (blk / 256) == (off_t)beside.st_ino / (blk / 256))
			return fd;
		close(fd);
		snprintf(name, sizeof(name), "f%d", i);
		if (rename("f", name))
			return -1;
		snprintf(name, sizeof(name), "beside%d", i);
		if (rename("beside", name))
			return -1;
	}
	return -1;
}

static int64_t free_bytes(void)
{
	struct statvfs st;
	int top = open(".", O_RDONLY | O_DIRECTORY);

	syncfs(top);
	close(top);
	return statvfs(".", &st) ? -1 : (int64_t)(st.f_bfree * st.f_bsize);
}

static bool given_back(void *arg)
{
	/* Others may keep what is staged for minutes. */
	return free_bytes() >= *(int64_t *)arg || !is_cowfs();
}

TEST_F(fs, direct_write_to_a_clone)
{
	const off_t b = self->blk, size = 64 * b;
	int src = make_file("src", 1, size), dst = open("dst", O_CREAT | O_RDWR | O_DIRECT, 0644);
	int64_t before;

	ASSERT_OK(clone_file(dst, src));
	before = free_bytes();
	ASSERT_EQ(0, failing_writes());
	EXPECT_ERRNO(EIO, put(dst, 2, 8 * b, 8 * b));
	ASSERT_EQ(0, healthy());
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, size));
	drop_caches();
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, size));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
	/* Nothing is left behind, and the next write works. */
	ASSERT_OK(put(dst, 3, 8 * b, 8 * b));
	EXPECT_TRUE(holds_by_all_ways("dst", 3, 8 * b, 8 * b));
	close(dst);
	close(src);
	before -= 8 * b + 64 * 1024;
	EXPECT_TRUE(eventually(given_back, &before));
}

TEST_F(fs, direct_write_to_a_hole)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	int64_t before = free_bytes();

	ASSERT_OK(ftruncate(fd, 64 * b));
	sync();
	ASSERT_EQ(0, failing_writes());
	EXPECT_ERRNO(EIO, put(fd, 2, 8 * b, 8 * b));
	/* One that would have made the file longer leaves its size. */
	EXPECT_ERRNO(EIO, put(fd, 2, 64 * b, 8 * b));
	ASSERT_EQ(0, healthy());
	EXPECT_EQ(64 * b, size_of(fd));
	EXPECT_TRUE(holds_zeros(fd, 0, 64 * b));
	drop_caches();
	EXPECT_TRUE(holds_zeros(fd, 0, 64 * b));
	close(fd);
	before -= 64 * 1024;
	EXPECT_TRUE(eventually(given_back, &before));
}

/*
 * The data is written, but the metadata that is to say so cannot be read: what the write
 * was to change is not believed to be changed.
 */
TEST_F(fs, metadata_of_a_write_that_makes_the_file_longer)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 100), direct = open("f", O_RDWR | O_DIRECT | O_DSYNC);

	ASSERT_OK(direct);
	ASSERT_OK(fsync(fd));
	ASSERT_EQ(0, forget_all());
	ASSERT_EQ(0, failing_reads());
	EXPECT_ERRNO(EIO, put(direct, 2, 0, b));
	ASSERT_EQ(0, healthy());
	ASSERT_OK(put(direct, 3, 0, b));
	close(direct);
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	fd = open("f", O_RDONLY);
	EXPECT_EQ(b, size_of(fd));
	EXPECT_TRUE(holds_by_all_ways("f", 3, 0, b));
	close(fd);
}

/*
 * One that the volume stops for: it maps blocks in memory before it is noticed that the
 * disk cannot be told. What the caller was told was not written is not there afterwards.
 */
TEST_F(fs, metadata_of_a_write_in_the_middle)
{
	const off_t b = self->blk;
	int fd;

	if (!is_cowfs())
		SKIP(return, "where what is kept is cowfs's own");
	ASSERT_OK(close(with_neighbour(b)));
	fd = open("f", O_RDWR | O_DIRECT);
	ASSERT_OK(put(fd, 1, 0, b));
	ASSERT_OK(fsync(fd));
	ASSERT_EQ(0, forget_all());
	/* Reads the block that both inodes are in. */
	ASSERT_OK(access("beside", F_OK));
	ASSERT_EQ(0, failing_reads());
	EXPECT_ERRNO(EIO, put(fd, 2, b, b));
	ASSERT_EQ(0, healthy());
	EXPECT_ERRNO(EIO, put(fd, 3, b, b));
	EXPECT_ERRNO(EROFS, mkdir("directory", 0755));
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	fd = open("f", O_RDONLY);
	EXPECT_EQ(b, size_of(fd));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, b));
	close(fd);
	/* That it was stopped is all that is wrong. */
	ASSERT_OK(chdir("/"));
	ASSERT_EQ(0, sh("umount $TEST_DIR && { fsck.cowfs -p /dev/mapper/scratch; [ $? = 1 ]; } && "
			"fsck.cowfs -n /dev/mapper/scratch && "
			"mount -t $FSTYP /dev/mapper/scratch $TEST_DIR"));
}

/* A file "f" of many blocks that is cut when what maps them cannot be read, nor can anything else. */
static int cut_while_reads_fail(off_t b)
{
	int fd = with_neighbour(b);

	for (int i = 0; i < 100; i++)
		if (put(fd, 1, 2 * i * b, b))
			return -1;
	/* The neighbour's name brings the block that both inodes are in. */
	if (fsync(fd) || forget_all() || access("beside", F_OK) || failing_reads())
		return -1;
	return ftruncate(fd, 0) && errno == EIO ? fd : -1;
}

enum then { WRITTEN, SYNCED, DATA_SYNCED, OUT_OF_MEMORY };

/*
 * What maps the file cannot be read: it is cut in memory, so that is what is to be had
 * whatever comes then.
 */
static void truncation(struct __test_metadata *_metadata, off_t b, enum then then)
{
	int fd = cut_while_reads_fail(b);
	off_t size;

	ASSERT_OK(fd);
	ASSERT_EQ(0, healthy());
	size = size_of(fd);
	if (is_cowfs())
		EXPECT_EQ(0, size);
	if (then == WRITTEN) {
		ASSERT_OK(put(fd, 2, 0, 100));
		size = size_of(fd);
	}
	switch (then) {
	case WRITTEN:
	case SYNCED:
		ASSERT_OK(fsync(fd));
		break;
	case DATA_SYNCED:
		ASSERT_OK(fdatasync(fd));
		break;
	case OUT_OF_MEMORY:
		sync();
	}
	close(fd);
	if (then == OUT_OF_MEMORY)
		drop_caches();
	else
		ASSERT_EQ(0, power_cycle("rw"));
	fd = open("f", O_RDWR);
	EXPECT_EQ(size, size_of(fd));
	if (then == WRITTEN)
		EXPECT_TRUE(holds_by_all_ways("f", 2, 0, 100));
	/* What was left beyond the end does not come back. */
	ASSERT_OK(ftruncate(fd, 200 * b));
	EXPECT_TRUE(holds_zeros(fd, size, 200 * b - size));
	close(fd);
}

/*
 * The disk cannot even be told later, with whoever tries first getting the error, or the
 * kernel's writeback, which tells nobody: who syncs the file then tries again.
 */
static void truncation_and_failed_attempt(struct __test_metadata *_metadata, off_t b, bool synced)
{
	int fd = cut_while_reads_fail(b);

	ASSERT_OK(fd);
	/* Nor can the block of the inode be read now. */
	drop_clean_caches();
	if (synced)
		EXPECT_ERRNO(EIO, fsync(fd));
	else
		sync();
	ASSERT_EQ(0, healthy());
	ASSERT_OK(fsync(fd));
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	fd = open("f", O_RDONLY);
	EXPECT_EQ(0, size_of(fd));
	close(fd);
}

TEST_F(fs, metadata_of_a_truncation_synced_twice)
{
	if (!is_cowfs())
		SKIP(return, "others stop");
	truncation_and_failed_attempt(_metadata, self->blk, true);
}

TEST_F(fs, metadata_of_a_truncation_written_back_and_synced)
{
	if (!is_cowfs())
		SKIP(return, "others stop");
	truncation_and_failed_attempt(_metadata, self->blk, false);
}

TEST_F(fs, metadata_of_a_truncation_and_a_write) { truncation(_metadata, self->blk, WRITTEN); }
TEST_F(fs, metadata_of_a_truncation) { truncation(_metadata, self->blk, SYNCED); }
TEST_F(fs, metadata_of_a_truncation_and_fdatasync) { truncation(_metadata, self->blk, DATA_SYNCED); }
TEST_F(fs, metadata_of_a_truncation_out_of_memory) { truncation(_metadata, self->blk, OUT_OF_MEMORY); }

TEST_F(fs, metadata_of_a_write_to_staged_blocks)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644), other;

	ASSERT_OK(put(fd, 1, 0, b));
	ASSERT_OK(fsync(fd));
	ASSERT_EQ(0, forget_all());
	ASSERT_EQ(0, failing_reads());
	EXPECT_ERRNO(EIO, put(fd, 2, b, b));
	ASSERT_EQ(0, healthy());
	ASSERT_OK(put(fd, 3, b, b));
	ASSERT_OK(fsync(fd));
	close(fd);
	/* What was staged beside it is given back; of what f has nobody else gets anything. */
	other = open("other", O_CREAT | O_RDWR | O_DIRECT, 0644);
	for (int n = 256; n > 0; n /= 16) {
		while (put(other, 4, size_of(other), n * b) == 0)
			;
		ASSERT_EQ(ENOSPC, errno);
	}
	drop_caches();
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, b));
	EXPECT_TRUE(holds_by_all_ways("f", 3, b, b));
	EXPECT_TRUE(holds(other, 4, 0, size_of(other)));
	close(other);
	unlink("other");
}

TEST_F(fs, direct_write_in_place)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 64 * b), direct = open("f", O_RDWR | O_DIRECT);

	ASSERT_OK(direct);
	sync();
	ASSERT_EQ(0, failing_writes());
	EXPECT_ERRNO(EIO, put(direct, 2, 8 * b, 8 * b));
	ASSERT_EQ(0, healthy());
	drop_pages(fd);
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, 64 * b));
	close(direct);
	close(fd);
}

TEST_F(fs, writeback_of_a_clone)
{
	const off_t b = self->blk, size = 64 * b;
	int src = make_file("src", 1, size), dst = open("dst", O_CREAT | O_RDWR, 0644);
	int other = open("dst", O_RDONLY);
	int64_t before;

	ASSERT_OK(clone_file(dst, src));
	before = free_bytes();
	ASSERT_OK(put(dst, 2, 8 * b, 8 * b));
	ASSERT_EQ(0, failing_writes());
	/* Only the data: the journal is left in peace. */
	EXPECT_ERRNO(EIO, sync_file_range(dst, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
					  SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	ASSERT_EQ(0, healthy());
	/* Everyone who has it open is told, once. */
	EXPECT_ERRNO(EIO, fsync(other));
	EXPECT_OK(fsync(other));
	EXPECT_OK(fsync(dst));
	close(other);
	drop_caches();
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, size));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
	ASSERT_OK(put(dst, 3, 8 * b, 8 * b));
	EXPECT_OK(fsync(dst));
	drop_pages(dst);
	EXPECT_TRUE(holds_by_all_ways("dst", 3, 8 * b, 8 * b));
	close(dst);
	close(src);
	before -= 8 * b + 64 * 1024;
	EXPECT_TRUE(eventually(given_back, &before));
}

TEST_F(fs, writeback_of_new_blocks)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(ftruncate(fd, 32 * b));
	sync();
	ASSERT_OK(put(fd, 2, 8 * b, 8 * b));
	ASSERT_EQ(0, failing_writes());
	EXPECT_ERRNO(EIO, sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
					  SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	ASSERT_EQ(0, healthy());
	drop_caches();
	/* Lost, but nobody else's: zeros. */
	EXPECT_TRUE(holds_zeros(fd, 0, 32 * b));
	close(fd);
}

static bool writes_are_under_way(void *arg)
{
	(void)arg;
	return disk_stat("scratch").writes_in_flight > 0;
}

/*
 * What a page holds is written to the blocks found for it, and written to again meanwhile. The
 * first write fails, which takes nothing away from the second.
 */
static void written_again(struct __test_metadata *_metadata, int fd, off_t b)
{
	ASSERT_OK(put(fd, 2, 8 * b, b));
	ASSERT_OK(fsync(fd));
	ASSERT_OK(hold_create());
	ASSERT_OK(put(fd, 2, 16 * b, 8 * b));
	ASSERT_OK(dm_suspend("rest"));
	EXPECT_OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	EXPECT_TRUE(eventually(writes_are_under_way, NULL));
	EXPECT_OK(put(fd, 3, 16 * b, 8 * b));
	EXPECT_OK(hold_fail("rest"));
	EXPECT_ERRNO(EIO, sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE));
	EXPECT_OK(hold_heal("rest"));
	EXPECT_OK(fsync(fd));
	ASSERT_OK(hold_remove());
	drop_pages(fd);
	EXPECT_TRUE(holds_by_all_ways("f", 3, 16 * b, 8 * b));
	EXPECT_TRUE(holds_by_all_ways("f", 2, 8 * b, b));
}

TEST_F(fs, page_over_a_hole_written_again_while_its_write_fails)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(ftruncate(fd, 64 * self->blk));
	written_again(_metadata, fd, self->blk);
	close(fd);
}

TEST_F(fs, page_of_a_clone_written_again_while_its_write_fails)
{
	int src = make_file("src", 1, 64 * self->blk), fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(clone_file(fd, src));
	written_again(_metadata, fd, self->blk);
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, 64 * self->blk));
	close(fd);
	close(src);
}

TEST_F(fs, reading_data)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 16 * b), direct = open("f", O_RDONLY | O_DIRECT);
	char *buf = aligned(4 * b);

	ASSERT_OK(direct);
	drop_pages(fd);
	/* What maps it is in memory; but the data is not. */
	EXPECT_EQ(4 * b, pread(direct, buf, 4 * b, 0));
	ASSERT_EQ(0, failing_reads());
	EXPECT_ERRNO(EIO, pread(direct, buf, 4 * b, 8 * b));
	EXPECT_ERRNO(EIO, pread(fd, buf, 4 * b, 8 * b));
	ASSERT_EQ(0, healthy());
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, 16 * b));
	close(direct);
	close(fd);
}

TEST_F(fs, partial_block_of_a_clone_cannot_be_read)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 16 * b), dst = open("dst", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(clone_file(dst, src));
	drop_pages(src);
	drop_pages(dst);
	ASSERT_EQ(0, failing_reads());
	EXPECT_ERRNO(EIO, put(dst, 2, 4 * b + 10, 10));
	ASSERT_EQ(0, healthy());
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, 16 * b));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, 16 * b));
	close(src);
	close(dst);
}

TEST_HARNESS_MAIN
