// SPDX-License-Identifier: GPL-2.0
/*
 * mutants DIR - does everything to whatever is in the file system mounted there,
 * and expects nothing: its metadata is hostile. That the kernel survives, and that
 * all this comes to an end, is the test; whoever started it looks at the log.
 */
#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "file.h"

/* A directory may seem to be endless. */
#define ENTRIES 400
#define PIECE	4096
#define SMALL	256

static const char *top;
static char *buf;
static int entries;

static void use_file(const char *path, off_t size)
{
	char name[64];
	struct stat st;
	int fd = open(path, O_RDWR), direct = open(path, O_RDWR | O_DIRECT), clone;
	void *map;

	if (fd < 0)
		return;
	/* There are many of these, and one is like the other. */
	if (size < SMALL) {
		(void)!read(fd, buf, PIECE);
		close(fd);
		close(direct);
		if (entries % 3 == 0)
			unlink(path);
		return;
	}
	for (off_t at = 0; at < size && at < 64 * PIECE; at += PIECE)
		if (pread(fd, buf, PIECE, at) < 0)
			break;
	extents(fd, (struct fiemap_extent[16]){}, 16, true);
	lseek(fd, 0, SEEK_HOLE);
	snprintf(name, sizeof(name), "%s/clone%d", top, entries);
	clone = open(name, O_CREAT | O_RDWR, 0644);
	clone_file(clone, fd);
	clone_range(clone, 0, fd, 0, PIECE);
	/* On both sides of what is shared now. */
	(void)!pwrite(direct, buf, PIECE, PIECE);
	(void)!pwrite(clone, buf, PIECE, 3);
	(void)!pwrite(fd, buf, 10, size - 5 > 0 ? size - 5 : 0);
	(void)!pwrite(direct, buf, PIECE, (size + PIECE) & -PIECE);
	map = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_SHARED, clone, 0);
	if (map != MAP_FAILED) {
		msync(map, PIECE, MS_SYNC);
		munmap(map, PIECE);
	}
	fallocate(fd, 0, size, 8 * PIECE);
	fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PIECE, 2 * PIECE);
	fallocate(clone, FALLOC_FL_ZERO_RANGE, 0, 2 * PIECE);
	fsync(clone);
	(void)!ftruncate(fd, size / 2);
	fsync(fd);
	fstat(fd, &st);
	close(clone);
	close(direct);
	close(fd);
	if (entries % 3 == 0)
		unlink(path);
	if (entries % 3 == 1)
		unlink(name);
}

static int use(const char *path, const struct stat *st, int type, struct FTW *where)
{
	char name[4096];

	if (++entries > ENTRIES || where->level > 20)
		return 1;
	switch (type) {
	case FTW_F:
		if (S_ISREG(st->st_mode))
			use_file(path, st->st_size);
		else
			unlink(path);
		break;
	case FTW_SL:
		(void)!readlink(path, name, sizeof(name));
		unlink(path);
		break;
	case FTW_D:
		snprintf(name, sizeof(name), "%s/new", path);
		mkdir(name, 0755);
		snprintf(name, sizeof(name), "%s/a name that is not there", path);
		if (mknod(name, S_IFIFO | 0644, 0) == 0) {
			char other[64];

			snprintf(other, sizeof(other), "%s/moved%d", top, entries);
			rename(name, other);
			link(other, name);
		}
		chmod(path, 0700);
		break;
	}
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	if (++entries > ENTRIES)
		return 1;
	if (entries % 2)
		remove(path);
	return 0;
}

int main(int argc, char **argv)
{
	struct statfs st;

	if (argc != 2)
		errx(2, "usage: mutants DIR");
	/* Whoever reads a directory or a file must come to its end. */
	alarm(120);
	top = argv[1];
	buf = aligned(PIECE);
	fill(buf, PIECE, 1, 0);
	statfs(top, &st);
	nftw(top, use, 16, FTW_PHYS);
	sync();
	entries = 0;
	nftw(top, remove_one, 16, FTW_PHYS | FTW_DEPTH);
	return 0;
}
