// SPDX-License-Identifier: GPL-2.0
/*
 * What a clone and its deletion cost, in blocks written, not in time: the same
 * whether the file has one extent or thousands.
 */
#include "dm.h"
#include "fixture.h"

/* A file of so many extents, made by writing every other block. */
static int make_fragmented(const char *name, int extents, off_t b)
{
	int fd = open(name, O_CREAT | O_RDWR | O_DIRECT, 0644);

	for (int i = 0; i < extents; i++)
		if (put(fd, 1, (off_t)i * 2 * b, b))
			return -1;
	return fsync(fd) ? -1 : fd;
}

static uint64_t sectors_written(void)
{
	sync();
	return disk_stat("scratch").sectors_written;
}

/* Sectors written by one clone of the file, and by the clone's deletion. */
static bool cost(int src, uint64_t *clone, uint64_t *deletion)
{
	uint64_t before = sectors_written();
	int fd = open("clone", O_CREAT | O_EXCL | O_RDWR, 0644);
	bool good = clone_file(fd, src) == 0;

	close(fd);
	*clone = sectors_written() - before;
	before = sectors_written();
	good = good && unlink("clone") == 0;
	*deletion = sectors_written() - before;
	return good;
}

TEST_F(fs, same_for_many_extents)
{
	enum { MANY = 4000 };
	uint64_t clone_one, clone_many, delete_one, delete_many;
	int one = make_fragmented("one", 1, self->blk);
	int many = make_fragmented("many", MANY, self->blk);

	ASSERT_OK(one);
	ASSERT_OK(many);
	/* The first of each may have something to set up. */
	ASSERT_TRUE(cost(one, &clone_one, &delete_one));
	ASSERT_TRUE(cost(many, &clone_many, &delete_many));
	ASSERT_TRUE(cost(one, &clone_one, &delete_one));
	ASSERT_TRUE(cost(many, &clone_many, &delete_many));
	ksft_print_msg("sectors written by a clone: %lu for 1 extent, %lu for %d; by its deletion: %lu, %lu\n",
		       clone_one, clone_many, MANY, delete_one, delete_many);
	if (!is_cowfs())
		SKIP(return, "only cowfs promises this");
	/* A handful of metadata blocks, through the journal. */
	EXPECT_LE(clone_many, clone_one + 256);
	EXPECT_LE(delete_many, delete_one + 256);
	EXPECT_LE(clone_many, 100 * (uint64_t)self->blk / 512);
	close(one);
	close(many);
}

TEST_F(fs, first_write_unshares_one_path)
{
	enum { MANY = 4000 };
	int src = make_fragmented("src", MANY, self->blk);
	int dst = open("dst", O_CREAT | O_RDWR | O_DIRECT, 0644);
	uint64_t before;

	ASSERT_OK(src);
	ASSERT_OK(clone_file(dst, src));
	before = sectors_written();
	ASSERT_OK(put(dst, 2, MANY * self->blk, self->blk));
	uint64_t sectors = sectors_written() - before;

	ksft_print_msg("sectors written by the first write: %lu\n", sectors);
	EXPECT_TRUE(holds(dst, 2, MANY * self->blk, self->blk));
	EXPECT_TRUE(holds(src, 1, 0, self->blk));
	if (!is_cowfs())
		SKIP(return, "only cowfs promises this");
	EXPECT_LE(sectors, 200 * (uint64_t)self->blk / 512);
	close(src);
	close(dst);
}

TEST_HARNESS_MAIN
