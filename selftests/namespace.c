// SPDX-License-Identifier: GPL-2.0
/*
 * Names: creating, looking up and removing files, directories and special files.
 */
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "fixture.h"

static nlink_t links(const char *name)
{
	struct stat st;

	return lstat(name, &st) ? 0 : st.st_nlink;
}

static mode_t type(const char *name)
{
	struct stat st;

	return lstat(name, &st) ? 0 : st.st_mode & S_IFMT;
}

TEST_F(fs, create_and_unlink)
{
	int fd = open("a", O_CREAT | O_EXCL | O_RDWR, 0640);

	ASSERT_OK(fd);
	EXPECT_EQ(S_IFREG, type("a"));
	EXPECT_EQ(1, links("a"));
	EXPECT_EQ(0, size_of(fd));
	EXPECT_ERRNO(EEXIST, open("a", O_CREAT | O_EXCL | O_RDWR, 0640));
	EXPECT_OK(unlink("a"));
	EXPECT_ERRNO(ENOENT, open("a", O_RDONLY));
	EXPECT_ERRNO(ENOENT, unlink("a"));
	/* A negative dentry does not outlive creation. */
	EXPECT_OK(close(open("a", O_CREAT | O_EXCL | O_RDWR, 0640)));
	EXPECT_EQ(S_IFREG, type("a"));
	close(fd);
}

TEST_F(fs, directories)
{
	ASSERT_OK(mkdir("d", 0755));
	EXPECT_EQ(2, links("d"));
	EXPECT_EQ(3, links("."));
	EXPECT_ERRNO(EEXIST, mkdir("d", 0755));
	ASSERT_OK(mkdir("d/e", 0755));
	EXPECT_EQ(3, links("d"));
	EXPECT_ERRNO(ENOTEMPTY, rmdir("d"));
	EXPECT_ERRNO(EISDIR, unlink("d"));
	EXPECT_OK(rmdir("d/e"));
	EXPECT_EQ(2, links("d"));
	EXPECT_OK(rmdir("d"));
	EXPECT_EQ(2, links("."));
	EXPECT_ERRNO(ENOENT, rmdir("d"));
	EXPECT_OK(close(open("f", O_CREAT | O_RDWR, 0644)));
	EXPECT_ERRNO(ENOTDIR, rmdir("f"));
	EXPECT_ERRNO(ENOTDIR, mkdir("f/x", 0755));
	EXPECT_ERRNO(EINVAL, rmdir("."));
}

TEST_F(fs, removed_directory_takes_no_entries)
{
	int dir;

	ASSERT_OK(mkdir("d", 0755));
	dir = open("d", O_RDONLY | O_DIRECTORY);
	ASSERT_OK(dir);
	ASSERT_OK(rmdir("d"));
	EXPECT_ERRNO(ENOENT, openat(dir, "f", O_CREAT | O_RDWR, 0644));
	EXPECT_ERRNO(ENOENT, mkdirat(dir, "e", 0755));
	close(dir);
}

TEST_F(fs, names_of_every_length)
{
	char name[NAME_MAX + 2];

	for (size_t len = 1; len <= NAME_MAX; len++) {
		memset(name, 'x', len);
		name[len] = 0;
		ASSERT_OK(close(open(name, O_CREAT | O_EXCL | O_RDWR, 0644)));
	}
	memset(name, 'x', NAME_MAX + 1);
	name[NAME_MAX + 1] = 0;
	EXPECT_ERRNO(ENAMETOOLONG, open(name, O_CREAT | O_RDWR, 0644));
	for (size_t len = NAME_MAX; len >= 1; len--) {
		name[len] = 0;
		ASSERT_EQ(S_IFREG, type(name));
		ASSERT_OK(unlink(name));
		ASSERT_EQ(0, type(name));
	}
}

TEST_F(fs, every_byte_in_a_name)
{
	char name[3] = "?x";

	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		name[0] = c;
		ASSERT_OK(close(open(name, O_CREAT | O_EXCL | O_RDWR, 0644)));
	}
	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		name[0] = c;
		ASSERT_EQ(S_IFREG, type(name));
	}
}

TEST_F(fs, hard_links)
{
	struct stat a, b;

	ASSERT_OK(close(make_file("a", 1, 10000)));
	ASSERT_OK(mkdir("d", 0755));
	ASSERT_OK(link("a", "d/b"));
	EXPECT_EQ(2, links("a"));
	ASSERT_OK(stat("a", &a));
	ASSERT_OK(stat("d/b", &b));
	EXPECT_EQ(a.st_ino, b.st_ino);
	EXPECT_ERRNO(EEXIST, link("a", "d/b"));
	EXPECT_ERRNO(EPERM, link("d", "e"));
	EXPECT_OK(unlink("a"));
	EXPECT_EQ(1, links("d/b"));
	EXPECT_TRUE(holds_by_all_ways("d/b", 1, 0, 10000));
}

TEST_F(fs, symbolic_links_short_and_long)
{
	char target[4096], found[4096];
	/* Inline and not, up to the longest there is; what a limit is depends on the block. */
	const size_t lengths[] = { 1, 10, 59, 60, 100, 255, 256, 1000, 1023 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		size_t len = lengths[i];

		memset(target, 'a' + i, len);
		target[len] = 0;
		ASSERT_OK(symlink(target, "l"));
		EXPECT_EQ(S_IFLNK, type("l"));
		EXPECT_EQ((ssize_t)len, readlink("l", found, sizeof(found)));
		EXPECT_EQ(0, memcmp(target, found, len));
		drop_caches();
		EXPECT_EQ((ssize_t)len, readlink("l", found, sizeof(found)));
		EXPECT_EQ(0, memcmp(target, found, len));
		EXPECT_ERRNO(EEXIST, symlink(target, "l"));
		ASSERT_OK(unlink("l"));
	}
	/* Followed. */
	ASSERT_OK(close(make_file("f", 7, 100)));
	ASSERT_OK(symlink("f", "l"));
	EXPECT_TRUE(holds_by_all_ways("l", 7, 0, 100));
	ASSERT_OK(symlink("loop", "loop"));
	EXPECT_ERRNO(ELOOP, open("loop", O_RDONLY));
}

TEST_F(fs, special_files)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	const dev_t device = makedev(259, 70000);
	struct stat st;

	ASSERT_OK(mkfifo("fifo", 0644));
	ASSERT_OK(mknod("block", S_IFBLK | 0600, device));
	ASSERT_OK(mknod("char", S_IFCHR | 0600, makedev(1, 3)));
	ASSERT_OK(bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	drop_caches();
	EXPECT_EQ(S_IFIFO, type("fifo"));
	EXPECT_EQ(S_IFSOCK, type("socket"));
	ASSERT_OK(lstat("block", &st));
	EXPECT_EQ(S_IFBLK, st.st_mode & S_IFMT);
	EXPECT_EQ(device, st.st_rdev);
	ASSERT_OK(lstat("char", &st));
	EXPECT_EQ(makedev(1, 3), st.st_rdev);
	EXPECT_OK(close(open("char", O_WRONLY)));
	close(sock);
}

TEST_F(fs, temporary_file_without_a_name)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0644);
	char path[64];

	if (fd < 0 && errno == EOPNOTSUPP)
		SKIP(return, "O_TMPFILE is not supported");
	ASSERT_OK(fd);
	ASSERT_OK(put(fd, 3, 0, 10000));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ASSERT_OK(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW));
	close(fd);
	EXPECT_EQ(1, links("f"));
	EXPECT_TRUE(holds_by_all_ways("f", 3, 0, 10000));
}

TEST_HARNESS_MAIN
