// SPDX-License-Identifier: GPL-2.0
/*
 * The race of the copy-on-write protocol as a storm: many processes write to
 * neighbouring blocks of clones by every interface, while others clone, dedupe,
 * truncate, punch, read and sync. The ledger knows what every block must hold.
 *
 * STORM_OPS operations (4000) by STORM_PROCS processes (10), seed STORM_SEED.
 * Files 0 to 3 are written directly, 4 and 5 through the page cache: a file that
 * is written both ways at once has no defined content on any file system.
 */
#include <libaio.h>
#include <liburing.h>
#include <sched.h>

#include "ledger.h"
#include "selftest.h"
#include "stamp.h"

#define DIRECT_SLOTS	4
#define WINDOW		32	/* blocks of the default CoW extent size */
#define DEPTH		8

static size_t blk;
static uint64_t operations = 4000, seed;
static int processes = 10;

/* One process. */
static struct actor {
	int id;
	uint64_t random;
	int direct[SLOTS], dsync[SLOTS], buffered[SLOTS];
	char *map[SLOTS];
	char *buf;		/* a whole file */
} me;

static uint32_t any(uint32_t n)
{
	uint64_t z = me.random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z >> 33) % n;
}

/* Mostly short ranges, close to each other in a few windows. */
static void range(int *first, int *n)
{
	uint32_t kind = any(20);

	*n = 1 + any(kind < 14 ? 8 : kind < 19 ? 64 : 256);
	*first = any(3) ? (any(4) * 3 * WINDOW + any(2 * WINDOW)) % BLOCKS : any(BLOCKS);
	if (*first + *n > BLOCKS)
		*n = BLOCKS - *first;
}

static void stamp_all(char *buf, int first, int n, uint64_t seq)
{
	for (int i = 0; i < n; i++)
		stamp_make(buf + i * blk, blk, me.id, seq, (off_t)(first + i) * blk);
}

static bool io(const char *what, ssize_t result, ssize_t wanted)
{
	if (result == wanted)
		return true;
	ledger_fail("%s: %zd instead of %zd (%s)", what, result, wanted,
		    strerror(result < 0 ? errno : 0));
	return false;
}

/* Read claimed blocks and check them. */
static bool read_back(int slot, int first, int n, int how)
{
	static const char *const names[] = { "read directly", "read buffered", "mapped" };
	const off_t at = (off_t)first * blk;

	if (how == 2)
		return ledger_check(slot, first, n, me.map[slot] + at, names[how]);
	return io(names[how], pread(how ? me.buffered[slot] : me.direct[slot],
				    me.buf, n * blk, at), n * blk) &&
	       ledger_check(slot, first, n, me.buf, names[how]);
}

/* A write by pwrite(2) or a store, of claimed blocks. */
static bool write_sync(int slot, int fd, bool stored)
{
	int first, n;
	uint64_t seq;
	bool good = true;

	range(&first, &n);
	n = ledger_try(slot, first, n);
	if (!n)
		return true;
	seq = ledger_next();
	stamp_all(me.buf, first, n, seq);
	if (stored)
		memcpy(me.map[slot] + first * blk, me.buf, n * blk);
	else
		good = io("write", pwrite(fd, me.buf, n * blk, first * blk), n * blk);
	if (good)
		ledger_enter(slot, first, n, seq);
	if (good && any(4) == 0)
		good = read_back(slot, first, n, slot < DIRECT_SLOTS ? any(3) : 1 + any(2));
	ledger_release(slot, first, n);
	return good;
}

static bool act_pwrite(void)
{
	int slot = any(DIRECT_SLOTS);

	return write_sync(slot, me.direct[slot], false);
}

static bool act_dsync(void)
{
	int slot = any(DIRECT_SLOTS);

	return write_sync(slot, me.dsync[slot], false);
}

static bool act_buffered(void)
{
	int slot = DIRECT_SLOTS + any(SLOTS - DIRECT_SLOTS);

	if (any(16) == 0 && !io("fsync", fsync(me.buffered[slot]), 0))
		return false;
	return write_sync(slot, me.buffered[slot], false);
}

static bool act_mapped(void)
{
	int slot = DIRECT_SLOTS + any(SLOTS - DIRECT_SLOTS);

	if (any(16) == 0 && !io("msync", msync(me.map[slot], BLOCKS * blk, MS_SYNC), 0))
		return false;
	return write_sync(slot, -1, true);
}

/* Writes in flight, by AIO or io_uring. */
static struct flight {
	int slot, first, n;
	uint64_t seq;
	char *buf;
	struct iocb cb;
} flights[DEPTH];
static io_context_t aio;
static struct io_uring ring;

static bool land(struct flight *f, ssize_t result)
{
	errno = result < 0 ? -result : 0;
	bool good = io("asynchronous write", result, f->n * blk);

	if (good)
		ledger_enter(f->slot, f->first, f->n, f->seq);
	if (good && any(4) == 0)
		good = read_back(f->slot, f->first, f->n, any(3));
	ledger_release(f->slot, f->first, f->n);
	f->n = 0;
	return good;
}

/* Take in what has completed, at least one if told to wait. */
static bool reap(bool by_aio, bool wait)
{
	struct io_uring_cqe *cqe;
	struct timespec none = { 0 };
	struct io_event event;
	bool good = true;

	if (by_aio) {
		while (good && io_getevents(aio, wait, 1, &event, wait ? NULL : &none) == 1) {
			wait = false;
			good = land(event.data, (long)event.res);
		}
		return good;
	}
	while (good && (wait ? io_uring_wait_cqe(&ring, &cqe) : io_uring_peek_cqe(&ring, &cqe)) == 0) {
		struct flight *f = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&ring, cqe);
		wait = false;
		good = land(f, result);
	}
	return good;
}

static bool take_off(bool by_aio, struct flight *f)
{
	struct iocb *list = &f->cb;
	int n;

	f->slot = any(DIRECT_SLOTS);
	range(&f->first, &n);
	n = ledger_try(f->slot, f->first, n);
	if (!n)
		return true;
	f->n = n;
	f->seq = ledger_next();
	if (!f->buf)
		f->buf = aligned(256 * blk);
	stamp_all(f->buf, f->first, n, f->seq);
	if (by_aio) {
		io_prep_pwrite(&f->cb, me.direct[f->slot], f->buf, n * blk, f->first * blk);
		f->cb.data = f;
		return io("io_submit", io_submit(aio, 1, &list), 1);
	}
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_write(sqe, me.direct[f->slot], f->buf, n * blk, f->first * blk);
	io_uring_sqe_set_data(sqe, f);
	return io("io_uring_submit", io_uring_submit(&ring), 1);
}

static bool keep_flying(bool by_aio)
{
	bool flying = false;

	for (int i = 0; i < DEPTH; i++) {
		if (!flights[i].n)
			return take_off(by_aio, &flights[i]) && reap(by_aio, false);
		flying = true;
	}
	return reap(by_aio, flying);
}

static bool act_aio(void) { return keep_flying(true); }
static bool act_uring(void) { return keep_flying(false); }

/* In the order of the files, lest two wait for each other. */
static bool claim_both(int a, int b, int first, int n)
{
	const int low = a < b ? a : b, high = a < b ? b : a;

	if (!ledger_claim(low, first, n))
		return false;
	if (low == high || ledger_claim(high, first, n))
		return true;
	ledger_release(low, first, n);
	return false;
}

/*
 * Blocks of a file that is written directly are good or old, but never torn; those
 * that are stored to through a mapping may be caught half done.
 */
static bool is_whole(int slot)
{
	return slot < DIRECT_SLOTS;
}

/* A new file that then goes away. Its source may be written all the while. */
static bool clone_new(int src)
{
	static struct glance before[BLOCKS];
	char name[32];
	ssize_t got;
	bool good;
	int fd, n;

	snprintf(name, sizeof(name), "copy-%d", me.id);
	fd = open(name, O_CREAT | O_RDWR | O_EXCL, 0644);
	ledger_glance(src, 0, BLOCKS, before);
	good = io("open", fd < 0, 0) && io("FICLONE", clone_file(fd, me.direct[src]), 0);
	got = pread(fd, me.buf, BLOCKS * blk, 0);
	n = got < 0 ? 0 : got / blk;
	/* Shorter, if the source was just being truncated. */
	if (good && (n == BLOCKS || !ledger_touched(src, n, BLOCKS - n, before)))
		good = io("reading a new clone", got, BLOCKS * blk);
	good = good && ledger_compare(src, 0, n, me.buf, before, is_whole(src), "in a new clone");
	good = io("unlink", unlink(name), 0) && good;
	close(fd);
	return good;
}

/* Claimed blocks of one file become those of another. */
static bool clone_over(int src, int dst, int first, int n)
{
	const int to = dst < DIRECT_SLOTS ? me.direct[dst] : me.buffered[dst];
	static struct glance before[BLOCKS];
	int ret;

	ledger_glance(src, first, n, before);
	if (n == BLOCKS) {
		ret = clone_file(me.direct[dst], me.direct[src]);
	} else {
		ret = clone_range(me.direct[dst], first * blk, me.direct[src], first * blk, n * blk);
		/* There may be nothing, if the source was just being truncated. */
		if (ret && errno == EINVAL && ledger_touched(src, first, n, before))
			return true;
	}
	return io("FICLONE", ret, 0) &&
	       io("read", pread(to, me.buf, n * blk, first * blk), n * blk) &&
	       (is_whole(src) ? ledger_compare(src, first, n, me.buf, before, true, "in a clone")
			      : ledger_check(src, first, n, me.buf, "in a clone")) &&
	       ledger_adopt(dst, first, n, me.buf);
}

/* Mostly the same: find that out, or the difference. */
static bool dedupe(int src, int dst, int first, int n)
{
	static struct glance before[2][BLOCKS];
	int status;

	ledger_glance(src, first, n, before[0]);
	ledger_glance(dst, first, n, before[1]);
	status = dedupe_range(me.direct[dst], first * blk, me.direct[src], first * blk, n * blk, NULL);
	if (status == -EINVAL && (ledger_touched(src, first, n, before[0]) ||
				  ledger_touched(dst, first, n, before[1])))
		return true;
	errno = status < 0 ? -status : 0;
	return io("FIDEDUPERANGE", status < 0 ? status : 0, 0);
}

static bool act_clone(void)
{
	int src = any(SLOTS), dst = any(SLOTS), first = 0, n = BLOCKS, kind = any(4);
	bool good;

	if (kind == 0)
		return clone_new(src);
	if (src == dst)
		return true;
	/* Whole files now and then only: everybody waits for one. */
	if (kind > 1)
		range(&first, &n);
	if (!claim_both(is_whole(src) ? dst : src, dst, first, n))
		return true;
	good = clone_over(src, dst, first, n);
	ledger_release(dst, first, n);
	if (!is_whole(src))
		ledger_release(src, first, n);
	return good && (any(2) || dedupe(src, dst, first, n));
}

static bool act_truncate(void)
{
	int slot = any(SLOTS), first, n;
	bool good;

	if (any(4)) {
		range(&first, &n);
		n = ledger_try(slot, first, n);
		if (!n)
			return true;
		good = fallocate(me.buffered[slot], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 first * blk, n * blk) == 0;
		if (!good && errno == EOPNOTSUPP) {
			ledger_release(slot, first, n);
			return true;
		}
		good = io("punch", good, 1);
	} else {
		first = any(BLOCKS);
		n = BLOCKS - first;
		if (!ledger_claim(slot, first, n))
			return true;
		good = io("truncate", ftruncate(me.buffered[slot], first * blk), 0) &&
		       io("truncate", ftruncate(me.buffered[slot], BLOCKS * blk), 0);
	}
	if (good)
		ledger_enter(slot, first, n, 0);
	good = good && read_back(slot, first, n, any(3));
	ledger_release(slot, first, n);
	return good;
}

static bool act_read(void)
{
	static struct glance before[BLOCKS];
	int slot = any(SLOTS), first, n, how = any(3);
	ssize_t got;
	bool good;

	range(&first, &n);
	if (any(40) == 0)
		return io("syncfs", syncfs(me.direct[slot]), 0);
	if (any(2)) {
		n = ledger_try(slot, first, n);
		good = !n || read_back(slot, first, n, how);
		ledger_release(slot, first, n);
		return good;
	}
	/* Without a claim, and not through a mapping, which truncation may cut. */
	ledger_glance(slot, first, n, before);
	got = pread(how ? me.buffered[slot] : me.direct[slot], me.buf, n * blk, first * blk);
	if (got < 0)
		return io("read", got, 0);
	return ledger_compare(slot, first, got / blk, me.buf, before, false, "read unclaimed");
}

static const struct {
	const char *name;
	bool (*act)(void);
} acts[] = {
	{ "pwrite", act_pwrite }, { "aio", act_aio }, { "io_uring", act_uring },
	{ "clone", act_clone }, { "dsync", act_dsync }, { "buffered", act_buffered },
	{ "truncate", act_truncate }, { "read", act_read }, { "mapped", act_mapped },
	{ "aio 2", act_aio },
};

static bool open_all(void)
{
	bool good = true;

	for (int slot = 0; slot < SLOTS; slot++) {
		char name[16];

		snprintf(name, sizeof(name), "file%d", slot);
		me.direct[slot] = open(name, O_RDWR | O_DIRECT);
		me.dsync[slot] = open(name, O_RDWR | O_DIRECT | O_DSYNC);
		me.buffered[slot] = open(name, O_RDWR);
		me.map[slot] = mmap(NULL, BLOCKS * blk, PROT_READ | PROT_WRITE, MAP_SHARED,
				    me.buffered[slot], 0);
		good = good && me.direct[slot] >= 0 && me.dsync[slot] >= 0 &&
		       me.buffered[slot] >= 0 && me.map[slot] != MAP_FAILED;
	}
	me.buf = aligned(BLOCKS * blk);
	aio = NULL;
	return good && io_setup(DEPTH, &aio) == 0 &&
	       io_uring_queue_init(DEPTH, &ring, 0) == 0;
}

static void close_all(void)
{
	for (int slot = 0; slot < SLOTS; slot++) {
		munmap(me.map[slot], BLOCKS * blk);
		close(me.direct[slot]);
		close(me.dsync[slot]);
		close(me.buffered[slot]);
	}
	io_destroy(aio);
	io_uring_queue_exit(&ring);
	free(me.buf);
}

static void play(int id)
{
	const int role = id % (int)ARRAY_SIZE(acts);
	uint64_t count = 0;

	me.id = id;
	me.random = seed * 1000 + id;
	if (!open_all())
		ledger_fail("process %d: %s", id, strerror(errno));
	while (ledger_count(operations)) {
		if (!acts[role].act()) {
			ledger_fail("... seen by process %d (%s)", id, acts[role].name);
			break;
		}
		count++;
	}
	for (int i = 0; i < DEPTH; i++)
		while (flights[i].n && reap(acts[role].act == act_aio, true))
			;
	ksft_print_msg("process %d (%s): %lu operations\n", id, acts[role].name, count);
	fflush(stdout);
	_exit(ledger_failed());
}

/* All of all files, with nobody else at work. */
static bool check_all(const char *how)
{
	bool good = true;

	for (int slot = 0; slot < SLOTS; slot++) {
		for (int fd = 0; fd < 2; fd++) {
			int from = fd ? me.direct[slot] : me.buffered[slot];

			good = io(how, pread(from, me.buf, BLOCKS * blk, 0), BLOCKS * blk) &&
			       ledger_check(slot, 0, BLOCKS, me.buf, how) && good;
		}
	}
	return good;
}

TEST(cow_storm)
{
	struct statvfs st;
	bool good = true;

	ASSERT_OK(chdir(getenv("TEST_DIR")));
	ASSERT_OK(statvfs(".", &st));
	blk = st.f_bsize;
	ledger_create(blk);
	ksft_print_msg("STORM_OPS=%lu STORM_PROCS=%d STORM_SEED=%lu\n", operations, processes, seed);

	/* One file written, the others its clones. */
	for (int slot = 0; slot < SLOTS; slot++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "file%d", slot);
		fd = open(name, O_CREAT | O_RDWR, 0644);
		ASSERT_OK(fd);
		ASSERT_OK(ftruncate(fd, BLOCKS * blk));
		close(fd);
	}
	ASSERT_TRUE(open_all());
	uint64_t first = ledger_next();

	stamp_all(me.buf, 0, BLOCKS, first);
	ASSERT_EQ((ssize_t)(BLOCKS * blk), pwrite(me.direct[0], me.buf, BLOCKS * blk, 0));
	for (int slot = 0; slot < SLOTS; slot++) {
		if (slot) {
			ASSERT_OK(clone_file(me.direct[slot], me.direct[0]));
		}
		ledger_enter(slot, 0, BLOCKS, first);
	}

	for (int id = 1; id <= processes; id++) {
		if (fork() == 0)
			play(id);
	}
	for (int id = 1; id <= processes; id++) {
		int status = -1;

		ASSERT_LT(0, wait(&status));
		good = good && status == 0;
	}
	EXPECT_TRUE(good);
	EXPECT_TRUE(check_all("after the storm"));
	close_all();
	ASSERT_OK(chdir("/"));
	ASSERT_EQ(0, remount_test_dir());
	ASSERT_OK(chdir(getenv("TEST_DIR")));
	ASSERT_TRUE(open_all());
	EXPECT_TRUE(check_all("after a new mount"));
	close_all();
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	operations = setting("STORM_OPS", operations);
	processes = setting("STORM_PROCS", processes);
	seed = setting("STORM_SEED", time(NULL) % 1000000);
	return test_harness_run(argc, argv);
}
