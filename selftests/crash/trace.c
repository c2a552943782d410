// SPDX-License-Identifier: GPL-2.0
/*
 * trace.c - doing things to files, and saying so in the log of all writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dm.h"
#include "file.h"
#include "stamp.h"
#include "trace.h"

#define MOST	256	/* blocks of one write */

static struct {
	_Atomic uint64_t op;
	_Atomic uint32_t object;
	atomic_bool failed;
	_Atomic uint64_t count;
} *shared;

static size_t blk;
static int me;
static uint64_t random_state, seed, enough;
static char *buf;

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

bool trace_failed(void)
{
	return shared->failed;
}

void trace_fail(const char *fmt, ...)
{
	char line[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	printf("# process %d: %s\n", me, line);
	fflush(stdout);
	shared->failed = true;
}

bool trace_more(void)
{
	return ++shared->count <= enough && !shared->failed;
}

uint32_t any(uint32_t n)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z >> 33) % n;
}

size_t trace_block(void)
{
	return blk;
}

void trace_become(int actor)
{
	me = actor;
	random_state = seed * 1000 + actor;
}

/* The mark of an operation that begins; its number. */
__attribute__((format(printf, 1, 2)))
static uint64_t begin(const char *fmt, ...)
{
	const uint64_t op = ++shared->op;
	char mark[300];
	va_list args;
	int n = snprintf(mark, sizeof(mark), "mark b:%lu:%d:", op, me);

	va_start(args, fmt);
	vsnprintf(mark + n, sizeof(mark) - n, fmt, args);
	va_end(args);
	if (dm_message("scratch", mark))
		trace_fail("cannot put a mark into the log");
	return op;
}

static void end(uint64_t op, long result, uint64_t inode)
{
	char mark[100];

	snprintf(mark, sizeof(mark), "mark e:%lu:%ld:%lu", op, result, inode);
	if (dm_message("scratch", mark))
		trace_fail("cannot put a mark into the log");
	if (result < 0 && result != -ENOSPC)
		trace_fail("operation %lu: %s", op, strerror(-result));
}

static int ended(uint64_t op, int result)
{
	result = result ? -errno : 0;
	end(op, result, 0);
	return result;
}

/* What was accepted is not refused when it is to be made durable. */
static int synced(uint64_t op, int result)
{
	result = ended(op, result);
	if (result)
		trace_fail("operation %lu: %s", op, strerror(-result));
	return result;
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

void trace_create(struct object *root)
{
	struct statvfs st;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || statvfs(".", &st))
		abort();
	blk = st.f_bsize;
	seed = setting("CRASH_SEED", 1);
	enough = setting("CRASH_OPS", 200);
	buf = aligned(MOST * blk);
	trace_become(0);
	root->id = 0;
	root->fd = open(".", O_RDONLY | O_DIRECTORY);
	ended(begin("start"), root->fd < 0);
}

int t_make(const struct object *dir, const char *name, int flags, struct object *made)
{
	const uint32_t id = ++shared->object;
	const uint64_t op = begin("link:%u:%s:%u", dir->id, name, id);
	const int fd = openat(dir->fd, name, O_CREAT | O_EXCL | O_RDWR | flags, 0644);
	const int result = fd < 0 ? -errno : 0;

	made->id = id;
	made->fd = fd;
	end(op, result, inode_of(fd));
	return result;
}

int t_mkdir(const struct object *dir, const char *name, struct object *made)
{
	const uint32_t id = ++shared->object;
	const uint64_t op = begin("link:%u:%s:%u", dir->id, name, id);
	int result = mkdirat(dir->fd, name, 0755) ? -errno : 0;

	made->id = id;
	made->fd = result ? -1 : openat(dir->fd, name, O_RDONLY | O_DIRECTORY);
	end(op, result, inode_of(made->fd));
	return result;
}

int t_link(const struct object *file, const struct object *dir, const char *name)
{
	const uint64_t op = begin("link:%u:%s:%u", dir->id, name, file->id);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	return ended(op, linkat(AT_FDCWD, path, dir->fd, name, AT_SYMLINK_FOLLOW));
}

int t_unlink(const struct object *dir, const char *name)
{
	const uint64_t op = begin("unlink:%u:%s", dir->id, name);

	return ended(op, unlinkat(dir->fd, name, 0));
}

int t_rmdir(const struct object *dir, const char *name)
{
	const uint64_t op = begin("unlink:%u:%s", dir->id, name);

	return ended(op, unlinkat(dir->fd, name, AT_REMOVEDIR));
}

int t_rename(const struct object *from, const char *old, const struct object *to, const char *new)
{
	const uint64_t op = begin("rename:%u:%s:%u:%s", from->id, old, to->id, new);

	return ended(op, renameat(from->fd, old, to->fd, new));
}

int t_exchange(const struct object *from, const char *a, const struct object *to, const char *b)
{
	const uint64_t op = begin("exchange:%u:%s:%u:%s", from->id, a, to->id, b);

	return ended(op, renameat2(from->fd, a, to->fd, b, RENAME_EXCHANGE));
}

struct object t_reopen(const struct object *file, int flags)
{
	struct object again = { .id = file->id };
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	again.fd = open(path, flags);
	if (again.fd < 0)
		trace_fail("%s: %s", path, strerror(errno));
	return again;
}

void t_close(struct object *object)
{
	close(object->fd);
	object->fd = -1;
}

long t_write(const struct object *file, uint64_t first, uint32_t n)
{
	const bool durable = fcntl(file->fd, F_GETFL) & O_DSYNC;
	const uint64_t op = begin("write:%u:%lu:%u:%d", file->id, first, n, durable);
	ssize_t done;
	long result;

	for (uint32_t i = 0; i < n; i++)
		stamp_make(buf + i * blk, blk, me, op, (first + i) * blk);
	done = pwrite(file->fd, buf, n * blk, first * blk);
	result = done < 0 ? -errno : done / (ssize_t)blk;
	end(op, result, 0);
	return result;
}

int t_punch(const struct object *file, uint64_t first, uint32_t n)
{
	const uint64_t op = begin("zero:%u:%lu:%u", file->id, first, n);

	return ended(op, fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   first * blk, n * blk));
}

int t_truncate(const struct object *file, uint64_t blocks)
{
	const uint64_t op = begin("truncate:%u:%lu", file->id, blocks);

	return ended(op, ftruncate(file->fd, blocks * blk));
}

int t_clone(const struct object *to, const struct object *from)
{
	const uint64_t op = begin("clone:%u:%u", to->id, from->id);

	return ended(op, clone_file(to->fd, from->fd));
}

int t_clone_range(const struct object *to, uint64_t first,
		  const struct object *from, uint64_t start, uint32_t n)
{
	const uint64_t op = begin("range:%u:%lu:%u:%u:%lu", to->id, first, n, from->id, start);
	const int failed = clone_range(to->fd, first * blk, from->fd, start * blk, n * blk);
	const int result = failed ? -errno : (int)n;

	end(op, result, 0);
	return result;
}

long t_copy_range(const struct object *to, uint64_t first,
		  const struct object *from, uint64_t start, uint32_t n)
{
	const uint64_t op = begin("range:%u:%lu:%u:%u:%lu", to->id, first, n, from->id, start);
	off_t in = start * blk, out = first * blk;
	const off_t stop = out + n * blk;
	ssize_t got = 1;
	long result;

	while (out < stop && got > 0)
		got = copy_file_range(from->fd, &in, to->fd, &out, stop - out, 0);
	result = got < 0 && out == (off_t)(first * blk) ? -errno
							 : (out - (off_t)(first * blk)) / (off_t)blk;
	end(op, result, 0);
	return result;
}

int t_fsync(const struct object *object)
{
	const uint64_t op = begin("sync:%u:1", object->id);

	return synced(op, fsync(object->fd));
}

int t_fdatasync(const struct object *object)
{
	const uint64_t op = begin("sync:%u:0", object->id);

	return synced(op, fdatasync(object->fd));
}

int t_syncfs(const struct object *object)
{
	const uint64_t op = begin("syncall");

	return synced(op, syncfs(object->fd));
}

int workload_run(const struct workload *workload)
{
	const char *top = getenv("TEST_DIR");
	struct object root;
	bool good = true;

	if (!top || chdir(top)) {
		printf("# TEST_DIR is not set: start me with selftests/crash/run\n");
		return 1;
	}
	trace_create(&root);
	workload->setup(&root);
	t_syncfs(&root);
	fflush(stdout);
	for (int actor = 1; actor <= workload->processes && !trace_failed(); actor++) {
		if (fork() == 0) {
			trace_become(actor);
			workload->play(actor, &root);
			fflush(stdout);
			_exit(trace_failed());
		}
	}
	for (;;) {
		int status = 0;

		if (wait(&status) < 0)
			break;
		good = good && status == 0;
	}
	t_close(&root);
	return !good || trace_failed();
}
