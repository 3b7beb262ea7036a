/* SPDX-License-Identifier: MIT */
/*
 * netpoll.h - what the scheduler asks of the I/O back end: a ring or an epoll set per P.
 *
 * Two back ends behind one table of functions: netpoll_uring.c, netpoll_epoll.c. netpoll.c chooses
 * one when the runtime starts; it stays while the runtime exists. "In the ring of a P" means in its
 * epoll set, too.
 *
 * Who may call. submit, and what op.h adds: the thread that holds the P, inside rt_enter().
 * harvest: any M in a runtime section (consumer side under a try-lock, so thieves may). wait: the
 * M that idles on the P; it may lose the P while it waits. wake: any thread.
 */
#ifndef GR_NETPOLL_H
#define GR_NETPOLL_H

#include "gr_int.h"

struct io_uring_sqe;
struct req;

/* What each function does stands at the call of the same name, below and in op.h. */
struct netpoll_ops {
	const char *name;
	const char *uses; /* of what is not in every kernel: words, for gr_info() */
	/* Requests other than IORING_OP_POLL_ADD fail: op_call.c does them by system calls. */
	bool polls_only;
	/* Can this back end work here? Else -errno, and why. NULL: it always can. */
	int (*probe)(char *why, size_t size);
	int (*init)(struct p *p);
	void (*fini)(struct p *p);
	void (*submit)(struct p *p);
	unsigned int (*queued)(struct p *p);
	int (*harvest)(struct p *p, struct g **list);
	bool (*ready)(struct p *p);
	bool (*due)(struct p *p);
	void (*wait)(struct p *p, int64_t deadline);
	void (*wake)(struct p *p, struct m *target);
	void (*reserve)(struct p *p, unsigned int n);
	struct io_uring_sqe *(*sqe)(struct p *p);
	void (*begin)(struct p *p, struct io_uring_sqe *sqe, struct req *req,
		      struct g *(*done)(struct req *, int res));
	int (*cancel)(struct p *p, struct req *req);
};

extern const struct netpoll_ops netpoll_uring, netpoll_epoll;
extern const struct netpoll_ops *netpoll; /* the one in use; fixed while a runtime exists */

/*
 * Before each start: the back end of GR_NETPOLL. -EINVAL bad value; -ENOSYS or another error:
 * it cannot work here. One sentence on stderr says so.
 */
int netpoll_choose(void);

/* p->np: a ring. -errno. */
static inline int netpoll_init(struct p *p)
{
	return netpoll->init(p);
}

/* The end of it, before the stacks go: the kernel has let go of what is still in flight. */
static inline void netpoll_fini(struct p *p)
{
	netpoll->fini(p);
}

/* Hand queued requests to the kernel; cheap when there are none. */
static inline void netpoll_submit(struct p *p)
{
	netpoll->submit(p);
}

/* Requests queued and not yet submitted. */
static inline unsigned int netpoll_queued(struct p *p)
{
	return netpoll->queued(p);
}

/*
 * Take completions off p's ring without waiting: chain the goroutines they make ready into
 * *list (by g->next, appended) and return how many. 0 when another thread is at it.
 */
static inline int netpoll_harvest(struct p *p, struct g **list)
{
	return netpoll->harvest(p, list);
}

/* True when completions are waiting and netpoll_wait() would not notice; memory reads only. */
static inline bool netpoll_ready(struct p *p)
{
	return netpoll->ready(p);
}

/* It is time for a harvest: completions are waiting, or may be and nobody has looked for a while.
 * Memory reads only, for thieves. */
static inline bool netpoll_due(struct p *p)
{
	return netpoll->due(p);
}

/*
 * Wait in p's ring until a completion, a wake or the deadline, or for no reason. Touches nothing
 * of p but its ring: the caller may no longer hold p when this returns. Does not harvest.
 */
static inline void netpoll_wait(struct p *p, int64_t deadline)
{
	netpoll->wait(p, deadline);
}

/*
 * Make the M that waits (or is about to wait) in p's ring come out of netpoll_wait(). With
 * io_uring that is a completion without a goroutine on p's ring, and whoever takes it off says
 * sched_wake_harvested(target); with epoll nobody but target sees it.
 */
static inline void netpoll_wake(struct p *p, struct m *target)
{
	netpoll->wake(p, target);
}

/* idle.c: a wake completion aimed at target was taken off a ring by the calling thread */
void sched_wake_harvested(struct m *target);

#endif /* GR_NETPOLL_H */
