// SPDX-License-Identifier: MIT
/*
 * listener.c - a listening socket from which the kernel takes connections by itself: one request in
 * a ring (multishot accept, Linux 5.19), a result for each connection.
 *
 * Why an object: what came and nobody took yet must belong to somebody who closes it, and the
 * request holds the socket: while it is there closing the descriptor would not free the address.
 * Callers: goroutines. arrived(): whoever harvests the ring.
 *
 * The request is armed by who waits and finds it is not, in the ring of the P he holds. It is
 * over when a result has no IORING_CQE_F_MORE: after an error (too few descriptors), when the ring of
 * results overflowed, or because we cancelled it, when QUEUE_MAX connections wait here: more stay
 * in the kernel's queue, which knows how to refuse.
 *
 * Limits: QUEUE_MAX stops the kernel when somebody looks into the ring. While all Ps compute it
 * goes on, up to the size of the ring. When that overflows the last result is a connection, too, as of
 * Linux 6.8 and its stable series of February 2024; before, that connection was lost, and the
 * result a poll mask (195) that looks like a descriptor and that we cannot tell from one.
 *
 * Invariants, under the lock:
 *   I1 if somebody waits, the request is armed, or somebody who was woken is on his way to arm
 *      it: whoever was woken looks when he goes (pass_on()). Once it is closed nobody waits, and
 *      nothing is armed any more: who is still in the queue then has timed out or was cancelled.
 *   I2 an error goes to one who waits. If nobody does it is for a call that does not wait and asks
 *      next, which could not hear of one else; who waits asks the kernel again, and the
 *      descriptors may suffice by then.
 *   I3 arrived() may use *l, and its P, after it has released the lock, unless that result was
 *      the last: multi.c, I1.
 * Locks, the end, and the way without requests: multi.c.
 * Memory of the queue: by mmap, not malloc, as in timer.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "multi.h"
#include "net.h"

#define QUEUE_MAX 64	 /* connections that wait here, about: stopping the kernel takes a moment */
#define QUEUE_FIRST 1024 /* a page; a power of two */

struct gr_listener {
	struct multi m;
	/* m.lock */
	int error; /* of the last request, nobody heard of it; 0: none */
	bool stopping; /* the request was cancelled: QUEUE_MAX; arrived(), and while not armed */
	int *queue; /* ring of size; head, tail: how many ever left, came */
	unsigned int size, head, tail;
};

/* ---- the queue; with the lock. errno is that of whoever harvests, and stays ---- */

static int *queue_map(unsigned int size)
{
	int saved = errno;
	void *m = mmap(NULL, size * sizeof(int), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	errno = saved;
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
		gr_close(fd); /* no memory for its number */
	else
		l->queue[l->tail++ & (l->size - 1)] = fd;
}

/* -EAGAIN: it is empty */
static int queue_get(struct gr_listener *l)
{
	if (l->m.closed)
		return -ESHUTDOWN;
	return l->head == l->tail ? -EAGAIN : l->queue[l->head++ & (l->size - 1)];
}

/* ---- the request ---- */

static struct g *arrived(struct req *req, int res);

/*
 * With the lock, which is released, and room for an entry: netpoll_reserve(). Handed to the kernel
 * at once: whoever runs on p next may compute for long, and those who wait may be anywhere.
 */
static void arm_and_unlock(struct gr_listener *l, struct p *p)
{
	struct io_uring_sqe *sqe;

	GR_CHECK(!l->m.closed && !l->m.armed);
	sqe = netpoll_sqe(p);
	io_uring_prep_multishot_accept(sqe, l->m.fd, NULL, NULL, SOCK_CLOEXEC);
	l->m.armed = true;
	l->stopping = false;
	l->error = 0;
	l->m.p = p;
	netpoll_begin(p, sqe, &l->m.req, arrived);
	lock_release(&l->m.lock);
	netpoll_submit(p);
}

/* With the lock: res is for the first who waits, -EAGAIN: look again. NULL: nobody waits. */
static struct g *hand_over(struct gr_listener *l, int res)
{
	struct wnode *n = waitq_pop(&l->m.waiters);

	if (!n)
		return NULL;
	n->w->result = res;
	return waiter_wake_later(n->w);
}

static struct g *arrived(struct req *req, int res)
{
	struct gr_listener *l = container_of(req, struct gr_listener, m.req);
	bool more = req->cqe_flags & IORING_CQE_F_MORE, stop = false;
	struct g *g;

	lock_acquire(&l->m.lock);
	if (!more)
		l->m.armed = false;
	if (res == -ECANCELED)
		res = -EAGAIN;
	g = hand_over(l, res);
	if (!g && res < 0 && res != -EAGAIN) {
		l->error = res; /* I2 */
	} else if (!g && res >= 0) {
		queue_put(l, res);
		stop = more && !l->stopping && l->tail - l->head >= QUEUE_MAX;
	}
	lock_release(&l->m.lock);
	/* I3; if it fails the next result tries again */
	if (stop && !netpoll_cancel(l->m.p, req))
		l->stopping = true;
	return g;
}

/* I1: in a section, by one who was woken and goes */
static void pass_on(struct gr_listener *l)
{
	struct p *p = m_self()->p;

	netpoll_reserve(p, 1);
	lock_acquire(&l->m.lock);
	if (!l->m.closed && !l->m.armed && waitq_looks_used(&l->m.waiters))
		arm_and_unlock(l, p);
	else
		lock_release(&l->m.lock);
}

/* ---- accept ---- */

/* In a section. -EAGAIN: it was woken to look again. */
static int wait_for_one(struct gr_listener *l, int64_t deadline)
{
	struct waiter w;
	int ret;

	waiter_init(&w);
	/* releases the lock */
	ret = waitq_wait(&l->m.waiters, &l->m.lock, &w, deadline, WAIT_IO);
	if (ret)
		return ret;
	if (w.result != -EAGAIN)
		pass_on(l);
	return w.result;
}

/* In a section: what is here; or the error nobody heard of; or -EAGAIN. */
static int take_queued(struct gr_listener *l, bool or_error)
{
	int ret;

	lock_acquire(&l->m.lock);
	ret = queue_get(l);
	if (ret == -EAGAIN && or_error && l->error) {
		ret = l->error;
		l->error = 0;
	}
	lock_release(&l->m.lock);
	return ret;
}

static int try_now(struct gr_listener *l)
{
	struct p *p = m_self()->p, *at;
	int ret;

	netpoll_reserve(p, 1);
	lock_acquire(&l->m.lock);
	ret = queue_get(l);
	at = l->m.armed ? l->m.p : p;
	if (ret == -EAGAIN && !l->m.armed)
		arm_and_unlock(l, p);
	else
		lock_release(&l->m.lock);
	if (ret != -EAGAIN)
		return ret;
	multi_look(at); /* what came meanwhile is in the ring */
	return take_queued(l, true);
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
		lock_acquire(&l->m.lock);
		ret = queue_get(l);
		if (ret != -EAGAIN) {
			lock_release(&l->m.lock);
			return ret;
		}
		if (!l->m.armed) {
			arm_and_unlock(l, p);
			continue;
		}
		*waited = true;
		ret = wait_for_one(l, deadline);
	} while (ret == -EAGAIN);
	return ret;
}

static int accept_plainly(struct gr_listener *l, int64_t deadline)
{
	int ret;

	rt_enter();
	ret = take_queued(l, false); /* from another runtime, which had a ring */
	rt_exit();
	if (ret != -EAGAIN)
		return ret;
	do {
		if (!multi_enter(&l->m))
			return -ESHUTDOWN;
		ret = multi_readable(&l->m, deadline);
		if (!ret)
			ret = gr_accept(l->m.fd, GR_NOW); /* -EAGAIN: another one was faster */
		multi_leave(&l->m);
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

/*
 * A request waits all the same. By epoll, the call after the wait may find that another process was
 * faster: it must not wait then.
 */
static void set_nonblock(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int gr_listener_new(struct gr_listener **lp, int fd)
{
	struct gr_listener *l;
	int ret;

	if (!lp)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->size = QUEUE_FIRST;
	l->queue = queue_map(l->size);
	ret = l->queue ? multi_init(&l->m, fd) : -ENOMEM;
	if (ret) {
		if (l->queue)
			munmap(l->queue, l->size * sizeof(int));
		free(l);
		return ret;
	}
	set_nonblock(fd); /* its connections do not inherit it */
	net_nodelay(fd);  /* but this */
	*lp = l;
	return 0;
}

/* fd: multi.c gave it back, or why not */
static int end_close(struct gr_listener *l, int fd)
{
	if (fd < 0)
		return fd;
	for (; l->head != l->tail; l->head++)
		gr_close(l->queue[l->head & (l->size - 1)]);
	return gr_close(fd);
}

int gr_listener_close(struct gr_listener *l)
{
	return l ? end_close(l, multi_close(&l->m)) : -EINVAL;
}

int gr_listener_release(struct gr_listener *l)
{
	int ret;

	if (!l)
		return 0;
	ret = end_close(l, multi_finish(&l->m));
	if (ret == -EPERM || ret == -EBUSY)
		return ret;
	munmap(l->queue, l->size * sizeof(int));
	free(l);
	return 0;
}
