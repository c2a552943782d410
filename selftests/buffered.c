// SPDX-License-Identifier: GPL-2.0
/*
 * Buffered I/O: over clones, in parts of blocks, at the end of a file, and in
 * agreement with direct I/O on the same file.
 */
#include "fixture.h"

TEST_F(fs, every_size_and_place)
{
	/* Around a page and a block, in a file that grows. */
	const size_t sizes[] = { 1, 511, 512, 1023, 1024, 1025, 4095, 4096, 4097, 65536, 100001 };
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	off_t at = 0;

	ASSERT_OK(fd);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			ASSERT_OK(put(fd, 1, at, sizes[i]));
			at += sizes[i];
		}
	}
	EXPECT_EQ(at, size_of(fd));
	EXPECT_TRUE(holds(fd, 1, 0, at));
	drop_pages(fd);
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, at));
	close(fd);
}

TEST_F(fs, parts_of_shared_blocks)
{
	const off_t b = self->blk, size = 64 * b;
	int src = make_file("src", 1, size), dst = open("dst", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(clone_file(dst, src));
	drop_pages(dst);
	/* The rest of each block must come from the shared one. */
	ASSERT_OK(put(dst, 2, 3 * b + 100, 10));
	ASSERT_OK(put(dst, 2, 10 * b - 5, 10));
	ASSERT_OK(put(dst, 2, 20 * b + 1, 8 * b - 2));
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(holds(dst, 1, 0, 3 * b + 100));
		EXPECT_TRUE(holds(dst, 2, 3 * b + 100, 10));
		EXPECT_TRUE(holds(dst, 1, 3 * b + 110, 7 * b - 115));
		EXPECT_TRUE(holds(dst, 2, 10 * b - 5, 10));
		EXPECT_TRUE(holds(dst, 1, 10 * b + 5, 10 * b - 4));
		EXPECT_TRUE(holds(dst, 2, 20 * b + 1, 8 * b - 2));
		EXPECT_TRUE(holds(dst, 1, 28 * b - 1, size - 28 * b + 1));
		EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
		drop_pages(dst);
		drop_pages(src);
	}
	close(src);
	close(dst);
}

TEST_F(fs, overwritten_again_and_again)
{
	const off_t b = self->blk, size = 40 * b;
	int src = make_file("src", 1, size), dst = open("dst", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(clone_file(dst, src));
	for (int i = 0; i < 10; i++) {
		ASSERT_OK(put(dst, 10 + i, i * b, 30 * b));
		if (i % 2) {
			ASSERT_OK(fsync(dst));
		}
	}
	drop_pages(dst);
	for (int i = 0; i < 9; i++) {
		EXPECT_TRUE(holds(dst, 10 + i, i * b, b));
	}
	EXPECT_TRUE(holds(dst, 19, 9 * b, 30 * b));
	EXPECT_TRUE(holds(dst, 1, 39 * b, b));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
	close(src);
	close(dst);
}

TEST_F(fs, in_agreement_with_direct)
{
	const off_t b = self->blk, size = 32 * b;
	int fd = make_file("f", 1, size), direct = open("f", O_RDWR | O_DIRECT);

	ASSERT_OK(direct);
	for (int i = 0; i < 8; i++) {
		/* Dirty pages below a direct read, then cached pages below a direct write. */
		ASSERT_OK(put(fd, 10 + i, 4 * b + 7, 9 * b));
		ASSERT_TRUE(holds(direct, 10 + i, 5 * b, 8 * b) || self->blk < 4096);
		ASSERT_TRUE(holds(fd, 10 + i, 4 * b + 7, 9 * b));
		ASSERT_OK(put(direct, 50 + i, 8 * b, 16 * b));
		ASSERT_TRUE(holds(fd, 50 + i, 8 * b, 16 * b));
		ASSERT_TRUE(holds(fd, 10 + i, 4 * b + 7, 4 * b - 7));
	}
	close(direct);
	close(fd);
}

TEST_F(fs, in_agreement_with_direct_on_a_clone)
{
	const off_t b = self->blk, size = 64 * b;
	int src = make_file("src", 1, size), fd = open("f", O_CREAT | O_RDWR, 0644);
	int direct = open("f", O_RDWR | O_DIRECT);

	ASSERT_OK(clone_file(fd, src));
	ASSERT_OK(put(fd, 2, 0, 40 * b));
	ASSERT_OK(put(direct, 3, 8 * b, 8 * b));
	ASSERT_OK(put(fd, 4, 12 * b, 8 * b));
	ASSERT_OK(put(direct, 5, 32 * b, 16 * b));
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(holds_by_all_ways("f", 2, 0, 8 * b));
		EXPECT_TRUE(holds_by_all_ways("f", 3, 8 * b, 4 * b));
		EXPECT_TRUE(holds_by_all_ways("f", 4, 12 * b, 8 * b));
		EXPECT_TRUE(holds_by_all_ways("f", 2, 20 * b, 12 * b));
		EXPECT_TRUE(holds_by_all_ways("f", 5, 32 * b, 16 * b));
		EXPECT_TRUE(holds_by_all_ways("f", 1, 48 * b, 16 * b));
		EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
		drop_caches();
	}
	close(direct);
	close(src);
	close(fd);
}

TEST_F(fs, append)
{
	int fd = open("f", O_CREAT | O_RDWR | O_APPEND, 0644);
	char buf[1000];
	off_t at = 0;

	ASSERT_OK(fd);
	for (int i = 0; i < 50; i++) {
		size_t len = 1 + i * 17 % sizeof(buf);

		fill(buf, len, 1, at);
		/* The position given is of no account. */
		ASSERT_EQ((ssize_t)len, i % 2 ? pwrite(fd, buf, len, 0) : write(fd, buf, len));
		at += len;
	}
	EXPECT_EQ(at, size_of(fd));
	drop_pages(fd);
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, at));
	close(fd);
}

TEST_F(fs, appended_by_several_processes)
{
	enum { PROCESSES = 4, RECORDS = 100, LEN = 777 };
	static bool seen[PROCESSES][RECORDS];
	char record[LEN];
	int fd;

	ASSERT_OK(close(open("f", O_CREAT | O_RDWR, 0644)));
	for (int p = 0; p < PROCESSES; p++) {
		if (fork())
			continue;
		fd = open("f", O_WRONLY | O_APPEND);
		for (int i = 0; i < RECORDS; i++) {
			memset(record, 'A' + p, LEN);
			memcpy(record, &i, sizeof(i));
			if (write(fd, record, LEN) != LEN)
				_exit(1);
		}
		_exit(0);
	}
	for (int p = 0; p < PROCESSES; p++) {
		int status;

		ASSERT_LT(0, wait(&status));
		EXPECT_EQ(0, status);
	}
	fd = open("f", O_RDONLY);
	EXPECT_EQ(PROCESSES * RECORDS * LEN, size_of(fd));
	for (int k = 0; k < PROCESSES * RECORDS; k++) {
		int i, p;

		ASSERT_EQ(LEN, read(fd, record, LEN));
		memcpy(&i, record, sizeof(i));
		p = record[4] - 'A';
		ASSERT_TRUE(p >= 0 && p < PROCESSES && i >= 0 && i < RECORDS);
		for (int n = 4; n < LEN; n++) {
			ASSERT_EQ('A' + p, record[n]);
		}
		EXPECT_FALSE(seen[p][i]);
		seen[p][i] = true;
	}
	close(fd);
}

TEST_F(fs, sparse_to_the_end_of_the_world)
{
	/* The largest offset a file of 2^63 - 1 bytes has a block at, and some below. */
	const off_t places[] = { 1ll << 31, (1ll << 32) + 5, 1ll << 40, 1ll << 50, LLONG_MAX - 9 };
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	char c = 'x';

	ASSERT_OK(fd);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		/* A file system may have a smaller limit, but says so. */
		if (put(fd, 1, places[i], 9)) {
			ASSERT_EQ(EFBIG, errno);
			EXPECT_FALSE(is_cowfs());
			break;
		}
		EXPECT_EQ(places[i] + 9, size_of(fd));
	}
	ASSERT_OK(fsync(fd));
	drop_pages(fd);
	for (size_t i = 0; i < ARRAY_SIZE(places) && places[i] < size_of(fd); i++) {
		EXPECT_TRUE(holds(fd, 1, places[i], 9));
		EXPECT_TRUE(holds_zeros(fd, places[i] - 1000, 1000));
	}
	EXPECT_LT(allocated(fd), 1 << 20);
	EXPECT_ERRNO(EINVAL, pwrite(fd, &c, 1, LLONG_MAX));
	close(fd);
}

/* What was reserved in the last block that a file can have is dropped, or kept, and not sought for ever. */
TEST_F(fs, writes_that_fail_at_the_end_of_the_world)
{
	const off_t last = LLONG_MAX & ~(off_t)4095;
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_OK(fd);
	ASSERT_NE(MAP_FAILED, p);
	fill(p, 4096, 1, last + 50 - 4096);
	ASSERT_OK(mprotect(p + 4096, 4096, PROT_NONE));
	if (pwrite(fd, p + 4096 - 50, 100, last) < 0) {
		ASSERT_EQ(EFBIG, errno);
		EXPECT_FALSE(is_cowfs());
		close(fd);
		return;
	}
	EXPECT_EQ(last + 50, size_of(fd));
	EXPECT_ERRNO(EFAULT, pwrite(fd, p + 4096, 100, last));
	EXPECT_ERRNO(EFAULT, pwrite(fd, p + 4096, 100, last + 1000));
	ASSERT_OK(ftruncate(fd, LLONG_MAX));
	EXPECT_ERRNO(EFAULT, pwrite(fd, p + 4096, 100, last - 10000));
	EXPECT_ERRNO(EFAULT, pwrite(fd, p + 4096, 100, last));
	ASSERT_OK(fsync(fd));
	EXPECT_TRUE(holds(fd, 1, last, 50));
	EXPECT_TRUE(holds_zeros(fd, last + 50, 4096 - 51));
	EXPECT_LT(allocated(fd), 1 << 20);
	munmap(p, 8192);
	close(fd);
}

TEST_F(fs, vectors)
{
	char a[100], b[5000], c[3];
	struct iovec vec[] = { { a, sizeof(a) }, { b, sizeof(b) }, { c, sizeof(c) } };
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(fd);
	fill(a, 100, 1, 50);
	fill(b, 5000, 1, 150);
	fill(c, 3, 1, 5150);
	ASSERT_EQ(5103, pwritev(fd, vec, 3, 50));
	EXPECT_TRUE(holds_zeros(fd, 0, 50));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 50, 5103));
	memset(b, 0, 5000);
	ASSERT_EQ(5103, preadv(fd, vec, 3, 50));
	EXPECT_EQ(-1, mismatch(b, 5000, 1, 150));
	close(fd);
}

TEST_HARNESS_MAIN
