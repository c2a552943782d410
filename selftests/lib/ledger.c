// SPDX-License-Identifier: GPL-2.0
/*
 * ledger.c - what each block of each file must hold.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ledger.h"
#include "stamp.h"

static struct {
	size_t block_size;
	atomic_bool failed;
	_Atomic uint64_t seq, operations;
	struct {
		atomic_bool claimed;
		_Atomic uint32_t changes;	/* goes up with each claim */
		_Atomic uint64_t seq;		/* 0: zeros */
	} block[SLOTS][BLOCKS];
} *ledger;

void ledger_create(size_t block_size)
{
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ledger == MAP_FAILED)
		abort();
	ledger->block_size = block_size;
}

uint64_t ledger_next(void)
{
	return ++ledger->seq;
}

bool ledger_failed(void)
{
	return ledger->failed;
}

void ledger_fail(const char *fmt, ...)
{
	char line[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	printf("# %s\n", line);
	fflush(stdout);
	ledger->failed = true;
}

bool ledger_count(uint64_t enough)
{
	return ++ledger->operations <= enough && !ledger->failed;
}

static bool take(int slot, int block)
{
	bool free = false;

	if (!atomic_compare_exchange_strong(&ledger->block[slot][block].claimed, &free, true))
		return false;
	ledger->block[slot][block].changes++;
	return true;
}

int ledger_try(int slot, int first, int n)
{
	int got = 0;

	while (got < n && first + got < BLOCKS && take(slot, first + got))
		got++;
	return got;
}

bool ledger_claim(int slot, int first, int n)
{
	for (int i = 0; i < n; i++) {
		while (!take(slot, first + i)) {
			if (ledger->failed) {
				ledger_release(slot, first, i);
				return false;
			}
			sched_yield();
		}
	}
	return true;
}

void ledger_release(int slot, int first, int n)
{
	for (int i = 0; i < n; i++)
		ledger->block[slot][first + i].claimed = false;
}

void ledger_enter(int slot, int first, int n, uint64_t seq)
{
	for (int i = 0; i < n; i++)
		ledger->block[slot][first + i].seq = seq;
}

static bool complain(int slot, int block, enum verdict verdict, const struct stamp *found,
		     uint64_t want, const char *how)
{
	const char *stale = verdict == STAMP_GOOD ? "stale, of another write" : NULL;

	ledger_fail("%sfile %d block %d, %s: %s; writer %lu seq %lu offset %lu, expected seq %lu",
		    verdict == STAMP_POISON ? "POISON: " : "", slot, block, how,
		    stale ? stale : verdict_name(verdict), found->writer, found->seq,
		    found->offset, want);
	return false;
}

static bool is(enum verdict verdict, const struct stamp *found, uint64_t want)
{
	return want ? verdict == STAMP_GOOD && found->seq == want : verdict == STAMP_ZERO;
}

static enum verdict judge(const void *data, int i, int block, struct stamp *found)
{
	const size_t size = ledger->block_size;

	return stamp_check((const char *)data + i * size, size, (off_t)block * size, found);
}

bool ledger_check(int slot, int first, int n, const void *data, const char *how)
{
	for (int i = 0; i < n; i++) {
		const uint64_t want = ledger->block[slot][first + i].seq;
		struct stamp found;
		enum verdict verdict = judge(data, i, first + i, &found);

		if (!is(verdict, &found, want))
			return complain(slot, first + i, verdict, &found, want, how);
	}
	return true;
}

void ledger_glance(int slot, int first, int n, struct glance *glance)
{
	for (int i = 0; i < n; i++) {
		glance[i].changes = ledger->block[slot][first + i].changes;
		glance[i].seq = ledger->block[slot][first + i].seq;
		glance[i].claimed = ledger->block[slot][first + i].claimed;
		/* Claimed and released between the lines above: call it claimed. */
		if (glance[i].changes != ledger->block[slot][first + i].changes)
			glance[i].claimed = true;
	}
}

bool ledger_touched(int slot, int first, int n, const struct glance *before)
{
	for (int i = 0; i < n; i++)
		if (before[i].claimed || before[i].changes != ledger->block[slot][first + i].changes)
			return true;
	return false;
}

bool ledger_compare(int slot, int first, int n, const void *data,
		    const struct glance *before, bool whole, const char *how)
{
	for (int i = 0; i < n; i++) {
		const int block = first + i;
		struct stamp found;
		enum verdict verdict = judge(data, i, block, &found);
		bool good;

		if (!ledger_touched(slot, block, 1, before + i))
			good = is(verdict, &found, before[i].seq);
		else
			good = verdict == STAMP_GOOD || verdict == STAMP_ZERO ||
			       (verdict == STAMP_TORN && !whole);
		if (!good)
			return complain(slot, block, verdict, &found, before[i].seq, how);
	}
	return true;
}

bool ledger_adopt(int slot, int first, int n, const void *data)
{
	for (int i = 0; i < n; i++) {
		struct stamp found;
		enum verdict verdict = judge(data, i, first + i, &found);

		if (verdict != STAMP_GOOD && verdict != STAMP_ZERO)
			return complain(slot, first + i, verdict, &found, 0, "copied");
		ledger->block[slot][first + i].seq = verdict == STAMP_GOOD ? found.seq : 0;
	}
	return true;
}
