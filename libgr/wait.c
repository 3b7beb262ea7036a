// SPDX-License-Identifier: MIT
/*
 * wait.c - one waiter: a goroutine or a plain thread that sleeps for an event or a deadline.
 *
 * Job: the single place where chan.c, mutex.c, wg.c and gr_sleep() fall asleep and wake others.
 * Callers: inside rt_enter(). claim, waitq_*: with the owner's lock held. wake: without it.
 *
 * Life of struct waiter, on the sleeper's stack:
 *
 *	WAITING --claim()--> WOKEN --wake()--> goroutine: g_ready(); thread: GO and futex
 *	   \--deadline-----> TIMEDOUT            (timer on the P's heap; thread: its futex wait)
 *
 * Invariants:
 *   I1 exactly one exchange leaves WAITING; who made it, and only he, lets the sleeper run. A
 *      waiter that timed out is therefore never handed a value, a lock or a result.
 *   I2 between claim() and wake() the claimer owns *w and what w->data points at. Nothing
 *      touches *w after wake() has let the sleeper go.
 *   I3 the timer is armed in commit(), when the sleeper's context is saved and while the owner's
 *      lock is still held: so a timer that fires at once finds a goroutine that can be run, and
 *      a claim cannot come before it.
 * Order:
 *   R1 wake() stores GO            ->  A1 wait_thread() load  (value and result are complete)
 *   R2 claim()/fire() exchange     ->  A2 wait_g() load       (g_ready() orders it as well)
 * Locks: owner's lock -> p->timer_lock.
 */
#include "futex.h"

/* a plain thread's last state: WOKEN and everything the waker had to write is there */
#define W_GO 3

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

void waiter_init(struct waiter *w)
{
	w->g = g_self();
	atomic_init(&w->state, W_WAITING);
	w->next = w->prev = NULL;
	w->data = NULL;
	w->result = 0;
	timer_init(&w->timer, fire);
}

bool waiter_claim(struct waiter *w)
{
	return leave_waiting(w, W_WOKEN);
}

void waiter_wake(struct waiter *w)
{
	struct g *g = w->g;

	if (g) {
		g_ready(g);
		return;
	}
	/* R1: pairs with A1; *w may be gone from here, see futex_wake() */
	atomic_store_explicit(&w->state, W_GO, memory_order_release);
	futex_wake(&w->state);
}

struct commit_arg {
	struct waiter *w;
	struct lock *l;
	int64_t deadline;
};

static bool commit(struct g *g, void *p)
{
	/* copied: the goroutine, and with it *p, may run on as soon as the timer is armed */
	struct commit_arg a = *(struct commit_arg *)p;

	(void)g;
	if (a.deadline != GR_FOREVER)
		timer_add(&a.w->timer, a.deadline);
	if (a.l)
		lock_release(a.l);
	return true;
}

static int wait_g(struct waiter *w, struct lock *l, int64_t deadline, enum wait_reason why)
{
	struct commit_arg a = { w, l, deadline };

	g_park(commit, &a, why);
	/* A2: pairs with R2 */
	if (atomic_load_explicit(&w->state, memory_order_acquire) == W_TIMEDOUT)
		return -ETIMEDOUT; /* readied after timer_lock was released: fire() has ended */
	if (deadline != GR_FOREVER)
		timer_del(&w->timer);
	return 0;
}

static int wait_thread(struct waiter *w, struct lock *l, int64_t deadline)
{
	uint32_t s;

	if (l)
		lock_release(l);
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

int waiter_wait(struct waiter *w, struct lock *l, int64_t deadline, enum wait_reason why)
{
	return w->g ? wait_g(w, l, deadline, why) : wait_thread(w, l, deadline);
}

void waitq_push(struct waitq *q, struct waiter *w)
{
	w->next = NULL;
	w->prev = q->tail;
	if (q->tail)
		q->tail->next = w;
	else
		q->head = w;
	q->tail = w;
}

void waitq_remove(struct waitq *q, struct waiter *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		q->head = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		q->tail = w->prev;
	w->next = w->prev = NULL;
}

struct waiter *waitq_pop(struct waitq *q)
{
	for (struct waiter *w = q->head; w; w = w->next) {
		if (!waiter_claim(w))
			continue; /* timed out; it takes itself off */
		waitq_remove(q, w);
		return w;
	}
	return NULL;
}
