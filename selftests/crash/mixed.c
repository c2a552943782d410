// SPDX-License-Identifier: GPL-2.0
/*
 * Two files a process, written to in every way there is, one after the other: through
 * the page cache and past it, durably and not; beyond the end, behind it, into holes,
 * into what is shared with the other file. What one way promises must hold whatever
 * another way has left in memory only.
 */
#include <fcntl.h>
#include <stdio.h>

#include "trace.h"

#define ACTORS	3
#define SIZE	48

static const int ways[] = { 0, O_DSYNC, O_DIRECT, O_DIRECT | O_DSYNC };

#define WAYS	((int)(sizeof(ways) / sizeof(*ways)))

/* The same file by each way. */
static struct object files[ACTORS][2][WAYS];

static void setup(const struct object *root)
{
	for (int actor = 0; actor < ACTORS; actor++) {
		for (int which = 0; which < 2; which++) {
			struct object *file = files[actor][which];
			char name[16];

			snprintf(name, sizeof(name), "file%d.%d", actor, which);
			t_make(root, name, 0, &file[0]);
			for (int way = 1; way < WAYS; way++)
				file[way] = t_reopen(&file[0], O_RDWR | ways[way]);
			t_write(&file[0], 0, SIZE / 4);
		}
	}
}

static void play(int actor, const struct object *root)
{
	uint32_t ends[2] = { SIZE / 4, SIZE / 4 };

	(void)root;
	while (trace_more()) {
		const int which = any(2);
		const struct object *file = files[actor - 1][which];
		const struct object *other = files[actor - 1][!which];
		const uint32_t kind = any(32), at = any(SIZE), n = 1 + any(6);

		if (kind == 0) {
			/* Of a larger one the rest stays, and it is not done at once. */
			if (ends[which] <= ends[!which] && !t_clone(&file[0], &other[0]))
				ends[which] = ends[!which];
		} else if (kind == 1) {
			/* Not beyond the end of the other, nor across its own. */
			const uint32_t least = ends[0] < ends[1] ? ends[0] : ends[1];

			if (least > n)
				t_clone_range(&file[0], any(least - n), &other[0], any(least - n), n);
		} else if (kind == 2) {
			ends[which] = any(SIZE);
			t_truncate(&file[0], ends[which]);
		} else if (kind == 3) {
			t_punch(&file[any(WAYS)], at, n);
		} else if (kind < 7) {
			(kind == 4 ? t_fdatasync : t_fsync)(&file[any(WAYS)]);
		} else {
			/* Half of them where the file ends. */
			const uint32_t first = any(2) ? at : ends[which] - (ends[which] > 2 ? any(3) : 0);

			t_write(&file[any(WAYS)], first % SIZE, n);
			if (first % SIZE + n > ends[which])
				ends[which] = first % SIZE + n;
		}
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = ACTORS, .setup = setup, .play = play });
}
