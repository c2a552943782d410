// SPDX-License-Identifier: GPL-2.0
/*
 * FICLONE and FICLONERANGE: whole files, ranges, within a file, the last block;
 * what ioctl_ficlonerange(2) refuses; copies of copies written independently.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fixture.h"

static int new(const char *name)
{
	return open(name, O_CREAT | O_EXCL | O_RDWR, 0644);
}

TEST_F(fs, whole_file)
{
	const size_t size = 37 * self->blk + 123;
	int src = make_file("src", 1, size);
	int dst = new("dst");

	ASSERT_OK(src);
	ASSERT_OK(clone_file(dst, src));
	EXPECT_EQ((off_t)size, size_of(dst));
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, size));
	drop_caches();
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, size));
	/* Both go their own ways. */
	ASSERT_OK(put(dst, 2, 5 * self->blk, 3 * self->blk));
	ASSERT_OK(put(src, 3, 20 * self->blk + 9, 100));
	ASSERT_OK(fsync(dst));
	drop_caches();
	EXPECT_TRUE(holds(dst, 1, 0, 5 * self->blk));
	EXPECT_TRUE(holds(dst, 2, 5 * self->blk, 3 * self->blk));
	EXPECT_TRUE(holds(dst, 1, 8 * self->blk, size - 8 * self->blk));
	EXPECT_TRUE(holds(src, 1, 0, 20 * self->blk + 9));
	EXPECT_TRUE(holds(src, 3, 20 * self->blk + 9, 100));
	EXPECT_TRUE(holds(src, 1, 20 * self->blk + 109, size - 20 * self->blk - 109));
	close(src);
	close(dst);
}

TEST_F(fs, source_that_is_not_yet_on_disk)
{
	const size_t size = 16 * self->blk;
	int src = new("src"), dst = new("dst");

	ASSERT_OK(put(src, 1, 0, size));
	ASSERT_OK(clone_file(dst, src));
	ASSERT_OK(put(src, 2, 0, size));
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, size));
	EXPECT_TRUE(holds_by_all_ways("src", 2, 0, size));
	close(src);
	close(dst);
}

TEST_F(fs, into_a_file_with_content)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 8 * b);
	int dst = make_file("dst", 2, 20 * b);

	ASSERT_OK(src);
	ASSERT_OK(dst);
	/* FICLONE replaces what the source covers, and does not shrink. */
	ASSERT_OK(clone_file(dst, src));
	EXPECT_EQ(20 * b, size_of(dst));
	EXPECT_TRUE(holds(dst, 1, 0, 8 * b));
	EXPECT_TRUE(holds(dst, 2, 8 * b, 12 * b));
	drop_pages(dst);
	EXPECT_TRUE(holds(dst, 1, 0, 8 * b));
	EXPECT_TRUE(holds(dst, 2, 8 * b, 12 * b));
	EXPECT_EQ(20 * b, allocated(dst));
	close(src);
	close(dst);
}

static bool free_blocks_reach(void *arg)
{
	struct statvfs st;

	sync();
	return !statvfs(".", &st) && st.f_bfree >= *(fsblkcnt_t *)arg;
}

/* What the target had goes, from its tree and from the volume, and nothing of it is left to see. */
TEST_F(fs, over_a_fragmented_file)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 900 * b);
	int dst = make_file("dst", 2, 800 * b);
	struct statvfs st;
	fsblkcnt_t wanted;

	ASSERT_OK(src);
	ASSERT_OK(dst);
	for (off_t at = 0; at < 800; at += 2)
		ASSERT_OK(fallocate(dst, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at * b, b));
	sync();
	ASSERT_OK(statvfs(".", &st));
	ASSERT_OK(clone_file(dst, src));
	EXPECT_EQ(900 * b, size_of(dst));
	EXPECT_TRUE(holds(dst, 1, 0, 900 * b));
	drop_pages(dst);
	EXPECT_TRUE(holds(dst, 1, 0, 900 * b));
	EXPECT_EQ(allocated(src), allocated(dst));
	wanted = st.f_bfree + 400;
	EXPECT_TRUE(eventually(free_blocks_reach, &wanted));
	close(src);
	close(dst);
}

TEST_F(fs, range)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 40 * b);
	int dst = make_file("dst", 2, 40 * b);

	ASSERT_OK(src);
	ASSERT_OK(dst);
	ASSERT_OK(clone_range(dst, 30 * b, src, 30 * b, 5 * b));
	/* Elsewhere: the pattern of offset 4b is then found at 10b. */
	ASSERT_OK(clone_range(dst, 10 * b, src, 4 * b, 6 * b));
	EXPECT_TRUE(holds(dst, 2, 0, 10 * b));
	EXPECT_TRUE(holds(dst, 2, 16 * b, 14 * b));
	EXPECT_TRUE(holds(dst, 1, 30 * b, 5 * b));
	EXPECT_TRUE(holds(dst, 2, 35 * b, 5 * b));
	char *buf = aligned(6 * b);

	ASSERT_EQ(6 * b, pread(dst, buf, 6 * b, 10 * b));
	EXPECT_EQ(-1, mismatch(buf, 6 * b, 1, 4 * b));
	/* Behind the end: the file grows, with a hole between. */
	ASSERT_OK(clone_range(dst, 50 * b, src, 0, 4 * b));
	EXPECT_EQ(54 * b, size_of(dst));
	EXPECT_TRUE(holds_zeros(dst, 40 * b, 10 * b));
	EXPECT_TRUE(holds(src, 1, 0, 40 * b));
	close(src);
	close(dst);
}

TEST_F(fs, within_one_file)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 20 * b);
	char *buf = aligned(5 * b);

	ASSERT_OK(fd);
	ASSERT_OK(clone_range(fd, 12 * b, fd, 2 * b, 5 * b));
	ASSERT_EQ(5 * b, pread(fd, buf, 5 * b, 12 * b));
	EXPECT_EQ(-1, mismatch(buf, 5 * b, 1, 2 * b));
	/* Writing one of the two leaves the other. */
	ASSERT_OK(put(fd, 2, 2 * b, 5 * b));
	ASSERT_OK(fsync(fd));
	drop_pages(fd);
	ASSERT_EQ(5 * b, pread(fd, buf, 5 * b, 12 * b));
	EXPECT_EQ(-1, mismatch(buf, 5 * b, 1, 2 * b));
	EXPECT_TRUE(holds(fd, 2, 2 * b, 5 * b));
	EXPECT_ERRNO(EINVAL, clone_range(fd, 4 * b, fd, 2 * b, 5 * b));
	close(fd);
}

TEST_F(fs, last_partial_block)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 10 * b + 77);
	int dst = make_file("dst", 2, 20 * b), empty = new("empty");

	ASSERT_OK(src);
	/* To the end of the source, given as length 0 or exactly. */
	ASSERT_OK(clone_range(empty, 0, src, 0, 0));
	EXPECT_EQ(10 * b + 77, size_of(empty));
	ASSERT_OK(clone_range(empty, 4 * b, src, 4 * b, 6 * b + 77));
	EXPECT_TRUE(holds_by_all_ways("empty", 1, 0, 10 * b + 77));
	/* Not into the middle of a file: its block's tail would be lost. */
	EXPECT_ERRNO(EINVAL, clone_range(dst, 2 * b, src, 8 * b, 2 * b + 77));
	EXPECT_TRUE(holds(dst, 2, 0, 20 * b));
	/* Behind the source's end nothing of the block shows. */
	ASSERT_OK(ftruncate(empty, 12 * b));
	EXPECT_TRUE(holds_zeros(empty, 10 * b + 77, 2 * b - 77));
	close(src);
	close(dst);
	close(empty);
}

TEST_F(fs, holes_and_preallocation_are_cloned_too)
{
	const off_t b = self->blk;
	int src = new("src");
	int dst = make_file("dst", 2, 40 * b);

	ASSERT_OK(put(src, 1, 8 * b, 4 * b));
	if (fallocate(src, 0, 20 * b, 8 * b)) {
		ASSERT_EQ(EOPNOTSUPP, errno);
	}
	ASSERT_OK(ftruncate(src, 40 * b));
	ASSERT_OK(clone_file(dst, src));
	EXPECT_TRUE(holds_zeros(dst, 0, 8 * b));
	EXPECT_TRUE(holds(dst, 1, 8 * b, 4 * b));
	EXPECT_TRUE(holds_zeros(dst, 12 * b, 28 * b));
	/* Preallocated space is not shared in a way that shows. */
	ASSERT_OK(put(dst, 3, 20 * b, 8 * b));
	ASSERT_OK(fsync(dst));
	EXPECT_TRUE(holds_zeros(src, 12 * b, 28 * b));
	drop_caches();
	EXPECT_TRUE(holds_zeros(src, 12 * b, 28 * b));
	EXPECT_TRUE(holds(dst, 3, 20 * b, 8 * b));
	close(src);
	close(dst);
}

TEST_F(fs, copies_of_copies)
{
	enum { GENERATIONS = 24 };
	const off_t b = self->blk;
	int fd[GENERATIONS];

	fd[0] = make_file("0", 100, GENERATIONS * b);
	ASSERT_OK(fd[0]);
	/* Each generation writes one block of its own. */
	for (int g = 1; g < GENERATIONS; g++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", g);
		fd[g] = new(name);
		ASSERT_OK(clone_file(fd[g], fd[g - 1]));
		ASSERT_OK(put(fd[g], 100 + g, g * b, b));
	}
	sync();
	/* Then every third one goes. */
	for (int g = 0; g < GENERATIONS; g += 3) {
		char name[16];

		snprintf(name, sizeof(name), "%d", g);
		close(fd[g]);
		fd[g] = -1;
		ASSERT_OK(unlink(name));
	}
	drop_caches();
	for (int g = 0; g < GENERATIONS; g++) {
		if (fd[g] < 0)
			continue;
		for (int k = 0; k < GENERATIONS; k++) {
			EXPECT_TRUE(holds(fd[g], k <= g && k > 0 ? 100 + k : 100, k * b, b));
		}
		close(fd[g]);
	}
}

TEST_F(fs, what_is_refused)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 10 * b);
	int dst = make_file("dst", 2, 10 * b);
	int ro = open("dst", O_RDONLY), wo = open("src", O_WRONLY);
	int append = open("dst", O_RDWR | O_APPEND);
	int dir = open(".", O_RDONLY | O_DIRECTORY);
	int other = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	int fifo;

	ASSERT_OK(src);
	ASSERT_OK(dst);
	ASSERT_OK(mkfifo("fifo", 0644));
	fifo = open("fifo", O_RDWR);
	EXPECT_ERRNO(EBADF, clone_file(ro, src));
	EXPECT_ERRNO(EBADF, clone_file(dst, wo));
	EXPECT_ERRNO(EBADF, clone_file(append, src));
	EXPECT_ERRNO(EBADF, clone_file(dst, -1));
	EXPECT_ERRNO(EISDIR, clone_file(dst, dir));
	EXPECT_ERRNO(EISDIR, clone_file(dir, src));
	EXPECT_ERRNO(EXDEV, clone_file(dst, other));
	EXPECT_ERRNO(EINVAL, clone_file(dst, fifo));
	EXPECT_ERRNO(EINVAL, clone_range(dst, 0, src, 0, b + 1));
	EXPECT_ERRNO(EINVAL, clone_range(dst, 0, src, 1, b));
	EXPECT_ERRNO(EINVAL, clone_range(dst, 512, src, 0, b));
	EXPECT_ERRNO(EINVAL, clone_range(dst, 0, src, 9 * b, 2 * b));
	EXPECT_ERRNO(EINVAL, clone_range(dst, 0, src, 11 * b, b));
	EXPECT_ERRNO(EINVAL, clone_range(dst, 0, src, 0, -b));
	EXPECT_TRUE(holds(dst, 2, 0, 10 * b));
	close(src);
	close(dst);
	close(ro);
	close(wo);
	close(append);
	close(dir);
	close(other);
	close(fifo);
}

TEST_F(fs, limit_of_file_size_is_respected)
{
	int src = make_file("src", 1, 4 * self->blk);
	int dst = new("dst");
	struct rlimit small = { 2 * self->blk, RLIM_INFINITY };

	ASSERT_OK(src);
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &small));
	EXPECT_ERRNO(EFBIG, clone_range(dst, 2 * self->blk, src, 0, 2 * self->blk));
	EXPECT_EQ(0, size_of(dst));
	close(src);
	close(dst);
}

TEST_F(fs, empty_file)
{
	int src = new("src"), dst = make_file("dst", 1, 100);

	ASSERT_OK(clone_file(dst, src));
	EXPECT_EQ(100, size_of(dst));
	EXPECT_TRUE(holds(dst, 1, 0, 100));
	close(src);
	close(dst);
}

TEST_F(fs, privileges_bits_are_dropped)
{
	struct stat st;
	int src = make_file("src", 1, 100), dst = new("dst");

	ASSERT_OK(fchmod(dst, 06777));
	ASSERT_OK(setegid(1001));
	ASSERT_OK(seteuid(1001));
	ASSERT_OK(clone_file(dst, src));
	ASSERT_OK(fstat(dst, &st));
	EXPECT_EQ(0, st.st_mode & 06000);
	close(src);
	close(dst);
}

/* Only the range is written back before; its tree changes by what is written back beside it. */
TEST_F(fs, range_while_the_rest_is_written_back)
{
	enum { EXTENTS = 168, ROUNDS = 50 };
	const off_t b = self->blk;
	int top = open(".", O_RDONLY | O_DIRECTORY), status, good = 0;
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			syncfs(top);
	}
	for (int round = 0; round < ROUNDS && good == round; round++) {
		int src = open("src", O_CREAT | O_RDWR | O_TRUNC, 0644);
		int dst = open("dst", O_CREAT | O_RDWR | O_TRUNC, 0644);

		ASSERT_OK(ftruncate(src, 2 * EXTENTS * b));
		for (int i = 0; i < EXTENTS; i++)
			ASSERT_OK(put(src, 1, 2 * i * b, b));
		ASSERT_OK(fsync(src));
		ASSERT_OK(put(dst, 3, 0, EXTENTS * b));
		ASSERT_OK(put(src, 2, b, b));
		ASSERT_OK(clone_range(dst, 0, src, EXTENTS * b, EXTENTS * b));
		good++;
		for (int i = 0; i < EXTENTS / 2; i++) {
			char found[4096], wanted[4096];

			fill(wanted, b, 1, (EXTENTS + 2 * i) * b);
			if (pread(dst, found, b, 2 * i * b) != b || memcmp(found, wanted, b))
				good = -1;
		}
		close(src);
		close(dst);
	}
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(ROUNDS, good);
	close(top);
}

TEST_HARNESS_MAIN
