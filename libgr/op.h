/* SPDX-License-Identifier: MIT */
/*
 * op.h - one request in a P's ring, and the goroutine that waits for it.
 *
 * The struct lives on the waiting goroutine's stack: op_wait() returns only after the last
 * completion of the request, also when it was cancelled, so neither it nor the caller's buffer
 * is touched by the kernel afterwards.
 */
#ifndef GR_OP_H
#define GR_OP_H

#include <liburing.h>

#include "gr_int.h"

struct op {
	struct g *g;
	struct p *_Atomic p;	/* whose ring */
	_Atomic uint32_t state; /* OP_*: netpoll_uring.c */
	int res;
	struct timer timer;
	struct cancel_point cancel;
};

/*
 * Do one request and wait for it: prep(sqe, arg) fills the submission entry, all but its user
 * data. Inside a goroutine, outside a runtime section. Returns the completion's result, or
 * -ETIMEDOUT, or -EAGAIN when the deadline was GR_NOW; -ECANCELED the goroutine is cancelled
 * (see gr.h); -EPERM outside a goroutine.
 */
int op_do(void (*prep)(struct io_uring_sqe *, void *), void *arg, int64_t deadline);

#endif /* GR_OP_H */
