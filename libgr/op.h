/* SPDX-License-Identifier: MIT */
/*
 * op.h - requests in a P's ring, and the goroutine that waits for one.
 *
 * A struct req may live on a stack: whoever begins one waits for its completion before he
 * returns, also when it was cancelled, so neither it nor the caller's buffer is touched by the
 * kernel afterwards.
 */
#ifndef GR_OP_H
#define GR_OP_H

#include <liburing.h>

#include "netpoll.h"

/* what a completion's user data points at */
struct req {
	/* the back end's, see netpoll_epoll.c: the holder of the P, then under the set's lock */
	struct req *next;
	int fd, res;
	uint32_t events, seq, state;
	uint32_t cqe_flags; /* for done(): IORING_CQE_F_*; zero by epoll */
	/*
	 * It is over, or has more to say, with the kernel's result. In a runtime section, under the
	 * lock of the ring's consumers: returns the goroutine to make ready, or NULL. Unless it
	 * returns one, *req may be gone as soon as done() has said so to its owner.
	 */
	struct g *(*_Atomic done)(struct req *, int res);
};

/* counters that one thread at a time writes */
static inline void netpoll_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* ---- the back end's requests: by the holder of p, in a runtime section ---- */

/* room for n entries that will be handed to the kernel together, not earlier */
static inline void netpoll_reserve(struct p *p, unsigned int n)
{
	netpoll->reserve(p, n);
}

/* an entry to be filled in, then begun before the next one is asked for and the section ends */
static inline struct io_uring_sqe *netpoll_sqe(struct p *p)
{
	return netpoll->sqe(p);
}

static inline void netpoll_begin(struct p *p, struct io_uring_sqe *sqe, struct req *req,
				 struct g *(*done)(struct req *, int res))
{
	netpoll_count(&p->nr_io_begun, 1);
	netpoll->begin(p, sqe, req, done);
}

/*
 * By the goroutine that waits for req, outside a section; with io_uring by anybody, while it is
 * known to be there. -ENOENT: it was not submitted yet, or it is over. -ETIME: a worker of the
 * kernel is at it, and was told. 0: it ends.
 */
static inline int netpoll_cancel(struct p *p, struct req *req)
{
	return netpoll->cancel(p, req);
}

/* for the back ends: requests of p in flight, so that the kernel, and the idle loop, know that
 * somebody must poll */
static inline void netpoll_pending_add(struct p *p, int n)
{
	__atomic_fetch_add(&p->q->pending, (uint32_t)n, __ATOMIC_RELAXED);
}

/* for the back ends: one more system call */
static inline void netpoll_count_enter(struct p *p)
{
	atomic_fetch_add_explicit(&p->nr_enters, 1, memory_order_relaxed);
}

/* for the back ends, under the lock of p's consumers: n results were taken, by whoever this is */
static inline void netpoll_count_taken(struct p *p, uint64_t n)
{
	const struct m *m = m_self();

	netpoll_count(&p->nr_io_results, n);
	if (!m || m->p != p)
		netpoll_count(&p->nr_io_stolen, n);
}

struct op {
	struct req req;
	struct g *g;
	struct p *p; /* whose ring */
	_Atomic uint32_t state; /* OP_*: op.c */
	int res;
	_Atomic bool half; /* its result is there, and the other completion will come */
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

/* op.c: the same, by the back end, and op_call.c: by system calls, where the back end only polls */
int op_request(void (*prep)(struct io_uring_sqe *, void *), void *arg, int64_t deadline);
int op_call(void (*prep)(struct io_uring_sqe *, void *), void *arg, int64_t deadline);
/* op_call.c: a runtime starts */
void op_call_begin(void);

/* io.c: a call with this result did not have to wait; now and then the others run. Returns it. */
ssize_t io_did_not_wait(ssize_t ret);

/*
 * zerocopy.c: as gr_send(), of all n bytes, without copying them. -EOPNOTSUPP: it cannot be done
 * so, or is not worth it, and nothing was sent.
 */
ssize_t zerocopy_send(int fd, const void *buf, size_t n, int flags, int64_t deadline);

/* io.c: how a call on a descriptor is done; arg is the caller's, for all three */
struct io_way {
	ssize_t (*try)(void *arg); /* without waiting: -EAGAIN it would wait, -ENOTSOCK */
	void (*wait)(struct io_uring_sqe *, void *arg);
	void (*other)(struct io_uring_sqe *, void *arg); /* of what is no socket; or NULL */
};
/* Try, then wait. Called from outside a goroutine: -EPERM; else as op_do(), or what try() said. */
ssize_t io_do(const struct io_way *way, void *arg, int64_t deadline);
/*
 * io.c: may these MSG_* be asked for? MSG_DONTWAIT is another word for GR_NOW. Not MSG_WAITALL:
 * a deadline would have to give back what came before it.
 */
bool io_flags_ok(int flags, int64_t *deadline);

#endif /* GR_OP_H */
