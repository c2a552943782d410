// SPDX-License-Identifier: GPL-2.0
/*
 * writer.c - one direct write in flight: a thread in pwrite(2), Linux AIO or
 * io_uring. A submission may itself block, so it always has a thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "writer.h"

static void *submit(void *arg)
{
	struct writer *w = arg;
	struct io_uring_sqe *sqe;
	struct iocb cb, *list = &cb;
	int n;

	w->tid = gettid();
	switch (w->interface) {
	case BY_PWRITE:
		w->result = pwrite(w->fd, w->buf, w->len, w->at);
		if (w->result < 0)
			w->result = -errno;
		w->done = true;
		w->submitted = true;
		break;
	case BY_AIO:
		io_prep_pwrite(&cb, w->fd, w->buf, w->len, w->at);
		n = io_submit(w->aio, 1, &list);
		if (n != 1) {
			w->result = n;
			w->done = true;
		}
		w->submitted = true;
		break;
	case BY_URING:
		sqe = io_uring_get_sqe(&w->ring);
		io_uring_prep_write(sqe, w->fd, w->buf, w->len, w->at);
		n = io_uring_submit(&w->ring);
		if (n != 1) {
			w->result = n;
			w->done = true;
		}
		w->submitted = true;
		break;
	}
	return NULL;
}

int writer_start(struct writer *w, enum interface interface, int fd,
		 uint64_t seed, off_t at, size_t len)
{
	int ret = 0;

	*w = (struct writer) {
		.interface = interface, .fd = fd, .at = at, .len = len, .buf = aligned(len),
	};
	fill(w->buf, len, seed, at);
	if (interface == BY_AIO)
		ret = io_setup(1, &w->aio);
	else if (interface == BY_URING)
		ret = io_uring_queue_init(2, &w->ring, 0);
	return ret ? ret : -pthread_create(&w->thread, NULL, submit, w);
}

/* Is the thread asleep for I/O, uninterruptibly? */
static bool blocked(int tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = tid ? fopen(path, "r") : NULL;
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'D';
}

bool writer_submitted(struct writer *w)
{
	return w->submitted || (w->interface == BY_PWRITE && blocked(w->tid));
}

bool writer_done(struct writer *w)
{
	struct timespec now = { 0 };
	struct io_uring_cqe *cqe;
	struct io_event event;

	if (w->done || !w->submitted)
		return w->done;
	if (w->interface == BY_AIO && io_getevents(w->aio, 0, 1, &event, &now) == 1) {
		w->result = (long)event.res;
		w->done = true;
	} else if (w->interface == BY_URING && io_uring_peek_cqe(&w->ring, &cqe) == 0) {
		w->result = cqe->res;
		io_uring_cqe_seen(&w->ring, cqe);
		w->done = true;
	}
	return w->done;
}

void writer_end(struct writer *w)
{
	pthread_join(w->thread, NULL);
	if (w->interface == BY_AIO)
		io_destroy(w->aio);
	else if (w->interface == BY_URING)
		io_uring_queue_exit(&w->ring);
	free(w->buf);
}
