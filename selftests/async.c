// SPDX-License-Identifier: GPL-2.0
/*
 * Asynchronous direct I/O by Linux AIO and io_uring, and RWF_NOWAIT.
 */
#include "dm.h"
#include "fixture.h"
#include "writer.h"

static bool done(void *arg)
{
	return writer_done(arg);
}

static void many_in_flight(struct __test_metadata *_metadata, off_t b, enum interface interface,
			   int flags)
{
	enum { N = 24 };
	static struct writer w[N];
	int src = make_file("src", 1, 128 * b), fd = open("f", O_CREAT | O_RDWR | flags, 0644);

	ASSERT_OK(src);
	ASSERT_OK(clone_file(fd, src));
	/* Shared blocks, private ones (the second round), and the file growing. */
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			off_t at = (i * 11 % N) * 8 * b;

			ASSERT_EQ(0, writer_start(&w[i], interface, fd, 100 * round + i, at,
						  (1 + i % 8) * b));
		}
		for (int i = 0; i < N; i++) {
			ASSERT_TRUE(eventually(done, &w[i]));
			EXPECT_EQ((ssize_t)w[i].len, w[i].result);
			EXPECT_TRUE(holds(fd, 100 * round + i, w[i].at, w[i].len));
			writer_end(&w[i]);
		}
	}
	drop_caches();
	for (int i = 0; i < N; i++) {
		EXPECT_TRUE(holds(fd, 200 + i, w[i].at, w[i].len));
	}
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, 128 * b));
	close(src);
	close(fd);
}

TEST_F(fs, aio)
{
	many_in_flight(_metadata, self->blk, BY_AIO, O_DIRECT);
}

TEST_F(fs, io_uring)
{
	many_in_flight(_metadata, self->blk, BY_URING, O_DIRECT);
}

TEST_F(fs, threads)
{
	many_in_flight(_metadata, self->blk, BY_PWRITE, O_DIRECT);
}

TEST_F(fs, aio_synchronised)
{
	many_in_flight(_metadata, self->blk, BY_AIO, O_DIRECT | O_DSYNC);
}

TEST_F(fs, io_uring_buffered)
{
	many_in_flight(_metadata, self->blk, BY_URING, 0);
}

TEST_F(fs, io_uring_fsync_and_read)
{
	const off_t b = self->blk;
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	char *out = aligned(8 * b), *in = aligned(8 * b);
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;

	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	fill(out, 8 * b, 1, 0);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_write(sqe, fd, out, 8 * b, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_fsync(sqe, fd, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read(sqe, fd, in, 8 * b, 0);
	ASSERT_EQ(3, io_uring_submit(&ring));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, io_uring_wait_cqe(&ring, &cqe));
		EXPECT_EQ(i == 1 ? 0 : 8 * b, cqe->res);
		io_uring_cqe_seen(&ring, cqe);
	}
	EXPECT_EQ(-1, mismatch(in, 8 * b, 1, 0));
	io_uring_queue_exit(&ring);
	close(fd);
}

struct in_place {
	int fd;
	struct iovec vec;
	off_t at;
};

/*
 * In place nothing needs to wait, unless the time of modification has to change;
 * so change it, and try at once.
 */
static bool written_in_place(void *arg)
{
	struct in_place *p = arg;

	return pwrite(p->fd, p->vec.iov_base, p->vec.iov_len, p->at) > 0 &&
	       pwritev2(p->fd, &p->vec, 1, p->at, RWF_NOWAIT) == (ssize_t)p->vec.iov_len;
}

TEST_F(fs, nowait)
{
	const off_t b = self->blk;
	int src = make_file("src", 1, 16 * b), fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	char *buf = aligned(4 * b);
	struct iovec vec = { buf, 4 * b };
	ssize_t n;

	ASSERT_OK(clone_file(fd, src));
	/*
	 * Such a write is done whole or as far as it goes, or says that it would have
	 * to wait, and then has changed nothing.
	 */
	for (int i = 0; i < 8; i++) {
		fill(buf, 4 * b, 2 + i, 4 * b);
		n = pwritev2(fd, &vec, 1, 4 * b, RWF_NOWAIT);
		if (n < 0) {
			ASSERT_EQ(EAGAIN, errno);
			n = 0;
		}
		EXPECT_TRUE(holds(fd, 2 + i, 4 * b, n));
		EXPECT_TRUE(holds(fd, i ? 1 + i : 1, 4 * b + n, 4 * b - n));
		/* Then wait. The next one finds the blocks private. */
		ASSERT_OK(put(fd, 2 + i, 4 * b, 4 * b));
	}
	fill(buf, 4 * b, 20, 4 * b);
	struct in_place in_place = { fd, vec, 4 * b };

	EXPECT_TRUE(eventually(written_in_place, &in_place));
	memset(buf, 0, 4 * b);
	EXPECT_EQ(4 * b, preadv2(fd, &vec, 1, 4 * b, RWF_NOWAIT))
		TH_LOG("reading: %s", strerror(errno));
	EXPECT_EQ(-1, mismatch(buf, 4 * b, 20, 4 * b));
	EXPECT_TRUE(holds_by_all_ways("f", 1, 8 * b, 8 * b));
	EXPECT_TRUE(holds_by_all_ways("src", 1, 0, 16 * b));
	close(src);
	close(fd);
}

/* A file whose first block is its own, the second shared with another. */
static int half_shared(off_t b)
{
	int src = make_file("src", 1, 16 * b), fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);

	if (src < 0 || clone_file(fd, src) || put(fd, 2, 0, b) || fsync(fd)) {
		close(fd);
		fd = -1;
	}
	close(src);
	return fd;
}

/* Where only a part can be done without waiting, nothing is. */
TEST_F(fs, nowait_half_in_place)
{
	const off_t b = self->blk;
	char *buf = aligned(2 * b);
	struct iovec vec = { buf, 2 * b };
	int fd = half_shared(b);

	ASSERT_OK(fd);
	fill(buf, 2 * b, 3, 0);
	EXPECT_ERRNO(EAGAIN, pwritev2(fd, &vec, 1, 0, RWF_NOWAIT));
	EXPECT_TRUE(holds_by_all_ways("f", 2, 0, b));
	EXPECT_TRUE(holds_by_all_ways("f", 1, b, b));
	free(buf);
	close(fd);
}

/* A write of parts of blocks, of which only the first is the file's own. */
TEST_F(fs, parts_of_blocks_half_in_place)
{
	const off_t b = self->blk;

	for (int i = 0; i < 2; i++) {
		struct writer w;
		int fd = half_shared(b);

		ASSERT_OK(fd);
		ASSERT_EQ(0, writer_start(&w, i ? BY_URING : BY_AIO, fd, 3, 512, b));
		ASSERT_TRUE(eventually(done, &w));
		EXPECT_EQ(b, w.result);
		writer_end(&w);
		close(fd);
		EXPECT_TRUE(holds_by_all_ways("f", 2, 0, 512));
		EXPECT_TRUE(holds_by_all_ways("f", 3, 512, b));
		EXPECT_TRUE(holds_by_all_ways("f", 1, 512 + b, b - 512));
		ASSERT_OK(unlink("f"));
		ASSERT_OK(unlink("src"));
	}
}

/* Let writes wait below the file system, but not reads. */
static int slow_writes(void)
{
	struct dm_target t = { .sectors = dm_sectors(), .type = "delay" };

	snprintf(t.params, sizeof(t.params), "%s 0 0 %s 0 3600000", dm_number(NULL), dm_number(NULL));
	return dm_load("scratch", &t, 1);
}

static bool submitted(void *arg)
{
	return writer_submitted(arg);
}

static bool done_or_waits(void *arg)
{
	struct writer *w = arg;
	char path[64], text[256], *state;
	FILE *f;

	if (writer_done(w))
		return true;
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)w->tid);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f))
		text[0] = 0;
	if (f)
		fclose(f);
	state = strrchr(text, ')');
	return state && state[1] && state[2] == 'D';
}

/*
 * A sector is being written. A write that goes through the page cache does not bring back
 * what was in the block before.
 */
TEST_F(fs, sector_beside_a_write_through_the_cache)
{
	const off_t b = self->blk;
	struct writer one, other;
	int fd = half_shared(b);

	ASSERT_OK(fd);
	ASSERT_EQ(0, slow_writes());
	ASSERT_EQ(0, writer_start(&one, BY_AIO, fd, 3, 0, 512));
	EXPECT_TRUE(eventually(submitted, &one));
	ASSERT_EQ(0, writer_start(&other, BY_PWRITE, fd, 4, b - 512, 1024));
	EXPECT_TRUE(eventually(done_or_waits, &other));
	struct dm_target t = dm_linear(0, dm_sectors(), NULL);
	ASSERT_EQ(0, dm_load("scratch", &t, 1));
	EXPECT_TRUE(eventually(done, &one));
	EXPECT_TRUE(eventually(done, &other));
	EXPECT_EQ(512, one.result);
	EXPECT_EQ(1024, other.result);
	writer_end(&one);
	writer_end(&other);
	EXPECT_OK(fsync(fd));
	EXPECT_TRUE(holds_by_all_ways("f", 3, 0, 512));
	EXPECT_TRUE(holds_by_all_ways("f", 2, 512, b - 1024));
	EXPECT_TRUE(holds_by_all_ways("f", 4, b - 512, 1024));
	close(fd);
}

TEST_F(fs, nowait_buffered)
{
	const off_t b = self->blk;
	int fd = make_file("f", 1, 16 * b);
	char *buf = aligned(4 * b);
	struct iovec vec = { buf, 4 * b };
	ssize_t n;

	ASSERT_OK(fd);
	drop_pages(fd);
	n = preadv2(fd, &vec, 1, 0, RWF_NOWAIT);
	if (n < 0) {
		EXPECT_EQ(EAGAIN, errno);
		n = 0;
	}
	EXPECT_EQ(-1, mismatch(buf, n, 1, 0));
	EXPECT_TRUE(holds(fd, 1, 0, 4 * b));
	EXPECT_EQ(4 * b, preadv2(fd, &vec, 1, 0, RWF_NOWAIT));
	EXPECT_EQ(-1, mismatch(buf, 4 * b, 1, 0));
	close(fd);
}

TEST_HARNESS_MAIN
