/* SPDX-License-Identifier: GPL-2.0 */
/*
 * system.h - what tests do to the system below and around the file system.
 */
#ifndef SELFTEST_SYSTEM_H
#define SELFTEST_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Run a shell command; its exit status. A failure is printed as a diagnostic. */
int sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Poll until the condition holds, for as long as $PATIENCE (60) seconds. */
bool eventually(bool (*condition)(void *), void *arg);

void drop_caches(void);
/* Unmount and mount $TEST_DIR again; the caller may not be inside. 0 or -1. */
int remount_test_dir(void);

/*
 * The device under the file system is /dev/mapper/scratch, as large as the disk
 * below it, $SCRATCH_DEV. A table given here replaces its mapping without the
 * file system's notice, what is in flight included.
 */
int dm_reload(const char *name, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int dm_suspend(const char *name);
int dm_resume(const char *name);
/* Sectors of the device. */
uint64_t dm_sectors(void);

/* Counters of a block device, after /sys/block/NAME/stat and inflight. */
struct disk_stat {
	uint64_t sectors_read, sectors_written;
	unsigned int reads_in_flight, writes_in_flight;
};
/* The device-mapper device of that name. */
struct disk_stat disk_stat(const char *dm_name);

#endif
