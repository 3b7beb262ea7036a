// SPDX-License-Identifier: MIT
/*
 * listener.c - a listening socket from which the kernel takes connections by itself: one request in
 * a ring (multishot accept, Linux 5.19), a result for each connection.
 *
 * Why an object: what came and nobody took yet must belong to somebody who closes it, and the
 * request holds the socket: while it is there closing the descriptor would not free the address.
 * Callers: goroutines. arrived(): whoever harvests the ring. listeners_*: run.c, without threads.
 *
 * The request is armed by who waits and finds it is not, in the ring of the P he holds. It is
 * over when a result has no IORING_CQE_F_MORE: after an error (too few descriptors), when the ring of
 * results overflowed (that result is a connection all the same), or because we cancelled it,
 * when QUEUE_MAX connections wait here: more stay in the kernel's queue, which knows how to
 * refuse.
 *
 * Invariants, under l->lock:
 *   I1 if somebody waits, the request is armed, or somebody who was woken is on his way to arm
 *      it: whoever was woken looks when he goes (pass_on()).
 *   I2 an error goes to one who waits. If nobody does it is forgotten: who comes next asks the
 *      kernel again, and the descriptors may suffice by then.
 *   I3 while armed, l, l->p and l->req stay: closing waits for the last result. So arrived()
 *      may use them after it has released the lock, unless that result was the last.
 *   I4 l->fd is used, by a request or a call (inside), until closing has waited for all of that.
 * Locks: a ring's lock of consumers -> l->lock. Nothing is submitted under l->lock.
 * Memory of the queue: by mmap, not malloc, as in timer.c.
 *
 * Where the back end only polls there is no request: each who waits, waits for readiness, or for
 * the end, which is an eventfd(2): unlike a channel it keeps nothing of those who waited when a
 * runtime ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "net.h"
#include "op.h"
#include "sched.h"

#define QUEUE_MAX 64	 /* connections that wait here, about: stopping the kernel takes a moment */
#define QUEUE_FIRST 1024 /* a page; a power of two */
#define PAUSE (50 * GR_US)
#define PAUSE_MAX (2 * GR_MS)

struct gr_listener {
	int fd;
	int end;	    /* can be read when it is closed */
	_Atomic int inside; /* calls that use both themselves */
	/* lock */
	struct lock lock;
	bool closed, armed;
	bool stopping; /* the request was cancelled: QUEUE_MAX; arrived(), and while not armed */
	struct p *p;   /* whose ring */
	struct req req;
	struct waitq waiters;
	int *queue; /* ring of size; head, tail: how many ever left, came */
	unsigned int size, head, tail;
	/* all.lock */
	struct gr_listener *next, *prev;
};

static struct {
	struct lock lock;
	struct gr_listener *first;
} all;

/* ---- the queue; with the lock ---- */

static int *queue_map(unsigned int size)
{
	void *m = mmap(NULL, size * sizeof(int), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

static bool queue_grow(struct gr_listener *l)
{
	int *bigger = queue_map(2 * l->size);

	if (!bigger)
		return false;
	for (unsigned int i = l->head; i != l->tail; i++)
		bigger[i & (2 * l->size - 1)] = l->queue[i & (l->size - 1)];
	munmap(l->queue, l->size * sizeof(int));
	l->queue = bigger;
	l->size *= 2;
	return true;
}

static void queue_put(struct gr_listener *l, int fd)
{
	if (l->tail - l->head == l->size && !queue_grow(l))
		close(fd); /* no memory for its number */
	else
		l->queue[l->tail++ & (l->size - 1)] = fd;
}

/* -EAGAIN: it is empty */
static int queue_get(struct gr_listener *l)
{
	if (l->closed)
		return -ESHUTDOWN;
	return l->head == l->tail ? -EAGAIN : l->queue[l->head++ & (l->size - 1)];
}

/* ---- the request ---- */

static struct g *arrived(struct req *req, int res);

/* With the lock, and room for an entry: netpoll_reserve(). */
static void arm(struct gr_listener *l, struct p *p)
{
	struct io_uring_sqe *sqe = netpoll_sqe(p);

	io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
	l->armed = true;
	l->stopping = false;
	l->p = p;
	netpoll_begin(p, sqe, &l->req, arrived);
}

/* With the lock: res is for the first who waits, -EAGAIN: look again. NULL: nobody waits. */
static struct g *hand_over(struct gr_listener *l, int res)
{
	struct wnode *n = waitq_pop(&l->waiters);

	if (!n)
		return NULL;
	n->w->result = res;
	return waiter_wake_later(n->w);
}

static struct g *arrived(struct req *req, int res)
{
	struct gr_listener *l = container_of(req, struct gr_listener, req);
	bool more = req->more, stop = false;
	struct g *g;

	lock_acquire(&l->lock);
	if (!more)
		l->armed = false;
	g = hand_over(l, res == -ECANCELED ? -EAGAIN : res); /* I2 */
	if (!g && res >= 0) {
		queue_put(l, res);
		stop = more && !l->stopping && l->tail - l->head >= QUEUE_MAX;
	}
	lock_release(&l->lock);
	/* I3; if it fails the next result tries again */
	if (stop && !netpoll_cancel(l->p, req))
		l->stopping = true;
	return g;
}

/* I1: in a section, by one who was woken and goes */
static void pass_on(struct gr_listener *l)
{
	struct p *p = m_self()->p;

	netpoll_reserve(p, 1);
	lock_acquire(&l->lock);
	if (!l->armed && waitq_looks_used(&l->waiters))
		arm(l, p);
	lock_release(&l->lock);
}

/* ---- accept ---- */

/* in a section: what came meanwhile is in the ring */
static void look_into(struct p *p)
{
	struct g *list = NULL;
	int n = netpoll_harvest(p, &list);

	g_ready_list(list, n);
}

/* In a section. -EAGAIN: it was woken to look again. */
static int wait_for_one(struct gr_listener *l, int64_t deadline)
{
	struct waiter w;
	int ret;

	waiter_init(&w);
	/* releases the lock */
	ret = waitq_wait(&l->waiters, &l->lock, &w, deadline, WAIT_IO);
	if (ret)
		return ret;
	if (w.result != -EAGAIN)
		pass_on(l);
	return w.result;
}

static int try_now(struct gr_listener *l)
{
	struct p *p = m_self()->p, *at;
	int ret;

	netpoll_reserve(p, 1);
	lock_acquire(&l->lock);
	ret = queue_get(l);
	if (ret == -EAGAIN && !l->armed)
		arm(l, p);
	at = l->p;
	lock_release(&l->lock);
	if (ret != -EAGAIN)
		return ret;
	netpoll_submit(p);
	look_into(at);
	lock_acquire(&l->lock);
	ret = queue_get(l);
	lock_release(&l->lock);
	return ret;
}

/* In a section. *waited: the goroutine slept. */
static int take(struct gr_listener *l, int64_t deadline, bool *waited)
{
	int ret;

	if (deadline == GR_NOW)
		return try_now(l);
	do {
		struct p *p = m_self()->p;

		netpoll_reserve(p, 1);
		lock_acquire(&l->lock);
		ret = queue_get(l);
		if (ret != -EAGAIN) {
			lock_release(&l->lock);
			return ret;
		}
		if (!l->armed)
			arm(l, p);
		*waited = true;
		ret = wait_for_one(l, deadline);
	} while (ret == -EAGAIN);
	return ret;
}

static bool is_closed(struct gr_listener *l)
{
	bool closed;

	rt_enter();
	lock_acquire(&l->lock);
	closed = l->closed;
	lock_release(&l->lock);
	rt_exit();
	return closed;
}

/* without a request */
static int take_plainly(struct gr_listener *l, int64_t deadline)
{
	struct gr_case cases[] = { GR_FD(l->end, POLLIN), GR_FD(l->fd, POLLIN) };
	int ret = gr_select_ordered(cases, 2, deadline);

	if (ret < 0)
		return ret;
	if (!ret)
		return -ESHUTDOWN;
	return gr_accept(l->fd, GR_NOW); /* -EAGAIN: another one was faster */
}

static int accept_plainly(struct gr_listener *l, int64_t deadline)
{
	int ret;

	do {
		/* before l->closed is read: who finds it open is seen by closing, I4 */
		atomic_fetch_add(&l->inside, 1);
		ret = is_closed(l) ? -ESHUTDOWN : take_plainly(l, deadline);
		atomic_fetch_sub(&l->inside, 1);
	} while (ret == -EAGAIN && deadline != GR_NOW);
	return ret;
}

int gr_listener_accept(struct gr_listener *l, int64_t deadline)
{
	bool waited = false;
	int ret;

	if (!l)
		return -EINVAL;
	if (!g_self())
		return -EPERM;
	if (deadline != GR_NOW && gr_cancelled())
		return -ECANCELED;
	if (netpoll->polls_only)
		return accept_plainly(l, deadline);
	rt_enter();
	ret = take(l, deadline, &waited);
	rt_exit();
	return (int)(waited ? ret : io_did_not_wait(ret));
}

/* ---- new, close, release ---- */

int gr_listener_new(struct gr_listener **lp, int fd)
{
	int flags = fcntl(fd, F_GETFL), ret;
	struct gr_listener *l;

	if (!lp)
		return -EINVAL;
	if (flags < 0)
		return -EBADF;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->fd = fd;
	l->size = QUEUE_FIRST;
	l->queue = queue_map(l->size);
	l->end = l->queue ? eventfd(0, EFD_CLOEXEC) : -1;
	if (l->end < 0) {
		ret = l->queue ? net_error() : -ENOMEM;
		if (l->queue)
			munmap(l->queue, l->size * sizeof(int));
		free(l);
		return ret;
	}
	/* a request that finds nothing would end at once */
	if (flags & O_NONBLOCK)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	net_nodelay(fd); /* its connections inherit it */
	rt_enter();
	lock_acquire(&all.lock);
	l->next = all.first;
	if (l->next)
		l->next->prev = l;
	all.first = l;
	lock_release(&all.lock);
	rt_exit();
	*lp = l;
	return 0;
}

static void forget(struct gr_listener *l)
{
	lock_acquire(&all.lock);
	*(l->prev ? &l->prev->next : &all.first) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	lock_release(&all.lock);
}

/* Everybody who waits goes. False: it is closed already. In a section. */
static bool begin_close(struct gr_listener *l)
{
	struct g *list = NULL, *g;
	int n = 0;

	lock_acquire(&l->lock);
	if (l->closed) {
		lock_release(&l->lock);
		return false;
	}
	while ((g = hand_over(l, -ESHUTDOWN))) {
		g->next = list;
		list = g;
		n++;
	}
	l->closed = true;
	lock_release(&l->lock);
	g_ready_list(list, n);
	return true;
}

/* the ring in which it is armed; NULL: it is not */
static struct p *armed_in(struct gr_listener *l)
{
	struct p *p;

	lock_acquire(&l->lock);
	p = l->armed ? l->p : NULL;
	lock_release(&l->lock);
	return p;
}

/* I4; in a section before and after */
static void wait_for_end(struct gr_listener *l)
{
	int64_t pause = PAUSE;
	struct p *p;

	while ((p = armed_in(l)) || atomic_load(&l->inside)) {
		rt_exit();
		if (p)
			netpoll_cancel(p, &l->req); /* fails while it is not submitted, op.c */
		rt_enter();
		if (p)
			look_into(p);
		rt_exit();
		gr_sleep(gr_after(pause));
		rt_enter();
		pause = 2 * pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
	}
}

/* g: the caller, or NULL */
static int end_close(struct gr_listener *l, struct g *g)
{
	int fd = l->fd;

	eventfd_write(l->end, 1);
	if (g)
		g->shields++; /* it must sleep, also when it is cancelled */
	rt_enter();
	wait_for_end(l);
	forget(l);
	rt_exit();
	if (g)
		g->shields--;
	for (; l->head != l->tail; l->head++)
		gr_close(l->queue[l->head & (l->size - 1)]);
	gr_close(l->end);
	l->fd = -1;
	return gr_close(fd);
}

int gr_listener_close(struct gr_listener *l)
{
	struct g *g = g_self();
	bool first;

	if (!l)
		return -EINVAL;
	if (!g && atomic_load(&sched.running))
		return -EPERM;
	rt_enter();
	first = begin_close(l);
	rt_exit();
	return first ? end_close(l, g) : -ESHUTDOWN;
}

int gr_listener_release(struct gr_listener *l)
{
	struct g *g = g_self();

	if (!l)
		return 0;
	if (gr_listener_close(l) == -EPERM)
		return -EPERM;
	if (l->fd >= 0) /* a runtime ended while somebody was closing it */
		end_close(l, g);
	munmap(l->queue, l->size * sizeof(int));
	free(l);
	return 0;
}

/* ---- the end of a runtime: the program still has its listeners ---- */

void listeners_stop(void)
{
	for (struct gr_listener *l = all.first; l; l = l->next)
		l->waiters = (struct waitq){ NULL, NULL };
}

bool listeners_armed(struct p *p)
{
	for (struct gr_listener *l = all.first; l; l = l->next)
		if (l->armed && l->p == p)
			return true;
	return false;
}

void listeners_stopped(void)
{
	for (struct gr_listener *l = all.first; l; l = l->next) {
		l->armed = false;
		atomic_store(&l->inside, 0);
	}
}
