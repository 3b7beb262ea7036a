// SPDX-License-Identifier: MIT
/*
 * wait.c - one waiter: a goroutine or a plain thread that sleeps for an event or a deadline.
 *
 * Job: the single place where goroutines and threads fall asleep for one another, or for a time,
 * and are woken: channels, select, tasks, scopes, timers, gr_sleep(), all of sync.h. Not here: one
 * request in a ring (op.c).
 * Callers: inside rt_enter(). claim, waitq_*: with the owner's lock held. wake: without it.
 *
 * Life of struct waiter, on the sleeper's stack:
 *
 *	WAITING --claim()--> WOKEN --wake()--> goroutine: g_ready(); thread: GO and futex
 *	   \--deadline-----> TIMEDOUT            (timer on the P's heap; thread: its futex wait)
 *	   \--cancelled----> CANCELLED           (cancel.c; goroutines only)
 *
 * A plain one (I1) is WAITING to its end, as a thread's until GO.
 *
 * A waiter may stand in several queues, one struct wnode each (gr_select()); claimed once.
 *
 * Invariants:
 *   I1 exactly one exchange leaves WAITING; who made it, and only he, lets the sleeper run. A
 *      waiter that timed out, or was cancelled, is never handed a value, a lock or a result. A
 *      `plain` waiter (one queue, no deadline, cannot be cancelled) stays WAITING until wake():
 *      who takes it off its queue, under the queue's lock, has claimed it.
 *   I2 between claim() and wake() the claimer owns *w and what w->data points at. Nothing
 *      touches *w after wake() has let the sleeper go.
 *   I3 the timer is armed in commit(), when the sleeper's context is saved and while the owner's
 *      lock is still held: so a timer that fires at once finds a goroutine that can be run, and
 *      a claim cannot come before it.
 * Order:
 *   R1 wake() stores GO            ->  A1 wait_thread() load  (value and result are complete)
 *   R2 claim()/fire() exchange     ->  A2 wait_g() load       (g_ready() orders it as well)
 * Locks: owner's lock -> g->cancel_lock -> p->timer_lock.
 */
#include "futex.h"

/* a plain thread's last state: WOKEN and everything the waker had to write is there */
#define W_GO 4

static bool leave_waiting(struct waiter *w, uint32_t to)
{
	uint32_t old = W_WAITING;

	/* R2: pairs with A2 */
	return atomic_compare_exchange_strong_explicit(&w->state, &old, to, memory_order_acq_rel,
						       memory_order_relaxed);
}

static struct g *fire(struct timer *t)
{
	struct waiter *w = container_of(t, struct waiter, timer);

	/* *w stays: its sleeper is not ready yet, or waits in timer_del() for us to end */
	return leave_waiting(w, W_TIMEDOUT) ? w->g : NULL;
}

static struct g *claim_cancelled(struct cancel_point *at)
{
	struct waiter *w = container_of(at, struct waiter, cancel);

	return leave_waiting(w, W_CANCELLED) ? w->g : NULL;
}

void waiter_init(struct waiter *w)
{
	waiter_init_g(w, g_self());
}

bool waiter_claim(struct waiter *w)
{
	return w->plain || leave_waiting(w, W_WOKEN);
}

struct g *waiter_wake_later(struct waiter *w)
{
	struct g *g = w->g;

	if (g)
		return g;
	/* R1: pairs with A1; *w may be gone from here, see futex_wake() */
	atomic_store_explicit(&w->state, W_GO, memory_order_release);
	futex_wake(&w->state);
	return NULL;
}

void waiter_wake(struct waiter *w)
{
	struct g *g = waiter_wake_later(w);

	if (g)
		g_ready(g);
}

struct commit_arg {
	struct waiter *w;
	void (*unlock)(void *);
	void *arg;
	int64_t deadline;
};

static void unlock_one(void *l)
{
	lock_release(l);
}

static bool commit(struct g *g, void *p)
{
	/* copied: the goroutine, and with it *p, may run on as soon as the timer is armed */
	struct commit_arg a = *(struct commit_arg *)p;
	bool cancellable = g->cancellable;

	if (cancellable && !cancel_publish(g, &a.w->cancel)) {
		/* nobody else could have claimed it yet */
		leave_waiting(a.w, W_CANCELLED);
		a.w->cancel.claim = NULL; /* was not published */
		if (a.unlock)
			a.unlock(a.arg);
		return false;
	}
	if (a.deadline != GR_FOREVER)
		timer_add(&a.w->timer, a.deadline);
	if (a.unlock)
		a.unlock(a.arg);
	if (cancellable)
		cancel_published(g);
	return true;
}

static int wait_g(struct waiter *w, struct commit_arg *a, enum wait_reason why)
{
	struct g *g = w->g;
	uint32_t s;

	timer_init(&w->timer, fire);
	w->cancel.claim = claim_cancelled;
	g_park(commit, a, why);
	if (g->cancellable) {
		if (!w->cancel.claim)
			return -ECANCELED;
		cancel_withdraw(g);
	}
	/* A2: pairs with R2 */
	s = atomic_load_explicit(&w->state, memory_order_acquire);
	if (s == W_TIMEDOUT)
		return -ETIMEDOUT; /* readied after timer_lock was released: fire() has ended */
	if (a->deadline != GR_FOREVER)
		timer_del(&w->timer);
	return s == W_CANCELLED ? -ECANCELED : 0;
}

static int wait_thread(struct waiter *w, struct commit_arg *a)
{
	int64_t deadline = a->deadline;
	uint32_t s;

	if (a->unlock)
		a->unlock(a->arg);
	if (deadline < 1)
		deadline = 1; /* the kernel refuses a negative time */
	for (;;) {
		/* A1: pairs with R1 */
		s = atomic_load_explicit(&w->state, memory_order_acquire);
		if (s == W_GO)
			return 0;
		if (s == W_WAITING && deadline != GR_FOREVER && gr_now() >= deadline &&
		    leave_waiting(w, W_TIMEDOUT))
			return -ETIMEDOUT;
		/* claimed: GO follows soon, whatever the deadline says */
		futex_wait(&w->state, s, s == W_WAITING ? deadline : GR_FOREVER);
	}
}

int waiter_wait_fn(struct waiter *w, void (*unlock)(void *), void *arg, int64_t deadline,
		   enum wait_reason why)
{
	struct commit_arg a = { w, unlock, arg, deadline };

	return w->g ? wait_g(w, &a, why) : wait_thread(w, &a);
}

int waiter_wait(struct waiter *w, struct lock *l, int64_t deadline, enum wait_reason why)
{
	return waiter_wait_fn(w, l ? unlock_one : NULL, l, deadline, why);
}

void waitq_remove(struct waitq *q, struct wnode *n)
{
	if (!n->queued)
		return;
	if (n->prev)
		n->prev->next = n->next;
	else
		waitq_set_head(q, n->next);
	if (n->next)
		n->next->prev = n->prev;
	else
		q->tail = n->prev;
	n->next = n->prev = NULL;
	n->queued = false;
}

struct wnode *waitq_pop(struct waitq *q)
{
	for (struct wnode *n = q->head; n; n = n->next) {
		if (!waiter_claim(n->w))
			continue; /* timed out, or woken elsewhere; it takes itself off */
		n->w->won = n;
		waitq_remove(q, n);
		return n;
	}
	return NULL;
}

int waitq_wait(struct waitq *q, struct lock *l, struct waiter *w, int64_t deadline,
	       enum wait_reason why)
{
	int ret;

	w->plain = deadline == GR_FOREVER && !(w->g && w->g->cancellable);
	waitq_push(q, &w->node);
	if (likely(w->plain && w->g)) {
		/* woken by its claimer and nobody else; g_ready() orders what he wrote */
		g_park_unlock(m_self(), l, why);
		return 0;
	}
	ret = waiter_wait(w, l, deadline, why);
	if (ret) {
		lock_acquire(l);
		waitq_remove(q, &w->node);
		lock_release(l);
	}
	return ret;
}
