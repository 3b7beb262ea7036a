// SPDX-License-Identifier: MIT
/*
 * mutex.c - gr_mutex: mutual exclusion for goroutines and plain threads, first come first served.
 *
 * Job: uncontended, one exchange on m->state and no runtime section. As soon as somebody
 * queues, unlock hands the mutex over to the longest waiter: nobody barges in, nobody starves.
 * Callers: any thread.
 * Invariants (m->lock protects the queue and every change from and to QUEUED):
 *   I1 FREE -> HELD and HELD -> FREE are single exchanges that anybody may make.
 *   I2 HELD -> QUEUED, QUEUED -> anything: only with m->lock held.
 *   I3 QUEUED means the queue is not empty. (All of it may have timed out.)
 *   I4 at a hand-over the state never becomes FREE: it is the new owner's mutex.
 * Lifetime: the mutex may be freed by the next owner, so unlock touches it for the last time
 * before it lets him go: FREE is the last access on the fast path; a claimed waiter sleeps until
 * waiter_wake(), which comes after m->lock was released; and where all waiters timed out (FREE
 * under m->lock) each of them still has to take m->lock after us before its call returns.
 * Order: A1 every exchange that takes the mutex  pairs with  R1 the one that frees it. At a
 * hand-over waiter_wake() carries the order (wait.R1, g_ready()).
 * Rejected: barging with a starvation mode (Go): faster under contention, but hand-over order
 * cannot be explained in one line. To be measured before it is added.
 */
#include <errno.h>

#include "gr_int.h"

enum { FREE, HELD, QUEUED };

_Static_assert(sizeof(struct lock) == sizeof(uint32_t), "gr_mutex.lock is a struct lock");
_Static_assert(offsetof(struct gr_mutex, tail) == offsetof(struct gr_mutex, head) +
	       offsetof(struct waitq, tail), "gr_mutex.head, tail are a struct waitq");

static inline struct lock *lock_of(struct gr_mutex *m)
{
	return (struct lock *)&m->lock;
}

static inline struct waitq *queue_of(struct gr_mutex *m)
{
	return (struct waitq *)&m->head;
}

static inline bool change(struct gr_mutex *m, uint32_t from, uint32_t to)
{
	/* A1 and R1, each the other's pair */
	return __atomic_compare_exchange_n(&m->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static inline uint32_t state_of(struct gr_mutex *m)
{
	/* relaxed: decides which exchange to try, or is read under m->lock */
	return __atomic_load_n(&m->state, __ATOMIC_RELAXED);
}

/* True: locked after all. False: the state is QUEUED, and stays so while we hold m->lock. */
static bool take_or_mark(struct gr_mutex *m)
{
	for (;;) {
		if (change(m, FREE, HELD))
			return true;
		if (state_of(m) == QUEUED || change(m, HELD, QUEUED))
			return false;
	}
}

static void give_up(struct gr_mutex *m, struct waiter *w)
{
	lock_acquire(lock_of(m));
	waitq_remove(queue_of(m), &w->node);
	if (!queue_of(m)->head)
		change(m, QUEUED, HELD); /* I3; FREE or HELD already: nothing to do */
	lock_release(lock_of(m));
}

static NOINLINE int lock_slow(struct gr_mutex *m, int64_t deadline)
{
	struct waiter w;
	int ret;

	rt_enter();
	lock_acquire(lock_of(m));
	if (take_or_mark(m)) {
		lock_release(lock_of(m));
		rt_exit();
		return 0;
	}
	waiter_init(&w);
	waitq_push(queue_of(m), &w.node);
	ret = waiter_wait(&w, lock_of(m), deadline, WAIT_MUTEX);
	if (ret)
		give_up(m, &w);
	rt_exit();
	return ret;
}

int gr_mutex_lock(struct gr_mutex *m, int64_t deadline)
{
	if (likely(change(m, FREE, HELD)))
		return 0;
	return deadline == GR_NOW ? -EAGAIN : lock_slow(m, deadline);
}

/* -EAGAIN: the waiters have gone in the meantime, take the fast path again. */
static NOINLINE int unlock_slow(struct gr_mutex *m)
{
	struct wnode *w;

	rt_enter();
	lock_acquire(lock_of(m));
	if (state_of(m) != QUEUED) {
		lock_release(lock_of(m));
		rt_exit();
		return -EAGAIN;
	}
	w = waitq_pop(queue_of(m));
	if (!w)
		change(m, QUEUED, FREE);
	else if (!queue_of(m)->head)
		change(m, QUEUED, HELD); /* I3, I4 */
	lock_release(lock_of(m));
	if (w)
		waiter_wake(w->w);
	rt_exit();
	return 0;
}

int gr_mutex_unlock(struct gr_mutex *m)
{
	int ret;

	do {
		if (likely(change(m, HELD, FREE)))
			return 0;
		if (state_of(m) == FREE)
			return -EPERM;
		ret = unlock_slow(m);
	} while (ret == -EAGAIN);
	return ret;
}
