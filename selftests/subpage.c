// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks smaller than a page: a page may be at the end of a file, and partly beyond it, and
 * mapped for writing before the file grows.
 */
#include "fixture.h"

/* Grows a file of one block, whose page is mapped and dirty, from behind; then stores into what was beyond its end. */
static void grow(struct __test_metadata *_metadata, struct _test_data_fs *self, int flags)
{
	const off_t b = self->blk, page = sysconf(_SC_PAGESIZE), far = 2 * page;
	int fd = make_file("f", 1, b), writer = open("f", O_RDWR | flags);
	char *map = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ASSERT_OK(fd);
	ASSERT_OK(writer);
	ASSERT_NE(MAP_FAILED, map);
	fill(map, b, 2, 0);
	/* Not of the file: it must not show. */
	fill(map + b, page - b, 3, b);
	ASSERT_OK(put(writer, 4, far, page));
	EXPECT_TRUE(holds_zeros(fd, b, far - b));
	for (off_t at = b; at < page; at += b)
		fill(map + at, b, 5, at);
	ASSERT_OK(msync(map, 3 * page, MS_SYNC));
	munmap(map, 3 * page);
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(holds_by_all_ways("f", 2, 0, b));
		EXPECT_TRUE(holds_by_all_ways("f", 5, b, page - b));
		EXPECT_TRUE(holds_zeros(fd, page, far - page));
		EXPECT_TRUE(holds_by_all_ways("f", 4, far, page));
		drop_pages(fd);
	}
	close(writer);
	close(fd);
}

TEST_F(fs, stores_behind_an_end_moved_by_direct_writes)
{
	grow(_metadata, self, O_DIRECT);
}

TEST_F(fs, stores_behind_an_end_moved_by_buffered_writes)
{
	grow(_metadata, self, 0);
}

TEST_HARNESS_MAIN
