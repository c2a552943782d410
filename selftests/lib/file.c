// SPDX-License-Identifier: GPL-2.0
/*
 * file.c - patterns, reading them back, and the ioctls on extents.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#define CHUNK (256 << 10)

void *aligned(size_t len)
{
	void *buf = aligned_alloc(4096, (len + 4095) & ~4095ul);

	if (!buf) {
		perror("# aligned_alloc");
		abort();
	}
	return buf;
}

/* The eight bytes of the pattern at this (aligned) offset: splitmix64. */
static uint64_t word(uint64_t seed, uint64_t at)
{
	uint64_t z = (seed + 1) * 0x9e3779b97f4a7c15ull + at;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint8_t byte(uint64_t seed, uint64_t at)
{
	return word(seed, at & ~7ull) >> (at & 7) * 8;
}

void fill(void *buf, size_t len, uint64_t seed, off_t at)
{
	uint8_t *p = buf;
	size_t i = 0;

	while (i < len) {
		if (((at + i) & 7) == 0 && len - i >= 8) {
			uint64_t w = word(seed, at + i);

			memcpy(p + i, &w, 8);
			i += 8;
		} else {
			p[i] = byte(seed, at + i);
			i++;
		}
	}
}

void fill_poison(void *buf, size_t len)
{
	const uint64_t poison = POISON;

	for (size_t i = 0; i + 8 <= len; i += 8)
		memcpy((char *)buf + i, &poison, 8);
}

off_t mismatch(const void *buf, size_t len, uint64_t seed, off_t at)
{
	const uint8_t *p = buf;
	size_t i = 0;

	while (i < len) {
		if (((at + i) & 7) == 0 && len - i >= 8) {
			uint64_t w = word(seed, at + i);

			if (memcmp(p + i, &w, 8) == 0) {
				i += 8;
				continue;
			}
		}
		if (p[i] != byte(seed, at + i))
			return at + i;
		i++;
	}
	return -1;
}

bool poisoned(const void *buf, size_t len)
{
	const uint64_t poison = POISON;

	return memmem(buf, len, &poison, sizeof(poison)) != NULL;
}

int put(int fd, uint64_t seed, off_t at, size_t len)
{
	void *buf = aligned(len < CHUNK ? len : CHUNK);
	int ret = 0;

	while (len) {
		size_t n = len < CHUNK ? len : CHUNK;
		ssize_t done;

		fill(buf, n, seed, at);
		done = pwrite(fd, buf, n, at);
		if (done <= 0) {
			if (done == 0)
				errno = EIO;
			ret = -1;
			break;
		}
		at += done;
		len -= done;
	}
	int saved = errno;

	free(buf);
	errno = saved;
	return ret;
}

int make_file(const char *name, uint64_t seed, size_t len)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);

	if (fd >= 0 && (put(fd, seed, 0, len) || fsync(fd))) {
		int saved = errno;

		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

/* What was found instead of the pattern. */
static void explain(const char *buf, size_t len, off_t at, off_t wrong, size_t want)
{
	const size_t i = wrong - at;
	const size_t n = len - i < 4096 ? len - i : 4096;
	bool zero = true;

	for (size_t k = 0; k < n; k++)
		zero = zero && !buf[i + k];
	printf("# %soffset %lld of a range of %zu bytes: %s\n",
	       poisoned(buf + i, n) ? "POISON: " : "", (long long)wrong, want,
	       poisoned(buf + i, n) ? "uninitialised disk content" :
	       zero ? "zeros instead of the data" : "not the data that belongs here");
}

/* Reads the range in pieces; seed NULL: expect zeros. */
static bool compare(int fd, const uint64_t *seed, off_t at, size_t len)
{
	const size_t want = len;
	char *buf = aligned(len < CHUNK ? len : CHUNK);
	bool good = true;

	while (len && good) {
		ssize_t n = pread(fd, buf, len < CHUNK ? len : CHUNK, at);
		off_t wrong = -1;

		if (n <= 0) {
			printf("# reading at offset %lld: %s\n", (long long)at,
			       n ? strerror(errno) : "end of file");
			good = false;
			break;
		}
		if (seed) {
			wrong = mismatch(buf, n, *seed, at);
		} else {
			for (ssize_t i = 0; i < n && wrong < 0; i++)
				if (buf[i])
					wrong = at + i;
		}
		if (wrong >= 0) {
			explain(buf, n, at, wrong, want);
			good = false;
		}
		at += n;
		len -= n;
	}
	fflush(stdout);
	free(buf);
	return good;
}

bool holds(int fd, uint64_t seed, off_t at, size_t len)
{
	return compare(fd, &seed, at, len);
}

bool holds_zeros(int fd, off_t at, size_t len)
{
	return compare(fd, NULL, at, len);
}

static bool mapping_holds(int fd, uint64_t seed, off_t at, size_t len)
{
	const off_t page = at & ~4095;
	char *map = mmap(NULL, at + len - page, PROT_READ, MAP_SHARED, fd, page);
	off_t wrong;

	if (map == MAP_FAILED) {
		printf("# mmap: %s\n", strerror(errno));
		return false;
	}
	wrong = mismatch(map + (at - page), len, seed, at);
	if (wrong >= 0)
		explain(map + (at - page), len, at, wrong, len);
	munmap(map, at + len - page);
	return wrong < 0;
}

/* Direct I/O wants everything aligned, so read around and compare the middle. */
static bool direct_holds(const char *name, uint64_t seed, off_t at, size_t len)
{
	const off_t from = at & ~4095;
	const size_t size = (at + len - from + 4095) & ~4095ul;
	int fd = open(name, O_RDONLY | O_DIRECT);
	char *buf = aligned(size);
	ssize_t n = pread(fd, buf, size, from);
	off_t wrong = 0;
	bool good = n >= 0 && (size_t)n >= at + len - from;

	if (!good) {
		printf("# direct read of %s: %zd (%s)\n", name, n, strerror(errno));
	} else {
		wrong = mismatch(buf + (at - from), len, seed, at);
		good = wrong < 0;
		if (!good)
			explain(buf + (at - from), len, at, wrong, len);
	}
	free(buf);
	close(fd);
	return good;
}

bool holds_by_all_ways(const char *name, uint64_t seed, off_t at, size_t len)
{
	int fd = open(name, O_RDONLY);
	bool good = fd >= 0;

	if (!good)
		printf("# %s: %s\n", name, strerror(errno));
	if (good && !holds(fd, seed, at, len)) {
		printf("# ... read buffered from %s\n", name);
		good = false;
	}
	if (good && !mapping_holds(fd, seed, at, len)) {
		printf("# ... read from a mapping of %s\n", name);
		good = false;
	}
	if (good && !direct_holds(name, seed, at, len)) {
		printf("# ... read directly from %s\n", name);
		good = false;
	}
	fflush(stdout);
	if (fd >= 0)
		close(fd);
	return good;
}

off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

off_t allocated(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_blocks * 512;
}

int clone_file(int dst, int src)
{
	return ioctl(dst, FICLONE, src);
}

int clone_range(int dst, off_t to, int src, off_t from, off_t len)
{
	struct file_clone_range range = {
		.src_fd = src, .src_offset = from, .src_length = len, .dest_offset = to,
	};

	return ioctl(dst, FICLONERANGE, &range);
}

int dedupe_range(int dst, off_t to, int src, off_t from, off_t len, uint64_t *done)
{
	union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) +
			  sizeof(struct file_dedupe_range_info)];
	} arg;
	struct file_dedupe_range_info *info = arg.range.info;

	memset(&arg, 0, sizeof(arg));
	arg.range.src_offset = from;
	arg.range.src_length = len;
	arg.range.dest_count = 1;
	info->dest_fd = dst;
	info->dest_offset = to;
	if (ioctl(src, FIDEDUPERANGE, &arg.range))
		return -errno;
	if (done)
		*done = info->bytes_deduped;
	return info->status;
}

int extents(int fd, struct fiemap_extent *list, int max, bool flush)
{
	const size_t size = sizeof(struct fiemap) + max * sizeof(*list);
	struct fiemap *map = calloc(1, size);
	int n = -1;

	if (!map)
		abort();
	map->fm_length = FIEMAP_MAX_OFFSET;
	map->fm_flags = flush ? FIEMAP_FLAG_SYNC : 0;
	map->fm_extent_count = max;
	if (ioctl(fd, FS_IOC_FIEMAP, map) == 0) {
		n = map->fm_mapped_extents;
		if (max)
			memcpy(list, map->fm_extents, n * sizeof(*list));
	}
	free(map);
	return n;
}

bool extent_at(int fd, off_t at, struct fiemap_extent *found)
{
	struct fiemap_extent list[256];
	int n = extents(fd, list, 256, true);

	for (int i = 0; i < n; i++) {
		if ((off_t)list[i].fe_logical <= at &&
		    at < (off_t)(list[i].fe_logical + list[i].fe_length)) {
			*found = list[i];
			return true;
		}
	}
	return false;
}
