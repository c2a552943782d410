// SPDX-License-Identifier: GPL-2.0
/*
 * Clones that are written directly by many processes at once, neighbours meeting
 * within one CoW window, while the same files are cloned again.
 */
#include <fcntl.h>
#include <stdio.h>

#include "ledger.h"
#include "trace.h"

#define FILES	3
#define KEPT	3	/* clones that the cloner keeps */
#define SIZE	192	/* blocks of a file */

static struct object files[FILES], dsync[FILES], home;

static void setup(const struct object *root)
{
	ledger_create(trace_block());
	for (int i = 0; i < FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "file%d", i);
		t_make(root, name, O_DIRECT, &files[i]);
		dsync[i] = t_reopen(&files[i], O_RDWR | O_DIRECT | O_DSYNC);
		if (i == 0) {
			/* In pieces, so that there is a tree to share. */
			for (int at = 0; at < SIZE; at += 8)
				t_write(&files[0], SIZE - 8 - at, 8);
			t_fsync(&files[0]);
		} else {
			t_clone(&files[i], &files[0]);
		}
	}
	t_mkdir(root, "clones", &home);
}

static void write_some(void)
{
	const int slot = any(FILES);
	int first = any(3) ? any(2) * 96 + any(48) : any(SIZE);
	int n = 1 + any(any(4) ? 6 : 40);

	n = ledger_try(slot, first, first + n > SIZE ? SIZE - first : n);
	if (n)
		t_write(any(3) ? &files[slot] : &dsync[slot], first, n);
	ledger_release(slot, first, n);
	if (any(8) == 0)
		t_fsync(&files[slot]);
}

static void writer(void)
{
	while (trace_more())
		write_some();
}

/* The clones are this process's own. */
static void cloner(void)
{
	struct object kept[KEPT] = { 0 };
	char name[KEPT][16];

	for (int n = 0; trace_more(); n++) {
		const int i = n % KEPT;

		if (kept[i].id) {
			t_close(&kept[i]);
			t_unlink(&home, name[i]);
		}
		snprintf(name[i], sizeof(name[i]), "clone%d", n);
		if (t_make(&home, name[i], O_DIRECT, &kept[i]))
			return;
		t_clone(&kept[i], &files[any(FILES)]);
		for (int k = any(4); k > 0; k--) {
			struct object *one = &kept[any(n < KEPT ? n + 1 : KEPT)];

			t_write(one, any(SIZE - 8), 1 + any(8));
			if (any(3) == 0)
				t_fsync(one);
		}
	}
}

static void play(int actor, const struct object *root)
{
	(void)root;
	if (actor == 1)
		cloner();
	else
		writer();
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = 5, .setup = setup, .play = play });
}
