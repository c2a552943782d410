/* SPDX-License-Identifier: GPL-2.0 */
/*
 * file.h - file contents that can be told apart, and ways to read them back.
 *
 * A pattern is a function of a seed and the offset in the file, so data of
 * another write, another file or another place never passes for the right one.
 * Blocks of a device that the runner filled with poison are recognised as such.
 */
#ifndef SELFTEST_FILE_H
#define SELFTEST_FILE_H

#include <linux/fiemap.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Eight bytes that no pattern and no stamp contains. */
#define POISON 0x214e4f53494f5021ull	/* "!POISON!" */

/* Memory fit for direct I/O, not zeroed; ends the test if there is none. */
void *aligned(size_t len);

void fill(void *buf, size_t len, uint64_t seed, off_t at);
void fill_poison(void *buf, size_t len);
/* Offset in the file of the first byte that is not as fill() made it, or -1. */
off_t mismatch(const void *buf, size_t len, uint64_t seed, off_t at);
/* Is there poison among these bytes? */
bool poisoned(const void *buf, size_t len);

/* Write the pattern: 0, or -1 with errno (ENOSPC after a short write, too). */
int put(int fd, uint64_t seed, off_t at, size_t len);
/* Create a file of the pattern, on disk; its descriptor (read-write) or -1. */
int make_file(const char *name, uint64_t seed, size_t len);

/*
 * Does the range hold the pattern (zeros)? Reads through fd, direct or not as
 * it was opened; what is wrong, and where, is printed as a diagnostic.
 */
bool holds(int fd, uint64_t seed, off_t at, size_t len);
bool holds_zeros(int fd, off_t at, size_t len);
/* The same through the page cache, through a mapping and by direct I/O. */
bool holds_by_all_ways(const char *name, uint64_t seed, off_t at, size_t len);

off_t size_of(int fd);
/* Bytes allocated, after st_blocks. */
off_t allocated(int fd);

int clone_file(int dst, int src);
int clone_range(int dst, off_t to, int src, off_t from, off_t len);
/* Returns the status FIDEDUPERANGE gives (0 same, 1 differs, -errno) and the bytes done. */
int dedupe_range(int dst, off_t to, int src, off_t from, off_t len, uint64_t *done);

/* The extents of the file; the number of them, or -1. Flushes if told so. */
int extents(int fd, struct fiemap_extent *list, int max, bool flush);
/* The extent that maps this offset; false if it lies in a hole. */
bool extent_at(int fd, off_t at, struct fiemap_extent *found);

#endif
