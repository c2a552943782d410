// SPDX-License-Identifier: GPL-2.0
/*
 * The two halves of what powercut.sh does between two power cuts.
 *
 *	powercut verify ACKS	is everything there that was acknowledged?
 *	powercut storm SEED	write until the machine stops
 *
 * The working directory holds one file, "shared", and clones of it. In the storm,
 * WRITERS processes write stamps to it, O_DIRECT and O_DSYNC, each to the blocks
 * whose number modulo WRITERS is its own: all neighbours are somebody else's, and
 * inside the same preallocated window. Another process clones the file all the
 * time, so most writes are copied on write. What a writer was told is on the disk
 * it says on standard output, which is kept outside of the machine:
 *
 *	ack BLOCK SEQUENCE .
 *
 * ACKS holds these lines, of all storms up to now. A block may hold something
 * newer than what was acknowledged, but never something older, nor anything else;
 * the blocks of a clone hold anything that was ever written to them.
 */
#include <err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftest.h"
#include "stamp.h"

#define WRITERS 8
#define BLOCKS	256
#define CLONES	4

static size_t size;

/* Reads the block; zeros beyond the end. */
static enum verdict look(int fd, int block, struct stamp *found)
{
	static char *buf;

	if (!buf)
		buf = aligned(size);
	memset(buf, 0, size);
	if (pread(fd, buf, size, block * size) < 0)
		err(1, "read of block %d", block);
	return stamp_check(buf, size, block * size, found);
}

/* Is it a stamp of the writer whose block it is, or has it never been written? */
static bool sound(const char *name, int block, enum verdict verdict, const struct stamp *found)
{
	if (verdict == STAMP_ZERO || (verdict == STAMP_GOOD && found->writer == (uint64_t)block % WRITERS))
		return true;
	printf("# %s, block %d: %s\n", name, block,
	       verdict == STAMP_GOOD ? "of another writer" : verdict_name(verdict));
	return false;
}

static int verify(const char *acks)
{
	static uint64_t acknowledged[BLOCKS];
	FILE *file = fopen(acks, "r");
	char *line = NULL, dot;
	size_t room = 0, lines = 0;
	unsigned int block, bad = 0, clones = 0;
	uint64_t seq;
	struct stamp found;
	int fd = open("shared", O_RDONLY | O_DIRECT);

	if (!file)
		err(1, "%s", acks);
	if (fd < 0)
		err(1, "shared");
	while (getline(&line, &room, file) > 0) {
		/* The last line of a storm may not have arrived as a whole. */
		if (sscanf(line, "ack %u %lu %c", &block, &seq, &dot) != 3 || dot != '.' ||
		    block >= BLOCKS)
			continue;
		lines++;
		if (acknowledged[block] < seq)
			acknowledged[block] = seq;
	}
	for (block = 0; block < BLOCKS; block++) {
		enum verdict verdict = look(fd, block, &found);

		seq = verdict == STAMP_GOOD ? found.seq : 0;
		if (!sound("shared", block, verdict, &found)) {
			bad++;
		} else if (seq < acknowledged[block]) {
			printf("# block %u: write %lu was acknowledged, %lu is there\n",
			       block, acknowledged[block], seq);
			bad++;
		}
	}
	close(fd);
	for (int i = 0; i < CLONES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "clone%d", i);
		fd = open(name, O_RDONLY | O_DIRECT);
		if (fd < 0)
			continue;
		clones++;
		for (block = 0; block < BLOCKS; block++)
			bad += !sound(name, block, look(fd, block, &found), &found);
		close(fd);
	}
	printf("# %zu writes were acknowledged; %u clones\n", lines, clones);
	return bad ? 1 : 0;
}

static void writer(int number, uint32_t seed, _Atomic uint64_t *next)
{
	char *buf = aligned(size);
	int fd = open("shared", O_RDWR | O_DIRECT | O_DSYNC);

	if (fd < 0)
		err(1, "shared");
	srandom(seed + number);
	for (;;) {
		int block = random() % (BLOCKS / WRITERS) * WRITERS + number;
		uint64_t seq = atomic_fetch_add(next, 1);

		stamp_make(buf, size, number, seq, block * size);
		if (pwrite(fd, buf, size, block * size) != (ssize_t)size)
			err(1, "write of block %d", block);
		dprintf(STDOUT_FILENO, "ack %d %lu .\n", block, seq);
	}
}

/* Keeps the blocks shared; the name of an old clone is given to the new one. */
static void cloner(void)
{
	int src = open("shared", O_RDONLY);

	for (unsigned int i = 0;; i++) {
		char name[16];
		int dst = open("new", O_CREAT | O_TRUNC | O_RDWR, 0644);

		snprintf(name, sizeof(name), "clone%d", i % CLONES);
		if (src < 0 || dst < 0 || clone_file(dst, src) || rename("new", name))
			err(1, "clone");
		close(dst);
	}
}

static int storm(uint32_t seed)
{
	_Atomic uint64_t *next = mmap(NULL, sizeof(*next), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = open("shared", O_CREAT | O_RDWR, 0644);
	struct stamp found;

	if (next == MAP_FAILED || fd < 0 || ftruncate(fd, BLOCKS * size))
		err(1, "shared");
	*next = 1;
	for (int block = 0; block < BLOCKS; block++)
		if (look(fd, block, &found) == STAMP_GOOD && found.seq >= *next)
			*next = found.seq + 1;
	if (fsync(fd))
		err(1, "fsync");
	close(fd);
	fd = open(".", O_RDONLY | O_DIRECTORY);
	if (fsync(fd))
		err(1, "fsync of the directory");
	close(fd);
	puts("storm");
	fflush(stdout);
	for (int i = 0; i <= WRITERS; i++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (!pid) {
			if (i < WRITERS)
				writer(i, seed, next);
			else
				cloner();
		}
	}
	/* Only failures end. */
	wait(NULL);
	return 1;
}

int main(int argc, char **argv)
{
	struct statvfs st;

	if (statvfs(".", &st))
		err(1, "statvfs");
	size = st.f_bsize;
	if (argc == 3 && !strcmp(argv[1], "verify"))
		return verify(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "storm"))
		return storm(strtoul(argv[2], NULL, 0));
	errx(2, "usage: powercut verify ACKS | storm SEED");
}
