// SPDX-License-Identifier: GPL-2.0
/*
 * Inodes and pages come and go under memory pressure: more files than are kept,
 * caches dropped while they are used, memory eaten up while clones are written.
 */
#include <signal.h>

#include "fixture.h"

#define FILES 1500


/* Drops all caches as long as it lives. */
static pid_t start_dropper(void)
{
	pid_t child = fork();

	if (child == 0) {
		int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

		for (;;)
			if (write(fd, "3", 1) != 1)
				_exit(1);
	}
	return child;
}

TEST_F(fs, many_files_with_caches_dropped)
{
	pid_t dropper;
	char name[32];
	int fd;

	dropper = start_dropper();
	ASSERT_LT(0, dropper);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fd = open(name, O_CREAT | O_RDWR | O_EXCL, 0644);
		ASSERT_OK(fd);
		ASSERT_OK(put(fd, i, 0, 1 + i * 37 % 9000));
		close(fd);
		if (i % 5 == 4) {
			snprintf(name, sizeof(name), "f%d", i - 2);
			ASSERT_OK(unlink(name));
		}
	}
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fd = open(name, O_RDONLY);
		if (i % 5 == 2) {
			EXPECT_EQ(-1, fd);
			continue;
		}
		ASSERT_OK(fd);
		EXPECT_EQ(1 + i * 37 % 9000, size_of(fd));
		EXPECT_TRUE(holds(fd, i, 0, 1 + i * 37 % 9000));
		close(fd);
	}
	kill(dropper, SIGKILL);
	ASSERT_EQ(dropper, waitpid(dropper, NULL, 0));
}

TEST_F(fs, clones_written_with_caches_dropped)
{
	const off_t b = self->blk, size = 128 * b;
	int src = make_file("src", 1, size), fd;
	pid_t dropper = start_dropper();
	char name[32];

	ASSERT_OK(src);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		fd = open(name, O_CREAT | O_RDWR | (i % 2 ? O_DIRECT : 0), 0644);
		ASSERT_OK(clone_file(fd, src));
		ASSERT_OK(put(fd, 2 + i, i * 2 * b, 16 * b));
		close(fd);
	}
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		fd = open(name, O_RDONLY);
		EXPECT_TRUE(holds(fd, 1, 0, i * 2 * b));
		EXPECT_TRUE(holds(fd, 2 + i, i * 2 * b, 16 * b));
		EXPECT_TRUE(holds(fd, 1, (i * 2 + 16) * b, size - (i * 2 + 16) * b));
		close(fd);
	}
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, size));
	kill(dropper, SIGKILL);
	ASSERT_EQ(dropper, waitpid(dropper, NULL, 0));
	close(src);
}

TEST_F(fs, written_with_little_memory)
{
	/* In a control group with a limit well below the size of the file. */
	const off_t size = 48 << 20;
	int src, dst, status;
	pid_t child;

	if (sh("cd /sys/fs/cgroup && echo +memory >cgroup.subtree_control && mkdir -p small && "
	       "echo 24M >small/memory.high"))
		SKIP(return, "no memory control group");
	child = fork();
	if (child == 0) {
		bool good = sh("echo %d >/sys/fs/cgroup/small/cgroup.procs", getpid()) == 0;

		src = make_file("src", 1, size);
		dst = open("dst", O_CREAT | O_RDWR, 0644);
		good = good && clone_file(dst, src) == 0 &&
		       put(dst, 2, size / 4, size / 2) == 0 && fsync(dst) == 0 &&
		       holds(dst, 1, 0, size / 4) && holds(dst, 2, size / 4, size / 2) &&
		       holds(dst, 1, size * 3 / 4, size / 4) && holds(src, 1, 0, size);
		_exit(!good);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	sh("rmdir /sys/fs/cgroup/small");
}

TEST_HARNESS_MAIN
