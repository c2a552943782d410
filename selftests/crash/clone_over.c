// SPDX-License-Identifier: GPL-2.0
/*
 * Cloning over files that have contents: a snapshot taken again and again into
 * the same file. After a crash it is one snapshot or the other.
 */
#include <fcntl.h>
#include <stdio.h>

#include "trace.h"

#define SIZE	160	/* blocks of a file */

static struct object base[3], target[3];

static void setup(const struct object *root)
{
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "base%d", i);
		t_make(root, name, O_DIRECT, &base[i]);
		/* Few extents that fit into the inode, or many in a tree. */
		for (int at = 0; at < SIZE; at += i ? 4 : 32)
			t_write(&base[i], SIZE - (i ? 4 : 32) - at, i ? 4 : 32);
		snprintf(name, sizeof(name), "target%d", i);
		t_make(root, name, O_DIRECT, &target[i]);
		t_clone(&target[i], &base[i]);
	}
}

static void play(int actor, const struct object *root)
{
	struct object *own = &base[actor - 1], *to = &target[actor - 1];

	(void)root;
	while (trace_more()) {
		for (int n = 1 + any(3); n > 0; n--)
			t_write(own, any(SIZE - 16), 1 + any(16));
		if (any(2))
			t_write(to, any(SIZE - 16), 1 + any(16));
		if (any(3) == 0)
			t_fsync(own);
		t_clone(to, own);
		if (any(3) == 0)
			t_fsync(to);
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = 3, .setup = setup, .play = play });
}
