/* SPDX-License-Identifier: GPL-2.0 */
/*
 * stamp.h - blocks that say who wrote them, when and where.
 *
 * The whole block carries magic, writer, sequence number, offset in the file and
 * a checksum, so that what is stale, torn, foreign or uninitialised can be told
 * apart. Sequence numbers are unique: they identify one write.
 */
#ifndef SELFTEST_STAMP_H
#define SELFTEST_STAMP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stamp {
	uint64_t magic;
	uint64_t writer;
	uint64_t seq;
	uint64_t offset;
	uint64_t sum;
};

enum verdict {
	STAMP_GOOD,
	STAMP_ZERO,	/* never written */
	STAMP_POISON,	/* what the disk held before: uninitialised */
	STAMP_TORN,	/* parts of different contents */
	STAMP_FOREIGN,	/* whole, but of another place */
	STAMP_GARBAGE,	/* no stamp at all */
};

void stamp_make(void *block, size_t size, uint64_t writer, uint64_t seq, off_t offset);
/* What is this block, read at that offset? Its stamp, if it is good. */
enum verdict stamp_check(const void *block, size_t size, off_t offset, struct stamp *found);
const char *verdict_name(enum verdict verdict);

#endif
