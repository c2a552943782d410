// SPDX-License-Identifier: GPL-2.0
/*
 * damage IMAGE SEED N - overwrite N places in blocks of a file system image that
 * hold something; the same places for the same seed.
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BLOCK 1024

static bool used(const char *block)
{
	return block[0] || memcmp(block, block + 1, BLOCK - 1);
}

int main(int argc, char **argv)
{
	struct stat st;
	char *image;
	long places;
	int fd;

	if (argc != 4)
		errx(1, "usage: damage IMAGE SEED N");
	fd = open(argv[1], O_RDWR);
	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", argv[1]);
	image = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (image == MAP_FAILED)
		err(1, "mmap");
	srandom(atoi(argv[2]));
	places = atol(argv[3]);
	while (places) {
		char *block = image + random() % (st.st_size / BLOCK) * BLOCK;
		int at = random() % (BLOCK - 16), len = 1 << random() % 5;

		if (!used(block))
			continue;
		for (int i = 0; i < len; i++)
			block[at + i] = random();
		places--;
	}
	return 0;
}
