// SPDX-License-Identifier: GPL-2.0
/*
 * rename(2) and renameat2(2): over what is there, across directories, NOREPLACE
 * and EXCHANGE, and the link counts of directories.
 */
#include "fixture.h"

static ino_t ino(const char *name)
{
	struct stat st;

	return lstat(name, &st) ? 0 : st.st_ino;
}

static nlink_t links(const char *name)
{
	struct stat st;

	return lstat(name, &st) ? 0 : st.st_nlink;
}

static int touch(const char *name)
{
	int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);

	return fd < 0 ? -1 : close(fd);
}

static int rename2(const char *from, const char *to, unsigned int flags)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

TEST_F(fs, within_a_directory)
{
	ino_t a;

	ASSERT_OK(touch("a"));
	a = ino("a");
	EXPECT_OK(rename("a", "b"));
	EXPECT_EQ(0, ino("a"));
	EXPECT_EQ(a, ino("b"));
	EXPECT_ERRNO(ENOENT, rename("a", "c"));
	/* To its own name, or another name of the same file: nothing happens. */
	EXPECT_OK(rename("b", "b"));
	ASSERT_OK(link("b", "c"));
	EXPECT_OK(rename("b", "c"));
	EXPECT_EQ(a, ino("b"));
	EXPECT_EQ(2, links("b"));
}

TEST_F(fs, over_an_existing_file)
{
	int old = make_file("old", 1, 20000);
	ino_t new_ino;

	ASSERT_OK(old);
	ASSERT_OK(close(make_file("new", 2, 30000)));
	new_ino = ino("new");
	ASSERT_OK(rename("new", "old"));
	EXPECT_EQ(0, ino("new"));
	EXPECT_EQ(new_ino, ino("old"));
	EXPECT_TRUE(holds_by_all_ways("old", 2, 0, 30000));
	/* The file that lost its name lives while it is open. */
	EXPECT_TRUE(holds(old, 1, 0, 20000));
	close(old);
}

TEST_F(fs, kinds_that_do_not_replace_each_other)
{
	ASSERT_OK(mkdir("d", 0755));
	ASSERT_OK(mkdir("full", 0755));
	ASSERT_OK(touch("full/x"));
	ASSERT_OK(touch("f"));
	EXPECT_ERRNO(EISDIR, rename("f", "d"));
	EXPECT_ERRNO(ENOTDIR, rename("d", "f"));
	EXPECT_EQ(-1, rename("d", "full"));
	EXPECT_TRUE(errno == ENOTEMPTY || errno == EEXIST);
	EXPECT_OK(rename("full", "d"));
	EXPECT_NE(0, ino("d/x"));
	EXPECT_EQ(3, links("."));
}

TEST_F(fs, across_directories)
{
	ino_t d;

	ASSERT_OK(mkdir("from", 0755));
	ASSERT_OK(mkdir("to", 0755));
	ASSERT_OK(mkdir("from/d", 0755));
	ASSERT_OK(close(make_file("from/d/f", 4, 5000)));
	d = ino("from/d");
	EXPECT_EQ(3, links("from"));
	ASSERT_OK(rename("from/d", "to/e"));
	EXPECT_EQ(2, links("from"));
	EXPECT_EQ(3, links("to"));
	EXPECT_EQ(d, ino("to/e"));
	/* Its .. has followed, on disk as well. */
	drop_caches();
	EXPECT_EQ(ino("to"), ino("to/e/.."));
	EXPECT_TRUE(holds_by_all_ways("to/e/f", 4, 0, 5000));
	/* A directory does not go below itself. */
	EXPECT_ERRNO(EINVAL, rename("to", "to/e/x"));
}

TEST_F(fs, noreplace)
{
	ASSERT_OK(touch("a"));
	ASSERT_OK(touch("b"));
	ino_t a = ino("a"), b = ino("b");

	EXPECT_ERRNO(EEXIST, rename2("a", "b", RENAME_NOREPLACE));
	EXPECT_EQ(a, ino("a"));
	EXPECT_EQ(b, ino("b"));
	EXPECT_OK(rename2("a", "c", RENAME_NOREPLACE));
	EXPECT_EQ(a, ino("c"));
}

TEST_F(fs, exchange)
{
	ASSERT_OK(mkdir("d", 0755));
	ASSERT_OK(mkdir("d/sub", 0755));
	ASSERT_OK(mkdir("e", 0755));
	ASSERT_OK(touch("e/f"));
	ino_t sub = ino("d/sub"), f = ino("e/f");

	EXPECT_ERRNO(ENOENT, rename2("d/sub", "e/none", RENAME_EXCHANGE));
	ASSERT_OK(rename2("d/sub", "e/f", RENAME_EXCHANGE));
	drop_caches();
	EXPECT_EQ(f, ino("d/sub"));
	EXPECT_EQ(sub, ino("e/f"));
	EXPECT_EQ(2, links("d"));
	EXPECT_EQ(3, links("e"));
	EXPECT_EQ(ino("e"), ino("e/f/.."));
	/* Two directories: both keep their parents' counts. */
	ASSERT_OK(rename2("d", "e/f", RENAME_EXCHANGE));
	EXPECT_EQ(sub, ino("d"));
	EXPECT_EQ(f, ino("e/f/sub"));
	EXPECT_ERRNO(EINVAL, rename2("e", "e/f", RENAME_EXCHANGE));
	EXPECT_ERRNO(EINVAL, rename2("d", "e", RENAME_EXCHANGE | RENAME_NOREPLACE));
}

TEST_F(fs, the_last_name_of_a_directory_replaced)
{
	ASSERT_OK(mkdir("a", 0755));
	ASSERT_OK(mkdir("b", 0755));
	int b = open("b", O_RDONLY | O_DIRECTORY);

	ASSERT_OK(b);
	ASSERT_OK(rename("a", "b"));
	struct stat st;

	ASSERT_OK(fstat(b, &st));
	EXPECT_EQ(0, st.st_nlink);
	EXPECT_EQ(3, links("."));
	EXPECT_ERRNO(ENOENT, openat(b, "f", O_CREAT | O_RDWR, 0644));
	close(b);
}

TEST_F(fs, names_of_other_lengths_many_times)
{
	char from[NAME_MAX + 1] = "x", to[NAME_MAX + 1];
	ino_t it;

	ASSERT_OK(touch(from));
	it = ino(from);
	for (int i = 0; i < 500; i++) {
		size_t len = 1 + i * 37 % NAME_MAX;

		memset(to, 'a' + i % 26, len);
		to[len] = 0;
		ASSERT_OK(rename(from, to));
		ASSERT_EQ(it, ino(to));
		strcpy(from, to);
	}
}

TEST_HARNESS_MAIN
