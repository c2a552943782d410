// SPDX-License-Identifier: GPL-2.0
/*
 * Files of many extents cut and grown again, holes punched into them, some of
 * them sharing their trees with clones: what was cut never comes back.
 */
#include <fcntl.h>
#include <stdio.h>

#include "trace.h"

#define ACTORS	3
#define SIZE	400

static struct object file[ACTORS], copy[ACTORS];

static void setup(const struct object *root)
{
	for (int i = 0; i < ACTORS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "file%d", i);
		t_make(root, name, i ? O_DIRECT : 0, &file[i]);
		/* Every second block: as many extents. */
		for (int at = 0; at < SIZE; at += 2)
			t_write(&file[i], at, 1);
		snprintf(name, sizeof(name), "copy%d", i);
		t_make(root, name, i ? O_DIRECT : 0, &copy[i]);
		t_clone(&copy[i], &file[i]);
	}
}

static void play(int actor, const struct object *root)
{
	uint32_t sizes[2] = { SIZE - 1, SIZE - 1 };

	(void)root;
	while (trace_more()) {
		const int which = any(2);
		const struct object *f = which ? &copy[actor - 1] : &file[actor - 1];
		const uint32_t kind = any(10);

		if (kind == 0) {
			sizes[which] = any(SIZE);
			t_truncate(f, sizes[which]);
		} else if (kind == 1) {
			const uint32_t at = any(SIZE);

			t_punch(f, at, 1 + any(64));
		} else {
			const uint32_t at = any(SIZE), n = 1 + any(kind < 7 ? 2 : 12);

			t_write(f, at, n);
			if (at + n > sizes[which])
				sizes[which] = at + n;
		}
		if (any(8) == 0)
			t_fsync(f);
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = ACTORS, .setup = setup, .play = play });
}
