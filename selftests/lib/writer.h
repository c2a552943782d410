/* SPDX-License-Identifier: GPL-2.0 */
/*
 * writer.h - one direct write in flight, by whatever interface.
 */
#ifndef SELFTEST_WRITER_H
#define SELFTEST_WRITER_H

#include <libaio.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum interface { BY_PWRITE, BY_AIO, BY_URING };

struct writer {
	enum interface interface;
	int fd;
	void *buf;
	size_t len;
	off_t at;
	ssize_t result;		/* bytes written or -errno; valid when done */
	atomic_bool submitted;	/* the submitting call is over */
	atomic_int tid;		/* of the thread that submits */
	atomic_bool done;
	pthread_t thread;
	io_context_t aio;
	struct io_uring ring;
};

/* Start writing the pattern; fd is open for direct I/O. 0 or -errno. */
int writer_start(struct writer *w, enum interface interface, int fd,
		 uint64_t seed, off_t at, size_t len);
/* All of it is on its way: nothing is left to do but to wait for it. */
bool writer_submitted(struct writer *w);
/* Has it completed? Takes the result in when it has. */
bool writer_done(struct writer *w);
/* Give everything back; only after it is done. */
void writer_end(struct writer *w);

#endif
