// SPDX-License-Identifier: GPL-2.0
/*
 * A full file system: whoever asks for too much is told when asking, nothing that
 * was accepted fails later, and space comes back.
 */
#include <signal.h>

#include "fixture.h"

#define BALLAST "../ballast"

static int64_t free_bytes(void)
{
	struct statvfs st;

	sync();
	return statvfs(".", &st) ? -1 : (int64_t)(st.f_bavail * st.f_bsize);
}

static bool at_least(void *arg)
{
	return free_bytes() >= *(int64_t *)arg;
}

static int64_t free_before;

/* Leave about this much free: quicker than filling all of it each time. */
static bool leave_free(int64_t bytes)
{
	int fd = open(BALLAST, O_CREAT | O_RDWR, 0644);
	int64_t excess;
	off_t end = size_of(fd);
	bool good = fd >= 0;

	free_before = free_bytes();
	for (int i = 0; good && i < 8 && (excess = free_bytes() - bytes) > 0; i++) {
		excess &= ~4095ll;
		if (!excess)
			break;
		good = put(fd, 99, end, excess) == 0 || errno == ENOSPC;
		end = size_of(fd);
	}
	close(fd);
	return good;
}

/* Remove everything; all of the space comes back, if perhaps not at once. */
static bool space_came_back(void)
{
	unlink(BALLAST);
	unlink("f");
	unlink("other");
	unlink("dst");
	/* Something for trees and inodes. */
	free_before -= 512 << 10;
	return eventually(at_least, &free_before);
}

/* Write pieces until there is no room; how many bytes were accepted, or -1. */
static off_t write_until_full(int fd, uint64_t seed, off_t at, size_t piece)
{
	char *buf = aligned(piece);
	const off_t begin = at;

	for (;;) {
		ssize_t n;

		fill(buf, piece, seed, at);
		n = pwrite(fd, buf, piece, at);
		if (n < 0) {
			free(buf);
			return errno == ENOSPC ? at - begin : -1;
		}
		at += n;
	}
}

/* Does the block at this place hold what the first block of src does? */
static bool shows(int fd, off_t at, int src)
{
	char wanted[4096], found[4096];

	return pread(src, wanted, 4096, 0) == 4096 && pread(fd, found, 4096, at) == 4096 &&
	       !memcmp(wanted, found, 4096);
}

static void fill_by(struct __test_metadata *_metadata, int flags, size_t piece)
{
	off_t accepted;
	int fd;

	ASSERT_TRUE(leave_free(6 << 20));
	fd = open("f", O_CREAT | O_RDWR | flags, 0644);
	ASSERT_OK(fd);
	accepted = write_until_full(fd, 1, 0, piece);
	EXPECT_GT(accepted, 3 << 20);
	/* Nothing fails any more that was accepted. */
	EXPECT_OK(fsync(fd));
	EXPECT_OK(syncfs(fd));
	drop_pages(fd);
	EXPECT_GE(size_of(fd), accepted);
	EXPECT_TRUE(holds(fd, 1, 0, accepted));
	close(fd);
	/* Deleting works on a full file system, and helps. */
	int64_t wanted = free_bytes() + accepted - (1 << 20);

	ASSERT_OK(unlink("f"));
	EXPECT_TRUE(eventually(at_least, &wanted));
	fd = make_file("g", 2, accepted / 2);
	EXPECT_OK(fd);
	EXPECT_TRUE(holds(fd, 2, 0, accepted / 2));
	close(fd);
	ASSERT_OK(unlink("g"));
	EXPECT_TRUE(space_came_back());
}

TEST_F(fs, buffered) { fill_by(_metadata, 0, 50000); }
TEST_F(fs, direct) { fill_by(_metadata, O_DIRECT, 65536); }
TEST_F(fs, synchronised) { fill_by(_metadata, O_DSYNC, 100000); }

TEST_F(fs, clone_overwritten_until_full)
{
	const off_t size = 8 << 20;
	const int flags[] = { O_DIRECT, 0 };

	for (int i = 0; i < 2; i++) {
		int src = make_file("src", 1, size), dst = open("dst", O_CREAT | O_RDWR | flags[i], 0644);
		off_t at = 0;

		ASSERT_OK(src);
		ASSERT_OK(clone_file(dst, src));
		ASSERT_TRUE(leave_free(4 << 20));
		/* Overwriting needs new blocks, of which there are not enough. */
		while (at < size && put(dst, 2, at, 16384) == 0)
			at += 16384;
		EXPECT_EQ(ENOSPC, errno);
		EXPECT_LT(at, size);
		EXPECT_GT(at, 1 << 20);
		EXPECT_OK(fsync(dst));
		drop_caches();
		EXPECT_TRUE(holds(dst, 2, 0, at));
		/* The one that failed: whole blocks of old or new, then old. */
		EXPECT_TRUE(at + 16384 >= size || holds(dst, 1, at + 16384, size - at - 16384));
		EXPECT_TRUE(holds(src, 1, 0, size));
		/* The source goes; its blocks become private, and overwriting goes on. */
		close(src);
		ASSERT_OK(unlink("src"));
		EXPECT_OK(put(dst, 3, 0, size));
		EXPECT_OK(fsync(dst));
		EXPECT_TRUE(holds_by_all_ways("dst", 3, 0, size));
		close(dst);
		ASSERT_OK(unlink("dst"));
		EXPECT_TRUE(space_came_back());
	}
}

/* Stores until the bus error, in a child; how many blocks it says it stored. */
static off_t store_until_full(int fd, off_t size, off_t b)
{
	off_t *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t child = fork();

	if (child == 0) {
		char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		signal(SIGBUS, SIG_DFL);
		for (off_t at = 0; at + b <= size; at += b) {
			fill(map + at, b, 2, at);
			*count = at + b;
		}
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		return -1;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGBUS)
		return -1;
	return *count;
}

/* Every block that is shared into its own place makes the tree grow, until it cannot. */
TEST_F(fs, shared_until_full)
{
	int src = make_file("src", 1, 4096), dst, error = 0;
	off_t at = 0;

	ASSERT_OK(src);
	ASSERT_TRUE(leave_free(128 << 10));
	dst = open("dst", O_CREAT | O_RDWR, 0644);
	ASSERT_OK(dst);
	while (at < 1ll << 30) {
		if (clone_range(dst, at, src, 0, 4096)) {
			error = errno;
			break;
		}
		at += 8192;
	}
	EXPECT_EQ(ENOSPC, error);
	EXPECT_GT(at, 0);
	EXPECT_OK(fsync(dst));
	drop_caches();
	for (off_t back = at - 8192; back >= 0; back -= 8192 * 100)
		EXPECT_TRUE(shows(dst, back, src));
	EXPECT_TRUE(holds(src, 1, 0, 4096));
	close(src);
	close(dst);
	ASSERT_OK(unlink("src"));
	EXPECT_TRUE(space_came_back());
}

TEST_F(fs, mapped)
{
	const off_t size = 16 << 20, page = 4096;
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	off_t stored;

	ASSERT_OK(ftruncate(fd, size));
	ASSERT_TRUE(leave_free(6 << 20));
	stored = store_until_full(fd, size, page);
	EXPECT_GT(stored, 3 << 20);
	EXPECT_LT(stored, size);
	EXPECT_OK(fsync(fd));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 2, 0, stored));
	close(fd);
	ASSERT_OK(unlink("f"));
	EXPECT_TRUE(space_came_back());
}

TEST_F(fs, clone_stored_to_until_full)
{
	const off_t size = 16 << 20, page = 4096;
	int src = make_file("src", 1, size), fd = open("f", O_CREAT | O_RDWR, 0644);
	off_t stored;

	ASSERT_OK(clone_file(fd, src));
	ASSERT_TRUE(leave_free(4 << 20));
	stored = store_until_full(fd, size, page);
	EXPECT_GT(stored, 1 << 20);
	EXPECT_LT(stored, size);
	EXPECT_OK(fsync(fd));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 2, 0, stored));
	EXPECT_TRUE(holds(fd, 1, stored + page, size - stored - page));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
	close(src);
	close(fd);
	ASSERT_OK(unlink("f"));
	EXPECT_TRUE(space_came_back());
}

/* Take all there is, in ever smaller pieces. */
static bool take_all(int fd, off_t b)
{
	off_t end = 0, piece = 4096 * b;
	struct statvfs st;

	while (piece >= b) {
		/* Who is refused makes others write back: not before the last block. */
		if (statvfs(".", &st))
			return false;
		if (piece > b && (off_t)st.f_bavail * b < piece + 64 * b)
			piece /= 2;
		else if (fallocate(fd, 0, end, piece) == 0)
			end += piece;
		else if (errno != ENOSPC)
			return false;
		else
			piece /= 2;
	}
	return true;
}

/* Each page takes a leaf of its own of a tree that is shared, when it is written back. */
TEST_F(fs, pages_scattered_over_a_clone)
{
	enum { BLOCKS = 6000, APART = 60 };
	const off_t b = self->blk;
	int src = open("src", O_CREAT | O_RDWR, 0644), fd, other;

	ASSERT_OK(src);
	for (int first = 0; first < 2; first++) {
		for (int i = first; i < BLOCKS; i += 2)
			ASSERT_OK(put(src, 1, i * b, b));
		ASSERT_OK(fsync(src));
	}
	ASSERT_GT(extents(src, NULL, 0, false), BLOCKS / 2);
	fd = open("f", O_CREAT | O_RDWR, 0644);
	other = open("other", O_CREAT | O_RDWR, 0644);
	ASSERT_OK(clone_file(fd, src));
	free_before = free_bytes();
	for (int i = 0; i < BLOCKS; i += APART)
		ASSERT_OK(put(fd, 2, i * b, b));
	EXPECT_TRUE(take_all(other, b));
	EXPECT_OK(fsync(fd));
	drop_caches();
	for (int i = 0; i < BLOCKS; i += APART) {
		EXPECT_TRUE(holds(fd, 2, i * b, b));
		EXPECT_TRUE(holds(fd, 1, (i + 1) * b, b));
	}
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, BLOCKS * b));
	close(src);
	close(fd);
	close(other);
	ASSERT_OK(unlink("src"));
	EXPECT_TRUE(space_came_back());
}

/* To cut a clone copies nodes and frees nothing: not at the cost of what was accepted. */
TEST_F(fs, clones_cut_when_full)
{
	enum { EXTENTS = 400, CLONES = 150, PAGES = 40 };
	const off_t b = self->blk;
	int src = open("src", O_CREAT | O_RDWR, 0644), other, fd;
	off_t size;
	char name[16];

	free_before = free_bytes();
	for (int i = 0; i < EXTENTS; i++)
		ASSERT_OK(put(src, 1, 2 * i * b, b));
	ASSERT_OK(fsync(src));
	for (int i = 0; i < CLONES; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		fd = open(name, O_CREAT | O_RDWR, 0644);
		ASSERT_OK(clone_file(fd, src));
		close(fd);
	}
	other = open("other", O_CREAT | O_RDWR, 0644);
	ASSERT_TRUE(take_all(other, b));
	size = size_of(other);
	ASSERT_OK(ftruncate(other, size - 2 * PAGES * b));
	sync();
	fd = open("f", O_CREAT | O_RDWR, 0644);
	ASSERT_OK(put(fd, 2, 0, PAGES * b));
	for (int i = 0; i < CLONES; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		EXPECT_TRUE(truncate(name, (2 * EXTENTS - 10) * b) == 0 || errno == ENOSPC);
	}
	EXPECT_OK(fsync(fd));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 2, 0, PAGES * b));
	for (int i = 0; i < CLONES; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		EXPECT_OK(unlink(name));
	}
	close(fd);
	close(src);
	close(other);
	ASSERT_OK(unlink("src"));
	EXPECT_TRUE(space_came_back());
}

/* Writes here and there split what is preallocated: not at the cost of what was accepted. */
static void here_and_there(struct __test_metadata *_metadata, off_t b, int flags)
{
	enum { PAGES = 16 };
	int src = open("src", O_CREAT | O_RDWR | flags, 0644), other, fd;
	off_t size, at, good = 0;
	struct statvfs st;

	free_before = free_bytes();
	ASSERT_EQ(0, statvfs(".", &st));
	size = (off_t)st.f_bavail / 10 * 9 * b;
	UNLESS_SUPPORTED(fallocate(src, 0, 0, size));
	other = open("other", O_CREAT | O_RDWR, 0644);
	ASSERT_TRUE(take_all(other, b));
	ASSERT_OK(ftruncate(other, size_of(other) - 2 * PAGES * b));
	sync();
	fd = open("f", O_CREAT | O_RDWR, 0644);
	ASSERT_OK(put(fd, 2, 0, PAGES * b));
	for (at = 0; at < size; at += 2 * b) {
		if (put(src, 1, at, b)) {
			EXPECT_EQ(ENOSPC, errno);
			break;
		}
	}
	EXPECT_OK(fsync(src));
	EXPECT_OK(fsync(fd));
	drop_pages(fd);
	drop_pages(src);
	EXPECT_TRUE(holds(fd, 2, 0, PAGES * b));
	while (good < at && holds(src, 1, good, b))
		good += 2 * b;
	EXPECT_GE(good, at);
	close(src);
	close(fd);
	close(other);
	ASSERT_OK(unlink("src"));
	EXPECT_TRUE(space_came_back());
}

TEST_F(fs, preallocated_blocks_written_here_and_there_when_full)
{
	here_and_there(_metadata, self->blk, O_DIRECT);
}

TEST_F(fs, preallocated_pages_written_here_and_there_when_full)
{
	here_and_there(_metadata, self->blk, 0);
}

TEST_F(fs, preallocated_space_is_there)
{
	const off_t size = 4 << 20;
	int fd = open("f", O_CREAT | O_RDWR, 0644), other;

	UNLESS_SUPPORTED(fallocate(fd, 0, 0, size));
	ASSERT_TRUE(leave_free(1 << 20));
	other = open("other", O_CREAT | O_RDWR, 0644);
	EXPECT_LE(0, write_until_full(other, 1, 0, 4096));
	/* Too much is refused, and gives back what it took. */
	EXPECT_ERRNO(ENOSPC, fallocate(other, 0, 0, 1ll << 30));
	/* What was promised is kept. */
	EXPECT_OK(put(fd, 2, 0, size));
	EXPECT_OK(fsync(fd));
	EXPECT_TRUE(holds_by_all_ways("f", 2, 0, size));
	close(other);
	close(fd);
	EXPECT_TRUE(space_came_back());
}

TEST_F(fs, small_files_until_full)
{
	char name[32];
	int n = 0, fd;

	ASSERT_TRUE(leave_free(3 << 20));
	for (;; n++) {
		snprintf(name, sizeof(name), "f%d", n);
		fd = open(name, O_CREAT | O_RDWR | O_EXCL, 0644);
		if (fd < 0 || put(fd, n, 0, 5000))
			break;
		close(fd);
		ASSERT_LT(n, 5000);
	}
	EXPECT_EQ(ENOSPC, errno);
	close(fd);
	sync();
	drop_caches();
	for (int i = 0; i < n; i += 7) {
		snprintf(name, sizeof(name), "f%d", i);
		fd = open(name, O_RDONLY);
		EXPECT_TRUE(holds(fd, i, 0, 5000));
		close(fd);
	}
	for (int i = 0; i <= n; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		if (unlink(name)) {
			EXPECT_EQ(i, n);
		}
	}
	int64_t wanted = 2 << 20;

	EXPECT_TRUE(eventually(at_least, &wanted));
	EXPECT_TRUE(space_came_back());
}

/* Replacing a name takes nothing, and frees what it named. */
TEST_F(fs, names_replaced_when_full)
{
	int fd, a = make_file("other", 1, 100), b = make_file("dst", 2, 100);

	ASSERT_OK(close(make_file("third", 3, 100)));
	ASSERT_OK(mkdir("d", 0755));
	ASSERT_TRUE(leave_free(2 << 20));
	fd = open("f", O_CREAT | O_RDWR, 0644);
	for (int i = 0; i < 3; i++) {
		ASSERT_LE(0, write_until_full(fd, 9, size_of(fd), 4096));
		sync();
	}
	EXPECT_OK(renameat2(AT_FDCWD, "third", AT_FDCWD, "dst", RENAME_EXCHANGE));
	EXPECT_OK(rename("other", "dst"));
	EXPECT_ERRNO(ENOENT, access("other", F_OK));
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, 100));
	EXPECT_TRUE(holds_by_all_ways("third", 2, 0, 100));
	close(a);
	close(b);
	close(fd);
	EXPECT_TRUE(space_came_back());
}

TEST_F(fs, staged_space_is_given_to_those_who_need_it)
{
	enum { WINDOWS = 64 };
	const off_t b = self->blk, size = WINDOWS * 32 * b;
	int src = make_file("src", 1, size), dst = open("dst", O_CREAT | O_RDWR | O_DIRECT, 0644);
	int fd;

	/*
	 * Each of these writes may stage a whole window, and the file stays open; the
	 * one who fills the disk then gets what nobody has written.
	 */
	ASSERT_OK(clone_file(dst, src));
	ASSERT_TRUE(leave_free(size + (2 << 20)));
	for (int i = 0; i < WINDOWS; i++) {
		ASSERT_OK(put(dst, 2, i * 32 * b, b));
	}
	fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	EXPECT_GT(write_until_full(fd, 3, 0, 65536), size * 3 / 4);
	for (int i = 0; i < WINDOWS; i++) {
		EXPECT_TRUE(holds(dst, 2, i * 32 * b, b));
		EXPECT_TRUE(holds(dst, 1, i * 32 * b + b, 31 * b));
	}
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
	close(fd);
	close(src);
	close(dst);
	EXPECT_TRUE(space_came_back());
}

TEST_HARNESS_MAIN
