// SPDX-License-Identifier: GPL-2.0
/*
 * Written blocks beyond the end of a file, as a crash in a truncation leaves
 * them: however the file grows over them, they never show again.
 *
 * What a crash does is done here to the unmounted device: the file's size is made
 * small, and its blocks stay.
 */
#include "fixture.h"

/* See Documentation/ondisk-format.md. */
#define INODE_BLOCK	0x4e497763u	/* "cwIN" */
#define CHECKSUM	4
#define ADDRESS		24
#define IN_USE		64
#define SLOT		256
#define SIZE_BYTES	16

/* A size that no other file has. */
#define LONG_SIZE	(57 * b)

static struct fiemap_extent list[64];

static uint32_t crc32c(const unsigned char *bytes, size_t len)
{
	uint32_t sum = ~0u;

	while (len--) {
		sum ^= *bytes++;
		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78u : 0);
	}
	return sum;
}

/* Gives the inode of size `from` the size `to`; the number of such inodes. */
static int cut_on_disk(const char *device, off_t b, uint64_t from, uint64_t to)
{
	int fd = open(device, O_RDWR), found = 0;
	unsigned char *block = malloc(b);

	for (off_t at = 0; fd >= 0 && pread(fd, block, b, at) == b; at += b) {
		uint32_t magic, sum;
		uint64_t address;
		uint16_t used;
		int here = 0;

		memcpy(&magic, block, sizeof(magic));
		memcpy(&address, block + ADDRESS, sizeof(address));
		memcpy(&used, block + IN_USE, sizeof(used));
		/* The journal holds copies. */
		if (magic != INODE_BLOCK || address != (uint64_t)(at / b))
			continue;
		for (int slot = 1; slot < b / SLOT; slot++) {
			unsigned char *size = block + slot * SLOT + SIZE_BYTES;

			if (used >> slot & 1 && !memcmp(size, &from, 8)) {
				memcpy(size, &to, 8);
				here++;
			}
		}
		if (!here)
			continue;
		memset(block + CHECKSUM, 0, 4);
		sum = crc32c(block, b);
		memcpy(block + CHECKSUM, &sum, 4);
		if (pwrite(fd, block, b, at) != b)
			return -1;
		found += here;
	}
	free(block);
	return fd < 0 || fsync(fd) || close(fd) ? -1 : found;
}

/* A file "f" of `keep` bytes, with written blocks up to LONG_SIZE. */
static int cut_short(off_t b, const char *name, off_t keep)
{
	char dir[PATH_MAX];
	int fd, status;

	snprintf(dir, sizeof(dir), "%s/%s", getenv("TEST_DIR"), name);
	fd = make_file("f", 1, LONG_SIZE);
	if (fd < 0 || close(fd) || chdir("/") || sh("umount $TEST_DIR"))
		return -1;
	status = cut_on_disk("/dev/mapper/scratch", b, LONG_SIZE, keep);
	if (sh("mount -t $FSTYP ${MOUNT_OPTIONS:+-o $MOUNT_OPTIONS} /dev/mapper/scratch $TEST_DIR"))
		return -1;
	if (status != 1)
		printf("# %d inodes of the file's size\n", status);
	if (status != 1 || chdir(dir))
		return -1;
	return open("f", O_RDWR);
}

/* Is nothing mapped in the range but what reads as zeros? */
static bool uncovered(int fd, off_t from, off_t to)
{
	int n = extents(fd, list, 64, false);

	for (int i = 0; i < n; i++) {
		off_t start = list[i].fe_logical;
		off_t end = start + list[i].fe_length;

		if (start < to && end > from && !(list[i].fe_flags & FIEMAP_EXTENT_UNWRITTEN)) {
			printf("# bytes %lld to %lld are mapped\n",
				(long long)start, (long long)end);
			return false;
		}
	}
	return n >= 0 && holds_zeros(fd, from, to - from);
}

#define CUT_SHORT(keep) ({						\
	int fd_;							\
	if (!is_cowfs())						\
		SKIP(return, "edits the device as cowfs lays it out");	\
	fd_ = cut_short(b, _metadata->name, keep);			\
	ASSERT_OK(fd_);							\
	ASSERT_EQ(keep, size_of(fd_));					\
	fd_;								\
})

TEST_F(fs, truncate)
{
	const off_t b = self->blk;
	int fd = CUT_SHORT(3 * b + 100);

	ASSERT_OK(ftruncate(fd, 40 * b));
	EXPECT_TRUE(uncovered(fd, 4 * b, 40 * b));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 1, 0, 3 * b + 100));
	EXPECT_TRUE(holds_zeros(fd, 3 * b + 100, 37 * b - 100));
	close(fd);
}

TEST_F(fs, preallocation)
{
	const off_t b = self->blk;
	int fd = CUT_SHORT(3 * b);

	/* Behind a gap that the file grows over, too. */
	ASSERT_OK(fallocate(fd, 0, 10 * b, 10 * b));
	EXPECT_TRUE(uncovered(fd, 3 * b, 20 * b));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 1, 0, 3 * b));
	EXPECT_TRUE(holds_zeros(fd, 3 * b, 17 * b));
	close(fd);
}

TEST_F(fs, buffered_write)
{
	const off_t b = self->blk;
	int fd = CUT_SHORT(3 * b);

	ASSERT_OK(put(fd, 2, 20 * b + 10, 100));
	EXPECT_TRUE(uncovered(fd, 3 * b, 20 * b));
	EXPECT_TRUE(holds_zeros(fd, 20 * b, 10));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 1, 0, 3 * b));
	EXPECT_TRUE(holds_zeros(fd, 3 * b, 17 * b + 10));
	EXPECT_TRUE(holds(fd, 2, 20 * b + 10, 100));
	close(fd);
}

TEST_F(fs, direct_write)
{
	const off_t b = self->blk;
	int fd = CUT_SHORT(3 * b), direct = open("f", O_RDWR | O_DIRECT);

	ASSERT_OK(direct);
	ASSERT_OK(put(direct, 2, 20 * b, 4 * b));
	EXPECT_TRUE(uncovered(fd, 3 * b, 20 * b));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 1, 0, 3 * b));
	EXPECT_TRUE(holds_zeros(fd, 3 * b, 17 * b));
	EXPECT_TRUE(holds(fd, 2, 20 * b, 4 * b));
	close(direct);
	close(fd);
}

TEST_F(fs, clone_of_a_range)
{
	const off_t b = self->blk;
	int fd = CUT_SHORT(3 * b), src = make_file("src", 2, 24 * b);

	ASSERT_OK(src);
	ASSERT_OK(clone_range(fd, 20 * b, src, 20 * b, 4 * b));
	EXPECT_TRUE(uncovered(fd, 3 * b, 20 * b));
	drop_pages(fd);
	EXPECT_TRUE(holds(fd, 1, 0, 3 * b));
	EXPECT_TRUE(holds_zeros(fd, 3 * b, 17 * b));
	EXPECT_TRUE(holds(fd, 2, 20 * b, 4 * b));
	close(src);
	close(fd);
}

/* What is preallocated beyond the end stays. */
TEST_F(fs, preallocated_blocks_stay)
{
	const off_t b = self->blk;
	int fd = open("g", O_CREAT | O_RDWR, 0644);
	off_t before;

	ASSERT_OK(fd);
	UNLESS_SUPPORTED(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 32 * b));
	before = allocated(fd);
	ASSERT_OK(ftruncate(fd, 16 * b));
	EXPECT_EQ(before, allocated(fd));
	ASSERT_OK(put(fd, 1, 20 * b, b));
	EXPECT_EQ(before, allocated(fd));
	EXPECT_TRUE(holds_zeros(fd, 0, 20 * b));
	close(fd);
}

TEST_HARNESS_MAIN
