// SPDX-License-Identifier: GPL-2.0
/*
 * A direct write has blocks staged around it. A write to the page cache that finds
 * them needs no others, and keeps them: what is given back when someone needs room
 * is what no page rests on.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "file.h"
#include "fixture.h"

enum { ROUNDS = 500, WINDOW = 32, FILE_BLOCKS = 4 * WINDOW };

/* Takes what there is in large pieces, and asks for another one, again and again. */
static bool need_room(int fd)
{
	return fallocate(fd, 0, 0, 1LL << 40) < 0 && errno == ENOSPC;
}

TEST_F(fs, pages_keep_what_was_staged_when_room_is_needed)
{
	const off_t b = self->blk;
	int fd = open("file", O_CREAT | O_RDWR, 0644), direct = open("file", O_RDWR | O_DIRECT);
	atomic_bool *stop = mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int room = open("room", O_CREAT | O_RDWR, 0644), needy = open("needy", O_CREAT | O_RDWR, 0644);
	int kept = 0, status;
	pid_t pid;

	ASSERT_OK(fd);
	ASSERT_OK(direct);
	ASSERT_NE(MAP_FAILED, stop);
	ASSERT_OK(fallocate(room, 0, 0, 4 * FILE_BLOCKS * b));
	ASSERT_TRUE(need_room(needy));
	ASSERT_OK(ftruncate(room, 0));
	pid = fork();
	if (pid == 0) {
		while (!atomic_load(stop) && need_room(needy))
			;
		_exit(!atomic_load(stop));
	}
	for (int round = 0; round < ROUNDS && kept == round; round++) {
		const off_t at = round * WINDOW % FILE_BLOCKS * b;

		if (at == 0)
			ASSERT_OK(ftruncate(fd, 0));
		ASSERT_OK(put(direct, 1, at, b));
		ASSERT_OK(put(fd, 2, at + b, (WINDOW - 1) * b));
		ASSERT_OK(fdatasync(fd));
		kept += holds(direct, 2, at + b, (WINDOW - 1) * b);
	}
	atomic_store(stop, true);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(ROUNDS, kept);
}

TEST_HARNESS_MAIN
