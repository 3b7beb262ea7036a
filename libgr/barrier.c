// SPDX-License-Identifier: MIT
/*
 * barrier.c - gr_barrier: n meet, then all go on.
 *
 * Callers: any thread.
 * Invariants, under b->lock: here is the number of those on the queue, always below n between
 * calls; round moves when the n-th comes, and the queue is empty then.
 * Giving up happens when the one that timed out, or was cancelled, has the lock again: if the round
 * has moved meanwhile it was one of the n, and returns 0 like the others; else it is taken out. So
 * at every moment all agree on how many there are.
 * Lifetime: the n-th touches *b for the last time when it releases b->lock, before anybody wakes.
 */
#include "sync.h"

SYNC_HAS_LOCK(gr_barrier);
SYNC_HAS_WAITQ(gr_barrier, head, tail, queue_of);

/* The n-th is here: empty the queue, unlock, wake those who sleep. */
static void open_and_unlock(struct gr_barrier *b)
{
	struct wnode *list = NULL, **end = &list, *n;

	while ((n = queue_of(b)->head)) {
		waitq_remove(queue_of(b), n);
		if (!waiter_claim(n->w))
			continue; /* it comes for the lock, and sees that the round has moved */
		*end = n;
		end = &n->next;
	}
	b->here = 0;
	b->round++;
	lock_release(lock_of(b));
	wake_all(list);
}

static int wait_locked(struct gr_barrier *b, int64_t deadline)
{
	uint32_t round = b->round;
	struct waiter w;
	int ret;

	waiter_init(&w);
	b->here++;
	waitq_push(queue_of(b), &w.node);
	ret = waiter_wait(&w, lock_of(b), deadline, WAIT_BARRIER);
	if (ret) {
		lock_acquire(lock_of(b));
		if (b->round != round) {
			ret = 0;
		} else {
			waitq_remove(queue_of(b), &w.node);
			b->here--;
		}
		lock_release(lock_of(b));
	}
	return ret;
}

int gr_barrier_wait(struct gr_barrier *b, int64_t deadline)
{
	struct m *self;
	int ret;

	if (!b || !b->n)
		return -EINVAL;
	self = rt_enter();
	lock_acquire(lock_of(b));
	if (b->here + 1 >= b->n) {
		open_and_unlock(b);
		ret = 1;
	} else if (deadline == GR_NOW || m_cancelled(self)) {
		lock_release(lock_of(b));
		ret = deadline == GR_NOW ? -EAGAIN : -ECANCELED;
	} else {
		ret = wait_locked(b, deadline);
	}
	rt_exit();
	return ret;
}
