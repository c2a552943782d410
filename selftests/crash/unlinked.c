// SPDX-License-Identifier: GPL-2.0
/*
 * Files that lose their last name while they are open, written on and closed
 * later, some of them clones of others: a crash finds them on the orphan list.
 */
#include <fcntl.h>
#include <stdio.h>

#include "trace.h"

#define ACTORS	3
#define OPEN	4

static struct object home[ACTORS], base;

static void setup(const struct object *root)
{
	t_make(root, "base", 0, &base);
	for (int at = 0; at < 128; at += 4)
		t_write(&base, 124 - at, 4);
	for (int i = 0; i < ACTORS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "home%d", i + 1);
		t_mkdir(root, name, &home[i]);
	}
}

static void play(int actor, const struct object *root)
{
	const struct object *own = &home[actor - 1];
	struct object files[OPEN] = { 0 };
	char names[OPEN][16];
	bool named[OPEN] = { false };

	(void)root;
	for (int n = 0; trace_more(); n++) {
		const int i = any(OPEN);

		if (!files[i].id) {
			snprintf(names[i], sizeof(names[i]), "file%d", n);
			if (t_make(own, names[i], any(2) ? O_DIRECT : 0, &files[i]))
				return;
			named[i] = true;
			if (any(2))
				t_clone(&files[i], &base);
			for (int k = any(6); k > 0; k--)
				t_write(&files[i], any(160), 1 + any(3));
		} else if (named[i]) {
			t_unlink(own, names[i]);
			named[i] = false;
		} else if (any(2)) {
			t_write(&files[i], any(160), 1 + any(8));
		} else {
			t_close(&files[i]);
			files[i].id = 0;
		}
		if (files[i].id && any(6) == 0)
			t_fsync(&files[i]);
		else if (any(20) == 0)
			t_fsync(own);
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = ACTORS, .setup = setup, .play = play });
}
