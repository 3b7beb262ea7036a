/* SPDX-License-Identifier: MIT */
/* fdwait.h - readiness of descriptors, for select.c: asked for in a ring, ends with the select. */
#ifndef GR_FDWAIT_H
#define GR_FDWAIT_H

#include <poll.h>

#include "op.h"

/* one descriptor of a select that sleeps */
struct fd_req {
	struct req req;
	struct fd_wait *wait;
	struct wnode *node; /* the case; node->w is the sleeper */
	_Atomic bool over;
};

struct fd_wait {
	struct fd_req *reqs;
	int n;
	struct p *p; /* whose ring */
	_Atomic int left; /* requests that are not over */
};

/* Do not wait: fill revents of n entries, POLLNVAL for what is no descriptor. Outside a section. */
void fd_poll(struct pollfd *fds, int n);
/* the events, -EBADF, or -EAGAIN: not ready */
int fd_result(const struct pollfd *fd);
/*
 * A goroutine that holds a P, in a runtime section in which it parks: ask for up to max
 * descriptors, one by one. Who is ready first claims the waiter; w->result is as fd_result().
 */
void fd_wait_begin(struct fd_wait *f, struct fd_req *reqs, int max);
void fd_wait_add(struct fd_wait *f, int fd, unsigned int events, struct wnode *node);
/* After the sleep, in a section: cancel the rest. Returns when the kernel has let go of all. */
void fd_wait_end(struct fd_wait *f);

#endif /* GR_FDWAIT_H */
