// SPDX-License-Identifier: GPL-2.0
/*
 * The numbers of statfs(2): what clones, writes and deletion do to free space.
 */
#include <sys/statfs.h>

#include "fixture.h"

#define SIZE (16 << 20)

static int64_t used(void)
{
	struct statfs st;

	sync();
	return statfs(".", &st) ? -1 : (int64_t)(st.f_blocks - st.f_bfree) * st.f_bsize;
}

struct limit {
	int64_t bytes;
};

static bool at_most(void *arg)
{
	return used() <= ((struct limit *)arg)->bytes;
}

TEST_F(fs, sane)
{
	struct statfs st;

	ASSERT_OK(statfs(".", &st));
	EXPECT_GT(st.f_blocks, 0);
	EXPECT_LE(st.f_bfree, st.f_blocks);
	EXPECT_LE(st.f_bavail, st.f_bfree);
	EXPECT_EQ(255, st.f_namelen);
	EXPECT_TRUE(st.f_bsize == 1024 || st.f_bsize == 2048 || st.f_bsize == 4096);
	EXPECT_NE(0, st.f_type);
	EXPECT_TRUE(st.f_fsid.__val[0] || st.f_fsid.__val[1]);
	EXPECT_LE(st.f_ffree, st.f_files);
	/* No more than an eighth of each group holds inodes, of 256 bytes each. */
	if (is_cowfs())
		EXPECT_LE(st.f_files * 256, st.f_blocks * st.f_bsize / 8);
}

TEST_F(fs, clone_costs_nothing_until_written)
{
	/* Some room for trees. */
	const int64_t slack = 256 << 10, start = used();
	struct limit back = { start + slack };
	int src = make_file("src", 1, SIZE), copies[4];

	ASSERT_OK(src);
	/* What was preallocated behind its end goes when it is closed. */
	close(src);
	src = open("src", O_RDWR);
	int64_t one = used();

	EXPECT_GE(one, start + SIZE);
	EXPECT_LE(one, start + SIZE + slack);
	for (int i = 0; i < 4; i++) {
		char name[8] = { 'c', '0' + i };

		copies[i] = open(name, O_CREAT | O_RDWR, 0644);
		ASSERT_OK(clone_file(copies[i], src));
	}
	EXPECT_LE(used(), one + slack);
	/* Writing a part of a copy costs that part. */
	ASSERT_OK(put(copies[1], 2, 0, SIZE / 4));
	ASSERT_OK(fsync(copies[1]));
	close(copies[1]);
	struct limit quarter = { one + SIZE / 4 + slack };

	EXPECT_TRUE(eventually(at_most, &quarter));
	EXPECT_GE(used(), one + SIZE / 4 - slack);
	/* Deleting the source frees only what nobody else has. */
	close(src);
	ASSERT_OK(unlink("src"));
	EXPECT_TRUE(eventually(at_most, &quarter));
	EXPECT_GE(used(), one + SIZE / 4 - slack);
	for (int i = 0; i < 4; i++) {
		char name[8] = { 'c', '0' + i };

		if (i != 1)
			close(copies[i]);
		ASSERT_OK(unlink(name));
	}
	EXPECT_TRUE(eventually(at_most, &back));
}

TEST_F(fs, staging_is_given_back)
{
	const int64_t start = used();
	/* What was written, and a little for trees; not what was staged. */
	struct limit back = { start + SIZE / 2 + SIZE / 2 / 32 + (512 << 10) };
	int src = make_file("src", 1, SIZE / 2), dst = open("dst", O_CREAT | O_RDWR | O_DIRECT, 0644);

	ASSERT_OK(clone_file(dst, src));
	/* One block in each window: preallocation multiplies what is staged. */
	for (off_t at = 0; at < SIZE / 2; at += 32 * self->blk) {
		ASSERT_OK(put(dst, 2, at, self->blk));
	}
	close(dst);
	if (!is_cowfs())
		SKIP(return, "others keep it for minutes");
	EXPECT_TRUE(eventually(at_most, &back));
	EXPECT_GE(used(), start + SIZE / 2 + SIZE / 2 / 32);
	close(src);
}

TEST_F(fs, many_small_files_come_and_go)
{
	const int64_t start = used();
	/* Inode blocks may be kept. */
	struct limit back = { start + (2 << 20) };
	char name[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		int fd = open(name, O_CREAT | O_RDWR, 0644);

		ASSERT_OK(put(fd, i, 0, self->blk));
		close(fd);
	}
	EXPECT_GE(used(), start + 1000 * self->blk);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ASSERT_OK(unlink(name));
	}
	EXPECT_TRUE(eventually(at_most, &back));
}

TEST_HARNESS_MAIN
