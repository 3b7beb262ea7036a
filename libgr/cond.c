// SPDX-License-Identifier: MIT
/*
 * cond.c - gr_cond: wait until another one says that something has changed.
 *
 * Callers: any thread.
 * Invariants: I1 the queue is in the order of the calls and changes only with c->lock held. A
 * waiter is on it before it unlocks the mutex: who signals with the mutex held, or after it was
 * taken once, finds it. I2 a signal claims the oldest that still waits: never one that comes
 * later, never one that has timed out or was cancelled, and each return of 0 has its own signal.
 * I3 the mutex is locked again before wait returns, whatever it returns.
 * State: 1 while the queue is not empty, for a look without the lock.
 * Lifetime: signal and broadcast touch *c for the last time when they release c->lock, before
 * anybody wakes; one that timed out takes c->lock once more.
 * Lock order: c->lock -> the mutex's m->lock.
 * Rejected: moving waiters to the mutex's queue at a broadcast instead of waking them; a mutex that
 * may be passed has no use for a queue of sleepers that would only be woken one by one.
 */
#include "sync.h"

SYNC_HAS_LOCK(gr_cond);
SYNC_HAS_WAITQ(gr_cond, head, tail, queue_of);

/* With c->lock held, after the queue has changed. Relaxed: see nobody_waits(). */
static void set_state(struct gr_cond *c)
{
	__atomic_store_n(&c->state, queue_of(c)->head != NULL, __ATOMIC_RELAXED);
}

/* Also when cancelled: the caller is going to unlock it. */
static void lock_again(struct gr_mutex *m)
{
	struct g *g = g_self();

	if (g)
		g->shields++;
	gr_mutex_lock(m, GR_FOREVER);
	if (g)
		g->shields--;
}

int gr_cond_wait(struct gr_cond *c, struct gr_mutex *m, int64_t deadline)
{
	struct waiter w;
	int ret;

	if (!c || !m)
		return -EINVAL;
	ret = mutex_check_locked(m, __func__);
	if (ret)
		return ret;
	if (deadline == GR_NOW)
		return -EAGAIN;
	if (m_cancelled(rt_enter())) {
		rt_exit();
		return -ECANCELED;
	}
	waiter_init(&w);
	lock_acquire(lock_of(c));
	waitq_push(queue_of(c), &w.node); /* I1 */
	set_state(c);
	mutex_unlock_local(m);
	ret = waiter_wait(&w, lock_of(c), deadline, WAIT_COND);
	if (ret) {
		lock_acquire(lock_of(c));
		waitq_remove(queue_of(c), &w.node);
		set_state(c);
		lock_release(lock_of(c));
	}
	rt_exit();
	lock_again(m); /* I3 */
	return ret;
}

/*
 * Relaxed: one that waits was queued before it unlocked the mutex, so whoever has locked the mutex
 * since then sees it; who has not, comes before the wait just as well as after it.
 */
static inline bool nobody_waits(struct gr_cond *c)
{
	return !__atomic_load_n(&c->state, __ATOMIC_RELAXED);
}

int gr_cond_signal(struct gr_cond *c)
{
	struct wnode *n;

	if (unlikely(!c))
		return -EINVAL;
	if (nobody_waits(c))
		return 0;
	rt_enter();
	lock_acquire(lock_of(c));
	n = waitq_pop(queue_of(c)); /* I2 */
	set_state(c);
	lock_release(lock_of(c));
	if (n)
		waiter_wake(n->w);
	rt_exit();
	return n != NULL;
}

int gr_cond_broadcast(struct gr_cond *c)
{
	struct wnode *list;
	int n;

	if (unlikely(!c))
		return -EINVAL;
	if (nobody_waits(c))
		return 0;
	rt_enter();
	lock_acquire(lock_of(c));
	n = waitq_take_all(queue_of(c), &list);
	set_state(c);
	lock_release(lock_of(c));
	wake_all(list);
	rt_exit();
	return n;
}
