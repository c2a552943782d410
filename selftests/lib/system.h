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

/* Is it cowfs that is tested, and not another file system that the test was tried on? */
bool is_cowfs(void);

/* Poll until the condition holds, for as long as $PATIENCE (60) seconds. */
bool eventually(bool (*condition)(void *), void *arg);

/* Write everything back and forget every clean page, dentry and inode: slow. */
void drop_caches(void);
/* Forget those, and write nothing back. */
void drop_clean_caches(void);
/* The same for the pages of one file. */
void drop_pages(int fd);
/* Unmount and mount $TEST_DIR again; the caller may not be inside. 0 or -1. */
int remount_test_dir(void);

#endif
