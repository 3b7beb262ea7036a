// SPDX-License-Identifier: MIT
/*
 * sem.c - gr_sem: a counting semaphore, first come first served.
 *
 * Job: while nobody waits, acquire and release are one exchange.
 * Callers: any thread; release from anywhere, also by who never acquired.
 * Invariants: I1 count is what there is; its sign bit, WAITED, is set exactly while the queue is
 * not empty. With it set count changes only with s->lock held, without it only by an exchange.
 *   I2 the first in the queue is served as soon as there is enough for it: whoever adds to the
 *      count, or leaves the queue, sees to that (serve). One that wants much waits for its turn
 *      only; those behind it, and newcomers, wait with it.
 *   I3 a waiter's share is taken from the count when it is claimed; one that timed out or was
 *      cancelled got none.
 * Lifetime: who has acquired may free it when no other waits. Release ends with the exchange, if
 * nobody waited; else with the release of s->lock, and who waited is then still in its call: if
 * claimed it wakes later, if it has timed out it has to take the lock.
 * Order: A1 the exchange of acquire  pairs with  R1 the exchange, or the store, of release.
 */
#include "sync.h"

#define WAITED INT64_MIN

SYNC_HAS_LOCK(gr_sem);
SYNC_HAS_WAITQ(gr_sem, head, tail, queue_of);

static inline int64_t count_of(struct gr_sem *s)
{
	/* relaxed: decides which exchange to try, or is read under the lock */
	return __atomic_load_n(&s->count, __ATOMIC_RELAXED);
}

/* Claim, in order, all whose turn it is (I2). Then unlock and wake them. */
static void serve_and_unlock(struct gr_sem *s)
{
	struct wnode *list = NULL, **end = &list, *n;
	int64_t count = count_of(s) & ~WAITED;
	bool any = queue_of(s)->head || (count_of(s) & WAITED);

	while ((n = queue_of(s)->head)) {
		int64_t want = *(int64_t *)n->data;

		if (count < want)
			break;
		waitq_remove(queue_of(s), n);
		if (!waiter_claim(n->w))
			continue; /* it has timed out and only comes for its node */
		count -= want; /* I3 */
		*end = n;
		end = &n->next;
	}
	if (any) /* R1; else it is not ours to store, I1 */
		__atomic_store_n(&s->count, queue_of(s)->head ? count | WAITED : count,
				 __ATOMIC_RELEASE);
	lock_release(lock_of(s));
	wake_all(list);
}

/* With the lock held. 1: taken. 0: WAITED is set. -EINVAL: it began with less than 0. */
static int take_or_mark(struct gr_sem *s, int64_t n, bool mark)
{
	for (;;) {
		int64_t count = count_of(s);

		if (count < 0)
			return queue_of(s)->head ? 0 : -EINVAL;
		if (count >= n) {
			if (sync_change64(&s->count, count, count - n)) /* A1 */
				return 1;
		} else if (!mark || sync_change64(&s->count, count, count | WAITED)) {
			return 0;
		}
	}
}

static NOINLINE int acquire_slow(struct gr_sem *s, int64_t n, int64_t deadline)
{
	int why = deadline == GR_NOW ? -EAGAIN : 0, ret;
	struct waiter w;

	if (m_cancelled(rt_enter()) && !why)
		why = -ECANCELED;
	lock_acquire(lock_of(s));
	ret = take_or_mark(s, n, !why);
	if (ret || why) {
		lock_release(lock_of(s));
		rt_exit();
		return ret ? (ret < 0 ? ret : 0) : why;
	}
	waiter_init(&w);
	w.node.data = &n;
	waitq_push(queue_of(s), &w.node);
	ret = waiter_wait(&w, lock_of(s), deadline, WAIT_SEM);
	if (ret) {
		lock_acquire(lock_of(s));
		waitq_remove(queue_of(s), &w.node);
		serve_and_unlock(s); /* I2 */
	}
	rt_exit();
	return ret;
}

int gr_sem_acquire(struct gr_sem *s, int64_t n, int64_t deadline)
{
	int64_t count;

	if (unlikely(!s || n < 1))
		return -EINVAL;
	do {
		count = count_of(s);
		if (unlikely(count < n)) /* WAITED, too */
			return acquire_slow(s, n, deadline);
	} while (unlikely(!sync_change64(&s->count, count, count - n))); /* A1 */
	return 0;
}

/* With waiters. -EAGAIN: they have gone. */
static NOINLINE int release_slow(struct gr_sem *s, int64_t n)
{
	int64_t count;
	int ret = 0;

	rt_enter();
	lock_acquire(lock_of(s));
	count = count_of(s);
	if (!(count & WAITED))
		ret = -EAGAIN;
	else if (!queue_of(s)->head)
		ret = -EINVAL;
	else if (__builtin_add_overflow(count & ~WAITED, n, &count))
		ret = -EOVERFLOW;
	if (ret) {
		lock_release(lock_of(s));
	} else {
		__atomic_store_n(&s->count, count | WAITED, __ATOMIC_RELAXED); /* I1 */
		serve_and_unlock(s);
	}
	rt_exit();
	return ret;
}

int gr_sem_release(struct gr_sem *s, int64_t n)
{
	int64_t count, sum;
	int ret;

	if (unlikely(!s || n < 1))
		return -EINVAL;
	for (;;) {
		count = count_of(s);
		if (unlikely(count & WAITED)) {
			ret = release_slow(s, n);
			if (ret != -EAGAIN)
				return ret;
		} else if (unlikely(__builtin_add_overflow(count, n, &sum))) {
			return -EOVERFLOW;
		} else if (likely(sync_change64(&s->count, count, sum))) { /* R1 */
			return 0;
		}
	}
}
