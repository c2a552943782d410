// SPDX-License-Identifier: GPL-2.0
/*
 * FS_IOC_SHUTDOWN: from then on everything fails, and the next mount finds at
 * least what somebody waited for. What else there is depends on the flag.
 */
#include <sys/syscall.h>
#include <sys/wait.h>

#include "selftest.h"

#define SHUTDOWN _IOR('X', 125, uint32_t)

enum { DEFAULT, LOGFLUSH, NOLOGFLUSH };

FIXTURE(volume) {
	off_t blk;
};

FIXTURE_VARIANT(volume) {
	uint32_t how;
};

FIXTURE_VARIANT_ADD(volume, default) { .how = DEFAULT };
FIXTURE_VARIANT_ADD(volume, logflush) { .how = LOGFLUSH };
FIXTURE_VARIANT_ADD(volume, nologflush) { .how = NOLOGFLUSH };

FIXTURE_SETUP(volume)
{
	const char *top = getenv("TEST_DIR");
	char name[64];
	struct statvfs st;

	ASSERT_OK(chdir(top));
	ASSERT_OK(statvfs(".", &st));
	self->blk = st.f_bsize;
	snprintf(name, sizeof(name), "%s-%u", _metadata->name, variant->how);
	ASSERT_OK(mkdir(name, 0755));
	ASSERT_OK(chdir(name));
}

FIXTURE_TEARDOWN(volume)
{
}

static int shut_down(uint32_t how)
{
	int top = open(".", O_RDONLY | O_DIRECTORY);
	int result = ioctl(top, SHUTDOWN, &how);
	int error = errno;

	close(top);
	errno = error;
	return result;
}

/* Mounts the volume anew, and comes back to the directory. */
static int come_back(void)
{
	char here[PATH_MAX];

	if (!getcwd(here, sizeof(here)) || chdir("/") || remount_test_dir())
		return -1;
	return chdir(here);
}

TEST_F(volume, what_is_refused)
{
	uint32_t none = 3;
	int top = open(".", O_RDONLY | O_DIRECTORY);

	ASSERT_OK(top);
	EXPECT_ERRNO(EINVAL, shut_down(3));
	EXPECT_ERRNO(EFAULT, ioctl(top, SHUTDOWN, NULL));
	EXPECT_ERRNO(ENOTTY, ioctl(top, _IOR('X', 124, uint32_t), &none));
	ASSERT_OK(seteuid(1001));
	EXPECT_ERRNO(EPERM, shut_down(variant->how));
	ASSERT_OK(seteuid(0));
	/* Nothing of that did anything. */
	EXPECT_OK(mkdir("d", 0755));
	close(top);
}

TEST_F(volume, nothing_works_afterwards)
{
	const off_t b = self->blk;
	char *buf = aligned(b);
	int fd = make_file("f", 1, 8 * b), clone = make_file("c", 2, b);
	int top = open(".", O_RDONLY | O_DIRECTORY);
	int direct = open("f", O_RDWR | O_DIRECT);

	ASSERT_OK(fd);
	ASSERT_OK(clone);
	ASSERT_OK(direct);
	ASSERT_OK(fsync(fd));
	/* Open on both sides of the shutdown; one page is dirty. */
	ASSERT_OK(put(fd, 3, 4 * b, b));
	ASSERT_OK(shut_down(variant->how));
	EXPECT_OK(shut_down(variant->how)); /* A second time. */

	EXPECT_ERRNO(EIO, pread(fd, buf, b, 0));
	EXPECT_ERRNO(EIO, pread(direct, buf, b, 0));
	EXPECT_ERRNO(EIO, pwrite(fd, buf, b, 0));
	EXPECT_ERRNO(EIO, pwrite(direct, buf, b, 0));
	EXPECT_ERRNO(EIO, fsync(fd));
	EXPECT_ERRNO(EIO, syncfs(top));
	EXPECT_ERRNO(EIO, fallocate(fd, 0, 8 * b, b));
	EXPECT_ERRNO(EIO, ftruncate(fd, b));
	EXPECT_ERRNO(EIO, clone_file(clone, fd));
	EXPECT_ERRNO(EIO, open("f", O_RDONLY));
	EXPECT_ERRNO(EIO, open("new", O_CREAT | O_RDWR, 0644));
	EXPECT_ERRNO(EIO, mkdir("new", 0755));
	EXPECT_ERRNO(EIO, unlink("f"));
	EXPECT_ERRNO(EIO, rename("f", "g"));
	EXPECT_ERRNO(EIO, link("f", "g"));
	EXPECT_ERRNO(EIO, symlink("f", "g"));
	EXPECT_ERRNO(EIO, fchmod(fd, 0600));
	EXPECT_ERRNO(EIO, syscall(SYS_getdents64, top, buf, b));
	close(top);
	close(direct);
	close(clone);
	close(fd);
	ASSERT_OK(come_back());
	EXPECT_OK(mkdir("new", 0755));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, 4 * b));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 5 * b, 3 * b));
}

TEST_F(volume, what_is_left)
{
	const off_t b = self->blk;
	int synced = make_file("synced", 1, 16 * b);
	int late, dir;

	ASSERT_OK(synced);
	ASSERT_OK(fsync(synced));
	dir = open(".", O_RDONLY | O_DIRECTORY);
	ASSERT_OK(fsync(dir));
	late = open("late", O_CREAT | O_RDWR, 0644);
	ASSERT_OK(late);
	ASSERT_OK(put(late, 2, 0, 16 * b));
	close(dir);
	close(late);
	close(synced);
	ASSERT_OK(shut_down(variant->how));
	ASSERT_OK(come_back());

	EXPECT_TRUE(holds_by_all_ways("synced", 1, 0, 16 * b));
	switch (variant->how) {
	case DEFAULT:
		EXPECT_TRUE(holds_by_all_ways("late", 2, 0, 16 * b));
		break;
	case LOGFLUSH:
		EXPECT_OK(access("late", F_OK));
		break;
	}
}

/* A read-only mount, too, replays the journal for good: the device can be read-only then, or copied. */
TEST_F(volume, read_only_mounts)
{
	const off_t b = self->blk;
	char here[PATH_MAX];
	int fd = make_file("f", 1, b);

	ASSERT_OK(fsync(fd));
	close(fd);
	ASSERT_OK(shut_down(variant->how));
	ASSERT_NE(NULL, getcwd(here, sizeof(here)));
	ASSERT_OK(chdir("/"));
	EXPECT_EQ(0, sh("d=/dev/mapper/scratch; umount $TEST_DIR && "
			"mount -t $FSTYP -o ro $d $TEST_DIR && "
			"{ [ $FSTYP != cowfs ] || cowfs info $d | grep '^journal state *clean'; } && "
			"umount $TEST_DIR && "
			"blockdev --setro $d && mount -t $FSTYP -o ro $d $TEST_DIR"));
	EXPECT_OK(chdir(here));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 0, b));
	EXPECT_OK(chdir("/"));
	ASSERT_EQ(0, sh("d=/dev/mapper/scratch; umount $TEST_DIR; blockdev --setrw $d && "
			"mount -t $FSTYP ${MOUNT_OPTIONS:+-o $MOUNT_OPTIONS} $d $TEST_DIR"));
}

#define WRITERS 4
#define BLOCKS	16

/* How often each block was written, as far as the writer was told. */
static uint32_t (*acknowledged)[BLOCKS];

/* Writes one block after the other, until one fails; O_DSYNC, into a clone. */
static int writer(int number, off_t b)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "clone-%d", number);
	fd = open(name, O_RDWR | O_DIRECT | O_DSYNC);
	if (fd < 0)
		return 1;
	for (uint32_t n = 0;; n++) {
		uint32_t *block = &acknowledged[number][n % BLOCKS];

		if (put(fd, 2 + *block, n % BLOCKS * b, b))
			return errno == EIO ? 0 : 1;
		__atomic_add_fetch(block, 1, __ATOMIC_RELEASE);
	}
}

static bool all_write(void *arg)
{
	(void)arg;
	for (int i = 0; i < WRITERS; i++)
		if (!__atomic_load_n(&acknowledged[i][BLOCKS - 1], __ATOMIC_ACQUIRE))
			return false;
	return true;
}

TEST_F(volume, writers_lose_nothing_that_was_acknowledged)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, BLOCKS * b);
	char name[32];
	int status, top = open(".", O_RDONLY | O_DIRECTORY);
	pid_t pid[WRITERS];

	acknowledged = mmap(NULL, WRITERS * sizeof(*acknowledged), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, acknowledged);
	for (int i = 0; i < WRITERS; i++) {
		int fd;

		snprintf(name, sizeof(name), "clone-%d", i);
		fd = open(name, O_CREAT | O_RDWR, 0644);
		ASSERT_OK(clone_file(fd, src));
		ASSERT_OK(fsync(fd));
		close(fd);
	}
	ASSERT_OK(fsync(top));
	close(top);
	close(src);
	for (int i = 0; i < WRITERS; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(writer(i, b));
	}
	EXPECT_TRUE(eventually(all_write, NULL));
	ASSERT_OK(shut_down(variant->how));
	for (int i = 0; i < WRITERS; i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	ASSERT_OK(come_back());
	for (int i = 0; i < WRITERS; i++) {
		int fd;

		snprintf(name, sizeof(name), "clone-%d", i);
		fd = open(name, O_RDONLY);
		ASSERT_OK(fd);
		for (int n = 0; n < BLOCKS; n++) {
			uint32_t last = 1 + acknowledged[i][n];

			/* The one that failed may have arrived, too. */
			EXPECT_TRUE(holds(fd, last, n * b, b) || holds(fd, last + 1, n * b, b))
				TH_LOG("%s, block %d: not version %u", name, n, last);
		}
		close(fd);
	}
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, BLOCKS * b));
}

TEST_HARNESS_MAIN
