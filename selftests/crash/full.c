// SPDX-License-Identifier: GPL-2.0
/*
 * A volume that is full again and again: writes that find no room, direct and
 * buffered, clones whose blocks then have to be copied, and room made by removing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "trace.h"

#define ACTORS	3
#define FILES	6

static struct object home[ACTORS], base, filler;

static void setup(const struct object *root)
{
	t_make(root, "base", 0, &base);
	t_write(&base, 0, 200);
	for (int i = 0; i < ACTORS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "home%d", i + 1);
		t_mkdir(root, name, &home[i]);
	}
	/* All but a few hundred blocks; preallocated, so there is nothing to log. */
	t_make(root, "filler", 0, &filler);
	for (uint32_t at = 0, n = 1024; n > 64;) {
		if (fallocate(filler.fd, FALLOC_FL_KEEP_SIZE, at * trace_block(), n * trace_block()))
			n /= 2;
		else
			at += n;
	}
	for (int i = 0; i < 4; i++)
		if (fallocate(filler.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      i * 128 * trace_block(), 128 * trace_block()))
			trace_fail("punch: %d", errno);
}

static void play(int actor, const struct object *root)
{
	const struct object *own = &home[actor - 1];
	struct object files[FILES] = { 0 };

	(void)root;
	while (trace_more()) {
		const int i = any(FILES);
		char name[16];
		long done = 0;

		snprintf(name, sizeof(name), "file%d", i);
		if (!files[i].id) {
			if (t_make(own, name, any(2) ? O_DIRECT : 0, &files[i])) {
				files[i].id = 0;
				continue;
			}
			if (any(2))
				t_clone(&files[i], &base);
		}
		done = t_write(&files[i], any(256), 1 + any(32));
		if (any(6) == 0)
			t_fsync(&files[i]);
		if (done < 0 && any(3)) {
			t_close(&files[i]);
			files[i].id = 0;
			t_unlink(own, name);
		}
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = ACTORS, .setup = setup, .play = play });
}
