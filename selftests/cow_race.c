// SPDX-License-Identifier: GPL-2.0
/*
 * The race of the copy-on-write protocol, made deterministic.
 *
 *	file offset    0       8       16      24      32      40      48
 *	writer 1                               |pppppppsssssss|
 *	writer 2                       |sssssss|
 *	                                               ^ window of the CoW extent size
 *
 * Writer 1 covers blocks that are private (p, written in place) and shared (s,
 * copied on write). Writer 2 copies shared blocks of the same window, for which
 * the file system stages the whole window: also blocks under the part that
 * writer 1 writes in place, and nobody ever writes those. If the completion of
 * writer 1 maps everything staged in its range, the file shows what the disk
 * held there before: poison, with which the runner filled it.
 *
 * Each test is one order of events, as a string of steps:
 *
 *	( )	hold and release what writer 1 writes in place
 *	[ ]	hold and release all other I/O
 *	A B	start writer 1; the others; and wait until all they can do is done
 *	a b	writer 1 has completed; the others have
 *	!	what is held of writer 1 fails, instead of )
 *
 * run in each of several layouts of the file and by three interfaces.
 */
#include "dm.h"
#include "hold.h"
#include "selftest.h"
#include "writer.h"

#define BLOCKS 64	/* two windows of the default CoW extent size */

enum { OLD = 10, WRITER = 20, LAST = 30 };	/* seeds */

struct range {
	int from, len;		/* blocks */
};

static const struct layout {
	const char *name;
	const char *map;	/* s shared, p private, - hole, for 8 blocks each */
	struct range held;	/* the private part of writer 1 */
	struct range writer[3];	/* writer 1, and one or two others */
} layouts[] = {
	{ "window border in writer 1", "ppspspps", { 24, 8 }, { { 24, 16 }, { 16, 8 } } },
	{ "all in one window", "spsppppp", { 8, 8 }, { { 8, 16 }, { 0, 8 } } },
	{ "private part behind", "pppspspp", { 32, 8 }, { { 24, 16 }, { 40, 8 } } },
	{ "neighbours on both sides", "spssssss", { 8, 8 }, { { 8, 16 }, { 0, 8 }, { 24, 8 } } },
	{ "writing a hole", "pp-p-ppp", { 24, 8 }, { { 24, 16 }, { 16, 8 } } },
	{ "writer 2 in the middle of a window", "sspsssps", { 16, 8 },
	  { { 8, 16 }, { 24, 2 }, { 30, 2 } } },
};

struct race {
	const struct layout *layout;
	off_t blk;
	int fd;
	enum interface interface;
	struct writer writer[3];
	int writers;
	bool area_held, rest_held;
	/* What the device above must count, for the last writer started. */
	struct disk_stat before;
	uint64_t want_sectors;
	bool any_held;
	struct writer *started;
	int failures;		/* of writer 1, as they were asked for */
};

/* All that the writer can do is done: the rest of it is held, or it is over. */
static bool settled(void *arg)
{
	struct race *r = arg;
	struct disk_stat now;

	if (writer_done(r->started))
		return true;
	if (!r->any_held || !writer_submitted(r->started))
		return false;
	now = disk_stat("scratch");
	return now.writes_in_flight > r->before.writes_in_flight &&
	       now.sectors_written >= r->before.sectors_written + r->want_sectors;
}

static bool done(void *arg)
{
	return writer_done(arg);
}

static bool start(struct race *r, int i)
{
	const struct range *range = &r->layout->writer[i];
	const uint64_t held = i == 0 ? r->layout->held.len : 0;

	r->before = disk_stat("scratch");
	r->any_held = (held && r->area_held) || r->rest_held;
	r->want_sectors = r->rest_held ? 0 : (range->len - held) * r->blk / 512;
	r->started = &r->writer[i];
	return writer_start(r->started, r->interface, r->fd, WRITER + i,
			    range->from * r->blk, range->len * r->blk) == 0 &&
	       eventually(settled, r);
}

/* Take one step; false if what it waits for did not happen. */
static bool step(struct race *r, char action)
{
	bool good = true;

	switch (action) {
	case '(':
		r->area_held = true;
		return dm_suspend("area") == 0;
	case ')':
		r->area_held = false;
		return dm_resume("area") == 0;
	case '!':
		r->area_held = false;
		return hold_fail("area") == 0;
	case '[':
		r->rest_held = true;
		return dm_suspend("rest") == 0;
	case ']':
		r->rest_held = false;
		return dm_resume("rest") == 0;
	case 'A':
		return start(r, 0);
	case 'B':
		for (int i = 1; i < r->writers; i++)
			good = good && start(r, i);
		return good;
	case 'a':
		return eventually(done, &r->writer[0]);
	case 'b':
		for (int i = 1; i < r->writers; i++)
			good = good && eventually(done, &r->writer[i]);
		return good;
	}
	return false;
}

/*
 * The file as the layout says, and the clone that shares what is shared. What is
 * private has never been shared, so nothing is staged when the race begins.
 */
static bool prepare(struct race *r, const char *name, const char *clone)
{
	const off_t piece = 8 * r->blk;
	int source = open(clone, O_CREAT | O_RDWR | O_TRUNC, 0644);
	int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0644);
	bool good = source >= 0 && fd >= 0 && ftruncate(fd, BLOCKS * r->blk) == 0;

	for (int i = 0; i < BLOCKS / 8 && good; i++)
		if (r->layout->map[i] != '-')
			good = put(fd, OLD, i * piece, piece) == 0;
	good = good && fsync(fd) == 0;
	for (int i = 0; i < BLOCKS / 8 && good; i++)
		if (r->layout->map[i] == 's')
			good = clone_range(source, i * piece, fd, i * piece, piece) == 0;
	if (good)
		good = syncfs(fd) == 0;
	close(source);
	close(fd);
	return good;
}

/* What must be read of each block, after the writers that succeeded. */
static bool verify(struct race *r, int fd, bool first_failed)
{
	bool good = true;

	/* The first block that is wrong says enough. */
	for (int b = 0; b < BLOCKS && good; b++) {
		const off_t at = b * r->blk;
		bool hole = r->layout->map[b / 8] == '-', either = false;
		uint64_t seed = OLD;

		for (int i = 0; i < r->writers; i++) {
			const struct range *w = &r->layout->writer[i];

			if (b < w->from || b >= w->from + w->len)
				continue;
			if (i == 0 && first_failed) {
				/* In place: old. Elsewhere the failure decides nothing. */
				const struct range *h = &r->layout->held;

				either = b < h->from || b >= h->from + h->len;
			} else {
				seed = WRITER + i;
				hole = false;
			}
		}
		if (either) {
			char *buf = aligned(r->blk);

			if (pread(fd, buf, r->blk, at) == r->blk &&
			    mismatch(buf, r->blk, WRITER, at) < 0) {
				free(buf);
				continue;
			}
			free(buf);
		}
		if (!(hole ? holds_zeros(fd, at, r->blk) : holds(fd, seed, at, r->blk))) {
			printf("# ... which is block %d\n", b);
			good = false;
		}
	}
	return good;
}

static bool verify_by(struct race *r, const char *name, int flags, bool first_failed)
{
	int fd = open(name, O_RDONLY | flags);
	bool good = fd >= 0 && verify(r, fd, first_failed);

	if (!good)
		printf("# ... layout \"%s\", read %s\n", r->layout->name,
		       flags ? "directly" : "buffered");
	fflush(stdout);
	close(fd);
	return good;
}

static bool verify_clone(struct race *r, const char *clone)
{
	int fd = open(clone, O_RDONLY);
	bool good = fd >= 0;

	for (int i = 0; i < BLOCKS / 8 && good; i++)
		if (r->layout->map[i] == 's')
			good = holds(fd, OLD, i * 8 * r->blk, 8 * r->blk);
	close(fd);
	return good;
}

FIXTURE(cow_race) {
	struct race race;
};

FIXTURE_VARIANT(cow_race) {
	enum interface interface;
};

FIXTURE_VARIANT_ADD(cow_race, pwrite) { .interface = BY_PWRITE };
FIXTURE_VARIANT_ADD(cow_race, aio) { .interface = BY_AIO };
FIXTURE_VARIANT_ADD(cow_race, io_uring) { .interface = BY_URING };

FIXTURE_SETUP(cow_race)
{
	struct statvfs st;

	ASSERT_OK(chdir(getenv("TEST_DIR")));
	ASSERT_OK(statvfs(".", &st));
	self->race.blk = st.f_bsize;
	self->race.interface = variant->interface;
	ASSERT_EQ(0, hold_create());
}

FIXTURE_TEARDOWN(cow_race)
{
	EXPECT_EQ(0, hold_remove());
}

static void run_race(struct __test_metadata *_metadata, struct race *r,
		     const struct layout *layout, const char *order)
{
	const bool may_fail = strchr(order, '!');
	bool failed = false;
	const struct range *held = &layout->held;
	struct fiemap_extent extent;
	char name[80], clone[96];
	bool in_order = true;

	r->layout = layout;
	r->writers = layout->writer[2].len ? 3 : 2;
	snprintf(name, sizeof(name), "%s-%d-%d", _metadata->name, r->interface,
		 (int)(layout - layouts));
	snprintf(clone, sizeof(clone), "%s-clone", name);
	ASSERT_TRUE(prepare(r, name, clone));

	r->fd = open(name, O_RDWR | O_DIRECT);
	ASSERT_OK(r->fd);
	ASSERT_TRUE(extent_at(r->fd, held->from * r->blk, &extent));
	ASSERT_GE((off_t)(extent.fe_logical + extent.fe_length),
		  (held->from + held->len) * r->blk) TH_LOG("private part in pieces");
	ASSERT_EQ(0, extent.fe_flags & FIEMAP_EXTENT_SHARED);
	ASSERT_EQ(0, hold_place(extent.fe_physical + held->from * r->blk - extent.fe_logical,
				held->len * r->blk));

	for (const char *s = order; *s && in_order; s++) {
		in_order = step(r, *s);
		EXPECT_TRUE(in_order)
			TH_LOG("layout \"%s\": %s does not get past %s", layout->name, order, s);
	}
	dm_resume("area");
	dm_resume("rest");
	if (may_fail) {
		ASSERT_EQ(0, hold_heal("area"));
	}
	for (int i = 0; i < r->writers && in_order; i++) {
		/* It succeeds if nothing of it was in place after all. */
		if (i == 0 && may_fail && r->writer[i].result == -EIO)
			failed = true;

		const ssize_t expected = i == 0 && failed ? -EIO : (ssize_t)r->writer[i].len;

		EXPECT_EQ(expected, r->writer[i].result);
		writer_end(&r->writer[i]);
	}
	ASSERT_TRUE(in_order);

	EXPECT_TRUE(verify_by(r, name, O_DIRECT, failed));
	EXPECT_TRUE(verify_by(r, name, 0, failed));
	drop_pages(r->fd);
	EXPECT_TRUE(verify_by(r, name, 0, failed));
	EXPECT_TRUE(verify_clone(r, clone));

	/* Whatever is still staged does no harm to those who write there next. */
	ASSERT_OK(put(r->fd, LAST, 0, BLOCKS * r->blk));
	close(r->fd);
	EXPECT_TRUE(holds_by_all_ways(name, LAST, 0, BLOCKS * r->blk));
	EXPECT_TRUE(verify_clone(r, clone));
	r->failures += failed;
}

static void run_layouts(struct __test_metadata *_metadata, struct race *r, const char *order)
{
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
		run_race(_metadata, r, &layouts[i], order);
	if (strchr(order, '!')) {
		EXPECT_GT(r->failures, 0);
	}
}

#define RACE(name, order) TEST_F(cow_race, name) { \
	run_layouts(_metadata, &self->race, order); \
}

/* The race as it was found. */
RACE(second_writer_passes_while_first_is_held, "(ABb)a")
RACE(first_completes_while_second_is_in_flight, "(A[B)a]b")
RACE(both_in_flight_first_started_last_done, "([AB]b)a")
RACE(both_in_flight_first_started_first_done, "([AB)]ab")
RACE(both_in_flight_second_started_first_done, "([BA]b)a")
RACE(both_in_flight_second_started_last_done, "([BA)]ab")
RACE(staged_before_first_starts, "Bb(A)a")
RACE(second_after_first, "AaBb")
RACE(first_fails_while_second_passes, "(ABb!a")
RACE(first_fails_while_second_is_in_flight, "(A[B!a]b")

TEST_HARNESS_MAIN
