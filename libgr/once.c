// SPDX-License-Identifier: MIT
/*
 * once.c - gr_once: run a function once, whoever comes first.
 *
 * Callers: any thread. fn runs outside the runtime, on the stack of the first caller.
 * Invariants: NEW -> RUNNING, RUNNING -> WAITED, WAITED -> DONE, and everything about the queue:
 * with o->lock held. RUNNING -> DONE, when nobody waits, is one exchange of the runner.
 * Lifetime: it may go when no call is in progress, neither the runner's.
 * Order: A1 the load of DONE  pairs with  R1 the change to it, and the lock: what fn did is seen.
 */
#include "sync.h"

enum { NEW, RUNNING, WAITED, DONE };

SYNC_HAS_LOCK(gr_once);
SYNC_HAS_WAITQ(gr_once, head, tail, queue_of);

static inline uint32_t state_of(struct gr_once *o)
{
	return __atomic_load_n(&o->state, __ATOMIC_ACQUIRE); /* A1 */
}

static void finish(struct gr_once *o)
{
	struct wnode *list;

	if (sync_change(&o->state, RUNNING, DONE)) /* R1 */
		return;
	rt_enter();
	lock_acquire(lock_of(o));
	GR_CHECK(sync_change(&o->state, WAITED, DONE)); /* R1 */
	waitq_take_all(queue_of(o), &list);
	lock_release(lock_of(o));
	wake_all(list);
	rt_exit();
}

static int wait_locked(struct gr_once *o)
{
	struct waiter w;

	waiter_init(&w);
	return waitq_wait(queue_of(o), lock_of(o), &w, GR_FOREVER, WAIT_ONCE);
}

/* 1: the caller is to run it. 0: it has run. -EDEADLK, -ECANCELED. */
static int enter(struct gr_once *o, struct m *self)
{
	uint64_t me = sync_caller();
	int ret = 0;

	lock_acquire(lock_of(o));
	switch (state_of(o)) {
	case NEW:
		o->runner = me;
		sync_change(&o->state, NEW, RUNNING);
		ret = 1;
		break;
	case RUNNING:
	case WAITED:
		if (o->runner == me)
			ret = -EDEADLK;
		else if (m_cancelled(self))
			ret = -ECANCELED;
		else if (state_of(o) == WAITED || sync_change(&o->state, RUNNING, WAITED))
			return wait_locked(o);
		break; /* or it is done just now */
	}
	lock_release(lock_of(o));
	return ret;
}

int gr_once(struct gr_once *o, void (*fn)(void *), void *arg)
{
	int ret;

	if (unlikely(!o || !fn))
		return -EINVAL;
	if (likely(state_of(o) == DONE))
		return 0;
	ret = enter(o, rt_enter());
	rt_exit();
	if (ret < 1)
		return ret;
	fn(arg);
	finish(o);
	return 0;
}
