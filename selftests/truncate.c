// SPDX-License-Identifier: GPL-2.0
/*
 * Truncating down and up: files that share blocks, preallocated and sparse ones;
 * what was cut off reads as zeros when the file grows again.
 */
#include "fixture.h"

static struct fiemap_extent list[64];

TEST_F(fs, down_and_up_again)
{
	const off_t b = self->blk;
	const off_t sizes[] = { 20 * b, 20 * b - 1, 7 * b + 1, 7 * b, 7 * b - 1, b, 100, 1, 0 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int fd = make_file("f", 1, 20 * b);

		ASSERT_OK(fd);
		ASSERT_OK(ftruncate(fd, sizes[i]));
		EXPECT_EQ(sizes[i], size_of(fd));
		ASSERT_OK(ftruncate(fd, 24 * b));
		EXPECT_EQ(24 * b, size_of(fd));
		EXPECT_TRUE(holds(fd, 1, 0, sizes[i]));
		EXPECT_TRUE(holds_zeros(fd, sizes[i], 24 * b - sizes[i]));
		drop_pages(fd);
		EXPECT_TRUE(holds(fd, 1, 0, sizes[i]));
		EXPECT_TRUE(holds_zeros(fd, sizes[i], 24 * b - sizes[i]));
		close(fd);
		ASSERT_OK(unlink("f"));
	}
}

TEST_F(fs, space_comes_back)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 100 * b);
	off_t before;

	ASSERT_OK(fd);
	before = allocated(fd);
	ASSERT_OK(ftruncate(fd, 10 * b));
	EXPECT_LE(allocated(fd), before - 80 * b);
	ASSERT_OK(ftruncate(fd, 0));
	EXPECT_EQ(0, allocated(fd));
	EXPECT_EQ(0, extents(fd, list, 64, true));
	close(fd);
}

TEST_F(fs, clone_leaves_source_whole)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 40 * b);
	int dst = open("dst", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(src);
	ASSERT_OK(clone_file(dst, src));
	/* In the middle of a block, so that one is copied to be zeroed. */
	ASSERT_OK(ftruncate(dst, 11 * b + 100));
	ASSERT_OK(ftruncate(dst, 50 * b));
	EXPECT_TRUE(holds(dst, 1, 0, 11 * b + 100));
	EXPECT_TRUE(holds_zeros(dst, 11 * b + 100, 39 * b - 100));
	EXPECT_TRUE(holds(src, 1, 0, 40 * b));
	drop_pages(dst);
	drop_pages(src);
	EXPECT_TRUE(holds(dst, 1, 0, 11 * b + 100));
	EXPECT_TRUE(holds_zeros(dst, 11 * b + 100, 39 * b - 100));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, 40 * b));
	/* And the other way round. */
	ASSERT_OK(ftruncate(src, 3 * b + 1));
	ASSERT_OK(ftruncate(src, 40 * b));
	EXPECT_TRUE(holds(dst, 1, 0, 11 * b + 100));
	EXPECT_TRUE(holds_zeros(src, 3 * b + 1, 37 * b - 1));
	ASSERT_OK(ftruncate(src, 0));
	drop_pages(dst);
	EXPECT_TRUE(holds(dst, 1, 0, 11 * b + 100));
	close(src);
	close(dst);
}

TEST_F(fs, mapping_sees_zeros_behind_the_end)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 4 * b);
	char *map;

	ASSERT_OK(fd);
	map = mmap(NULL, 4 * b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_OK(ftruncate(fd, 100));
	/* What is stored behind the end of the file does not become part of it. */
	memset(map + 100, 0xff, 200);
	ASSERT_OK(msync(map, b, MS_SYNC));
	ASSERT_OK(ftruncate(fd, 2 * b));
	EXPECT_TRUE(holds(fd, 1, 0, 100));
	EXPECT_TRUE(holds_zeros(fd, 100, 2 * b - 100));
	munmap(map, 4 * b);
	close(fd);
}

TEST_F(fs, delayed_blocks_cut_off)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(fd);
	ASSERT_OK(put(fd, 1, 0, 64 * b));
	ASSERT_OK(ftruncate(fd, 5 * b + 5));
	ASSERT_OK(fsync(fd));
	EXPECT_LT(allocated(fd), 64 * b);
	ASSERT_OK(ftruncate(fd, 64 * b));
	EXPECT_TRUE(holds(fd, 1, 0, 5 * b + 5));
	EXPECT_TRUE(holds_zeros(fd, 5 * b + 5, 59 * b - 5));
	close(fd);
}

TEST_F(fs, preallocated_file)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(fd);
	UNLESS_SUPPORTED(fallocate(fd, 0, 0, 32 * b));
	ASSERT_OK(put(fd, 1, 8 * b, 8 * b));
	ASSERT_OK(ftruncate(fd, 12 * b + 7));
	ASSERT_OK(ftruncate(fd, 32 * b));
	EXPECT_TRUE(holds_zeros(fd, 0, 8 * b));
	EXPECT_TRUE(holds(fd, 1, 8 * b, 4 * b + 7));
	EXPECT_TRUE(holds_zeros(fd, 12 * b + 7, 20 * b - 7));
	drop_pages(fd);
	EXPECT_TRUE(holds_zeros(fd, 0, 8 * b));
	EXPECT_TRUE(holds(fd, 1, 8 * b, 4 * b + 7));
	EXPECT_TRUE(holds_zeros(fd, 12 * b + 7, 20 * b - 7));
	close(fd);
}

TEST_F(fs, to_the_same_size_and_by_open)
{
	int fd = make_file("f", 1, 10000);

	ASSERT_OK(fd);
	ASSERT_OK(ftruncate(fd, 10000));
	EXPECT_TRUE(holds(fd, 1, 0, 10000));
	close(fd);
	fd = open("f", O_RDWR | O_TRUNC);
	ASSERT_OK(fd);
	EXPECT_EQ(0, size_of(fd));
	EXPECT_EQ(0, allocated(fd));
	EXPECT_ERRNO(EINVAL, ftruncate(fd, -1));
	close(fd);
	fd = open("f", O_RDONLY);
	EXPECT_ERRNO(EINVAL, ftruncate(fd, 5));
	EXPECT_ERRNO(EISDIR, truncate(".", 5));
	close(fd);
}

TEST_F(fs, writing_behind_the_old_end_leaves_zeros_between)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, b + 100);

	ASSERT_OK(fd);
	ASSERT_OK(put(fd, 2, 5 * b + 50, 1000));
	EXPECT_TRUE(holds(fd, 1, 0, b + 100));
	EXPECT_TRUE(holds_zeros(fd, b + 100, 4 * b - 50));
	EXPECT_TRUE(holds(fd, 2, 5 * b + 50, 1000));
	drop_pages(fd);
	EXPECT_TRUE(holds_zeros(fd, b + 100, 4 * b - 50));
	EXPECT_TRUE(holds(fd, 2, 5 * b + 50, 1000));
	close(fd);
}

TEST_HARNESS_MAIN
