// SPDX-License-Identifier: GPL-2.0
/*
 * O_DSYNC writers, direct and buffered: in place, into a clone, into holes and
 * preallocated space, and beyond the end. Each write promises. Between them are
 * direct writes that do not: one that promises and finds its place made by one that
 * did not must promise that, too.
 */
#include <fcntl.h>
#include <stdio.h>

#include "ledger.h"
#include "trace.h"

#define SIZE	128	/* blocks of the file that is shared by all */

static struct object shared[2], lazy[2], logs;

static void setup(const struct object *root)
{
	struct object plain, copy;

	ledger_create(trace_block());
	t_make(root, "shared", O_DIRECT, &plain);
	t_write(&plain, 0, SIZE / 2);
	t_fsync(&plain);
	/* Preallocated space reads as zeros, as does what was never written. */
	if (fallocate(plain.fd, 0, SIZE / 2 * trace_block(), SIZE / 4 * trace_block()))
		trace_fail("fallocate");
	t_truncate(&plain, SIZE);
	t_make(root, "clone", O_DIRECT, &copy);
	t_clone(&copy, &plain);
	shared[0] = t_reopen(&plain, O_RDWR | O_DIRECT | O_DSYNC);
	shared[1] = t_reopen(&copy, O_RDWR | O_DIRECT | O_DSYNC);
	lazy[0] = plain;
	lazy[1] = copy;
	t_mkdir(root, "logs", &logs);
}

static void overwrite(void)
{
	const int slot = any(2), first = any(SIZE);
	int n = 1 + any(8);

	n = ledger_try(slot, first, first + n > SIZE ? SIZE - first : n);
	if (n && !any(3))
		t_write(&lazy[slot], first, n);
	if (n)
		t_write(&shared[slot], first, any(n) + 1);
	ledger_release(slot, first, n);
}

/* A log that grows by what is synced, until another is begun. */
static void append(void)
{
	struct object log = { 0 };
	int end = 0, number = 0;

	while (trace_more()) {
		if (end == 0) {
			char name[16];

			snprintf(name, sizeof(name), "log%d", ++number);
			if (t_make(&logs, name, O_DSYNC | (any(2) ? O_DIRECT : 0), &log))
				return;
		}
		end += t_write(&log, end, 1 + any(4));
		if (end > 64) {
			t_close(&log);
			end = 0;
		}
	}
}

static void play(int actor, const struct object *root)
{
	(void)root;
	if (actor == 1)
		append();
	while (trace_more())
		overwrite();
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = 4, .setup = setup, .play = play });
}
