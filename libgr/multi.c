// SPDX-License-Identifier: MIT
/*
 * multi.c - begin and end of an object that has a multishot request, and what becomes of it when a
 * runtime ends.
 *
 * Not here: what is asked for, and who gets the results (listener.c, the only caller yet).
 * multis_*: run.c, netpoll_uring.c.
 *
 * Invariants:
 *   I1 while armed, *m and m->p stay: closing waits for the last result.
 *   I2 m->fd is used, by a request or a call (inside), until closing has waited for all of that.
 * Locks: a ring's lock of consumers -> m->lock. Nothing is submitted under m->lock.
 *
 * Where the back end only polls there is no request: each who waits, waits for readiness, or for
 * the end, which is an eventfd(2): unlike a channel it keeps nothing of those who waited when a
 * runtime ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "multi.h"
#include "net.h"
#include "sched.h"

#define PAUSE (50 * GR_US)
#define PAUSE_MAX (2 * GR_MS)

static struct {
	struct lock lock;
	struct multi *first;
} all;

int multi_init(struct multi *m, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -EBADF;
	m->end = eventfd(0, EFD_CLOEXEC);
	if (m->end < 0)
		return net_error();
	m->fd = fd;
	if (flags & O_NONBLOCK)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	rt_enter();
	lock_acquire(&all.lock);
	m->next = all.first;
	if (m->next)
		m->next->prev = m;
	all.first = m;
	lock_release(&all.lock);
	rt_exit();
	return 0;
}

/* ---- without a request ---- */

bool multi_enter(struct multi *m)
{
	bool closed;

	/* before m->closed is read: who finds it open is seen by closing, I2 */
	atomic_fetch_add(&m->inside, 1);
	rt_enter();
	lock_acquire(&m->lock);
	closed = m->closed;
	lock_release(&m->lock);
	rt_exit();
	if (closed)
		multi_leave(m);
	return !closed;
}

void multi_leave(struct multi *m)
{
	atomic_fetch_sub(&m->inside, 1);
}

int multi_readable(struct multi *m, int64_t deadline)
{
	struct gr_case cases[] = { GR_FD(m->end, POLLIN), GR_FD(m->fd, POLLIN) };
	int ret = gr_select_ordered(cases, 2, deadline);

	if (ret < 0)
		return ret;
	return ret ? 0 : -ESHUTDOWN;
}

/* ---- the end of one ---- */

void multi_look(struct p *p)
{
	struct g *list = NULL;
	int n = netpoll_harvest(p, &list);

	g_ready_list(list, n);
}

/* Everybody who waits goes. False: it is closed already. In a section. */
static bool begin_close(struct multi *m)
{
	struct g *list = NULL, *g;
	struct wnode *w;
	int n = 0;

	lock_acquire(&m->lock);
	if (m->closed) {
		lock_release(&m->lock);
		return false;
	}
	while ((w = waitq_pop(&m->waiters))) {
		w->w->result = -ESHUTDOWN;
		g = waiter_wake_later(w->w);
		g->next = list;
		list = g;
		n++;
	}
	m->closed = true;
	lock_release(&m->lock);
	g_ready_list(list, n);
	return true;
}

/* the ring in which it is armed; NULL: it is not */
static struct p *armed_in(struct multi *m)
{
	struct p *p;

	lock_acquire(&m->lock);
	p = m->armed ? m->p : NULL;
	lock_release(&m->lock);
	return p;
}

/* I2; in a section before and after */
static void wait_for_end(struct multi *m)
{
	int64_t pause = PAUSE;
	struct p *p;

	while ((p = armed_in(m)) || atomic_load(&m->inside)) {
		rt_exit();
		if (p)
			netpoll_cancel(p, &m->req); /* fails while it is not submitted, op.c */
		rt_enter();
		if (p)
			multi_look(p);
		rt_exit();
		gr_sleep(gr_after(pause));
		rt_enter();
		pause = 2 * pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
	}
}

/* g: the caller, or NULL */
static int end_close(struct multi *m, struct g *g)
{
	int fd = m->fd;

	eventfd_write(m->end, 1);
	if (g)
		g->shields++; /* it must sleep, also when it is cancelled */
	rt_enter();
	wait_for_end(m);
	lock_acquire(&all.lock);
	*(m->prev ? &m->prev->next : &all.first) = m->next;
	if (m->next)
		m->next->prev = m->prev;
	lock_release(&all.lock);
	rt_exit();
	if (g)
		g->shields--;
	gr_close(m->end);
	m->fd = -1;
	return fd;
}

/*
 * What a runtime that left threads behind has in its rings, or parked, ends only with its memory:
 * nobody runs who could wait for it.
 */
static int may_close(struct g *g)
{
	if (g)
		return 0;
	return atomic_load(&sched.running) ? -EPERM : run_clear();
}

int multi_close(struct multi *m)
{
	struct g *g = g_self();
	int ret = may_close(g);
	bool first;

	if (ret)
		return ret;
	rt_enter();
	first = begin_close(m);
	rt_exit();
	return first ? end_close(m, g) : -ESHUTDOWN;
}

int multi_finish(struct multi *m)
{
	int ret = multi_close(m);

	return ret == -ESHUTDOWN && m->fd >= 0 ? end_close(m, g_self()) : ret;
}

/* ---- the end of a runtime ---- */

/* plain threads may make new ones, any time */
static struct multi *all_locked(void)
{
	lock_acquire(&all.lock);
	return all.first;
}

void multis_stop(void)
{
	for (struct multi *m = all_locked(); m; m = m->next)
		m->waiters = (struct waitq){ NULL, NULL };
	lock_release(&all.lock);
}

bool multis_armed(struct p *p)
{
	bool armed = false;

	for (struct multi *m = all_locked(); m && !armed; m = m->next)
		armed = m->armed && m->p == p;
	lock_release(&all.lock);
	return armed;
}

void multis_stopped(void)
{
	for (struct multi *m = all_locked(); m; m = m->next) {
		m->armed = false;
		m->p = NULL;
		atomic_store(&m->inside, 0);
	}
	lock_release(&all.lock);
}
