// SPDX-License-Identifier: GPL-2.0
/*
 * Files without a name that are still open: usable to the last, then gone, and
 * their space with them, however fragmented or shared they are.
 */
#include "fixture.h"

static fsblkcnt_t free_blocks(void)
{
	struct statvfs st;

	return statvfs(".", &st) ? 0 : st.f_bfree;
}

struct space {
	fsblkcnt_t at_least;
};

static bool came_back(void *arg)
{
	struct space *s = arg;

	/* A file may be reclaimed in the background. */
	syncfs(open(".", O_RDONLY | O_DIRECTORY));
	return free_blocks() >= s->at_least;
}

TEST_F(fs, usable_without_a_name)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 16 * b);
	struct stat st;

	ASSERT_OK(fd);
	ASSERT_OK(unlink("f"));
	ASSERT_OK(fstat(fd, &st));
	EXPECT_EQ(0, st.st_nlink);
	ASSERT_OK(put(fd, 2, 8 * b, 32 * b));
	ASSERT_OK(fsync(fd));
	drop_caches();
	EXPECT_TRUE(holds(fd, 1, 0, 8 * b));
	EXPECT_TRUE(holds(fd, 2, 8 * b, 32 * b));
	ASSERT_OK(ftruncate(fd, 10 * b));
	EXPECT_EQ(10 * b, size_of(fd));
	close(fd);
}

TEST_F(fs, mapped_without_a_name_or_descriptor)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 16 * b);
	char *map = mmap(NULL, 16 * b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ASSERT_NE(MAP_FAILED, (void *)map);
	close(fd);
	ASSERT_OK(unlink("f"));
	fill(map, 4 * b, 2, 0);
	ASSERT_OK(msync(map, 16 * b, MS_SYNC));
	EXPECT_EQ(-1, mismatch(map, 4 * b, 2, 0));
	EXPECT_EQ(-1, mismatch(map + 4 * b, 12 * b, 1, 4 * b));
	munmap(map, 16 * b);
}

TEST_F(fs, space_comes_back_at_the_last_close)
{
	struct space space;
	fsblkcnt_t held;
	int fd, again;

	sync();
	space.at_least = free_blocks() - 8;
	fd = make_file("f", 1, 8 << 20);
	ASSERT_OK(fd);
	again = dup(fd);
	ASSERT_OK(unlink("f"));
	close(fd);
	sync();
	held = free_blocks();
	EXPECT_LT(held, space.at_least - (7 << 20) / self->blk);
	EXPECT_TRUE(holds(again, 1, 0, 8 << 20));
	close(again);
	EXPECT_TRUE(eventually(came_back, &space));
}

TEST_F(fs, a_fragmented_file_goes_too)
{
	enum { EXTENTS = 3000 };
	const off_t b = self->blk;
	struct space space;
	int fd, src;

	sync();
	space.at_least = free_blocks() - 16;
	fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	for (int i = 0; i < EXTENTS; i++) {
		ASSERT_OK(put(fd, 1, (EXTENTS - i) * 2 * b, b));
	}
	src = open("clone", O_CREAT | O_RDWR, 0644);
	ASSERT_OK(clone_file(src, fd));
	ASSERT_OK(put(src, 2, 0, 100 * b));
	ASSERT_OK(unlink("f"));
	close(fd);
	/* The clone lives on. */
	drop_pages(src);
	EXPECT_TRUE(holds(src, 2, 0, 100 * b));
	for (int i = 51; i < EXTENTS; i += 97) {
		EXPECT_TRUE(holds(src, 1, i * 2 * b, b));
	}
	ASSERT_OK(unlink("clone"));
	close(src);
	EXPECT_TRUE(eventually(came_back, &space));
}

/* A file without a name is on the list of those to be deleted already when it is cut. */
static void cut_without_a_name(struct __test_metadata *_metadata, int fd, off_t b)
{
	for (int i = 0; i < 64; i++)
		ASSERT_OK(put(fd, 1, 2 * i * b, b));
	ASSERT_OK(fsync(fd));
	ASSERT_OK(ftruncate(fd, 10 * b));
	EXPECT_EQ(10 * b, size_of(fd));
	EXPECT_TRUE(holds(fd, 1, 8 * b, b));
	ASSERT_OK(ftruncate(fd, 20 * b));
	EXPECT_TRUE(holds_zeros(fd, 9 * b, 11 * b));
	ASSERT_OK(ftruncate(fd, 5 * b));
}

TEST_F(fs, cut_after_unlink)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(unlink("f"));
	cut_without_a_name(_metadata, fd, self->blk);
	close(fd);
}

TEST_F(fs, cut_before_the_first_link)
{
	const off_t b = self->blk;
	int fd = open(".", O_TMPFILE | O_RDWR, 0644);
	char path[64];

	ASSERT_OK(fd);
	cut_without_a_name(_metadata, fd, b);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ASSERT_OK(linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
	close(fd);
	drop_caches();
	fd = open("g", O_RDWR);
	EXPECT_EQ(5 * b, size_of(fd));
	EXPECT_TRUE(holds(fd, 1, 4 * b, b));
	ASSERT_OK(ftruncate(fd, b));
	close(fd);
	EXPECT_OK(unlink("g"));
}

TEST_F(fs, link_from_no_name)
{
	char path[64];
	int fd = make_file("f", 1, 1000);

	ASSERT_OK(unlink("f"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT_ERRNO(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
	close(fd);
}

TEST_HARNESS_MAIN
