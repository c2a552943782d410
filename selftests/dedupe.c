// SPDX-License-Identifier: GPL-2.0
/*
 * FIDEDUPERANGE and copy_file_range(2): sharing what is the same, and nothing else.
 */
#include "fixture.h"

static bool shared_at(int fd, off_t at)
{
	struct fiemap_extent e;

	return extent_at(fd, at, &e) && e.fe_flags & FIEMAP_EXTENT_SHARED;
}

static uint64_t physical(int fd, off_t at)
{
	struct fiemap_extent e;

	return extent_at(fd, at, &e) ? e.fe_physical + at - e.fe_logical : 0;
}

TEST_F(fs, same_content_is_shared)
{
	const off_t b = self->blk;
	int a = make_file("a", 1, 16 * b), c = make_file("c", 1, 16 * b);
	uint64_t done = 0;

	ASSERT_OK(a);
	ASSERT_OK(c);
	EXPECT_NE(physical(a, 4 * b), physical(c, 4 * b));
	EXPECT_EQ(FILE_DEDUPE_RANGE_SAME, dedupe_range(c, 4 * b, a, 4 * b, 8 * b, &done));
	EXPECT_EQ(8 * b, (off_t)done);
	EXPECT_EQ(physical(a, 4 * b), physical(c, 4 * b));
	EXPECT_TRUE(shared_at(a, 11 * b));
	EXPECT_FALSE(shared_at(a, 12 * b));
	EXPECT_FALSE(shared_at(c, 3 * b));
	EXPECT_TRUE(holds_by_all_ways("a", 1, 0, 16 * b));
	EXPECT_TRUE(holds_by_all_ways("c", 1, 0, 16 * b));
	/* It is a real copy: writing one leaves the other. */
	ASSERT_OK(put(c, 2, 4 * b, 8 * b));
	ASSERT_OK(fsync(c));
	drop_pages(a);
	EXPECT_TRUE(holds(a, 1, 0, 16 * b));
	close(a);
	close(c);
}

TEST_F(fs, other_content_is_not)
{
	const off_t b = self->blk;
	int a = make_file("a", 1, 16 * b), c = make_file("c", 1, 16 * b);
	char byte;

	ASSERT_OK(a);
	ASSERT_OK(c);
	/* One bit in the last byte of the range. */
	ASSERT_EQ(1, pread(c, &byte, 1, 8 * b - 1));
	byte ^= 1;
	ASSERT_EQ(1, pwrite(c, &byte, 1, 8 * b - 1));
	EXPECT_EQ(FILE_DEDUPE_RANGE_DIFFERS, dedupe_range(c, 0, a, 0, 8 * b, NULL));
	EXPECT_FALSE(shared_at(a, 0));
	EXPECT_EQ(FILE_DEDUPE_RANGE_SAME, dedupe_range(c, 8 * b, a, 8 * b, 8 * b, NULL));
	EXPECT_TRUE(shared_at(a, 8 * b));
	EXPECT_TRUE(holds(a, 1, 0, 16 * b));
	EXPECT_TRUE(holds(c, 1, 0, 8 * b - 1));
	close(a);
	close(c);
}

TEST_F(fs, dedupe_refuses)
{
	const off_t b = self->blk;
	int a = make_file("a", 1, 16 * b), c = make_file("c", 1, 16 * b);
	int dir = open(".", O_RDONLY | O_DIRECTORY);
	uint64_t done = 0;

	ASSERT_OK(a);
	/* What is not whole blocks is left out. */
	EXPECT_EQ(FILE_DEDUPE_RANGE_SAME, dedupe_range(c, 0, a, 0, b + 1, &done));
	EXPECT_LE(b, (off_t)done);
	EXPECT_FALSE(shared_at(a, b));
	EXPECT_EQ(-EINVAL, dedupe_range(c, 1, a, 0, b, NULL));
	EXPECT_EQ(-EISDIR, dedupe_range(dir, 0, a, 0, b, NULL));
	EXPECT_TRUE(holds(c, 1, 0, 16 * b));
	close(a);
	close(c);
	close(dir);
}

TEST_F(fs, dedupe_already_shared)
{
	const off_t b = self->blk;
	int a = make_file("a", 1, 16 * b), c = open("c", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(clone_file(c, a));
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(FILE_DEDUPE_RANGE_SAME, dedupe_range(c, 0, a, 0, 16 * b, NULL));
	}
	close(a);
	ASSERT_OK(unlink("a"));
	drop_pages(c);
	EXPECT_TRUE(holds(c, 1, 0, 16 * b));
	close(c);
}

TEST_F(fs, copy_file_range_of_blocks_shares)
{
	const off_t b = self->blk;
	int a = make_file("a", 1, 32 * b), c = open("c", O_CREAT | O_RDWR, 0644);
	loff_t from = 0, to = 0;

	ASSERT_OK(a);
	while (from < 32 * b) {
		ASSERT_GT(copy_file_range(a, &from, c, &to, 32 * b - from, 0), 0);
	}
	EXPECT_EQ(32 * b, to);
	EXPECT_TRUE(shared_at(c, 0));
	EXPECT_EQ(physical(a, 16 * b), physical(c, 16 * b));
	EXPECT_TRUE(holds_by_all_ways("c", 1, 0, 32 * b));
	close(a);
	close(c);
}

TEST_F(fs, copy_file_range_of_bytes_copies)
{
	int a = make_file("a", 1, 50000), c = make_file("c", 2, 50000);
	loff_t from = 1234, to = 4321;
	char *buf = aligned(20000);
	ssize_t n;

	ASSERT_OK(a);
	for (size_t left = 20000; left; left -= n) {
		n = copy_file_range(a, &from, c, &to, left, 0);
		ASSERT_GT(n, 0);
	}
	EXPECT_TRUE(holds(c, 2, 0, 4321));
	ASSERT_EQ(20000, pread(c, buf, 20000, 4321));
	EXPECT_EQ(-1, mismatch(buf, 20000, 1, 1234));
	EXPECT_TRUE(holds(c, 2, 24321, 50000 - 24321));
	/* To the end of the source, and no further. */
	from = 49000;
	to = 0;
	EXPECT_EQ(1000, copy_file_range(a, &from, c, &to, 5000, 0));
	EXPECT_EQ(0, copy_file_range(a, &from, c, &to, 5000, 0));
	from = 0;
	to = 100;
	EXPECT_ERRNO(EINVAL, copy_file_range(a, &from, a, &to, 5000, 0));
	close(a);
	close(c);
}

TEST_HARNESS_MAIN
