// SPDX-License-Identifier: GPL-2.0
/*
 * Writes through the page cache, made durable by fsync and fdatasync: over what
 * is there, into clones, into holes, and beyond the end.
 */
#include <fcntl.h>
#include <stdio.h>

#include "trace.h"

#define ACTORS	3
#define FILES	3	/* of each process */
#define SIZE	96

static struct object home[ACTORS];

static void setup(const struct object *root)
{
	for (int i = 0; i < ACTORS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "home%d", i + 1);
		t_mkdir(root, name, &home[i]);
	}
}

static void play(int actor, const struct object *root)
{
	struct object file[FILES];
	int size[FILES] = { 0 };
	char name[16];

	(void)root;
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		if (t_make(&home[actor - 1], name, 0, &file[i]))
			return;
	}
	while (trace_more()) {
		const int i = any(FILES), kind = any(20);

		if (kind == 0 && size[0] > size[i] && i) {
			t_clone(&file[i], &file[0]);
			size[i] = size[0];
		} else if (kind < 5 && size[i] < SIZE) {
			const int at = size[i] + (any(4) ? 0 : any(16));

			size[i] = at + t_write(&file[i], at, 1 + any(8));
		} else if (size[i] > 8) {
			t_write(&file[i], any(size[i] - 8), 1 + any(8));
		} else {
			size[i] += t_write(&file[i], size[i], 1 + any(8));
		}
		if (any(6) == 0)
			t_fsync(&file[i]);
		else if (any(6) == 0)
			t_fdatasync(&file[i]);
		else if (any(60) == 0)
			t_syncfs(&file[i]);
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = ACTORS, .setup = setup, .play = play });
}
