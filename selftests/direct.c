// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O: in place, over clones, into holes, behind the end, of all sizes,
 * unaligned to blocks, appended.
 */
#include <sys/resource.h>

#include "fixture.h"

/* Sector of the device: what direct I/O must at least be aligned to. */
#define SECTOR 512

TEST_F(fs, in_place_and_behind_the_end)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);

	ASSERT_OK(fd);
	ASSERT_OK(put(fd, 1, 0, 16 * b));
	EXPECT_EQ(16 * b, size_of(fd));
	EXPECT_TRUE(holds(fd, 1, 0, 16 * b));
	ASSERT_OK(put(fd, 2, 4 * b, 4 * b));
	ASSERT_OK(put(fd, 3, 30 * b, 2 * b));
	EXPECT_EQ(32 * b, size_of(fd));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, 4 * b));
	EXPECT_TRUE(holds_by_all_ways("f", 2, 4 * b, 4 * b));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 8 * b, 8 * b));
	EXPECT_TRUE(holds_zeros(fd, 16 * b, 14 * b));
	EXPECT_TRUE(holds_by_all_ways("f", 3, 30 * b, 2 * b));
	close(fd);
}

TEST_F(fs, over_a_clone_in_pieces)
{
	const off_t b = self->blk, size = 200 * b;
	int src = make_file("src", 1, size), fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	uint8_t written[200] = { 0 };

	ASSERT_OK(clone_file(fd, src));
	for (int i = 0; i < 40; i++) {
		int at = i * 67 % 190, n = 1 + i % 10;

		ASSERT_OK(put(fd, 100 + i, at * b, n * b));
		memset(written + at, 100 + i, n);
	}
	for (int round = 0; round < 2; round++) {
		for (int k = 0; k < 200; k++) {
			EXPECT_TRUE(holds(fd, written[k] ?: 1, k * b, b));
		}
		EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
		drop_caches();
	}
	close(src);
	close(fd);
}

TEST_F(fs, large)
{
	const size_t size = 8 << 20;
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	int copy = open("copy", O_CREAT | O_RDWR | O_DIRECT, 0644);

	ASSERT_OK(put(fd, 1, 0, size));
	ASSERT_OK(clone_file(copy, fd));
	ASSERT_OK(put(copy, 2, 0, size));
	EXPECT_TRUE(holds(fd, 1, 0, size));
	EXPECT_TRUE(holds(copy, 2, 0, size));
	close(fd);
	close(copy);
}

TEST_F(fs, unaligned_to_blocks)
{
	const off_t b = self->blk, size = 16 * b;
	int src = make_file("src", 1, size), fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	char *buf = aligned(4096);

	ASSERT_OK(clone_file(fd, src));
	/* A sector within a shared block, within a private one, across a border. */
	ASSERT_OK(put(fd, 2, 3 * b + SECTOR, SECTOR));
	ASSERT_OK(put(fd, 3, 3 * b, SECTOR));
	ASSERT_OK(put(fd, 4, 8 * b - SECTOR, 2 * SECTOR));
	/* Behind the end, leaving zeros. */
	ASSERT_OK(put(fd, 5, 18 * b + SECTOR, SECTOR));
	EXPECT_EQ(18 * b + 2 * SECTOR, size_of(fd));
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(holds_by_all_ways("f", 1, 0, 3 * b));
		EXPECT_TRUE(holds_by_all_ways("f", 3, 3 * b, SECTOR));
		EXPECT_TRUE(holds_by_all_ways("f", 2, 3 * b + SECTOR, SECTOR));
		EXPECT_TRUE(holds_by_all_ways("f", 1, 3 * b + 2 * SECTOR, 5 * b - 3 * SECTOR));
		EXPECT_TRUE(holds_by_all_ways("f", 4, 8 * b - SECTOR, 2 * SECTOR));
		EXPECT_TRUE(holds_by_all_ways("f", 1, 8 * b + SECTOR, 8 * b - SECTOR));
		EXPECT_TRUE(holds_by_all_ways("f", 5, 18 * b + SECTOR, SECTOR));
		EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
		drop_caches();
	}
	/* Not even a sector: refused, or done as if buffered; never half. */
	fill(buf, 100, 6, 100);
	if (pwrite(fd, buf, 100, 100) == -1) {
		EXPECT_EQ(EINVAL, errno);
		EXPECT_TRUE(holds_by_all_ways("f", 1, 0, b));
	} else {
		EXPECT_TRUE(holds_by_all_ways("f", 6, 100, 100));
	}
	close(src);
	close(fd);
}

TEST_F(fs, neighbouring_sectors_at_once)
{
	enum { PROCESSES = 8, ROUNDS = 20 };
	const off_t b = self->blk;
	int src = make_file("src", 1, 8 * b), fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	char name[16];

	ASSERT_OK(src);
	/* Each process owns one sector of each block: none may undo another's. */
	for (int round = 0; round < ROUNDS; round++) {
		ASSERT_OK(ftruncate(fd, 0));
		ASSERT_OK(clone_file(fd, src));
		for (int p = 0; p < PROCESSES && p * SECTOR < b; p++) {
			if (fork() == 0) {
				int ret = 0;

				for (int k = 0; k < 8; k++)
					ret |= put(fd, 10 + p, k * b + p * SECTOR, SECTOR);
				_exit(ret != 0);
			}
		}
		for (int p = 0; p < PROCESSES && p * SECTOR < b; p++) {
			int status = -1;

			ASSERT_LT(0, wait(&status));
			EXPECT_EQ(0, status);
		}
		for (int p = 0; p < PROCESSES && p * SECTOR < b; p++)
			for (int k = 0; k < 8; k++) {
				EXPECT_TRUE(holds(fd, 10 + p, k * b + p * SECTOR, SECTOR));
			}
	}
	snprintf(name, sizeof(name), "src");
	EXPECT_TRUE(holds_by_all_ways(name, 1, 0, 8 * b));
	close(src);
	close(fd);
}

TEST_F(fs, at_the_end_of_the_file)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 3 * b + 100), direct = open("f", O_RDWR | O_DIRECT);
	char *buf = aligned(8 * b);

	ASSERT_OK(direct);
	EXPECT_EQ(3 * b + 100, pread(direct, buf, 8 * b, 0));
	EXPECT_EQ(-1, mismatch(buf, 3 * b + 100, 1, 0));
	EXPECT_EQ(100, pread(direct, buf, b, 3 * b));
	EXPECT_EQ(0, pread(direct, buf, b, 4 * b));
	/* The tail of the last block stays zero when a direct write extends the file. */
	ASSERT_OK(put(direct, 2, 4 * b, b));
	EXPECT_TRUE(holds_zeros(fd, 3 * b + 100, b - 100));
	drop_pages(fd);
	EXPECT_TRUE(holds_zeros(fd, 3 * b + 100, b - 100));
	EXPECT_TRUE(holds_by_all_ways("f", 2, 4 * b, b));
	close(direct);
	close(fd);
}

TEST_F(fs, append)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT | O_APPEND, 0644);
	char *buf = aligned(8 * b);
	off_t at = 0;

	ASSERT_OK(fd);
	for (int i = 0; i < 20; i++) {
		off_t len = (1 + i % 8) * b;

		fill(buf, len, 1, at);
		ASSERT_EQ(len, write(fd, buf, len));
		at += len;
	}
	EXPECT_EQ(at, size_of(fd));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, at));
	close(fd);
}

TEST_F(fs, into_a_preallocated_file)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	int copy = open("copy", O_CREAT | O_RDWR | O_DIRECT, 0644);

	UNLESS_SUPPORTED(fallocate(fd, 0, 0, 64 * b));
	ASSERT_OK(put(fd, 1, 10 * b, 4 * b));
	ASSERT_OK(clone_file(copy, fd));
	ASSERT_OK(put(copy, 2, 12 * b, 4 * b));
	ASSERT_OK(put(fd, 3, 40 * b, 4 * b));
	drop_caches();
	EXPECT_TRUE(holds_zeros(fd, 0, 10 * b));
	EXPECT_TRUE(holds(fd, 1, 10 * b, 4 * b));
	EXPECT_TRUE(holds_zeros(fd, 14 * b, 26 * b));
	EXPECT_TRUE(holds(fd, 3, 40 * b, 4 * b));
	EXPECT_TRUE(holds_zeros(copy, 0, 10 * b));
	EXPECT_TRUE(holds(copy, 1, 10 * b, 2 * b));
	EXPECT_TRUE(holds(copy, 2, 12 * b, 4 * b));
	EXPECT_TRUE(holds_zeros(copy, 16 * b, 48 * b));
	close(fd);
	close(copy);
}

/* A write that a limit cuts inside a block is a short one. */
TEST_F(fs, cut_by_a_limit)
{
	const off_t b = self->blk, most = b + b / 2;
	struct rlimit old, low;
	int fd;

	ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &old));
	low = old;
	low.rlim_cur = most;
	for (int i = 0; i < 2; i++) {
		char *buf = aligned(4 * b);
		ssize_t n;

		/* Beyond the end, then in place. */
		fd = i ? make_file("f", 1, 4 * b) : open("new", O_CREAT | O_RDWR, 0644);
		close(fd);
		fd = open(i ? "f" : "new", O_RDWR | O_DIRECT);
		ASSERT_OK(fd);
		fill(buf, 4 * b, 2, 0);
		ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &low));
		n = pwrite(fd, buf, 4 * b, 0);
		ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &old));
		EXPECT_EQ(most, n);
		EXPECT_TRUE(holds(fd, 2, 0, most));
		EXPECT_EQ(i ? 4 * b : most, size_of(fd));
		free(buf);
		close(fd);
	}
	if (is_cowfs()) {
		char *buf = aligned(1024);

		/* Inside a sector, even. */
		low.rlim_cur = 700;
		fd = open("f", O_RDWR | O_DIRECT);
		ASSERT_OK(fd);
		fill(buf, 1024, 3, 0);
		ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &low));
		EXPECT_EQ(700, pwrite(fd, buf, 1024, 0));
		ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &old));
		close(fd);
		fd = open("f", O_RDONLY);
		EXPECT_TRUE(holds(fd, 3, 0, 700));
		EXPECT_TRUE(holds(fd, 2, 700, most - 700));
		free(buf);
		close(fd);
	}
}

TEST_F(fs, bad_memory)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 16 * b), fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	char *map = mmap(NULL, 8 * b, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t n;

	ASSERT_OK(clone_file(fd, src));
	ASSERT_NE(MAP_FAILED, (void *)map);
	/* Half of the source cannot be read: only what was written may change. */
	fill(map, 8 * b, 2, 0);
	ASSERT_OK(mprotect(map + 4 * b, 4 * b, PROT_NONE));
	n = pwrite(fd, map, 8 * b, 0);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		n = 0;
	}
	EXPECT_LE(n, 4 * b);
	EXPECT_TRUE(holds(fd, 2, 0, n));
	EXPECT_TRUE(holds(fd, 1, 4 * b, 12 * b));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, 16 * b));
	ASSERT_OK(put(fd, 3, 0, 16 * b));
	EXPECT_TRUE(holds_by_all_ways("f", 3, 0, 16 * b));
	munmap(map, 8 * b);
	close(src);
	close(fd);
}

TEST_HARNESS_MAIN
