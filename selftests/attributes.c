// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes: modes, owners, times in nanoseconds and birth time, blocks, and
 * that all of them are on the disk.
 */
#include <sys/statfs.h>

#include "fixture.h"

static struct statx look(const char *name)
{
	struct statx st = { 0 };

	if (statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st))
		st.stx_mask = 0;
	return st;
}

static int64_t ns(struct statx_timestamp t)
{
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Push the inode out, so that what is looked at comes from the disk. */
static struct statx look_on_disk(const char *name)
{
	drop_caches();
	return look(name);
}

TEST_F(fs, modes)
{
	const mode_t modes[] = { 0, 0777, 04755, 02710, 01777, 06600, 0644 };

	ASSERT_OK(close(make_file("f", 1, 10)));
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		ASSERT_OK(chmod("f", modes[i]));
		EXPECT_EQ(S_IFREG | modes[i], look("f").stx_mode);
	}
	ASSERT_OK(chmod("f", 06751));
	EXPECT_EQ(S_IFREG | 06751, look_on_disk("f").stx_mode);
	umask(027);
	ASSERT_OK(mkdir("d", 0777));
	EXPECT_EQ(S_IFDIR | 0750, look("d").stx_mode);
}

TEST_F(fs, owners)
{
	struct statx st;

	ASSERT_OK(close(make_file("f", 1, 10)));
	ASSERT_OK(chmod("f", 06755));
	ASSERT_OK(chown("f", 1001, 100002));
	st = look_on_disk("f");
	EXPECT_EQ(1001, st.stx_uid);
	EXPECT_EQ(100002, st.stx_gid);
	EXPECT_EQ(S_IFREG | 0755, st.stx_mode);
	ASSERT_OK(chown("f", -1, 4000000000u));
	st = look_on_disk("f");
	EXPECT_EQ(1001, st.stx_uid);
	EXPECT_EQ(4000000000u, st.stx_gid);
	ASSERT_OK(symlink("f", "l"));
	ASSERT_OK(lchown("l", 7, 8));
	EXPECT_EQ(7, look("l").stx_uid);
	EXPECT_EQ(1001, look("f").stx_uid);
}

TEST_F(fs, group_inherited_from_the_directory)
{
	ASSERT_OK(mkdir("d", 0755));
	ASSERT_OK(chown("d", 0, 1002));
	ASSERT_OK(chmod("d", 02775));
	ASSERT_OK(mkdir("d/e", 0755));
	ASSERT_OK(close(make_file("d/f", 1, 1)));
	EXPECT_EQ(1002, look("d/e").stx_gid);
	EXPECT_EQ(S_IFDIR | 02755, look("d/e").stx_mode);
	EXPECT_EQ(1002, look("d/f").stx_gid);
}

TEST_F(fs, permission_is_refused)
{
	ASSERT_OK(close(make_file("f", 1, 10)));
	ASSERT_OK(chmod("f", 0600));
	ASSERT_OK(mkdir("d", 0755));
	ASSERT_OK(setegid(1001));
	ASSERT_OK(seteuid(1001));
	EXPECT_ERRNO(EACCES, open("f", O_RDONLY));
	EXPECT_ERRNO(EPERM, chmod("f", 0777));
	EXPECT_ERRNO(EPERM, chown("f", 1001, 1001));
	EXPECT_ERRNO(EACCES, mkdir("d/e", 0755));
	EXPECT_ERRNO(EACCES, unlink("f"));
	ASSERT_OK(seteuid(0));
}

TEST_F(fs, times_to_the_nanosecond)
{
	/* Before 1970, after 2038, after 2106. */
	const struct timespec cases[][2] = {
		{ { 1, 1 }, { 2, 999999999 } },
		{ { -1, 5 }, { -2000000000ll, 123456789 } },
		{ { 2147483648ll, 7 }, { 4294967296ll, 8 } },
		{ { 8589934592ll, 9 }, { 8000000000ll, 10 } },
	};

	ASSERT_OK(close(make_file("f", 1, 10)));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct statx st;

		ASSERT_OK(utimensat(AT_FDCWD, "f", cases[i], 0));
		st = look_on_disk("f");
		EXPECT_EQ(cases[i][0].tv_sec, st.stx_atime.tv_sec);
		EXPECT_EQ(cases[i][0].tv_nsec, (long)st.stx_atime.tv_nsec);
		EXPECT_EQ(cases[i][1].tv_sec, st.stx_mtime.tv_sec);
		EXPECT_EQ(cases[i][1].tv_nsec, (long)st.stx_mtime.tv_nsec);
	}
}

/* The clock of file times has a coarse tick: do it until it shows. */
struct change {
	const char *name;
	int64_t than;
	bool mtime;
	int (*act)(const char *name);
};

static bool changed(void *arg)
{
	struct change *c = arg;
	struct statx st;

	c->act(c->name);
	st = look(c->name);
	return ns(c->mtime ? st.stx_mtime : st.stx_ctime) > c->than;
}

static int write_one(const char *name)
{
	int fd = open(name, O_WRONLY);

	return write(fd, "x", 1) == 1 ? close(fd) : -1;
}

static int chmod_it(const char *name)
{
	return chmod(name, 0600);
}

static int add_and_remove(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/x", name);
	return close(open(path, O_CREAT | O_RDWR, 0644)) | unlink(path);
}

TEST_F(fs, times_that_operations_set)
{
	struct statx f, d;

	ASSERT_OK(mkdir("d", 0755));
	ASSERT_OK(close(make_file("f", 1, 10)));
	f = look("f");
	d = look("d");
	EXPECT_TRUE(f.stx_mask & STATX_BTIME);
	EXPECT_LE(ns(f.stx_btime), ns(f.stx_ctime));
	EXPECT_GT(f.stx_btime.tv_sec, 0);

	struct change data = { "f", ns(f.stx_mtime), true, write_one };
	struct change mode = { "f", ns(f.stx_ctime), false, chmod_it };
	struct change entry = { "d", ns(d.stx_mtime), true, add_and_remove };

	EXPECT_TRUE(eventually(changed, &data));
	mode.than = ns(look("f").stx_ctime);
	EXPECT_TRUE(eventually(changed, &mode));
	EXPECT_TRUE(eventually(changed, &entry));
	/* Birth time stays. */
	EXPECT_EQ(ns(f.stx_btime), ns(look_on_disk("f").stx_btime));
}

TEST_F(fs, blocks)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	ASSERT_OK(fd);
	EXPECT_EQ(0, allocated(fd));
	ASSERT_OK(put(fd, 1, 0, 16 * self->blk));
	ASSERT_OK(fsync(fd));
	EXPECT_GE(allocated(fd), 16 * self->blk);
	EXPECT_LT(allocated(fd), 64 * self->blk);
	ASSERT_OK(ftruncate(fd, 1 << 30));
	EXPECT_LT(allocated(fd), 64 * self->blk);
	ASSERT_OK(ftruncate(fd, 0));
	EXPECT_EQ(0, allocated(fd));
	close(fd);
}

static blkcnt_t blocks_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? -1 : st.st_blocks;
}

TEST_F(fs, blocks_of_directories_and_links)
{
	char name[300], target[1000];
	blkcnt_t d, link;

	ASSERT_OK(mkdir("d", 0755));
	ASSERT_OK(chdir("d"));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%0200d", i);
		ASSERT_OK(mknod(name, S_IFREG | 0644, 0));
	}
	ASSERT_OK(chdir(".."));
	memset(target, 'x', sizeof(target));
	target[sizeof(target) - 1] = 0;
	ASSERT_OK(symlink(target, "link"));
	ASSERT_OK(symlink("short", "short"));
	d = blocks_of("d");
	link = blocks_of("link");
	if (is_cowfs()) {
		EXPECT_LE(100 * 200 / 512, d);
		EXPECT_LE(1000 / 512, link);
		EXPECT_EQ(0, blocks_of("short"));
	}
	sync();
	drop_caches();
	EXPECT_EQ(d, blocks_of("d"));
	EXPECT_EQ(link, blocks_of("link"));
}

TEST_F(fs, direct_io_alignment)
{
	struct statx st;
	int fd = make_file("f", 1, 64 * self->blk);

	ASSERT_OK(fd);
	ASSERT_OK(statx(AT_FDCWD, "f", 0, STATX_DIOALIGN, &st));
	ASSERT_TRUE(st.stx_mask & STATX_DIOALIGN);
	EXPECT_GT(st.stx_dio_mem_align, 0);
	EXPECT_GT(st.stx_dio_offset_align, 0);
	EXPECT_LE((off_t)st.stx_dio_offset_align, self->blk);
	/* And the file system keeps its word. */
	close(fd);
	fd = open("f", O_RDWR | O_DIRECT);
	ASSERT_OK(fd);
	char *buf = aligned(8192);

	EXPECT_EQ((ssize_t)st.stx_dio_offset_align,
		  pread(fd, buf + st.stx_dio_mem_align % 4096, st.stx_dio_offset_align,
			st.stx_dio_offset_align));
	EXPECT_EQ(-1, mismatch(buf + st.stx_dio_mem_align % 4096, st.stx_dio_offset_align, 1,
			       st.stx_dio_offset_align));
	close(fd);
}

TEST_HARNESS_MAIN
