// SPDX-License-Identifier: GPL-2.0
/*
 * dm.c - device mapper by its ioctls.
 */
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm.h"

#define ROOM 4096

static int control(unsigned long command, const char *what, struct dm_ioctl *arg,
		   const char *name, unsigned int flags)
{
	int fd = open("/dev/mapper/control", O_RDWR);
	int ret;

	arg->version[0] = DM_VERSION_MAJOR;
	arg->data_start = sizeof(*arg);
	arg->flags = flags;
	strncpy(arg->name, name, sizeof(arg->name) - 1);
	ret = ioctl(fd, command, arg);
	if (ret) {
		printf("# device-mapper: %s %s: ", what, name);
		fflush(stdout);
		perror("");
	}
	close(fd);
	return ret;
}

static int simple(unsigned long command, const char *what, const char *name,
		  unsigned int flags)
{
	struct dm_ioctl arg = { .data_size = sizeof(arg) };

	return control(command, what, &arg, name, flags);
}

int dm_create(const char *name)
{
	return simple(DM_DEV_CREATE, "create", name, 0);
}

int dm_remove(const char *name)
{
	return simple(DM_DEV_REMOVE, "remove", name, 0);
}

int dm_suspend(const char *name)
{
	return simple(DM_DEV_SUSPEND, "suspend", name,
		      DM_SUSPEND_FLAG | DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG);
}

int dm_resume(const char *name)
{
	return simple(DM_DEV_SUSPEND, "resume", name,
		      DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG);
}

int dm_message(const char *name, const char *text)
{
	char room[1024] __attribute__((aligned(8))) = { 0 };
	struct dm_ioctl *arg = (void *)room;
	struct dm_target_msg *message = (void *)(room + sizeof(*arg));

	if (sizeof(*arg) + sizeof(*message) + strlen(text) >= sizeof(room))
		return -1;
	arg->data_size = sizeof(room);
	strcpy(message->message, text);
	return control(DM_TARGET_MSG, "message to", arg, name, 0);
}

int dm_load(const char *name, const struct dm_target *targets, int n)
{
	char room[ROOM] __attribute__((aligned(8))) = { 0 };
	struct dm_ioctl *arg = (void *)room;
	size_t at = sizeof(*arg);

	arg->data_size = sizeof(room);
	arg->target_count = n;
	for (int i = 0; i < n; i++) {
		struct dm_target_spec *spec = (void *)(room + at);
		const size_t size = sizeof(*spec) + ((strlen(targets[i].params) + 8) & ~7ul);

		if (at + size > sizeof(room))
			return -1;
		spec->sector_start = targets[i].from;
		spec->length = targets[i].sectors;
		spec->next = size;
		strncpy(spec->target_type, targets[i].type, sizeof(spec->target_type) - 1);
		strcpy((char *)(spec + 1), targets[i].params);
		at += size;
	}
	if (control(DM_TABLE_LOAD, "load", arg, name, 0) || dm_suspend(name))
		return -1;
	/* The first resume of a new device is its activation. */
	return dm_resume(name);
}

/* Minor number of the device, -1 if there is none. */
static int dm_minor(const char *name, unsigned int *major)
{
	struct dm_ioctl arg = { .data_size = sizeof(arg) };

	if (control(DM_DEV_STATUS, "status", &arg, name, 0))
		abort();
	*major = major(arg.dev);
	return minor(arg.dev);
}

const char *dm_number(const char *name)
{
	static char text[4][32];
	static int turn;
	char *t = text[turn++ % 4];
	unsigned int major;
	struct stat st;
	int minor;

	if (name) {
		minor = dm_minor(name, &major);
	} else {
		if (stat(getenv("SCRATCH_DEV"), &st))
			abort();
		major = major(st.st_rdev);
		minor = minor(st.st_rdev);
	}
	snprintf(t, sizeof(text[0]), "%u:%d", major, minor);
	return t;
}

struct dm_target dm_linear(uint64_t from, uint64_t sectors, const char *device)
{
	struct dm_target target = { .from = from, .sectors = sectors, .type = "linear" };

	snprintf(target.params, sizeof(target.params), "%s %lu", dm_number(device), from);
	return target;
}

static FILE *disk_file(const char *name, const char *file)
{
	char path[96];
	unsigned int major;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/dm-%d/%s", dm_minor(name, &major), file);
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
	uint64_t sectors = 0;

	if (fscanf(f, "%lu", &sectors) != 1)
		abort();
	fclose(f);
	return sectors;
}

struct disk_stat disk_stat(const char *name)
{
	struct disk_stat stat = { 0 };
	FILE *f = disk_file(name, "stat");

	if (fscanf(f, "%*u %*u %lu %*u %*u %*u %lu",
		   &stat.sectors_read, &stat.sectors_written) != 2)
		abort();
	fclose(f);
	f = disk_file(name, "inflight");
	if (fscanf(f, "%u %u", &stat.reads_in_flight, &stat.writes_in_flight) != 2)
		abort();
	fclose(f);
	return stat;
}
