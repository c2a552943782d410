// SPDX-License-Identifier: GPL-2.0
/*
 * soak SECONDS [memory|io] - a volume as full as can be, under load for long.
 *
 *	tree/W/F	FILES files of each of WRITERS writers
 *	snap/N		clones of the whole tree, file by file, the last KEPT of them
 *	ballast		takes what is left: 95 to 100 % of the space is in use
 *
 * Every writer knows what each block of its files must hold, writes to them
 * directly and through the page cache, cuts, punches, deletes and syncs them, and
 * reads them back. Running out of space is part of life: what was asked for is then
 * done in part or not at all, but blocks are old or new and nothing else. Blocks of
 * clones hold anything their writer ever wrote.
 *
 * With memory or io, calls of the writers fail now and then, because there is no memory
 * or the device fails (faults.sh arranges for that). Then every other file is only
 * written directly, and what was said of running out of space goes for it. What
 * was in the page cache of the others may be lost with a failure, so they are made anew.
 * FAILURES failures are enough.
 */
#include <err.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "selftest.h"
#include "stamp.h"

#define WRITERS 8
#define FILES	8
#define BLOCKS	256
#define MOST	64	/* blocks of a write */
#define KEPT	6
#define FAILURES 50

static struct {
	_Atomic uint64_t seq, operations, refused, failures, snapshots;
	atomic_bool stop, failed;
} *all;
static size_t size;
static char *buf;

/* What fails, if anything, and the file by which this process is exposed to that. */
static enum { NOTHING, MEMORY, IO } faults;
static int exposed = -1;

/* What the files of this writer hold: the write's number, or 0 for zeros, or any of its writes. */
#define ANY UINT64_MAX
static uint64_t model[FILES][BLOCKS];
static int me;

static void __attribute__((format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list args;
	char text[200];

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	printf("# writer %d: %s\n", me, text);
	fflush(stdout);
	atomic_store(&all->failed, true);
}

static void expose(bool on)
{
	int error = errno;

	if (exposed >= 0 && pwrite(exposed, on ? "1" : "0", 1, 0) != 1)
		err(1, "make-it-fail");
	errno = error;
}

/* Did the call succeed? If not, and neither space nor what is made to fail is the reason, that is a fault. */
static bool done(const char *what, long result)
{
	if (result >= 0)
		return true;
	if (errno == ENOSPC)
		atomic_fetch_add(&all->refused, 1);
	else if ((faults == MEMORY && errno == ENOMEM) || (faults == IO && (errno == EIO || errno == EROFS)))
		atomic_fetch_add(&all->failures, 1);
	else
		fail("%s: %s", what, strerror(errno));
	return false;
}

/* done(), with the call exposed to faults. */
#define TRY(what, call) ({			\
	long result_;				\
						\
	expose(true);				\
	result_ = (call);			\
	expose(false);				\
	done(what, result_);			\
})

static char *name_of(int file)
{
	static char name[32];

	snprintf(name, sizeof(name), "tree/%d/%d", me, file);
	return name;
}

/* The number of the write that a block holds, or -1 if it is not one of this writer's. */
static int64_t written(const char *block, off_t at, int writer)
{
	struct stamp found;

	switch (stamp_check(block, size, at, &found)) {
	case STAMP_GOOD:
		return found.writer == (uint64_t)writer ? (int64_t)found.seq : -1;
	case STAMP_ZERO:
		return 0;
	default:
		return -1;
	}
}

/* May the page cache hold blocks of the file that a failure takes away? */
static bool is_cached(int file)
{
	return file % 2 || !faults;
}

static void forget(int file)
{
	for (int i = 0; i < BLOCKS; i++)
		model[file][i] = ANY;
}

/*
 * Reads blocks back: each must hold what the model says, or `other`, which is what
 * an operation that was cut short may have made of it, and is entered then. What was
 * written to the page cache may be lost, if that is said when the file is synced: whoever
 * needs room writes back the files of others.
 */
static void read_back(int fd, int file, int first, int n, int64_t other)
{
	ssize_t got = pread(fd, buf, n * size, first * size);
	struct stamp found;

	if (got != (ssize_t)(n * size)) {
		fail("%s: read of %d blocks at %d: %zd", name_of(file), n, first, got);
		return;
	}
	for (int i = first; i < first + n; i++) {
		const char *block = buf + (i - first) * size;
		int64_t seq = written(block, i * size, me);

		if (model[file][i] == ANY ? seq >= 0 : seq == (int64_t)model[file][i])
			continue;
		if (other >= 0 && seq == other)
			model[file][i] = seq;
		else if (faults && is_cached(file) && fsync(fd))
			forget(file);
		else
			fail("%s: block %d: write %ld instead of %lu (%s)", name_of(file), i, seq,
			     model[file][i],
			     verdict_name(stamp_check(block, size, i * size, &found)));
	}
}

static bool is_whole(int fd)
{
	return size_of(fd) == (off_t)(BLOCKS * size);
}

/* A call failed: blocks are old, or `other` if that is not negative. */
static void failed(int fd, int file, int first, int n, int64_t other)
{
	if (faults && is_cached(file)) {
		for (int i = 0; i < BLOCKS && is_whole(fd); i++)
			if (pread(fd, buf, size, i * size) != (ssize_t)size ||
			    written(buf, i * size, me) < 0)
				fail("%s: block %d is not ours", name_of(file), i);
		if (access(name_of(file), F_OK) || done("unlink", unlink(name_of(file))))
			memset(model[file], 0, sizeof(model[file]));
		else
			forget(file);
	} else if (is_whole(fd) || done("ftruncate", ftruncate(fd, BLOCKS * size))) {
		read_back(fd, file, first, n, other);
	}
}

static void write_to(int fd, int file, int first, int n)
{
	uint64_t seq = atomic_fetch_add(&all->seq, 1);
	ssize_t got;

	for (int i = 0; i < n; i++)
		stamp_make(buf + i * size, size, me, seq, (first + i) * size);
	if (!TRY("write", got = pwrite(fd, buf, n * size, first * size))) {
		failed(fd, file, first, n, seq);
		return;
	}
	for (int i = first; i < first + (int)(got / size); i++)
		model[file][i] = seq;
	if (got % size)
		fail("%s: write of %zd bytes", name_of(file), got);
}

static void cut(int fd, int file, int first)
{
	if (TRY("ftruncate", ftruncate(fd, first * size)))
		memset(&model[file][first], 0, (BLOCKS - first) * sizeof(model[0][0]));
	else
		failed(fd, file, first, BLOCKS - first, 0);
	if (!TRY("ftruncate", ftruncate(fd, BLOCKS * size)))
		failed(fd, file, 0, first, -1);
}

/* The file, made anew if there is none: as long as all of them, and nothing in it. */
static int open_file(int file, int flags)
{
	int fd;

	if (!TRY("open", fd = open(name_of(file), O_CREAT | O_RDWR | flags, 0644)))
		return -1;
	if (size_of(fd) < (off_t)(BLOCKS * size) && !TRY("ftruncate", ftruncate(fd, BLOCKS * size))) {
		failed(fd, file, 0, 0, -1);
		close(fd);
		return -1;
	}
	return fd;
}

static void operate(void)
{
	int file = random() % FILES, first = random() % BLOCKS, n = 1 + random() % MOST, fd;
	int kind = random() % 100;

	if (first + n > BLOCKS)
		n = BLOCKS - first;
	if (kind < 2) {
		if (access(name_of(file), F_OK) || TRY("unlink", unlink(name_of(file))))
			memset(model[file], 0, sizeof(model[file]));
		return;
	}
	fd = open_file(file, !is_cached(file) || random() % 2 ? O_DIRECT : 0);
	if (fd < 0)
		return;
	if (kind < 60) {
		write_to(fd, file, first, n);
	} else if (kind < 65) {
		cut(fd, file, first);
	} else if (kind < 70) {
		if (TRY("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					   first * size, n * size)))
			memset(&model[file][first], 0, n * sizeof(model[0][0]));
		else
			failed(fd, file, first, n, 0);
	} else if (kind < 75) {
		if (!TRY("fsync", fsync(fd)))
			failed(fd, file, first, n, -1);
	} else if (is_whole(fd)) {
		read_back(fd, file, first, n, -1);
		if (faults && !TRY("read", pread(fd, buf, n * size, first * size)))
			failed(fd, file, first, n, -1);
	}
	close(fd);
}

/* Whoever is exposed to faults is so by a file of its own. */
static void start_faults(void)
{
	if (!faults)
		return;
	exposed = open("/proc/self/make-it-fail", O_RDWR);
	if (exposed < 0)
		err(1, "/proc/self/make-it-fail");
}

static void writer(int number)
{
	char name[16];

	me = number;
	srandom(number + 1);
	snprintf(name, sizeof(name), "tree/%d", me);
	if (!done("mkdir", mkdir(name, 0755)))
		return;
	start_faults();
	while (!atomic_load(&all->stop) && !atomic_load(&all->failed)) {
		operate();
		atomic_fetch_add(&all->operations, 1);
	}
	for (int file = 0; file < FILES && !atomic_load(&all->failed); file++) {
		int fd = open(name_of(file), O_RDONLY | O_DIRECT);

		if (fd < 0)
			continue;
		for (int i = 0; is_whole(fd) && i < BLOCKS; i += MOST)
			read_back(fd, file, i, MOST, -1);
		close(fd);
	}
}

/* Clones one file of the tree, and looks at what came of it. */
static void snapshot_file(unsigned int number, int w, int file)
{
	char from[32], to[48];
	off_t first = random() % (BLOCKS - MOST) * size;
	int src, dst;
	ssize_t got;

	/* Their writer is not told of what this process fails to write back for it. */
	if (faults && is_cached(file))
		return;
	snprintf(from, sizeof(from), "tree/%d/%d", w, file);
	snprintf(to, sizeof(to), "snap/%u/%d-%d", number, w, file);
	src = open(from, O_RDONLY);
	if (src < 0)
		return;
	dst = open(to, O_CREAT | O_RDWR, 0644);
	if (done("open", dst) && TRY("clone", clone_file(dst, src)) && random() % 8 == 0) {
		got = pread(dst, buf, MOST * size, first);
		for (ssize_t at = 0; at + (ssize_t)size <= got; at += size) {
			struct stamp found;
			enum verdict verdict = stamp_check(buf + at, size, first + at, &found);

			if (verdict != STAMP_ZERO && (verdict != STAMP_GOOD || found.writer != (uint64_t)w))
				fail("%s: %s", to, verdict_name(verdict));
		}
	}
	if (dst >= 0)
		close(dst);
	close(src);
}

static void snapshots(void)
{
	me = WRITERS;
	srandom(me);
	start_faults();
	for (unsigned int number = 0; !atomic_load(&all->stop) && !atomic_load(&all->failed); number++) {
		char name[32];

		if (number >= KEPT)
			sh("rm -rf snap/%u", number - KEPT);
		snprintf(name, sizeof(name), "snap/%u", number);
		if (!done("mkdir", mkdir(name, 0755)))
			continue;
		for (int i = 0; i < WRITERS * FILES && !atomic_load(&all->stop); i++)
			snapshot_file(number, i / FILES, i % FILES);
		atomic_fetch_add(&all->snapshots, 1);
	}
}

/* Takes what is free until nothing is; then gives a twentieth of the volume back. */
static void ballast(void)
{
	const size_t piece = 256 << 10;
	int fd = open("ballast", O_CREAT | O_RDWR | O_DIRECT, 0644);
	struct statvfs st;

	me = WRITERS + 1;
	if (!done("open", fd))
		return;
	fill_poison(buf, piece);
	while (!atomic_load(&all->stop) && !atomic_load(&all->failed)) {
		off_t end = size_of(fd) & -(off_t)piece;

		if (done("write", pwrite(fd, buf, piece, end)))
			continue;
		if (statvfs(".", &st))
			fail("statvfs: %s", strerror(errno));
		end -= (off_t)(st.f_blocks / 20 * size);
		done("ftruncate", ftruncate(fd, end < 0 ? 0 : end & -(off_t)piece));
		sync();
	}
	close(fd);
}

int main(int argc, char **argv)
{
	time_t start = time(NULL), seconds;
	struct statvfs st;
	int status;

	if (argc == 3)
		faults = !strcmp(argv[2], "memory") ? MEMORY : !strcmp(argv[2], "io") ? IO : NOTHING;
	if (argc < 2 || argc > 3 || (argc == 3 && !faults) || (seconds = atol(argv[1])) <= 0)
		errx(2, "usage: soak SECONDS [memory|io]");
	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED || statvfs(".", &st) || mkdir("tree", 0755) || mkdir("snap", 0755))
		err(1, "start");
	size = st.f_bsize;
	buf = aligned(BLOCKS * size);
	all->seq = 1;
	for (int i = 0; i < WRITERS + 2; i++) {
		if (fork())
			continue;
		if (i < WRITERS)
			writer(i);
		else if (i == WRITERS)
			snapshots();
		else
			ballast();
		_exit(0);
	}
	for (int minute = 1; !atomic_load(&all->stop); minute++) {
		bool enough = false;

		while (time(NULL) < start + 60 * minute && time(NULL) < start + seconds &&
		       !atomic_load(&all->failed) && !enough) {
			sleep(1);
			enough = faults && atomic_load(&all->failures) >= FAILURES;
		}
		if (statvfs(".", &st))
			err(1, "statvfs");
		printf("# %ld s: %lu operations, %lu refused for want of space, %lu failed, %lu snapshots, %lu %% full\n",
		       time(NULL) - start, all->operations, all->refused, all->failures, all->snapshots,
		       100 - st.f_bfree * 100 / st.f_blocks);
		fflush(stdout);
		if (time(NULL) >= start + seconds || atomic_load(&all->failed) || enough)
			atomic_store(&all->stop, true);
	}
	while (wait(&status) > 0)
		if (status)
			fail("a process ended with status %d", status);
	if (faults && !all->failures)
		fail("nothing was made to fail");
	return atomic_load(&all->failed);
}
