// SPDX-License-Identifier: GPL-2.0
/*
 * A storm of names: files and directories made, linked, renamed over each other,
 * exchanged and removed, by several processes, each in a tree of its own.
 */
#include <fcntl.h>
#include <stdio.h>

#include "trace.h"

#define ACTORS	3
#define DIRS	4
#define NAMES	60	/* a directory */

static struct object home[ACTORS];

/* What an actor's directories hold. */
static struct entry {
	bool used, dir;
} entries[DIRS][NAMES];
static struct object dirs[DIRS];

static const char *name_of(int n)
{
	static char names[4][64];
	static int turn;
	char *name = names[turn++ % 4];

	/* Long ones too, so that a directory has more than one leaf. */
	snprintf(name, sizeof(names[0]), n % 3 ? "n%d" : "name-%d-of-a-rather-talkative-kind-of-file", n);
	return name;
}

static void setup(const struct object *root)
{
	for (int i = 0; i < ACTORS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "home%d", i + 1);
		t_mkdir(root, name, &home[i]);
	}
}

static void add(int d, int n)
{
	struct object new;
	const bool dir = any(6) == 0;

	if (dir ? t_mkdir(&dirs[d], name_of(n), &new) : t_make(&dirs[d], name_of(n), 0, &new))
		return;
	entries[d][n] = (struct entry){ .used = true, .dir = dir };
	if (!dir && any(8) == 0)
		t_write(&new, 0, 1);
	if (any(24) == 0)
		t_fsync(&new);
	if (!dir && any(6) == 0) {
		const int other = any(DIRS), name = any(NAMES);

		if (!entries[other][name].used && !t_link(&new, &dirs[other], name_of(name)))
			entries[other][name] = (struct entry){ .used = true };
	}
	t_close(&new);
}

static void change(int d, int n)
{
	const int to = any(DIRS), name = any(NAMES), kind = any(3);
	struct entry *old = &entries[d][n], *new = &entries[to][name];
	const struct entry moved = *old;

	if (old == new)
		return;
	if (kind == 0) {
		if (!(old->dir ? t_rmdir : t_unlink)(&dirs[d], name_of(n)))
			*old = (struct entry){ 0 };
	} else if (kind == 1 && new->used) {
		if (!t_exchange(&dirs[d], name_of(n), &dirs[to], name_of(name))) {
			*old = *new;
			*new = moved;
		}
	} else if (!new->used || new->dir == old->dir) {
		if (!t_rename(&dirs[d], name_of(n), &dirs[to], name_of(name))) {
			*new = moved;
			*old = (struct entry){ 0 };
		}
	}
}

static void play(int actor, const struct object *root)
{
	dirs[0] = home[actor - 1];
	for (int d = 1; d < DIRS; d++) {
		char name[16];

		snprintf(name, sizeof(name), "dir%d", d);
		if (t_mkdir(&dirs[d / 2], name, &dirs[d]))
			return;
	}
	while (trace_more()) {
		const int d = any(DIRS), n = any(NAMES);

		if (entries[d][n].used)
			change(d, n);
		else
			add(d, n);
		if (any(16) == 0)
			t_fsync(&dirs[d]);
		else if (any(80) == 0)
			t_syncfs(root);
	}
}

int main(void)
{
	return workload_run(&(struct workload){ .processes = ACTORS, .setup = setup, .play = play });
}
