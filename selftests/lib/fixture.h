/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fixture.h - TEST_F(fs, name): a test that starts in an empty directory of its
 * own on the file system under test, named like the test.
 */
#ifndef SELFTEST_FIXTURE_H
#define SELFTEST_FIXTURE_H

#include "selftest.h"

FIXTURE(fs) {
	off_t blk;	/* block size of the file system */
};

FIXTURE_SETUP(fs)
{
	const char *top = getenv("TEST_DIR");
	struct statvfs st;

	ASSERT_NE(NULL, top) TH_LOG("TEST_DIR is not set: start me with selftests/run");
	ASSERT_OK(chdir(top));
	ASSERT_OK(mkdir(_metadata->name, 0755));
	ASSERT_OK(chdir(_metadata->name));
	ASSERT_OK(statvfs(".", &st));
	self->blk = st.f_bsize;
}

FIXTURE_TEARDOWN(fs)
{
}

#endif
