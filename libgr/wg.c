// SPDX-License-Identifier: MIT
/*
 * wg.c - gr_wg: wait until a count of jobs has come down to zero.
 *
 * Job: while nobody waits, add and done are one exchange. Callers: any thread.
 * Invariants: I1 count is the number of jobs, and its sign bit, WAITED, says that the queue is
 * not empty (who is left there without it has timed out). I2 with WAITED set count changes
 * only with wg->lock held; without it only by an exchange. I3 a waiter queues only while there
 * are jobs, and the change to none takes every waiter off that has not timed out.
 * Lifetime: who has waited may free it when no other waits. The gr_wg_done() that made it 0 ends
 * with the exchange, if nobody waited; else with the release of the lock, and who waited is then
 * still in its call: if claimed it wakes later, if it has timed out it has to take the lock.
 * Order: A1 wait() reads the count  pairs with  R1 the exchange that made it 0; with the lock held
 * the lock orders it.
 */
#include "sync.h"
#include "turn.h"

#define WAITED INT64_MIN

SYNC_HAS_LOCK(gr_wg);
SYNC_HAS_WAITQ(gr_wg, head, tail, queue_of);

static inline int64_t count_of(struct gr_wg *wg)
{
	return __atomic_load_n(&wg->count, __ATOMIC_ACQUIRE); /* A1 */
}

static int misuse(int64_t n)
{
	(void)n;
	return SYNC_MISUSE(-EINVAL, "gr_wg_add: %s", n < 0 ? "below zero" : "the count overflows");
}

/* With waiters. -EAGAIN: they have gone. */
static NOINLINE int add_slow(struct gr_wg *wg, int64_t n)
{
	struct m *m = rt_enter_inline();
	struct wnode *first = NULL, *rest = NULL;
	int64_t count;
	int ret = 0;

	lock_acquire(lock_of(wg));
	count = count_of(wg);
	if (!(count & WAITED)) {
		ret = -EAGAIN;
	} else if (__builtin_add_overflow(count & ~WAITED, n, &count) || count < 0) {
		ret = -EINVAL;
	} else if (count) {
		/* relaxed: I2 */
		__atomic_store_n(&wg->count, count | WAITED, __ATOMIC_RELAXED);
	} else {
		first = waitq_take(queue_of(wg));
		if (unlikely(waitq_looks_used(queue_of(wg))))
			waitq_take_all(queue_of(wg), &rest);
		/* those that timed out are still there, but will not look at the count */
		__atomic_store_n(&wg->count, 0, __ATOMIC_RELEASE);
	}
	lock_release(lock_of(wg));
	if (likely(first && !rest && first->w->g)) {
		ready(m, first->w->g);
	} else if (first) {
		first->next = rest;
		wake_all(first);
	}
	if (m)
		rt_exit_m(m);
	return ret;
}

int gr_wg_add(struct gr_wg *wg, int64_t n)
{
	int64_t old, new;
	int ret;

	if (unlikely(!wg))
		return -EINVAL;
	for (;;) {
		old = count_of(wg);
		if (unlikely(old & WAITED)) {
			ret = add_slow(wg, n);
			if (ret == -EAGAIN)
				continue;
			return ret ? misuse(n) : 0;
		}
		if (unlikely(__builtin_add_overflow(old, n, &new) || new < 0))
			return misuse(n);
		if (likely(sync_change64(&wg->count, old, new))) /* R1 */
			return 0;
	}
}

int gr_wg_done(struct gr_wg *wg)
{
	return gr_wg_add(wg, -1);
}

/* With the lock held: false if there are no jobs, else WAITED is set. */
static bool mark(struct gr_wg *wg)
{
	int64_t count;

	do {
		count = count_of(wg);
		if (!(count & ~WAITED))
			return false;
	} while (!sync_change64(&wg->count, count, count | WAITED));
	return true;
}

static NOINLINE int wait_locked(struct gr_wg *wg, int64_t deadline)
{
	struct waiter w;
	int ret;

	waiter_init(&w);
	waitq_push(queue_of(wg), &w.node);
	ret = waiter_wait(&w, lock_of(wg), deadline, WAIT_WG);
	if (ret) {
		lock_acquire(lock_of(wg));
		waitq_remove(queue_of(wg), &w.node);
		if (!queue_of(wg)->head)
			__atomic_fetch_and(&wg->count, ~WAITED, __ATOMIC_RELAXED); /* I1 */
		lock_release(lock_of(wg));
	}
	return ret;
}

int gr_wg_wait(struct gr_wg *wg, int64_t deadline)
{
	struct m *self;
	struct g *g;
	int ret = 0;

	if (unlikely(!wg))
		return -EINVAL;
	if (!count_of(wg))
		return 0;
	self = rt_enter_inline();
	lock_acquire(lock_of(wg));
	if (!(count_of(wg) & ~WAITED)) {
		lock_release(lock_of(wg));
	} else if (deadline == GR_NOW || m_cancelled(self)) {
		lock_release(lock_of(wg));
		ret = deadline == GR_NOW ? -EAGAIN : -ECANCELED;
	} else if (!mark(wg)) {
		lock_release(lock_of(wg));
	} else if ((g = plain_waiter(self, deadline))) {
		wait_plain(self, g, queue_of(wg), NULL, lock_of(wg), WAIT_WG);
		self = m_self();
	} else {
		ret = wait_locked(wg, deadline);
		self = m_self();
	}
	if (self)
		rt_exit_m(self);
	return ret;
}
