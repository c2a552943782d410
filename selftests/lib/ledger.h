/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ledger.h - what each block of each file must hold, shared by all processes.
 *
 * Whoever wants to change blocks claims them first, and enters what they hold
 * when that is acknowledged; so every block has one writer at a time, while its
 * neighbours have others. A reader that has not claimed a block believes what it
 * read only if nobody touched the block meanwhile.
 */
#ifndef SELFTEST_LEDGER_H
#define SELFTEST_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SLOTS	6	/* files */
#define BLOCKS	512	/* of each */

/* Set up in memory shared with processes forked later. */
void ledger_create(size_t block_size);

/* A new sequence number. */
uint64_t ledger_next(void);
/* Has any process found fault? Then all may stop. */
bool ledger_failed(void);
void ledger_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Count one more operation; false when there have been enough. */
bool ledger_count(uint64_t enough);

/* Claim up to n blocks from first on, as many as are free now. */
int ledger_try(int slot, int first, int n);
/* Claim all of them, waiting; only by those who claim in ascending order. */
bool ledger_claim(int slot, int first, int n);
void ledger_release(int slot, int first, int n);
/* The claimed blocks hold that write from now on (0: zeros). */
void ledger_enter(int slot, int first, int n, uint64_t seq);

/* Is what was read of claimed blocks what the ledger says? */
bool ledger_check(int slot, int first, int n, const void *data, const char *how);

/* State of one block, to be compared later. */
struct glance {
	uint32_t changes;
	bool claimed;
	uint64_t seq;
};
void ledger_glance(int slot, int first, int n, struct glance *glance);
/* Has anyone touched one of them since? */
bool ledger_touched(int slot, int first, int n, const struct glance *before);
/*
 * Check what was read of blocks that were not claimed, after a glance at them.
 * whole: they may be of any age if touched meanwhile, but never torn.
 */
bool ledger_compare(int slot, int first, int n, const void *data,
		    const struct glance *before, bool whole, const char *how);
/* Enter what is found in copied blocks (claimed), which must be good or zeros. */
bool ledger_adopt(int slot, int first, int n, const void *data);

#endif
