// SPDX-License-Identifier: GPL-2.0
/*
 * system.c - commands, waiting, caches.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "system.h"

int sh(const char *fmt, ...)
{
	char command[1024];
	va_list args;
	int status;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	fflush(stdout);
	status = system(command);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	if (status)
		printf("# command failed (%d): %s\n", status, command);
	return status;
}

bool is_cowfs(void)
{
	const char *type = getenv("FSTYP");

	return type && strcmp(type, "cowfs") == 0;
}

bool eventually(bool (*condition)(void *), void *arg)
{
	const char *patience = getenv("PATIENCE");
	const struct timespec tick = { .tv_nsec = 5 * 1000 * 1000 };
	struct timespec now, end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += patience ? atoi(patience) : 60;
	for (;;) {
		if (condition(arg))
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec)
			return condition(arg);
		nanosleep(&tick, NULL);
	}
}

void drop_caches(void)
{
	sync();
	drop_clean_caches();
}

void drop_clean_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	if (fd < 0 || write(fd, "3", 1) != 1)
		perror("# drop_caches");
	close(fd);
}

void drop_pages(int fd)
{
	if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		perror("# dropping pages");
}

int remount_test_dir(void)
{
	const char *dir = getenv("TEST_DIR");

	return sh("umount %s && mount -t $FSTYP ${MOUNT_OPTIONS:+-o $MOUNT_OPTIONS} "
		  "/dev/mapper/scratch %s", dir, dir) ? -1 : 0;
}
