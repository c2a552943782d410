// SPDX-License-Identifier: GPL-2.0
/*
 * stamp.c - blocks that say who wrote them, when and where.
 */
#include <string.h>

#include "file.h"
#include "stamp.h"

#define MAGIC 0x706d6174732d6563ull

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x9fb21c651e98df25ull;
	return sum ^ (sum >> 32);
}

/* The body depends on every field, so no part of one block fits into another. */
static uint64_t body(const struct stamp *stamp, size_t i)
{
	return (stamp->seq * 0x9e3779b97f4a7c15ull ^ stamp->offset) + stamp->writer + i;
}

static uint64_t checksum(const void *block, size_t size)
{
	const uint64_t *word = block;
	const size_t at = offsetof(struct stamp, sum) / 8;
	uint64_t sum = size;

	for (size_t i = 0; i < size / 8; i++)
		if (i != at)
			sum = mix(sum, word[i]);
	return sum;
}

void stamp_make(void *block, size_t size, uint64_t writer, uint64_t seq, off_t offset)
{
	struct stamp stamp = {
		.magic = MAGIC, .writer = writer, .seq = seq, .offset = offset,
	};
	uint64_t *word = block;

	memcpy(block, &stamp, sizeof(stamp));
	for (size_t i = sizeof(stamp) / 8; i < size / 8; i++)
		word[i] = body(&stamp, i);
	stamp.sum = checksum(block, size);
	memcpy(block, &stamp, sizeof(stamp));
}

enum verdict stamp_check(const void *block, size_t size, off_t offset, struct stamp *found)
{
	const uint64_t *word = block;
	size_t zeros = 0, poison = 0;

	memcpy(found, block, sizeof(*found));
	if (found->magic == MAGIC && found->sum == checksum(block, size))
		return found->offset == (uint64_t)offset ? STAMP_GOOD : STAMP_FOREIGN;
	for (size_t i = 0; i < size / 8; i++) {
		zeros += word[i] == 0;
		poison += word[i] == POISON;
	}
	if (poison)
		return STAMP_POISON;
	if (zeros == size / 8)
		return STAMP_ZERO;
	return found->magic == MAGIC || zeros ? STAMP_TORN : STAMP_GARBAGE;
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {
		"good", "zeros", "POISON, uninitialised disk content", "torn",
		"foreign, of another place", "garbage",
	};

	return names[verdict];
}
