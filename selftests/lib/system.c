// SPDX-License-Identifier: GPL-2.0
/*
 * system.c - commands, waiting, caches, device mapper and disk statistics.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
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
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	sync();
	if (fd < 0 || write(fd, "3", 1) != 1)
		perror("# drop_caches");
	close(fd);
}

int remount_test_dir(void)
{
	const char *dir = getenv("TEST_DIR");

	return sh("umount %s && mount -t $FSTYP /dev/mapper/scratch %s", dir, dir) ? -1 : 0;
}

int dm_suspend(const char *name)
{
	return sh("dmsetup suspend --noflush --nolockfs %s", name) ? -1 : 0;
}

int dm_resume(const char *name)
{
	return sh("dmsetup resume %s", name) ? -1 : 0;
}

int dm_reload(const char *name, const char *fmt, ...)
{
	char table[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(table, sizeof(table), fmt, args);
	va_end(args);
	return sh("printf '%s\\n' | dmsetup load %s && "
		  "dmsetup suspend --noflush --nolockfs %s && dmsetup resume %s",
		  table, name, name, name) ? -1 : 0;
}

/* The kernel's name (dm-N) of /dev/mapper/NAME. */
static void dm_node(const char *name, char *node, size_t size)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	if (stat(path, &st)) {
		perror(path);
		abort();
	}
	snprintf(node, size, "dm-%u", minor(st.st_rdev));
}

static FILE *disk_file(const char *name, const char *file)
{
	char node[64], path[160];
	FILE *f;

	dm_node(name, node, sizeof(node));
	snprintf(path, sizeof(path), "/sys/block/%s/%s", node, file);
	f = fopen(path, "r");
	if (!f) {
		perror(path);
		abort();
	}
	return f;
}

uint64_t dm_sectors(void)
{
	FILE *f = disk_file("scratch", "size");
	unsigned long long sectors = 0;

	if (fscanf(f, "%llu", &sectors) != 1)
		abort();
	fclose(f);
	return sectors;
}

struct disk_stat disk_stat(const char *dm_name)
{
	struct disk_stat stat = { 0 };
	FILE *f = disk_file(dm_name, "stat");

	if (fscanf(f, "%*u %*u %lu %*u %*u %*u %lu",
		   &stat.sectors_read, &stat.sectors_written) != 2)
		abort();
	fclose(f);
	f = disk_file(dm_name, "inflight");
	if (fscanf(f, "%u %u", &stat.reads_in_flight, &stat.writes_in_flight) != 2)
		abort();
	fclose(f);
	return stat;
}
