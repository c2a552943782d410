/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dm.h - device mapper by its ioctls: dmsetup(8) takes an emulated CPU a tenth
 * of a second to start. All calls return 0, or -1 with a diagnostic printed.
 *
 * The file system under test is on the device "scratch", which maps the start of
 * the disk $SCRATCH_DEV one to one. A table loaded here takes its place without
 * the file system's notice, whatever is in flight.
 */
#ifndef SELFTEST_DM_H
#define SELFTEST_DM_H

#include <stdint.h>

struct dm_target {
	uint64_t from, sectors;
	const char *type;
	char params[96];
};

int dm_create(const char *name);
int dm_remove(const char *name);
/* Replace the table; without flushing or freezing anything. */
int dm_load(const char *name, const struct dm_target *targets, int n);
/* Hold all I/O; what is sent here from now on stays in flight. */
int dm_suspend(const char *name);
int dm_resume(const char *name);
/* Tell the device's target something, in words. */
int dm_message(const char *name, const char *text);

/* "major:minor" of a device-mapper device, or of the disk if name is NULL. */
const char *dm_number(const char *name);
/* Sectors of the device "scratch". */
uint64_t dm_sectors(void);

/* A target that maps this part of scratch to the same place of a device. */
struct dm_target dm_linear(uint64_t from, uint64_t sectors, const char *device);

/* Counters of a device-mapper device, after /sys/block/NAME/stat and inflight. */
struct disk_stat {
	uint64_t sectors_read, sectors_written;
	unsigned int reads_in_flight, writes_in_flight;
};
struct disk_stat disk_stat(const char *name);

#endif
