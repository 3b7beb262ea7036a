// SPDX-License-Identifier: MIT
/*
 * fdwait.c - wait until descriptors are ready; the I/O itself is the caller's.
 *
 * Job: gr_fd_wait() for one, and struct fd_wait for the GR_OP_FD cases of a select: a poll request
 * for each in the ring of the P that the goroutine parks on.
 * Callers: goroutines; poll_done(): whoever harvests that ring.
 *
 * Invariants:
 *   I1 a request lives on its goroutine's stack until it is over: fd_wait_end() returns when left
 *      is 0. poll_done() lowers left as the last thing that it does to *r and *f.
 *   I2 the requests are handed to the kernel before the objects' locks are released (select.c):
 *      a P that then computes for long does not hold them back.
 * Order: R1 poll_done() lowers left  ->  A1 fd_wait_end() reads 0.
 */
#include <errno.h>

#include "fdwait.h"

#define CANCEL_PAUSE (20 * GR_US)

void fd_poll(struct pollfd *fds, int n)
{
	int saved = errno; /* no libgr call in between: the same thread's */

	while (poll(fds, (nfds_t)n, 0) < 0 && errno == EINTR)
		;
	errno = saved;
}

int fd_result(const struct pollfd *fd)
{
	if (fd->revents & POLLNVAL)
		return -EBADF;
	return fd->revents ? fd->revents : -EAGAIN;
}

static void prep_poll(struct io_uring_sqe *sqe, void *arg)
{
	struct pollfd *fd = arg;

	io_uring_prep_poll_add(sqe, fd->fd, (unsigned short)fd->events);
}

int gr_fd_wait(int fd, unsigned int events, int64_t deadline)
{
	struct pollfd p = { fd, (short)events, 0 };
	int ret;

	if (!g_self())
		return -EPERM;
	if (events & ~0xffffU)
		return -EINVAL;
	if (fd < 0)
		return -EBADF;
	if (deadline != GR_NOW && gr_cancelled())
		return -ECANCELED;
	fd_poll(&p, 1);
	ret = fd_result(&p);
	if (ret != -EAGAIN || deadline == GR_NOW)
		return (int)io_did_not_wait(ret);
	return op_do(prep_poll, &p, deadline);
}

/* ---- several, for a select ---- */

static struct g *poll_done(struct req *req, int res)
{
	struct fd_req *r = container_of(req, struct fd_req, req);
	struct fd_wait *f = r->wait;
	struct waiter *w = r->node->w;
	struct g *ready = NULL;

	if (res != -ECANCELED && waiter_claim(w)) {
		w->won = r->node;
		w->result = res;
		ready = w->g; /* it does not run before the caller makes it ready */
	}
	atomic_store_explicit(&r->over, true, memory_order_relaxed); /* a hint: cancel or not */
	atomic_fetch_sub_explicit(&f->left, 1, memory_order_release); /* R1: pairs with A1; I1 */
	return ready;
}

void fd_wait_begin(struct fd_wait *f, struct fd_req *reqs, int max)
{
	f->reqs = reqs;
	f->n = 0;
	f->p = m_self()->p;
	atomic_init(&f->left, 0);
	netpoll_reserve(f->p, (unsigned int)max);
}

void fd_wait_add(struct fd_wait *f, int fd, unsigned int events, struct wnode *node)
{
	struct fd_req *r = &f->reqs[f->n++];
	struct pollfd p = { fd, (short)events, 0 };
	struct io_uring_sqe *sqe = netpoll_sqe(f->p);

	r->wait = f;
	r->node = node;
	atomic_init(&r->over, false);
	atomic_fetch_add_explicit(&f->left, 1, memory_order_relaxed); /* not submitted yet */
	prep_poll(sqe, &p);
	netpoll_begin(f->p, sqe, &r->req, poll_done);
}

static void cancel_rest(struct fd_wait *f)
{
	for (int i = 0; i < f->n; i++)
		if (!atomic_load_explicit(&f->reqs[i].over, memory_order_relaxed))
			netpoll_cancel(f->p, &f->reqs[i].req);
}

static void harvest(struct p *p)
{
	struct g *list = NULL;
	int n = netpoll_harvest(p, &list);

	g_ready_list(list, n);
}

/*
 * Usually this very thread submitted the requests: then their ends are in the ring when the
 * calls that cancel return. Else another thread brings them a moment later.
 */
void fd_wait_end(struct fd_wait *f)
{
	struct g *g = g_self();

	g->shields++; /* it must sleep, also when it is cancelled */
	/* A1: pairs with R1 */
	while (atomic_load_explicit(&f->left, memory_order_acquire)) {
		rt_exit();
		cancel_rest(f);
		rt_enter();
		harvest(f->p);
		if (!atomic_load_explicit(&f->left, memory_order_acquire)) /* A1 */
			break;
		rt_exit();
		gr_sleep(gr_after(CANCEL_PAUSE));
		rt_enter();
	}
	g->shields--;
}
