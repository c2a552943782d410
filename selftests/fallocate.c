// SPDX-License-Identifier: GPL-2.0
/*
 * fallocate(2): preallocation with and without growing, punching, zeroing, on
 * plain and on shared files.
 */
#include <signal.h>
#include <sys/wait.h>

#include "fixture.h"

static struct fiemap_extent list[64];

/* Bytes of the file in extents that have this flag set (or clear). */
static off_t bytes(int fd, uint32_t flag, bool set)
{
	int n = extents(fd, list, 64, true);
	off_t sum = 0;

	for (int i = 0; i < n; i++)
		if (!!(list[i].fe_flags & flag) == set)
			sum += list[i].fe_length;
	return sum;
}

TEST_F(fs, preallocated_space_is_unwritten)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(fd);
	UNLESS_SUPPORTED(fallocate(fd, 0, 0, 32 * b));
	EXPECT_EQ(32 * b, size_of(fd));
	EXPECT_GE(allocated(fd), 32 * b);
	EXPECT_TRUE(holds_zeros(fd, 0, 32 * b));
	EXPECT_EQ(32 * b, bytes(fd, FIEMAP_EXTENT_UNWRITTEN, true));
	/* Only what is written becomes data, by each way of writing. */
	ASSERT_OK(put(fd, 1, 4 * b, 4 * b));
	ASSERT_OK(fsync(fd));
	EXPECT_EQ(4 * b, bytes(fd, FIEMAP_EXTENT_UNWRITTEN, false));
	int direct = open("f", O_RDWR | O_DIRECT);

	ASSERT_OK(put(direct, 2, 16 * b, 8 * b));
	EXPECT_EQ(12 * b, bytes(fd, FIEMAP_EXTENT_UNWRITTEN, false));
	drop_pages(fd);
	EXPECT_TRUE(holds_zeros(fd, 0, 4 * b));
	EXPECT_TRUE(holds(fd, 1, 4 * b, 4 * b));
	EXPECT_TRUE(holds_zeros(fd, 8 * b, 8 * b));
	EXPECT_TRUE(holds(fd, 2, 16 * b, 8 * b));
	EXPECT_TRUE(holds_zeros(fd, 24 * b, 8 * b));
	close(direct);
	close(fd);
}

TEST_F(fs, keep_size)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, b + 10);

	ASSERT_OK(fd);
	UNLESS_SUPPORTED(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 64 * b));
	EXPECT_EQ(b + 10, size_of(fd));
	EXPECT_GE(allocated(fd), 64 * b);
	EXPECT_TRUE(holds(fd, 1, 0, b + 10));
	/* Growing into it shows zeros. */
	ASSERT_OK(ftruncate(fd, 32 * b));
	EXPECT_TRUE(holds_zeros(fd, b + 10, 31 * b - 10));
	close(fd);
}

TEST_F(fs, over_data_and_holes)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(fd);
	ASSERT_OK(put(fd, 1, 4 * b, 4 * b));
	ASSERT_OK(put(fd, 1, 12 * b, 4 * b));
	ASSERT_OK(fsync(fd));
	UNLESS_SUPPORTED(fallocate(fd, 0, 0, 20 * b));
	EXPECT_TRUE(holds_zeros(fd, 0, 4 * b));
	EXPECT_TRUE(holds(fd, 1, 4 * b, 4 * b));
	EXPECT_TRUE(holds_zeros(fd, 8 * b, 4 * b));
	EXPECT_TRUE(holds(fd, 1, 12 * b, 4 * b));
	EXPECT_EQ(20 * b, bytes(fd, FIEMAP_EXTENT_UNWRITTEN, true) +
			  bytes(fd, FIEMAP_EXTENT_UNWRITTEN, false));
	close(fd);
}

TEST_F(fs, punch)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 20 * b);
	off_t before;

	ASSERT_OK(fd);
	before = allocated(fd);
	UNLESS_SUPPORTED(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * b, 8 * b));
	EXPECT_EQ(20 * b, size_of(fd));
	EXPECT_EQ(before - 8 * b, allocated(fd));
	EXPECT_TRUE(holds(fd, 1, 0, 4 * b));
	EXPECT_TRUE(holds_zeros(fd, 4 * b, 8 * b));
	EXPECT_TRUE(holds(fd, 1, 12 * b, 8 * b));
	/* Within a block and across a border: zeroed, not freed. */
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 14 * b - 7, 20));
	EXPECT_EQ(before - 8 * b, allocated(fd));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 1, 12 * b, 2 * b - 7));
	EXPECT_TRUE(holds_zeros(fd, 14 * b - 7, 20));
	EXPECT_TRUE(holds(fd, 1, 14 * b + 13, 6 * b - 13));
	close(fd);
}

TEST_F(fs, punch_in_a_clone)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 40 * b);
	int dst = open("dst", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(src);
	ASSERT_OK(clone_file(dst, src));
	UNLESS_SUPPORTED(fallocate(dst, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   5 * b + 5, 10 * b));
	drop_pages(dst);
	EXPECT_TRUE(holds(dst, 1, 0, 5 * b + 5));
	EXPECT_TRUE(holds_zeros(dst, 5 * b + 5, 10 * b));
	EXPECT_TRUE(holds(dst, 1, 15 * b + 5, 25 * b - 5));
	drop_pages(src);
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, 40 * b));
	close(src);
	close(dst);
}

TEST_F(fs, zero_range)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 20 * b);

	ASSERT_OK(fd);
	UNLESS_SUPPORTED(fallocate(fd, FALLOC_FL_ZERO_RANGE, 3 * b + 3, 10 * b));
	EXPECT_EQ(20 * b, size_of(fd));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 1, 0, 3 * b + 3));
	EXPECT_TRUE(holds_zeros(fd, 3 * b + 3, 10 * b));
	EXPECT_TRUE(holds(fd, 1, 13 * b + 3, 7 * b - 3));
	ASSERT_OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 19 * b, 11 * b));
	EXPECT_EQ(30 * b, size_of(fd));
	EXPECT_TRUE(holds_zeros(fd, 19 * b, 11 * b));
	close(fd);
}

TEST_F(fs, unshare_range)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 16 * b);
	int dst = open("dst", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(src);
	ASSERT_OK(clone_file(dst, src));
	EXPECT_EQ(16 * b, bytes(dst, FIEMAP_EXTENT_SHARED, true));
	UNLESS_SUPPORTED(fallocate(dst, FALLOC_FL_UNSHARE_RANGE, 0, 16 * b));
	EXPECT_EQ(0, bytes(dst, FIEMAP_EXTENT_SHARED, true));
	EXPECT_EQ(0, bytes(src, FIEMAP_EXTENT_SHARED, true));
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, 16 * b));
	close(src);
	close(dst);
}

/* Space that another file may come to use first is none that was promised to this one. */
TEST_F(fs, preallocated_space_that_is_shared)
{
	const int modes[] = { 0, FALLOC_FL_UNSHARE_RANGE };
	const off_t b = self->blk;

	for (int i = 0; i < 2; i++) {
		int src = open("src", O_CREAT | O_TRUNC | O_RDWR, 0644);
		int dst = open("dst", O_CREAT | O_TRUNC | O_RDWR, 0644);

		UNLESS_SUPPORTED(fallocate(src, 0, 0, 64 * b));
		ASSERT_OK(clone_file(dst, src));
		UNLESS_SUPPORTED(fallocate(dst, modes[i], 0, 32 * b));
		EXPECT_EQ(is_cowfs() ? 32 * b : 0, bytes(dst, FIEMAP_EXTENT_SHARED, true));
		EXPECT_LE(32 * b, bytes(dst, FIEMAP_EXTENT_UNWRITTEN, true));
		EXPECT_TRUE(holds_zeros(dst, 0, 64 * b));
		close(src);
		close(dst);
	}
}

TEST_F(fs, punching_at_the_end_of_the_world)
{
	const off_t last = LLONG_MAX & ~(off_t)4095;
	const int modes[] = { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		int fd = open("f", O_CREAT | O_RDWR | O_TRUNC, 0644);

		ASSERT_OK(fd);
		if (put(fd, 1, last, 3000)) {
			ASSERT_EQ(EFBIG, errno);
			EXPECT_FALSE(is_cowfs());
			close(fd);
			return;
		}
		ASSERT_OK(ftruncate(fd, LLONG_MAX));
		UNLESS_SUPPORTED(fallocate(fd, modes[i], last + 1000, 1000));
		EXPECT_TRUE(holds(fd, 1, last, 1000));
		EXPECT_TRUE(holds_zeros(fd, last + 1000, 1000));
		EXPECT_TRUE(holds(fd, 1, last + 2000, 1000));
		ASSERT_OK(fsync(fd));
		close(fd);
	}
}

TEST_F(fs, what_is_refused)
{
	int fd = make_file("f", 1, 5 * self->blk);
	int ro = open("f", O_RDONLY);

	ASSERT_OK(fd);
	EXPECT_ERRNO(EBADF, fallocate(ro, 0, 0, 100));
	EXPECT_ERRNO(EINVAL, fallocate(fd, 0, 0, 0));
	EXPECT_ERRNO(EINVAL, fallocate(fd, 0, -5, 100));
	EXPECT_ERRNO(EFBIG, fallocate(fd, 0, LLONG_MAX - 10, 100));
	EXPECT_ERRNO(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 100));
	EXPECT_TRUE(holds(fd, 1, 0, 5 * self->blk));
	close(ro);
	close(fd);
}

/* Writeback moves what is mapped while it is being unshared. */
TEST_F(fs, unshare_while_it_is_written_back)
{
	const off_t b = self->blk, size = 2048 * b;
	int src = make_file("src", 1, size), top = open(".", O_RDONLY | O_DIRECTORY), status;
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			syncfs(top);
	}
	for (int i = 0; i < 4; i++) {
		int dst = open("dst", O_CREAT | O_RDWR | O_TRUNC, 0644);

		ASSERT_OK(clone_file(dst, src));
		EXPECT_OK(fallocate(dst, FALLOC_FL_UNSHARE_RANGE, 0, size));
		close(dst);
	}
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, size));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
	close(src);
	close(top);
}

TEST_HARNESS_MAIN
