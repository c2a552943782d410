// SPDX-License-Identifier: GPL-2.0
/*
 * fsync, fdatasync, syncfs, sync, O_DSYNC and O_SYNC: what is acknowledged is on
 * the disk. Seen by failing every write below, from then until the unmount: what
 * a new mount finds was written before.
 */
#include <dirent.h>

#include "dm.h"
#include "power.h"
#include "selftest.h"

FIXTURE(power) {
	off_t blk;
};

FIXTURE_SETUP(power)
{
	struct statvfs st;

	ASSERT_OK(chdir(getenv("TEST_DIR")));
	ASSERT_OK(statvfs(".", &st));
	self->blk = st.f_bsize;
}

FIXTURE_TEARDOWN(power)
{
}

TEST_F(power, what_was_not_synced_is_dropped)
{
	/* That the other tests can fail: this one's data must be gone. */
	int fd;

	ASSERT_OK(mkdir("early", 0755));
	sync();
	fd = open("late", O_CREAT | O_RDWR, 0644);
	ASSERT_OK(put(fd, 1, 0, 100000));
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	EXPECT_OK(access("early", F_OK));
	EXPECT_ERRNO(ENOENT, access("late", F_OK));
}

static void synced_by(struct __test_metadata *_metadata, off_t b, int flags,
		      int (*act)(int fd))
{
	const off_t size = 64 * b;
	char src_name[64], name[64];
	int src, fd;

	snprintf(src_name, sizeof(src_name), "%s-src", _metadata->name);
	snprintf(name, sizeof(name), "%s", _metadata->name);
	src = make_file(src_name, 1, size);
	fd = open(name, O_CREAT | O_RDWR | flags, 0644);
	ASSERT_OK(clone_file(fd, src));
	ASSERT_OK(put(fd, 2, 8 * b, 16 * b));
	ASSERT_OK(put(fd, 3, size + 4 * b, 2 * b));
	if (act) {
		ASSERT_OK(act(fd));
	}
	close(src);
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));

	fd = open(name, O_RDWR);
	ASSERT_OK(fd);
	EXPECT_EQ(size + 6 * b, size_of(fd));
	EXPECT_TRUE(holds_by_all_ways(name, 1, 0, 8 * b));
	EXPECT_TRUE(holds_by_all_ways(name, 2, 8 * b, 16 * b));
	EXPECT_TRUE(holds_by_all_ways(name, 1, 24 * b, 40 * b));
	EXPECT_TRUE(holds_zeros(fd, size, 4 * b));
	EXPECT_TRUE(holds_by_all_ways(name, 3, size + 4 * b, 2 * b));
	EXPECT_TRUE(holds_by_all_ways(src_name, 1, 0, size));
	close(fd);
}

static int sync_all(int fd)
{
	(void)fd;
	sync();
	return 0;
}

TEST_F(power, fsync) { synced_by(_metadata, self->blk, 0, fsync); }
TEST_F(power, fdatasync) { synced_by(_metadata, self->blk, 0, fdatasync); }
TEST_F(power, syncfs) { synced_by(_metadata, self->blk, 0, syncfs); }
TEST_F(power, sync) { synced_by(_metadata, self->blk, 0, sync_all); }
TEST_F(power, fsync_direct) { synced_by(_metadata, self->blk, O_DIRECT, fsync); }
TEST_F(power, dsync) { synced_by(_metadata, self->blk, O_DSYNC, NULL); }
TEST_F(power, dsync_direct) { synced_by(_metadata, self->blk, O_DSYNC | O_DIRECT, NULL); }
TEST_F(power, o_sync) { synced_by(_metadata, self->blk, O_SYNC, NULL); }

TEST_F(power, dsync_in_place)
{
	const off_t b = self->blk;
	int fd = make_file("in-place", 1, 16 * b), direct;

	ASSERT_OK(fd);
	sync();
	direct = open("in-place", O_RDWR | O_DIRECT | O_DSYNC);
	ASSERT_OK(put(direct, 2, 4 * b, 4 * b));
	close(direct);
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	EXPECT_TRUE(holds_by_all_ways("in-place", 1, 0, 4 * b));
	EXPECT_TRUE(holds_by_all_ways("in-place", 2, 4 * b, 4 * b));
	EXPECT_TRUE(holds_by_all_ways("in-place", 1, 8 * b, 8 * b));
}

TEST_F(power, fsync_of_a_directory)
{
	int dir;

	ASSERT_OK(mkdir("d", 0755));
	ASSERT_OK(close(open("d/a", O_CREAT | O_RDWR, 0644)));
	ASSERT_OK(close(open("d/b", O_CREAT | O_RDWR, 0644)));
	ASSERT_OK(rename("d/a", "d/c"));
	ASSERT_OK(unlink("d/b"));
	dir = open("d", O_RDONLY | O_DIRECTORY);
	ASSERT_OK(fsync(dir));
	close(dir);
	ASSERT_EQ(0, power_cycle("rw"));
	EXPECT_OK(access("d/c", F_OK));
	EXPECT_ERRNO(ENOENT, access("d/a", F_OK));
	EXPECT_ERRNO(ENOENT, access("d/b", F_OK));
}

/* Nobody in memory knows any more by which transaction the directory was changed. */
TEST_F(power, fsync_of_what_left_memory)
{
	int dir;

	ASSERT_OK(mkdir("left", 0755));
	ASSERT_OK(close(open("left/a", O_CREAT | O_RDWR, 0644)));
	sync();
	ASSERT_OK(rename("left/a", "left/b"));
	ASSERT_EQ(0, sh("echo 2 >/proc/sys/vm/drop_caches"));
	dir = open("left", O_RDONLY | O_DIRECTORY);
	ASSERT_OK(fsync(dir));
	close(dir);
	ASSERT_EQ(0, power_cycle("rw"));
	EXPECT_OK(access("left/b", F_OK));
	EXPECT_ERRNO(ENOENT, access("left/a", F_OK));
}

/* On a device without a cache a write is durable by itself; but the size is not. */
TEST_F(power, dsync_in_place_beyond_the_end)
{
	const off_t b = self->blk;
	int fd = make_file("end", 1, 100), direct = open("end", O_RDWR | O_DIRECT | O_DSYNC);

	ASSERT_OK(fd);
	ASSERT_EQ(0, sh("echo 'write through' >/sys/dev/block/%s/queue/write_cache",
			dm_number("scratch")));
	sync();
	ASSERT_OK(put(direct, 2, 0, b));
	close(direct);
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	ASSERT_EQ(0, sh("echo 'write back' >/sys/dev/block/%s/queue/write_cache",
			dm_number("scratch")));
	fd = open("end", O_RDONLY);
	EXPECT_EQ(b, size_of(fd));
	EXPECT_TRUE(holds_by_all_ways("end", 2, 0, b));
	close(fd);
}

/*
 * The block of the end that the disk knows is written to. The file has grown since, in
 * memory; the pages that grew it are not on the disk, and need not get there.
 */
TEST_F(power, dsync_in_place_where_the_file_ended)
{
	const off_t b = self->blk, end = b + 100;
	int fd = make_file("grown", 1, end), direct;

	ASSERT_OK(fd);
	ASSERT_OK(fsync(fd));
	ASSERT_OK(put(fd, 2, 32 * b, b));
	direct = open("grown", O_RDWR | O_DIRECT | O_DSYNC);
	ASSERT_OK(put(direct, 3, b, b));
	close(direct);
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	fd = open("grown", O_RDONLY);
	EXPECT_LE(2 * b, size_of(fd));
	EXPECT_TRUE(holds_by_all_ways("grown", 1, 0, b));
	EXPECT_TRUE(holds_by_all_ways("grown", 3, b, b));
	close(fd);
}

static int grow_by_fallocate(int fd, off_t b)
{
	return fallocate(fd, 0, b, b);
}

static int grow_by_clone(int fd, off_t b)
{
	int src = open("tail-src", O_RDONLY), done = clone_range(fd, b, src, 0, b);

	close(src);
	return done;
}

static int grow_by_direct_write(int fd, off_t b)
{
	int direct = open("tail", O_WRONLY | O_DIRECT), done = put(direct, 3, b, b);

	(void)fd;
	close(direct);
	return done;
}

/*
 * What was cut off is zeros in memory only. When the file grows over it, and that is on
 * the disk, then so are they.
 */
static void grown_over_what_was_cut(struct __test_metadata *_metadata, off_t b,
				    int (*grow)(int fd, off_t b))
{
	int top = open(".", O_RDONLY | O_DIRECTORY), fd;

	close(make_file("tail-src", 3, b));
	fd = make_file("tail", 1, b);
	sync();
	ASSERT_OK(ftruncate(fd, 100));
	ASSERT_OK(grow(fd, b));
	/* Metadata alone. */
	ASSERT_OK(rename("tail-src", "tail-old"));
	ASSERT_OK(fsync(top));
	close(top);
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	fd = open("tail", O_RDONLY);
	EXPECT_EQ(2 * b, size_of(fd));
	EXPECT_TRUE(holds(fd, 1, 0, 100));
	EXPECT_TRUE(holds_zeros(fd, 100, b - 100));
	close(fd);
	ASSERT_OK(unlink("tail"));
}

TEST_F(power, fallocate_beyond_what_was_cut)
{
	grown_over_what_was_cut(_metadata, self->blk, grow_by_fallocate);
}

TEST_F(power, clone_beyond_what_was_cut)
{
	grown_over_what_was_cut(_metadata, self->blk, grow_by_clone);
}

TEST_F(power, direct_write_beyond_what_was_cut)
{
	grown_over_what_was_cut(_metadata, self->blk, grow_by_direct_write);
}

/* The same where what was appended first is in memory, and what comes next is not. */
TEST_F(power, direct_write_behind_what_was_appended_to_the_rest)
{
	const off_t b = self->blk;
	int top = open(".", O_RDONLY | O_DIRECTORY), fd = make_file("tail", 1, b);
	char found[100];

	sync();
	ASSERT_OK(ftruncate(fd, 100));
	ASSERT_OK(put(fd, 2, 100, b - 100));
	ASSERT_OK(grow_by_direct_write(fd, b));
	ASSERT_OK(rename("tail", "tail-new"));
	ASSERT_OK(fsync(top));
	close(top);
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	fd = open("tail-new", O_RDONLY);
	EXPECT_EQ(2 * b, size_of(fd));
	/* What was appended may be lost, but what was there before is gone. */
	ASSERT_EQ(100, pread(fd, found, 100, b / 2));
	EXPECT_NE(-1, mismatch(found, 100, 1, b / 2));
	close(fd);
	ASSERT_OK(unlink("tail-new"));
}

TEST_F(power, rename_over_a_file_is_all_or_nothing)
{
	int fd = make_file("old", 1, 50000);

	close(fd);
	sync();
	fd = make_file("new", 2, 60000);
	ASSERT_OK(fd);
	ASSERT_OK(rename("new", "old"));
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	fd = open("old", O_RDONLY);
	ASSERT_OK(fd);
	if (size_of(fd) == 60000) {
		EXPECT_TRUE(holds(fd, 2, 0, 60000));
	} else {
		EXPECT_EQ(50000, size_of(fd));
		EXPECT_TRUE(holds(fd, 1, 0, 50000));
	}
	close(fd);
}

TEST_F(power, unlinked_file_is_forgotten)
{
	struct statvfs before, after;
	int fd;

	sync();
	ASSERT_OK(statvfs(".", &before));
	fd = make_file("gone", 1, 8 << 20);
	ASSERT_OK(fd);
	ASSERT_OK(unlink("gone"));
	sync();
	/* Power is cut while it is still open and has no name: its space comes back. */
	close(fd);
	ASSERT_EQ(0, power_cycle("rw"));
	sync();
	ASSERT_OK(statvfs(".", &after));
	EXPECT_GE(after.f_bfree + (1 << 20) / self->blk, before.f_bfree);
}

static void all_are_forgotten(struct __test_metadata *_metadata, off_t b, const char *options)
{
	enum { FILES = 10 };
	struct statvfs before, after;
	int fd[FILES];
	char name[16];

	sync();
	ASSERT_OK(statvfs(".", &before));
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "gone-%d", i);
		fd[i] = make_file(name, 1, 1 << 20);
		ASSERT_OK(fd[i]);
		ASSERT_OK(unlink(name));
	}
	sync();
	for (int i = 0; i < FILES; i++)
		close(fd[i]);
	ASSERT_EQ(0, power_cycle(options));
	ASSERT_EQ(0, sh("mount -o remount,rw %s", getenv("TEST_DIR")));
	sync();
	ASSERT_OK(statvfs(".", &after));
	EXPECT_GE(after.f_bfree + (1 << 20) / b, before.f_bfree);
}

TEST_F(power, all_unlinked_files_are_forgotten)
{
	all_are_forgotten(_metadata, self->blk, "rw");
}

TEST_F(power, unlinked_files_are_forgotten_when_it_becomes_writable)
{
	all_are_forgotten(_metadata, self->blk, "ro");
}

TEST_HARNESS_MAIN
