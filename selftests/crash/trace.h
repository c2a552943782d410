/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trace.h - doing things to files, and saying so in the log of all writes.
 *
 * Below the file system is dm-log-writes, which records what reaches the disk.
 * Each call here puts a mark into that log before it begins and after it returned,
 * so that whoever replays the log to some point knows what had been asked for by
 * then, and what had been promised. The other side is tools/crash, trace.rs.
 *
 * Every block written is a stamp with the number of the operation that wrote it,
 * so a block, wherever it is found, tells where it comes from. Rules for callers:
 * names in a directory are changed by one process only, a block of a file has one
 * writer at a time, and a file that is truncated or cloned to has no other.
 *
 * Positions are in blocks. The calls return what the system call did (writes and
 * copies: blocks), or -errno. Running out of space is part of life; any other
 * error fails the workload.
 */
#ifndef CRASH_TRACE_H
#define CRASH_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A file or directory: its number is never used again. The root's is 0. */
struct object {
	uint32_t id;
	int fd;
};

/* For all processes, before they are forked; in the directory that is the root. */
void trace_create(struct object *root);
/* Who this process is from now on. Random numbers follow from that. */
void trace_become(int actor);
/* Has something failed? Then all may stop. */
bool trace_failed(void);
void trace_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Count one more operation of all processes; false when there have been enough. */
bool trace_more(void);
/* A random number below n. */
uint32_t any(uint32_t n);
/* Bytes of a block. */
size_t trace_block(void);

/* Names. flags are open(2)'s; O_CREAT and O_EXCL are understood. */
int t_make(const struct object *dir, const char *name, int flags, struct object *made);
int t_mkdir(const struct object *dir, const char *name, struct object *made);
int t_link(const struct object *file, const struct object *dir, const char *name);
int t_unlink(const struct object *dir, const char *name);
int t_rmdir(const struct object *dir, const char *name);
int t_rename(const struct object *from, const char *old, const struct object *to, const char *new);
int t_exchange(const struct object *from, const char *a, const struct object *to, const char *b);
/* The same file once more, opened with other flags. */
struct object t_reopen(const struct object *file, int flags);
void t_close(struct object *object);

/* Contents. */
long t_write(const struct object *file, uint64_t first, uint32_t n);
int t_punch(const struct object *file, uint64_t first, uint32_t n);
int t_truncate(const struct object *file, uint64_t blocks);
int t_clone(const struct object *to, const struct object *from);
int t_clone_range(const struct object *to, uint64_t first,
		  const struct object *from, uint64_t start, uint32_t n);
long t_copy_range(const struct object *to, uint64_t first,
		  const struct object *from, uint64_t start, uint32_t n);

/* Promises. */
int t_fsync(const struct object *object);
int t_fdatasync(const struct object *object);
int t_syncfs(const struct object *object);

/* A workload: what is there at first, and what each process does until it is enough. */
struct workload {
	int processes;
	void (*setup)(const struct object *root);
	void (*play)(int actor, const struct object *root);
};

/* Setup as actor 0, made durable; then the processes, as actors 1 and up. */
int workload_run(const struct workload *workload);

#endif
