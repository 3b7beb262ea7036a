// SPDX-License-Identifier: MIT
/*
 * op.c - one request of a goroutine, and its end: the completion, the deadline, or cancelled.
 *
 * Job: op_do(). Not here: the ring (netpoll_uring.c), what is asked for (io.c, net.c).
 * Callers: op_do(): a goroutine. complete(): whoever harvests the ring.
 *
 * Life of an op:  FLYING --completion--> DONE                  (harvest readies the goroutine)
 *                 FLYING --deadline----> LATE --completion--> DONE
 * In LATE the goroutine runs: it asks the kernel to cancel, by a call that works from any
 * thread and for any ring (IORING_REGISTER_SYNC_CANCEL, 6.0), and parks again until DONE. O1: one
 * exchange on op.state decides who readies it.
 *
 * A send without a copy (zerocopy.c) has two completions: its result, then that nobody needs the
 * buffer any more, which makes it DONE. In between (half) there is nothing to cancel.
 */
#include <errno.h>

#include "op.h"

#define CANCEL_PAUSE (50 * GR_US)
#define CANCEL_PAUSE_MAX (2 * GR_MS)

enum { OP_FLYING, OP_LATE, OP_WAITING, OP_DONE };

/* the goroutine to make ready, or NULL: it runs, to cancel, and will see the result */
static struct g *complete(struct req *req, int res)
{
	struct op *op = container_of(req, struct op, req);
	struct g *g = op->g;

	if (!(req->cqe_flags & IORING_CQE_F_NOTIF))
		op->res = res;
	if (req->cqe_flags & IORING_CQE_F_MORE) {
		/* relaxed: saves a call that would find nothing to cancel */
		atomic_store_explicit(&op->half, true, memory_order_relaxed);
		return NULL;
	}
	/* O1 */
	return atomic_exchange(&op->state, OP_DONE) == OP_LATE ? NULL : g;
}

static struct g *make_late(struct op *op)
{
	uint32_t flying = OP_FLYING;

	/* O1 */
	return atomic_compare_exchange_strong(&op->state, &flying, OP_LATE) ? op->g : NULL;
}

/* the deadline passed first: run the goroutine, so that it cancels */
static struct g *fire(struct timer *t)
{
	return make_late(container_of(t, struct op, timer));
}

/* so does one that is cancelled itself */
static struct g *claim_cancelled(struct cancel_point *at)
{
	return make_late(container_of(at, struct op, cancel));
}

struct start {
	struct op *op;
	int64_t deadline;
};

/*
 * On whatever stack was switched to: the goroutine's context is saved, and its request may be
 * submitted from now on.
 */
static bool commit_start(struct g *g, void *arg)
{
	struct start s = *(struct start *)arg;
	bool cancellable = g->cancellable;

	if (cancellable && !cancel_publish(g, &s.op->cancel)) {
		s.op->cancel.claim = NULL; /* says that it was not published */
		make_late(s.op);
		return false;
	}
	if (s.deadline != GR_FOREVER)
		timer_add(&s.op->timer, s.deadline);
	if (cancellable)
		cancel_published(g);
	return true;
}

/* Park until DONE, unless the completion came already. */
static bool commit_late(struct g *g, void *arg)
{
	struct op *op = arg;
	uint32_t late = OP_LATE;

	(void)g;
	/* O1 */
	return atomic_compare_exchange_strong(&op->state, &late, OP_WAITING);
}

/* In a section before and after; the calls between are plain blocking ones. */
static void cancel_and_wait(struct op *op)
{
	int64_t pause = CANCEL_PAUSE;
	int ret;

	op->g->shields++; /* it must sleep, also when it is cancelled */
	while (atomic_load(&op->state) != OP_DONE) {
		bool half = atomic_load_explicit(&op->half, memory_order_relaxed);

		rt_exit();
		ret = half ? 0 : netpoll_cancel(op->p, &op->req);
		/*
		 * -ENOENT: not submitted yet, or complete and not harvested, both end by themselves.
		 * -EINTR: this thread was woken for the completion of something else, and nothing was
		 * cancelled. -ETIME: a worker of the kernel is at it. So only 0 is a promise.
		 */
		if (ret)
			gr_sleep(gr_after(pause));
		pause = 2 * pause < CANCEL_PAUSE_MAX ? 2 * pause : CANCEL_PAUSE_MAX;
		rt_enter();
		if (!ret)
			g_park(commit_late, op, WAIT_IO);
	}
	op->g->shields--;
}

int op_request(void (*prep)(struct io_uring_sqe *, void *), void *arg, int64_t deadline)
{
	struct op op = { .g = g_self(), .cancel.claim = claim_cancelled };
	struct start start = { &op, deadline };
	struct io_uring_sqe *sqe;
	struct m *m;
	bool late;
	struct p *p;

	if (!op.g)
		return -EPERM;
	timer_init(&op.timer, fire);
	m = rt_enter();
	if (m_cancelled(m) && deadline != GR_NOW) {
		rt_exit();
		return -ECANCELED;
	}
	p = m->p;
	op.p = p;
	sqe = netpoll_sqe(p);
	prep(sqe, arg);
	netpoll_begin(p, sqe, &op.req, complete);
	g_park(commit_start, &start, WAIT_IO);
	if (op.g->cancellable && op.cancel.claim)
		cancel_withdraw(op.g);

	late = atomic_load(&op.state) != OP_DONE;
	if (late)
		cancel_and_wait(&op);
	if (deadline != GR_FOREVER)
		timer_del(&op.timer);
	rt_exit();
	if (late && (op.res == -ECANCELED || op.res == -EINTR)) {
		if (deadline == GR_NOW)
			return -EAGAIN;
		return gr_cancelled() ? -ECANCELED : -ETIMEDOUT;
	}
	return op.res;
}

int op_do(void (*prep)(struct io_uring_sqe *, void *), void *arg, int64_t deadline)
{
	if (unlikely(netpoll->polls_only))
		return op_call(prep, arg, deadline);
	return op_request(prep, arg, deadline);
}
