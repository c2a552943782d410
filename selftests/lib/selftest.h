/* SPDX-License-Identifier: GPL-2.0 */
/*
 * selftest.h - what every C selftest includes.
 *
 * A test program has one subject and uses the kernel's kselftest harness.  It
 * finds the file system under test mounted at $TEST_DIR.
 */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include <kselftest_harness.h>

#include "file.h"
#include "system.h"

/* Time is bounded by the runner, which knows how slow the kernel is; this ends nothing before. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 3600

/* The call succeeds; else say which errno it failed with. */
#define ASSERT_OK(call) \
	ASSERT_NE(-1, (long)(call)) TH_LOG("%s: %s", #call, strerror(errno))
#define EXPECT_OK(call) \
	EXPECT_NE(-1, (long)(call)) TH_LOG("%s: %s", #call, strerror(errno))

/* The call fails with exactly this errno. */
#define EXPECT_ERRNO(expected, call) do {				\
	errno = 0;							\
	long result_ = (long)(call);					\
	int errno_ = errno;						\
	EXPECT_EQ(-1, result_) TH_LOG("%s succeeded", #call);		\
	if (result_ == -1)						\
		EXPECT_EQ((expected), errno_)				\
			TH_LOG("%s: %s", #call, strerror(errno_));	\
} while (0)

/* Skip the test if the file system does not offer the operation at all. */
#define UNLESS_SUPPORTED(call) do {					\
	if ((long)(call) == -1) {					\
		if (errno == EOPNOTSUPP || errno == ENOTTY)		\
			SKIP(return, "%s: not supported", #call);	\
		ASSERT_EQ(0, errno) TH_LOG("%s: %s", #call, strerror(errno)); \
	}								\
} while (0)

#endif
