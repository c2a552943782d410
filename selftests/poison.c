// SPDX-License-Identifier: GPL-2.0
/*
 * poison DEVICE - fill it, so that uninitialised blocks are recognised.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"

int main(int argc, char **argv)
{
	const size_t size = 1 << 20;
	char *buf = aligned(size);
	ssize_t n;
	int fd;

	if (argc != 2)
		errx(1, "usage: poison DEVICE");
	fd = open(argv[1], O_WRONLY | O_DIRECT);
	if (fd < 0)
		err(1, "%s", argv[1]);
	fill_poison(buf, size);
	while ((n = write(fd, buf, size)) > 0)
		;
	/* The end of a device is "no space" to direct writes. */
	if (n < 0 && errno != ENOSPC)
		err(1, "%s", argv[1]);
	return 0;
}
