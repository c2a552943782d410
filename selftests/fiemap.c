// SPDX-License-Identifier: GPL-2.0
/*
 * FIEMAP and SEEK_HOLE/SEEK_DATA: what is mapped, and how it is flagged.
 */
#include "fixture.h"

#define MAX 256

static struct fiemap_extent list[MAX];

/* The extents lie in order, do not overlap, and only the last is marked as such. */
static bool in_order(int n)
{
	for (int i = 0; i < n; i++) {
		bool last = list[i].fe_flags & FIEMAP_EXTENT_LAST;

		if (i && list[i].fe_logical < list[i - 1].fe_logical + list[i - 1].fe_length)
			return false;
		if (!list[i].fe_length || last != (i == n - 1))
			return false;
	}
	return true;
}

TEST_F(fs, plain_file)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 16 * b), n;
	off_t end = 0;

	ASSERT_OK(fd);
	n = extents(fd, list, MAX, true);
	ASSERT_LE(1, n);
	EXPECT_TRUE(in_order(n));
	for (int i = 0; i < n; i++) {
		EXPECT_EQ(end, (off_t)list[i].fe_logical);
		EXPECT_EQ(0, list[i].fe_flags & ~FIEMAP_EXTENT_LAST);
		EXPECT_NE(0, list[i].fe_physical);
		EXPECT_EQ(0, list[i].fe_physical % b);
		end = list[i].fe_logical + list[i].fe_length;
	}
	EXPECT_GE(end, 16 * b);
	/* Only the number of them. */
	EXPECT_EQ(n, extents(fd, NULL, 0, true));
	close(fd);
}

TEST_F(fs, empty_and_sparse)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR, 0644), n;

	EXPECT_EQ(0, extents(fd, list, MAX, true));
	ASSERT_OK(ftruncate(fd, 1 << 30));
	EXPECT_EQ(0, extents(fd, list, MAX, true));
	for (int i = 0; i < 50; i++) {
		ASSERT_OK(put(fd, 1, i * 8 * b, b));
	}
	n = extents(fd, list, MAX, true);
	EXPECT_EQ(50, n);
	EXPECT_TRUE(in_order(n));
	for (int i = 0; i < n; i++) {
		EXPECT_EQ(i * 8 * b, (off_t)list[i].fe_logical);
	}
	close(fd);
}

/* A file may be deleted in the background. */
static bool unshared(void *arg)
{
	int n = extents(*(int *)arg, list, MAX, true);

	for (int i = 0; i < n; i++)
		if (list[i].fe_flags & FIEMAP_EXTENT_SHARED)
			return false;
	return n > 0;
}

TEST_F(fs, shared)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 16 * b), dst = open("dst", O_CREAT | O_RDWR, 0644), n;
	off_t shared = 0, total = 0;

	ASSERT_OK(clone_file(dst, src));
	n = extents(src, list, MAX, true);
	ASSERT_LE(1, n);
	for (int i = 0; i < n; i++) {
		EXPECT_TRUE(list[i].fe_flags & FIEMAP_EXTENT_SHARED);
	}
	ASSERT_OK(put(dst, 2, 4 * b, 4 * b));
	ASSERT_OK(fsync(dst));
	/* Now both own four blocks each, in the middle. */
	for (int file = 0; file < 2; file++) {
		shared = total = 0;
		n = extents(file ? src : dst, list, MAX, true);
		EXPECT_TRUE(in_order(n));
		for (int i = 0; i < n; i++) {
			total += list[i].fe_length;
			if (list[i].fe_flags & FIEMAP_EXTENT_SHARED) {
				shared += list[i].fe_length;
				continue;
			}
			EXPECT_EQ(4 * b, (off_t)list[i].fe_logical);
		}
		EXPECT_EQ(16 * b, total);
		EXPECT_EQ(12 * b, shared);
	}
	/* The last owner's blocks are not shared any more. */
	close(dst);
	ASSERT_OK(unlink("dst"));
	EXPECT_TRUE(eventually(unshared, &src));
	close(src);
}

TEST_F(fs, delayed)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644), n;

	ASSERT_OK(put(fd, 1, 0, 4 * self->blk));
	n = extents(fd, list, MAX, false);
	ASSERT_LE(1, n);
	/* Written back already, or marked as having no place yet. */
	for (int i = 0; i < n; i++) {
		const uint32_t delayed = FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_UNKNOWN;

		EXPECT_TRUE((list[i].fe_flags & delayed) == delayed ||
			    list[i].fe_physical != 0);
	}
	n = extents(fd, list, MAX, true);
	ASSERT_LE(1, n);
	for (int i = 0; i < n; i++) {
		EXPECT_EQ(0, list[i].fe_flags & FIEMAP_EXTENT_DELALLOC);
	}
	close(fd);
}

TEST_F(fs, unwritten)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR, 0644), n;

	UNLESS_SUPPORTED(fallocate(fd, 0, 0, 12 * b));
	ASSERT_OK(put(fd, 1, 4 * b, 4 * b));
	n = extents(fd, list, MAX, true);
	EXPECT_TRUE(in_order(n));
	ASSERT_EQ(3, n);
	EXPECT_TRUE(list[0].fe_flags & FIEMAP_EXTENT_UNWRITTEN);
	EXPECT_FALSE(list[1].fe_flags & FIEMAP_EXTENT_UNWRITTEN);
	EXPECT_EQ(4 * b, (off_t)list[1].fe_logical);
	EXPECT_TRUE(list[2].fe_flags & FIEMAP_EXTENT_UNWRITTEN);
	close(fd);
}

TEST_F(fs, part_of_a_file)
{
	const off_t b = self->blk;
	struct {
		struct fiemap map;
		struct fiemap_extent room[4];
	} arg = { .map = { .fm_start = 24 * b, .fm_length = 17 * b, .fm_extent_count = 4,
			   .fm_flags = FIEMAP_FLAG_SYNC } };
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	for (int i = 0; i < 10; i++) {
		ASSERT_OK(put(fd, 1, i * 8 * b, 2 * b));
	}
	ASSERT_OK(ioctl(fd, FS_IOC_FIEMAP, &arg));
	ASSERT_LE(3, arg.map.fm_mapped_extents);
	EXPECT_EQ(24 * b, (off_t)arg.room[0].fe_logical);
	for (unsigned int i = 0; i < arg.map.fm_mapped_extents; i++) {
		EXPECT_LT((off_t)arg.room[i].fe_logical, 41 * b);
	}
	arg.map.fm_flags = 0x80000000;
	EXPECT_ERRNO(EBADR, ioctl(fd, FS_IOC_FIEMAP, &arg));
	close(fd);
}

TEST_F(fs, seeking_data_and_holes)
{
	const off_t b = self->blk, size = 40 * b + 5;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(ftruncate(fd, size));
	EXPECT_ERRNO(ENXIO, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_HOLE));
	ASSERT_OK(put(fd, 1, 8 * b, 4 * b));
	ASSERT_OK(put(fd, 1, 24 * b, 8 * b));
	/* Once with delayed blocks, once on disk. */
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(8 * b, lseek(fd, 0, SEEK_DATA));
		EXPECT_EQ(9 * b + 1, lseek(fd, 9 * b + 1, SEEK_DATA));
		EXPECT_EQ(0, lseek(fd, 0, SEEK_HOLE));
		EXPECT_EQ(12 * b, lseek(fd, 8 * b, SEEK_HOLE));
		EXPECT_EQ(24 * b, lseek(fd, 12 * b, SEEK_DATA));
		EXPECT_EQ(32 * b, lseek(fd, 25 * b, SEEK_HOLE));
		EXPECT_EQ(40 * b, lseek(fd, 40 * b, SEEK_HOLE));
		EXPECT_ERRNO(ENXIO, lseek(fd, 32 * b, SEEK_DATA));
		EXPECT_ERRNO(ENXIO, lseek(fd, size, SEEK_DATA));
		EXPECT_ERRNO(ENXIO, lseek(fd, size, SEEK_HOLE));
		drop_pages(fd);
	}
	close(fd);
}

TEST_F(fs, seeking_in_preallocated_space)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	UNLESS_SUPPORTED(fallocate(fd, 0, 0, 32 * b));
	ASSERT_OK(put(fd, 1, 16 * b, b));
	/* Dirty pages over unwritten blocks are data, the rest is a hole. */
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(16 * b, lseek(fd, 0, SEEK_DATA));
		EXPECT_EQ(0, lseek(fd, 0, SEEK_HOLE));
		EXPECT_EQ(17 * b, lseek(fd, 16 * b, SEEK_HOLE));
		drop_pages(fd);
	}
	close(fd);
}

TEST_F(fs, end_of_a_full_file_is_a_hole)
{
	int fd = make_file("f", 1, 10000);

	EXPECT_EQ(10000, lseek(fd, 0, SEEK_HOLE));
	EXPECT_EQ(9999, lseek(fd, 9999, SEEK_DATA));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_DATA));
	close(fd);
}

TEST_HARNESS_MAIN
