// SPDX-License-Identifier: MIT
/*
 * mutex.c - gr_mutex: mutual exclusion for goroutines and plain threads.
 *
 * Job: uncontended, one exchange each and no runtime section. Contended, whoever runs may take a
 * free mutex, also before those who wait (barging): a mutex that is handed over costs a switch
 * for each unlock. One waiter at a time is awake to compete. One that lost and has waited for
 * SYNC_STARVED makes the mutex STARVING: it is handed over, in order, until the next in the queue
 * has not waited that long. So nobody starves, and the price is paid only then.
 * Callers: any thread. Here: the fast paths, unlocking, giving up; how one waits: lock_wait(), in
 * sync.c. Source of the algorithm: Go's sync.Mutex.
 *
 * State bits; the queue and WAITERS, STARVING change only with m->lock held:
 *   LOCKED    somebody owns it
 *   WAITERS   the queue is not empty
 *   WOKEN     somebody is awake and competes, woken or spinning: unlock wakes nobody else
 *   STARVING  unlock hands over; implies LOCKED and WAITERS
 * Invariants:
 *   I1 free with waiters that are still claimable: WOKEN. Who has it, and only he, clears it, when
 *      he takes the mutex or goes to sleep (m->lock held, mutex LOCKED: the owner's unlock comes
 *      later and sees WAITERS without WOKEN). If there are two (a spinner, and a waiter that was
 *      woken at the same time) the first of them clears it: that costs one wake-up too many.
 *   I2 a waiter that was claimed either owns the mutex (LW_OWNER) or competes; one that timed
 *      out or was cancelled was not claimed, so no wake-up goes with it.
 *   I3 at a hand-over LOCKED stays set: no newcomer comes between.
 * Lifetime: the mutex may be freed by the next owner as soon as its calls have returned, so an
 * unlock touches it for the last time before it lets him go:
 *   - without waiters to wake, the exchange that clears LOCKED is the last access;
 *   - else that happens with m->lock held, and every waiter, also one that is claimed or has timed
 *     out, returns only after us: claimed, it sleeps until waiter_wake(), which comes after
 *     m->lock was released; timed out, it has to take m->lock.
 * Order: A1 every exchange that takes the mutex, try_lock()'s and lock_wait()'s  pairs with  R1 the
 * one that frees it: clear(), or sync_change() to a state without LOCKED. At a hand-over
 * waiter_wake() carries the order (wait.R1, g_ready()).
 * A P that nobody takes away: with WOKEN set unlock does not enter the scheduler, and on one P
 * the one who was woken would wait until the owner's slice ends, or for ever where nothing ends
 * it. So an owner that passes a waiter for SYNC_STARVED yields (tired()).
 */
#include "sync.h"

enum { LOCKED = 1, WAITERS = 2, WOKEN = 4, STARVING = 8 };

#define LOOK_EVERY 32 /* unlocks that pass a woken waiter, between looks at the clock */

SYNC_HAS_LOCK(gr_mutex);
SYNC_HAS_WAITQ(gr_mutex, head, tail, queue_of);

static void clear(struct gr_mutex *m, uint32_t bits)
{
	/* R1, if LOCKED is among them */
	__atomic_fetch_and(&m->state, ~bits, __ATOMIC_RELEASE);
}

/* ---- owner, in debug builds ---- */

#ifdef GR_DEBUG
static void set_owner(struct gr_mutex *m, uint64_t id)
{
	/* relaxed: only who wrote its own number there can find it */
	__atomic_store_n(&m->owner, id, __ATOMIC_RELAXED);
}

static bool is_mine(struct gr_mutex *m)
{
	return __atomic_load_n(&m->owner, __ATOMIC_RELAXED) == sync_caller();
}
#define OWNED(m) set_owner(m, sync_caller())
#define DISOWNED(m) set_owner(m, 0)
#else
#define is_mine(m) false
#define OWNED(m) ((void)0)
#define DISOWNED(m) ((void)0)
#endif

int mutex_check_locked(struct gr_mutex *m, const char *who)
{
	if (!(sync_state(&m->state) & LOCKED))
		return SYNC_MISUSE(-EPERM, "%s: the mutex is not locked", who);
#ifdef GR_DEBUG
	if (!is_mine(m))
		gr_throw("%s: the mutex was locked by another goroutine or thread", who);
#endif
	(void)who;
	return 0;
}

/* ---- lock ---- */

/* one that timed out or was cancelled leaves the queue */
static void give_up(void *obj, struct lock_waiter *lw)
{
	struct gr_mutex *m = obj;

	lock_acquire(lock_of(m));
	waitq_remove(queue_of(m), &lw->w.node);
	if (!queue_of(m)->head)
		clear(m, WAITERS | STARVING);
	lock_release(lock_of(m));
}

static NOINLINE int lock_slow(struct gr_mutex *m, int64_t deadline)
{
	static const struct lock_bits bits = {
		.own = LOCKED,
		.held = LOCKED,
		.waits = WAITERS,
		.woken = WOKEN,
		.starving = STARVING,
	};
	int ret = lock_wait(&m->state, lock_of(m), queue_of(m), &bits, give_up, m, deadline,
			    WAIT_MUTEX);

	if (!ret)
		m->turns = 0; /* the owner's, see tired(): this one has passed nobody yet */
	return ret;
}

/* Free, maybe with waiters: pass them. One exchange, which changes nothing if it is not free. */
static inline bool try_lock(struct gr_mutex *m)
{
	return !(__atomic_fetch_or(&m->state, LOCKED, __ATOMIC_ACQUIRE) & LOCKED); /* A1 */
}

int gr_mutex_lock(struct gr_mutex *m, int64_t deadline)
{
	int ret = 0;

	if (unlikely(!m))
		return -EINVAL;
	if (unlikely(!try_lock(m))) {
		if (deadline == GR_NOW)
			return -EAGAIN;
		if (is_mine(m) && deadline == GR_FOREVER)
			return SYNC_MISUSE(-EDEADLK, "%s: the caller has it already", __func__);
		ret = lock_slow(m, deadline);
	}
	if (!ret)
		OWNED(m);
	return ret;
}

/* ---- unlock ---- */

/* With m->lock held and somebody to wake: let one go. NULL: all of them have timed out. */
static struct wnode *pass_on(struct gr_mutex *m, uint32_t s)
{
	struct waitq *q = queue_of(m);
	struct wnode *n = waitq_pop(q);
	uint32_t gone = n && q->head ? 0 : WAITERS | STARVING;

	if (!n) {
		clear(m, gone | LOCKED);
	} else if (s & STARVING) {
		n->w->result = LW_OWNER; /* I3 */
		if (!gone && !lock_waiter_starves(q))
			gone = STARVING;
		if (gone)
			clear(m, gone);
	} else {
		n->w->result = LW_COMPETE;
		do
			s = sync_state(&m->state);
		while (!sync_change(&m->state, s, ((s & ~(gone | LOCKED)) | WOKEN)));
	}
	return n;
}

static inline bool wakes_nobody(uint32_t s)
{
	return !(s & WAITERS) || (s & (WOKEN | STARVING)) == WOKEN;
}

/* False: the waiters have gone, or one is awake, since the caller looked. */
static NOINLINE bool unlock_waiters(struct gr_mutex *m)
{
	struct wnode *n = NULL;
	bool done = false;
	uint32_t s;

	rt_enter();
	lock_acquire(lock_of(m));
	s = sync_state(&m->state);
	if (!wakes_nobody(s)) {
		n = pass_on(m, s);
		done = true;
	}
	lock_release(lock_of(m));
	if (n)
		waiter_wake(n->w);
	rt_exit();
	return done;
}

static int unlock(struct gr_mutex *m)
{
	for (;;) {
		uint32_t s = sync_state(&m->state);

		if (!(s & LOCKED))
			return -EPERM;
		if (wakes_nobody(s) ? sync_change(&m->state, s, s & ~LOCKED) : unlock_waiters(m))
			return 0;
	}
}

int mutex_unlock_local(struct gr_mutex *m)
{
	DISOWNED(m);
	return unlock(m);
}

/* By the owner: it keeps passing somebody who was woken, and has done so for long. */
static NOINLINE bool tired(struct gr_mutex *m)
{
	int64_t now = gr_now();

	if (m->turns == LOOK_EVERY)
		m->since = now;
	if (now - m->since < SYNC_STARVED)
		return false;
	m->turns = 0;
	return true;
}

static NOINLINE int unlock_slow(struct gr_mutex *m)
{
	uint32_t s = sync_state(&m->state);
	bool yield = false;
	int ret;

	if ((s & (LOCKED | WOKEN)) == (LOCKED | WOKEN) && ++m->turns % LOOK_EVERY == 0)
		yield = tired(m);
	ret = unlock(m);
	if (yield && !ret)
		gr_yield(); /* -EPERM and no more, on a plain thread */
	return ret;
}

int gr_mutex_unlock(struct gr_mutex *m)
{
	if (unlikely(!m))
		return -EINVAL;
#ifdef GR_DEBUG
	if (mutex_check_locked(m, __func__))
		return -EPERM;
	DISOWNED(m);
#endif
	if (likely(sync_change(&m->state, LOCKED, 0)))
		return 0;
	return unlock_slow(m);
}
