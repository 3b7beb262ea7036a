// SPDX-License-Identifier: MIT
/*
 * sem.c - gr_sem: a counting semaphore, first come first served.
 *
 * Callers: any thread; release from anywhere, also by who never acquired.
 * Invariants, under s->lock:
 *   I1 the count covers the first in the queue only if that one has timed out: whoever adds to
 *      the count, or leaves the queue, serves (serve()). So one that wants much waits for its
 *      turn only, those behind it wait with it.
 *   I2 a newcomer takes only from an empty queue.
 *   I3 a waiter's share is taken from the count when it is claimed; one that timed out or was
 *      cancelled got none.
 * Lifetime: release touches *s for the last time when it releases s->lock, before anybody wakes;
 * one that timed out takes s->lock once more.
 */
#include "sync.h"

SYNC_HAS_LOCK(gr_sem);
SYNC_HAS_WAITQ(gr_sem, head, tail);

static inline struct lock *lock_of(struct gr_sem *s)
{
	return (struct lock *)&s->lock;
}

static inline struct waitq *queue_of(struct gr_sem *s)
{
	return (struct waitq *)&s->head;
}

/* Claim, in order, all whose turn it is; linked by next. Then unlock and wake them. */
static void serve_and_unlock(struct gr_sem *s)
{
	struct wnode *list = NULL, **end = &list, *n;

	while ((n = queue_of(s)->head)) {
		int64_t want = *(int64_t *)n->data;

		if (s->count < want)
			break;
		waitq_remove(queue_of(s), n);
		if (!waiter_claim(n->w))
			continue; /* it has timed out and only comes for its node */
		s->count -= want; /* I3 */
		*end = n;
		end = &n->next;
	}
	lock_release(lock_of(s));
	wake_all(list);
}

static int wait_locked(struct gr_sem *s, int64_t n, int64_t deadline)
{
	struct waiter w;
	int ret;

	waiter_init(&w);
	w.node.data = &n;
	waitq_push(queue_of(s), &w.node);
	ret = waiter_wait(&w, lock_of(s), deadline, WAIT_SEM);
	if (ret) {
		lock_acquire(lock_of(s));
		waitq_remove(queue_of(s), &w.node);
		serve_and_unlock(s); /* I1 */
	}
	return ret;
}

int gr_sem_acquire(struct gr_sem *s, int64_t n, int64_t deadline)
{
	struct m *self;
	int ret = 0;

	if (!s || n < 1)
		return -EINVAL;
	self = rt_enter();
	lock_acquire(lock_of(s));
	if (!queue_of(s)->head && s->count >= n) {
		s->count -= n; /* I2 */
		lock_release(lock_of(s));
	} else if (deadline == GR_NOW || m_cancelled(self)) {
		lock_release(lock_of(s));
		ret = deadline == GR_NOW ? -EAGAIN : -ECANCELED;
	} else {
		ret = wait_locked(s, n, deadline);
	}
	rt_exit();
	return ret;
}

int gr_sem_release(struct gr_sem *s, int64_t n)
{
	int64_t count;
	int ret = 0;

	if (!s || n < 1)
		return -EINVAL;
	rt_enter();
	lock_acquire(lock_of(s));
	if (__builtin_add_overflow(s->count, n, &count)) {
		lock_release(lock_of(s));
		ret = -EOVERFLOW;
	} else {
		s->count = count;
		serve_and_unlock(s);
	}
	rt_exit();
	return ret;
}
