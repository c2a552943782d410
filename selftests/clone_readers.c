// SPDX-License-Identifier: GPL-2.0
/*
 * A file can be read while a clone of it is made, and not be written. The clone
 * is held up where it takes old contents out of its target: the metadata of the
 * target is not in memory, and the device does not deliver it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "dm.h"
#include "hold.h"
#include "selftest.h"

enum { DATA = 64, HOLE = 64, EXTENTS = 60 };	/* blocks, blocks, extents of the target */

/* Something done by another thread. */
struct task {
	int (*run)(struct task *);
	int src, dst;
	off_t at, len;
	int result;
	atomic_int tid;
	atomic_bool done;
	pthread_t thread;
};

static void *task_main(void *arg)
{
	struct task *t = arg;

	atomic_store(&t->tid, (int)syscall(SYS_gettid));
	t->result = t->run(t);
	atomic_store(&t->done, true);
	return NULL;
}

static int start(struct task *t)
{
	return pthread_create(&t->thread, NULL, task_main, t);
}

static bool is_done(void *arg)
{
	return atomic_load(&((struct task *)arg)->done);
}

/* Does it wait for I/O or a lock? */
static bool waits(void *arg)
{
	int tid = atomic_load(&((struct task *)arg)->tid);
	char path[64], state = 0;
	FILE *f;

	if (!tid)
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'D';
}

static bool metadata_is_read(void *arg)
{
	(void)arg;
	return disk_stat("scratch").reads_in_flight > 0;
}

static int do_clone(struct task *t)
{
	return clone_file(t->dst, t->src);
}

static int do_read(struct task *t)
{
	return holds_zeros(t->src, t->at, t->len) ? 0 : -1;
}

static int do_write(struct task *t)
{
	return put(t->src, 2, t->at, t->len);
}

FIXTURE(held) {
	off_t blk;
	int src, buffered, dst, copy;
	struct task clone;
};

FIXTURE_SETUP(held)
{
	const char *top = getenv("TEST_DIR");
	struct fiemap_extent extent;
	struct statvfs st;
	char path[256];

	ASSERT_NE(NULL, top) TH_LOG("TEST_DIR is not set: start me with selftests/run");
	ASSERT_OK(chdir(top));
	ASSERT_OK(mkdir(_metadata->name, 0755));
	ASSERT_OK(chdir(_metadata->name));
	ASSERT_OK(statvfs(".", &st));
	self->blk = st.f_bsize;
	const off_t b = self->blk;

	/* The source begins with data and ends with a hole, which can be read with the device held. */
	self->src = make_file("src", 1, DATA * b);
	ASSERT_OK(self->src);
	ASSERT_OK(ftruncate(self->src, (DATA + HOLE) * b));
	ASSERT_OK(fsync(self->src));
	close(self->src);
	/* The target has more extents than its inode has room for. */
	self->dst = open("dst", O_CREAT | O_RDWR | O_DIRECT, 0644);
	for (int i = 0; i < EXTENTS; i++) {
		ASSERT_OK(put(self->dst, 3, 2 * i * b, b));
	}
	ASSERT_OK(fsync(self->dst));
	close(self->dst);
	ASSERT_OK(chdir("/"));
	ASSERT_OK(remount_test_dir());
	snprintf(path, sizeof(path), "%s/%s", top, _metadata->name);
	ASSERT_OK(chdir(path));
	self->src = open("src", O_RDWR | O_DIRECT);
	self->buffered = open("src", O_RDWR);
	self->dst = open("dst", O_RDWR);
	self->copy = open("dst", O_RDWR | O_DIRECT);
	ASSERT_OK(self->src);
	ASSERT_OK(self->dst);

	/* The first write since the mount takes the lock alone, as it may have to drop set-user-id bits. */
	ASSERT_OK(put(self->src, 1, 0, b));
	/* The source's data is the area, all else the rest; what the clone needs of it is held. */
	ASSERT_TRUE(extent_at(self->src, 0, &extent));
	ASSERT_OK(hold_create());
	ASSERT_OK(hold_place(extent.fe_physical, DATA * b));
	/* Access times and what else there is to write are written. */
	sync();
	ASSERT_OK(dm_suspend("rest"));
	self->clone = (struct task){ .run = do_clone, .src = self->src, .dst = self->dst };
	ASSERT_EQ(0, start(&self->clone));
	ASSERT_TRUE(eventually(metadata_is_read, NULL));
	ASSERT_FALSE(is_done(&self->clone));
}

FIXTURE_TEARDOWN(held)
{
	EXPECT_OK(hold_remove());
	close(self->src);
	close(self->buffered);
	close(self->dst);
	close(self->copy);
}

TEST_F(held, reads_get_through)
{
	const off_t b = self->blk;
	struct task direct = { .run = do_read, .src = self->src, .at = DATA * b, .len = HOLE * b };
	struct task buffered = { .run = do_read, .src = self->buffered, .at = DATA * b, .len = HOLE * b };

	ASSERT_EQ(0, start(&direct));
	EXPECT_TRUE(eventually(is_done, &direct));
	ASSERT_EQ(0, start(&buffered));
	EXPECT_TRUE(eventually(is_done, &buffered));
	EXPECT_FALSE(is_done(&self->clone));

	ASSERT_OK(dm_resume("rest"));
	pthread_join(direct.thread, NULL);
	pthread_join(buffered.thread, NULL);
	pthread_join(self->clone.thread, NULL);
	EXPECT_EQ(0, direct.result);
	EXPECT_EQ(0, buffered.result);
	EXPECT_EQ(0, self->clone.result);
	EXPECT_TRUE(holds(self->copy, 1, 0, DATA * b));
	EXPECT_TRUE(holds_zeros(self->copy, DATA * b, HOLE * b));
}

TEST_F(held, direct_writes_wait)
{
	const off_t b = self->blk;
	struct task write = { .run = do_write, .src = self->src, .at = 0, .len = b };

	/* Were it let through, it would be on its way to the block that the clone is to share. */
	ASSERT_OK(dm_suspend("area"));
	ASSERT_EQ(0, start(&write));
	ASSERT_TRUE(eventually(waits, &write));
	ASSERT_OK(dm_resume("rest"));
	ASSERT_TRUE(eventually(is_done, &self->clone));
	ASSERT_OK(dm_resume("area"));
	pthread_join(self->clone.thread, NULL);
	pthread_join(write.thread, NULL);
	EXPECT_EQ(0, self->clone.result);
	EXPECT_EQ(0, write.result);
	EXPECT_TRUE(holds(self->src, 2, 0, b));
	EXPECT_TRUE(holds(self->copy, 1, 0, DATA * b));
}

TEST_HARNESS_MAIN
