// SPDX-License-Identifier: GPL-2.0
/*
 * Reading directories: all entries, each once, with stable positions while the
 * directory changes, and directories of many entries.
 */
#include "fixture.h"

#define MANY 3000

static int touch(const char *fmt, int i)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), fmt, i);
	fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);
	return fd < 0 ? -1 : close(fd);
}

static int removed(const char *fmt, int i)
{
	char name[64];

	snprintf(name, sizeof(name), fmt, i);
	return unlink(name);
}

/* Number in a name "fN", or -1. */
static int number(const char *name)
{
	int i;

	return sscanf(name, "f%d", &i) == 1 ? i : -1;
}

TEST_F(fs, empty)
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	int dots = 0;

	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		EXPECT_TRUE(!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."));
		EXPECT_EQ(DT_DIR, entry->d_type);
		dots++;
	}
	EXPECT_EQ(2, dots);
	closedir(dir);
}

TEST_F(fs, types_and_inode_numbers)
{
	DIR *dir;
	struct dirent *entry;
	struct stat st;
	int seen = 0;

	ASSERT_OK(close(open("file", O_CREAT | O_RDWR, 0644)));
	ASSERT_OK(mkdir("dir", 0755));
	ASSERT_OK(symlink("file", "symlink"));
	ASSERT_OK(mkfifo("fifo", 0644));
	dir = opendir(".");
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		ASSERT_OK(lstat(entry->d_name, &st));
		EXPECT_EQ(st.st_mode & S_IFMT, DTTOIF(entry->d_type))
			TH_LOG("type of %s", entry->d_name);
		if (strcmp(entry->d_name, "..")) {
			EXPECT_EQ(st.st_ino, entry->d_ino);
		}
		seen++;
	}
	EXPECT_EQ(6, seen);
	closedir(dir);
}

TEST_F(fs, many_entries_each_once)
{
	static uint8_t seen[MANY];
	struct dirent *entry;
	DIR *dir;

	for (int i = 0; i < MANY; i++) {
		ASSERT_OK(touch("f%d", i));
	}
	dir = opendir(".");
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir)))
		if (number(entry->d_name) >= 0)
			seen[number(entry->d_name)]++;
	for (int i = 0; i < MANY; i++) {
		EXPECT_EQ(1, seen[i]) TH_LOG("f%d", i);
	}
	closedir(dir);
	for (int i = 0; i < MANY; i++) {
		ASSERT_OK(removed("f%d", i));
	}
	EXPECT_OK(chdir(".."));
	EXPECT_OK(rmdir(_metadata->name));
}

TEST_F(fs, positions_lead_back)
{
	enum { N = 600 };
	static long position[N + 2];
	static char name[N + 2][32];
	struct dirent *entry;
	DIR *dir;
	int n = 0;

	for (int i = 0; i < N; i++) {
		ASSERT_OK(touch("f%d", i));
	}
	dir = opendir(".");
	ASSERT_NE(NULL, dir);
	for (;;) {
		long at = telldir(dir);

		entry = readdir(dir);
		if (!entry)
			break;
		ASSERT_LT(n, N + 2);
		position[n] = at;
		snprintf(name[n++], sizeof(name[0]), "%.31s", entry->d_name);
	}
	ASSERT_EQ(N + 2, n);
	/* In an order of no use to the file system. */
	for (int i = 0; i < n; i++) {
		int k = i * 251 % n;

		seekdir(dir, position[k]);
		entry = readdir(dir);
		ASSERT_NE(NULL, entry);
		EXPECT_STREQ(name[k], entry->d_name);
	}
	rewinddir(dir);
	entry = readdir(dir);
	ASSERT_NE(NULL, entry);
	EXPECT_STREQ(name[0], entry->d_name);
	closedir(dir);
}

TEST_F(fs, changes_while_reading)
{
	enum { N = 2000 };
	static uint8_t seen[N];
	struct dirent *entry;
	int read = 0, i;
	DIR *dir;

	for (i = 0; i < N; i++) {
		ASSERT_OK(touch("f%d", i));
	}
	dir = opendir(".");
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		i = number(entry->d_name);
		if (i < 0)
			continue;
		if (i < N)
			seen[i]++;
		/*
		 * Odd ones go as they are seen, and as many new ones come: what was
		 * there from the beginning to the end is seen exactly once.
		 */
		if (i < N && i % 2) {
			ASSERT_OK(removed("f%d", i));
		}
		if (read++ < N) {
			ASSERT_OK(touch("g%d", read));
		}
	}
	for (i = 0; i < N; i++) {
		EXPECT_EQ(1, seen[i]) TH_LOG("f%d", i);
	}
	closedir(dir);
}

TEST_F(fs, position_of_an_entry_that_is_gone)
{
	enum { N = 300 };
	struct dirent *entry;
	int before = 0, after = 0, first_after = -1;
	long middle;
	DIR *dir;

	for (int i = 0; i < N; i++) {
		ASSERT_OK(touch("f%d", i));
	}
	dir = opendir(".");
	ASSERT_NE(NULL, dir);
	while (before < N / 2) {
		entry = readdir(dir);
		ASSERT_NE(NULL, entry);
		before += number(entry->d_name) >= 0;
	}
	middle = telldir(dir);
	while ((entry = readdir(dir))) {
		if (after++ == 0)
			first_after = number(entry->d_name);
	}
	EXPECT_EQ(N - N / 2, after);
	ASSERT_OK(removed("f%d", first_after));
	seekdir(dir, middle);
	while (readdir(dir))
		after--;
	EXPECT_EQ(1, after);
	closedir(dir);
}

TEST_F(fs, removed_directory_reads_empty)
{
	DIR *dir;
	struct dirent *entry;

	ASSERT_OK(mkdir("d", 0755));
	dir = opendir("d");
	ASSERT_NE(NULL, dir);
	ASSERT_OK(rmdir("d"));
	while ((entry = readdir(dir))) {
		EXPECT_EQ('.', entry->d_name[0]);
	}
	closedir(dir);
}

TEST_HARNESS_MAIN
