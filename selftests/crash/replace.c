// SPDX-License-Identifier: GPL-2.0
/*
 * Files replaced by renaming a new one over them, as editors and databases do:
 * with an fsync before, whoever looks sees one version or the other, whole.
 */
#include <fcntl.h>
#include <stdio.h>

#include "trace.h"

#define TARGETS	3
#define ACTORS	3

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
	const struct object *own = &home[actor - 1];
	struct object old = { .fd = -1 };

	(void)root;
	while (trace_more()) {
		const uint32_t blocks = 1 + any(24), kind = any(8);
		struct object new;
		char target[16];

		snprintf(target, sizeof(target), "target%u", any(TARGETS));
		if (t_make(own, "new", kind == 0 ? O_DIRECT : 0, &new))
			return;
		/* The rest differs from the version before in a few blocks only. */
		if (kind == 1 && old.fd >= 0)
			t_clone(&new, &old);
		t_write(&new, 0, blocks);
		if (any(5))
			t_fsync(&new);
		t_rename(own, "new", own, target);
		if (any(4) == 0)
			t_fsync(own);
		else if (any(8) == 0)
			t_fsync(&new);
		if (old.fd >= 0)
			t_close(&old);
		old = new;
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = ACTORS, .setup = setup, .play = play });
}
