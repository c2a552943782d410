// SPDX-License-Identifier: GPL-2.0
/*
 * Mapped files: storing into clones, what other ways of reading see, msync.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "fixture.h"

static char *map_file(int fd, size_t len, int prot)
{
	void *map = mmap(NULL, len, prot, MAP_SHARED, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

TEST_F(fs, stores_into_a_clone)
{
	const off_t b = self->blk, size = 64 * b;
	int src = make_file("src", 1, size), dst = open("dst", O_CREAT | O_RDWR, 0644);
	char *map;

	ASSERT_OK(src);
	ASSERT_OK(clone_file(dst, src));
	map = map_file(dst, size, PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, map);
	EXPECT_EQ(-1, mismatch(map, size, 1, 0));
	fill(map + 10 * b, 5 * b, 2, 10 * b);
	fill(map + 40 * b + 100, 10, 2, 40 * b + 100);
	EXPECT_TRUE(holds(dst, 2, 10 * b, 5 * b));
	ASSERT_OK(msync(map, size, MS_SYNC));
	munmap(map, size);
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(holds_by_all_ways("dst", 1, 0, 10 * b));
		EXPECT_TRUE(holds_by_all_ways("dst", 2, 10 * b, 5 * b));
		EXPECT_TRUE(holds_by_all_ways("dst", 1, 15 * b, 25 * b + 100));
		EXPECT_TRUE(holds_by_all_ways("dst", 2, 40 * b + 100, 10));
		EXPECT_TRUE(holds_by_all_ways("dst", 1, 40 * b + 110, 24 * b - 110));
		EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
		drop_pages(src);
		drop_pages(dst);
	}
	close(src);
	close(dst);
}

struct unreadable_write {
	pthread_t thread;
	int fd, error;
	const char *data;
	off_t pos;
	size_t len;
};

static void *write_unreadable(void *arg)
{
	struct unreadable_write *w = arg;

	w->error = pwrite(w->fd, w->data, w->len, w->pos) < 0 ? errno : 0;
	return NULL;
}

/*
 * A write has blocks reserved, and waits for its data, which it will not get. Meanwhile a
 * store to a mapped page comes to rest on the first of these blocks, that of the file's end.
 */
TEST_F(fs, a_write_that_fails_leaves_stores_their_blocks)
{
	const off_t b = self->blk, end = b + 900;
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	int faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	char *data = mmap(NULL, 4 * b, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register range = {
		.range = { .start = (unsigned long)data, .len = 4 * b },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct unreadable_write w = { .fd = fd, .data = data, .pos = b, .len = 2 * b };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffd_msg message;
	char *map;

	if (faults < 0 && errno == ENOSYS)
		SKIP(return, "the kernel has no userfaultfd");
	ASSERT_OK(faults);
	ASSERT_OK(ftruncate(fd, end));
	map = map_file(fd, 2 * b, PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, map);
	ASSERT_OK(ioctl(faults, UFFDIO_API, &api));
	ASSERT_OK(ioctl(faults, UFFDIO_REGISTER, &range));
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, write_unreadable, &w));
	/* It has reserved, and asks for the data. */
	ASSERT_EQ(sizeof(message), read(faults, &message, sizeof(message)));
	fill(map + b, end - b, 2, b);
	ASSERT_OK(mprotect(data, 4 * b, PROT_NONE));
	ASSERT_OK(ioctl(faults, UFFDIO_UNREGISTER, &range.range));
	ASSERT_EQ(0, pthread_join(w.thread, NULL));
	ASSERT_EQ(EFAULT, w.error);

	ASSERT_OK(msync(map, 2 * b, MS_SYNC));
	munmap(map, 2 * b);
	drop_pages(fd);
	EXPECT_EQ(end, size_of(fd));
	EXPECT_TRUE(holds_by_all_ways("f", 2, b, end - b));
	close(faults);
	close(fd);
}

TEST_F(fs, mapping_made_before_the_clone)
{
	const off_t b = self->blk, size = 32 * b;
	int src = make_file("src", 1, size), dst = open("dst", O_CREAT | O_RDWR, 0644);
	char *map = map_file(src, size, PROT_READ | PROT_WRITE);

	ASSERT_NE(NULL, map);
	/* Dirty and writable before; the clone must not change through it later. */
	fill(map, 4 * b, 2, 0);
	ASSERT_OK(clone_file(dst, src));
	fill(map, 8 * b, 3, 0);
	EXPECT_TRUE(holds(dst, 2, 0, 4 * b));
	EXPECT_TRUE(holds(dst, 1, 4 * b, 28 * b));
	ASSERT_OK(msync(map, size, MS_SYNC));
	drop_pages(dst);
	EXPECT_TRUE(holds_by_all_ways("dst", 2, 0, 4 * b));
	EXPECT_TRUE(holds_by_all_ways("dst", 1, 4 * b, 28 * b));
	EXPECT_TRUE(holds_by_all_ways("src", 3, 0, 8 * b));
	munmap(map, size);
	close(src);
	close(dst);
}

TEST_F(fs, stores_into_holes)
{
	const off_t b = self->blk, size = 64 * b;
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	char *map;

	ASSERT_OK(ftruncate(fd, size));
	map = map_file(fd, size, PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, map);
	for (off_t at = 8 * b; at < size; at += 16 * b)
		fill(map + at, b, 1, at);
	/* The mapping may go first: what is in it is written back all the same. */
	munmap(map, size);
	ASSERT_OK(fsync(fd));
	drop_pages(fd);
	for (off_t at = 8 * b; at < size; at += 16 * b) {
		EXPECT_TRUE(holds_zeros(fd, at - 8 * b, 8 * b));
		EXPECT_TRUE(holds(fd, 1, at, b));
	}
	close(fd);
}

TEST_F(fs, sees_what_is_written_otherwise)
{
	const off_t b = self->blk, size = 32 * b;
	int fd = make_file("f", 1, size), direct = open("f", O_RDWR | O_DIRECT);
	char *map = map_file(fd, size, PROT_READ);

	ASSERT_NE(NULL, map);
	EXPECT_EQ(-1, mismatch(map, size, 1, 0));
	ASSERT_OK(put(fd, 2, b, 2 * b));
	EXPECT_EQ(-1, mismatch(map + b, 2 * b, 2, b));
	ASSERT_OK(put(direct, 3, 8 * b, 8 * b));
	EXPECT_EQ(-1, mismatch(map + 8 * b, 8 * b, 3, 8 * b));
	ASSERT_OK(ftruncate(fd, 16 * b));
	ASSERT_OK(ftruncate(fd, size));
	for (off_t i = 16 * b; i < size; i++) {
		ASSERT_EQ(0, map[i]);
	}
	munmap(map, size);
	close(direct);
	close(fd);
}

TEST_F(fs, direct_read_sees_what_is_stored)
{
	const off_t b = self->blk, size = 16 * b;
	int fd = make_file("f", 1, size), direct = open("f", O_RDWR | O_DIRECT);
	char *map = map_file(fd, size, PROT_READ | PROT_WRITE);

	ASSERT_NE(NULL, map);
	for (int i = 0; i < 10; i++) {
		fill(map, size, 10 + i, 0);
		ASSERT_TRUE(holds(direct, 10 + i, 0, size));
	}
	munmap(map, size);
	close(direct);
	close(fd);
}

TEST_F(fs, private_mapping_is_private)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 4 * b);
	char *map = mmap(NULL, 4 * b, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	ASSERT_NE(MAP_FAILED, (void *)map);
	memset(map, 0, 4 * b);
	ASSERT_OK(fsync(fd));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, 4 * b));
	munmap(map, 4 * b);
	close(fd);
}

TEST_F(fs, behind_the_end_is_a_bus_error)
{
	int fd = make_file("f", 1, 100);
	char *map = map_file(fd, 3 * 4096, PROT_READ);
	int status;
	pid_t child;

	ASSERT_NE(NULL, map);
	/* The rest of the last page reads as zeros. */
	for (int i = 100; i < 4096; i++) {
		ASSERT_EQ(0, map[i]);
	}
	child = fork();
	if (child == 0) {
		signal(SIGBUS, SIG_DFL);
		_exit(*(volatile char *)(map + 4096) & 0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	munmap(map, 3 * 4096);
	close(fd);
}

TEST_F(fs, source_of_its_own_write)
{
	const off_t b = self->blk, size = 8 * b;
	int fd = make_file("f", 1, size);
	char *map = map_file(fd, size, PROT_READ), *buf = aligned(4 * b);

	ASSERT_NE(NULL, map);
	drop_pages(fd);
	/* The page to be copied from must be faulted in within the write. */
	ASSERT_EQ(4 * b, pwrite(fd, map, 4 * b, 4 * b));
	ASSERT_EQ(4 * b, pread(fd, buf, 4 * b, 4 * b));
	EXPECT_EQ(-1, mismatch(buf, 4 * b, 1, 0));
	munmap(map, size);
	close(fd);
}

TEST_HARNESS_MAIN
