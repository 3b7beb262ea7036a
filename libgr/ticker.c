// SPDX-License-Identifier: MIT
/*
 * ticker.c - timers that are objects: armed, armed anew, stopped, waited for.
 *
 * Job: what gr_timer_*() promises, on top of the heap (timer.c). Callers: any thread; fire() and
 * post() whoever runs the heap that t->timer is in.
 *
 *	       set              fire, under p->timer_lock            post, under t->lock
 *	idle ------> in a heap ---------------------------> pending ------------> idle, or in a
 *	     <------                                              \                heap again
 *	       stop                                           stop, set: stale
 *
 * Invariants, under t->lock:
 *   I1 armed: it will fire (in a heap), or has fired and nobody saw it yet (pending). Who stops
 *      a pending firing marks it stale: post() then says nothing of it. So of stop() == 1 and
 *      "seen" exactly one is true, for each arming that was stopped.
 *   I2 pending is set by fire() under p->timer_lock, and cleared by post(). While it is set
 *      t->timer stands in a list of timers_run(): it is neither added to a heap nor freed.
 *      set() leaves the adding to post(), release() waits for post(). Whoever reads pending has
 *      called timer_del() before: the lock of the heap it was in orders the two.
 *   I3 when of a period is the last deadline plus a whole number of periods: it does not drift.
 *   I4 count is not 0 only while nobody waits.
 *   I5 t->timer.p is not NULL only while it is in a heap or pending: the heaps go with the
 *      runtime, the timer may stay (timers_fini()).
 * Source: Go 1.23's rule that nothing of an earlier arming is seen after Stop or Reset.
 * Locks: t->lock -> p->timer_lock. Memory: user context only, fire() and post() free nothing.
 */
#include <errno.h>
#include <limits.h>

#include "sched.h"
#include "scope.h"
#include "ticker.h"

#define NOMEM_RETRY GR_MS

static struct g *fire(struct timer *tm)
{
	container_of(tm, struct gr_timer, timer)->pending = true; /* I2 */
	return NULL;
}

/* Where a timer that a plain thread arms goes: a P that somebody watches, or can be made to. */
static struct p *choose_proc(struct gr_timer *t)
{
	int n = sched.nr_procs, at = (int)((uintptr_t)t / sizeof(*t) % (unsigned int)n);
	struct p *idle = NULL;

	for (int i = 0; i < n; i++) {
		struct p *p = &sched.procs[(at + i) % n];

		if (atomic_load_explicit(&p->poller, memory_order_relaxed))
			return p;
		if (!idle && park_tab.mprocs[p->id].state == GR_P_IDLE)
			idle = p;
	}
	return idle ? idle : &sched.procs[at];
}

static void arm(struct gr_timer *t, int64_t when)
{
	struct m *m = m_self();
	struct p *p = m && m->p ? m->p : choose_proc(t);

	timer_add_to(p, &t->timer, when);
	/* a parked thread must take over the watch; a polling one was told by timer_add_to() */
	if (!(m && m->p) && !atomic_load_explicit(&p->poller, memory_order_relaxed))
		sched_wake();
}

/* with t->lock; was it armed? */
static bool disarm(struct gr_timer *t)
{
	bool was = timer_del(&t->timer);

	if (t->pending) { /* I1 */
		was = t->armed;
		t->stale = true;
	} else { /* I5; relaxed: under the lock */
		atomic_store_explicit(&t->timer.p, NULL, memory_order_relaxed);
	}
	t->armed = false;
	atomic_store_explicit(&t->count, 0, memory_order_relaxed); /* under the lock */
	return was;
}

/* ---- it fired ---- */

/* how many deadlines of the period have passed; the next one to t->timer.when. I3 */
static int64_t periods_passed(struct gr_timer *t)
{
	int64_t when = t->timer.when, late = gr_now() - when, n = 1, ahead;

	if (late > 0)
		n += late / t->period;
	if (__builtin_mul_overflow(n, t->period, &ahead) ||
	    __builtin_add_overflow(when, ahead, &t->timer.when))
		t->timer.when = GR_FOREVER;
	return n;
}

/* to be counted in t->count, or given to the waiter that is returned */
static struct wnode *deliver(struct gr_timer *t, int64_t n)
{
	int64_t sum = n + atomic_load_explicit(&t->count, memory_order_relaxed);
	struct wnode *node = waitq_pop(&t->waiters);

	if (sum > INT_MAX)
		sum = INT_MAX;
	if (node)
		node->w->result = (int)sum;
	/* relaxed: under the lock */
	atomic_store_explicit(&t->count, node ? 0 : (int)sum, memory_order_relaxed);
	return node;
}

/* fn's goroutine; no memory for it: fire again soon */
static struct g *start(struct gr_timer *t)
{
	struct g *g = g_new(t->fn, t->arg, NULL, sched.stack_size);

	if (g)
		return g;
	t->armed = true;
	t->timer.when = gr_after(NOMEM_RETRY);
	return NULL;
}

static void post(struct timer *tm)
{
	struct gr_timer *t = container_of(tm, struct gr_timer, timer);
	struct wnode *node = NULL, *releaser;
	struct g *g = NULL;

	lock_acquire(&t->lock);
	t->pending = false;
	atomic_store_explicit(&tm->p, NULL, memory_order_relaxed); /* I5 */
	if (t->stale) {
		t->stale = false; /* set() has stored the new deadline */
	} else {
		int64_t n = t->period ? periods_passed(t) : 1;

		t->armed = t->period != 0;
		if (t->fn)
			g = start(t);
		else
			node = deliver(t, n);
	}
	if (t->armed)
		arm(t, t->timer.when);
	releaser = waitq_pop(&t->releasers);
	lock_release(&t->lock);
	/* *t may be gone from here */
	if (node)
		waiter_wake(node->w);
	if (releaser)
		waiter_wake(releaser->w);
	if (g)
		g_ready(g);
}

/* ---- the calls ---- */

static int new_timer(struct gr_timer **out, void (*fn)(void *), void *arg)
{
	struct gr_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	timer_init(&t->timer, fire);
	t->timer.post = post;
	*out = t;
	return 0;
}

int gr_timer_new(struct gr_timer **t)
{
	return t ? new_timer(t, NULL, NULL) : -EINVAL;
}

int gr_timer_func(struct gr_timer **t, void (*fn)(void *), void *arg)
{
	return t && fn ? new_timer(t, fn, arg) : -EINVAL;
}

int gr_timer_set(struct gr_timer *t, int64_t when, int64_t period)
{
	bool was;

	if (!t || period < 0)
		return -EINVAL;
	if (!atomic_load_explicit(&sched.running, memory_order_acquire))
		return -ENXIO;
	rt_enter();
	lock_acquire(&t->lock);
	was = disarm(t);
	t->armed = true;
	t->period = period;
	if (t->pending)
		t->timer.when = when; /* I2 */
	else
		arm(t, when);
	lock_release(&t->lock);
	rt_exit();
	return was;
}

int gr_timer_stop(struct gr_timer *t)
{
	bool was;

	if (!t)
		return -EINVAL;
	rt_enter();
	lock_acquire(&t->lock);
	was = disarm(t);
	lock_release(&t->lock);
	rt_exit();
	return was;
}

int gr_timer_wait(struct gr_timer *t, int64_t deadline)
{
	struct waiter w;
	int ret;

	if (!t || t->fn)
		return -EINVAL;
	if (m_cancelled(rt_enter()) && deadline != GR_NOW) {
		rt_exit();
		return -ECANCELED;
	}
	lock_acquire(&t->lock);
	ret = timer_try_wait(t);
	if (ret != -EAGAIN || deadline == GR_NOW) {
		lock_release(&t->lock);
	} else {
		waiter_init(&w);
		ret = waitq_wait(&t->waiters, &t->lock, &w, deadline, WAIT_TIMER);
		if (!ret)
			ret = w.result;
	}
	rt_exit();
	return ret;
}

void gr_timer_release(struct gr_timer *t)
{
	struct g *g = g_self();
	struct waiter w;

	if (!t)
		return;
	rt_enter();
	lock_acquire(&t->lock);
	GR_CHECK(!t->waiters.head); /* released while somebody waits for it */
	disarm(t);
	if (t->pending) { /* I2: a moment, somebody is at it */
		if (g)
			g->shields++;
		waiter_init(&w);
		waitq_wait(&t->releasers, &t->lock, &w, GR_FOREVER, WAIT_TIMER);
		if (g)
			g->shields--;
	} else {
		lock_release(&t->lock);
	}
	rt_exit();
	free(t);
}
