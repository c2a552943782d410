// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges shared between files, by copy_file_range, FICLONERANGE and dedupe,
 * while their blocks are written on.
 */
#include <fcntl.h>
#include <stdio.h>

#include "file.h"
#include "trace.h"

#define ACTORS	3
#define FILES	3
#define SIZE	128

static struct object files[ACTORS][FILES];

static void setup(const struct object *root)
{
	for (int a = 0; a < ACTORS; a++) {
		for (int i = 0; i < FILES; i++) {
			char name[16];

			snprintf(name, sizeof(name), "file%d-%d", a, i);
			t_make(root, name, a ? O_DIRECT : 0, &files[a][i]);
			for (int at = 0; at < SIZE; at += 16)
				t_write(&files[a][i], at, 16);
		}
	}
}

static void play(int actor, const struct object *root)
{
	struct object *own = files[actor - 1];

	(void)root;
	while (trace_more()) {
		const struct object *to = &own[any(FILES)], *from = &own[any(FILES)];
		const uint32_t n = 1 + any(32), first = any(SIZE - n), start = any(SIZE - n);
		const uint32_t kind = any(6);

		if (kind < 3 || to == from)
			t_write(to, first, n);
		else if (kind == 3)
			t_copy_range(to, first, from, start, n);
		else if (kind == 4)
			t_clone_range(to, first, from, start, n);
		else /* Contents stay what they are, so there is nothing to say. */
			dedupe_range(to->fd, first * trace_block(), from->fd,
				     first * trace_block(), n * trace_block(), NULL);
		if (any(6) == 0)
			t_fsync(to);
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = ACTORS, .setup = setup, .play = play });
}
