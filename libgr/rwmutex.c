// SPDX-License-Identifier: MIT
/*
 * rwmutex.c - gr_rwmutex: many readers or one writer, for goroutines and plain threads.
 *
 * Job: readers enter and leave by one exchange while no writer is about. A writer that waits
 * keeps new readers out; at its unlock the readers that came meanwhile go first, all of them. So
 * neither side starves the other. Writers among themselves do as in mutex.c: whoever runs may
 * pass those who wait, until one has waited for SYNC_STARVED.
 * Callers: any thread. Not here: the arguments about WOKEN and STARVING (mutex.c), and how a
 * writer waits: lock_wait(), in sync.c.
 *
 * State: the number of readers inside, and bits. The queues and WWAIT, RWAIT, STARVING change
 * only with m->lock held:
 *   WLOCKED   a writer is inside; there are no readers
 *   WWAIT     the writers' queue is not empty
 *   RWAIT     the readers' queue is not empty; implies one of the other three
 *   WOKEN     a writer is awake and competes
 *   STARVING  writers are handed the lock; implies WWAIT
 * Invariants:
 *   I1 a reader enters only while WLOCKED, WWAIT and WOKEN are clear, or is let in by a writer
 *      that leaves or gives up: then it is counted before it wakes.
 *   I2 the last reader hands over to the first writer in the queue, unless one is WOKEN.
 *   I3 whoever leaves WLOCKED, WWAIT and WOKEN clear lets the waiting readers in.
 * Lifetime, as in mutex.c: the exchange that lets others in is the last access, or it is made
 * with m->lock held while somebody has still to come back who was on a queue.
 * Order: A1 every exchange that takes it  pairs with  R1 the one that lets go; all of them are
 * sync_change(), a writer's that had to wait is made in lock_wait().
 */
#include "sync.h"

#define WLOCKED (1U << 31)
#define WWAIT (1U << 30)
#define RWAIT (1U << 29)
#define WOKEN (1U << 28)
#define STARVING (1U << 27)
#define READERS ((1U << 24) - 1)
#define WRITERS (WLOCKED | WWAIT | WOKEN) /* any of them keeps readers out */
#define HELD (WLOCKED | READERS)	  /* any of them keeps a writer out */

SYNC_HAS_LOCK(gr_rwmutex);
SYNC_HAS_WAITQ(gr_rwmutex, rhead, rtail, readers_of);
SYNC_HAS_WAITQ(gr_rwmutex, whead, wtail, writers_of);

/* change for sure: what others do meanwhile is to set or clear bits */
static void add_clear(struct gr_rwmutex *m, uint32_t add, uint32_t bits)
{
	uint32_t s;

	do
		s = sync_state(&m->state);
	while (!sync_change(&m->state, s, (s & ~bits) + add));
}

/*
 * With m->lock held: all waiting readers go in, and bits are cleared with the same exchange. If
 * there are readers to let in, it is not free meanwhile: somebody is inside that the bits, or
 * m->lock, keep there.
 */
static void admit(struct gr_rwmutex *m, uint32_t bits, struct wnode **list)
{
	uint32_t n = (uint32_t)waitq_take_all(readers_of(m), list);

	add_clear(m, n, bits | RWAIT);
}

/* The same by the writer inside, who leaves; not if there is none to let in. */
static bool admit_from_writer(struct gr_rwmutex *m, struct wnode **list)
{
	uint32_t n = (uint32_t)waitq_take_all(readers_of(m), list);

	if (n)
		add_clear(m, n, WLOCKED | RWAIT);
	return n;
}

/* ---- readers ---- */

/* 1: in; 0: a writer is about; -EOVERFLOW */
static inline int try_read(struct gr_rwmutex *m)
{
	for (;;) {
		uint32_t s = sync_state(&m->state);

		if (s & WRITERS)
			return 0;
		if (unlikely((s & READERS) == READERS))
			return -EOVERFLOW;
		if (likely(sync_change(&m->state, s, s + 1)))
			return 1;
	}
}

/* With m->lock held: the same, or 0 with RWAIT set while a writer is about (I3). */
static int try_read_or_mark(struct gr_rwmutex *m)
{
	for (;;) {
		int ret = try_read(m);
		uint32_t s = sync_state(&m->state);

		if (ret)
			return ret;
		if ((s & WRITERS) && sync_change(&m->state, s, s | RWAIT))
			return 0;
	}
}

static void reader_gives_up(struct gr_rwmutex *m, struct waiter *w)
{
	lock_acquire(lock_of(m));
	waitq_remove(readers_of(m), &w->node);
	if (!readers_of(m)->head)
		add_clear(m, 0, RWAIT);
	lock_release(lock_of(m));
}

static NOINLINE int rlock_slow(struct gr_rwmutex *m, int64_t deadline)
{
	struct m *self = rt_enter();
	struct waiter w;
	int ret = 0;

	/* a writer that is short may be out in a moment */
	for (int i = 0; !ret && i < SYNC_SPINS && sync_can_spin(self); i++) {
		sync_spin();
		ret = try_read(m);
	}
	if (!ret) {
		lock_acquire(lock_of(m));
		ret = try_read_or_mark(m);
		if (ret) {
			lock_release(lock_of(m));
		} else {
			waiter_init(&w);
			waitq_push(readers_of(m), &w.node);
			ret = waiter_wait(&w, lock_of(m), deadline, WAIT_RLOCK);
			if (ret)
				reader_gives_up(m, &w);
		}
	}
	rt_exit();
	return ret < 0 ? ret : 0;
}

int gr_rwmutex_rlock(struct gr_rwmutex *m, int64_t deadline)
{
	int ret;

	if (unlikely(!m))
		return -EINVAL;
	ret = try_read(m);
	if (likely(ret == 1))
		return 0;
	if (ret)
		return ret;
	return deadline == GR_NOW ? -EAGAIN : rlock_slow(m, deadline);
}

/* The last reader before a writer that sleeps. False: look again. */
static NOINLINE bool runlock_last(struct gr_rwmutex *m)
{
	struct wnode *list = NULL;
	uint32_t s;
	bool done = false;

	rt_enter();
	lock_acquire(lock_of(m));
	s = sync_state(&m->state);
	if ((s & READERS) == 1 && (s & (WWAIT | WOKEN)) == WWAIT) {
		done = true;
		list = waitq_pop(writers_of(m));
		if (list) {
			list->w->result = LW_OWNER; /* I2; one reader less */
			add_clear(m, WLOCKED, 1 | (writers_of(m)->head ? 0 : WWAIT | STARVING));
		} else {
			admit(m, 1 | WWAIT | STARVING, &list); /* I3; all of them have timed out */
		}
	}
	lock_release(lock_of(m));
	wake_all(list);
	rt_exit();
	return done;
}

int gr_rwmutex_runlock(struct gr_rwmutex *m)
{
	if (unlikely(!m))
		return -EINVAL;
	for (;;) {
		uint32_t s = sync_state(&m->state);

		if (unlikely(!(s & READERS)))
			return SYNC_MISUSE(-EPERM, "%s: it is not read-locked", __func__);
		if (unlikely((s & READERS) == 1 && (s & (WWAIT | WOKEN)) == WWAIT)) {
			if (runlock_last(m))
				return 0;
		} else if (likely(sync_change(&m->state, s, s - 1))) {
			return 0;
		}
	}
}

/* ---- writers ---- */

static void writer_gives_up(void *obj, struct lock_waiter *lw)
{
	struct gr_rwmutex *m = obj;
	struct wnode *list = NULL;

	lock_acquire(lock_of(m));
	waitq_remove(writers_of(m), &lw->w.node);
	if (!writers_of(m)->head) {
		if (sync_state(&m->state) & (WLOCKED | WOKEN))
			add_clear(m, 0, WWAIT | STARVING); /* these let the readers in */
		else
			admit(m, WWAIT | STARVING, &list); /* I3 */
	}
	lock_release(lock_of(m));
	wake_all(list);
}

static NOINLINE int lock_slow(struct gr_rwmutex *m, int64_t deadline)
{
	static const struct lock_bits bits = {
		.own = WLOCKED,
		.held = HELD,
		.waits = WWAIT,
		.woken = WOKEN,
		.starving = STARVING,
	};

	return lock_wait(&m->state, lock_of(m), writers_of(m), &bits, writer_gives_up, m,
			 deadline, WAIT_WLOCK);
}

int gr_rwmutex_lock(struct gr_rwmutex *m, int64_t deadline)
{
	uint32_t s = 0;

	if (unlikely(!m))
		return -EINVAL;
	while (!(s & HELD)) {
		if (likely(sync_change(&m->state, s, s | WLOCKED)))
			return 0;
		s = sync_state(&m->state);
	}
	return deadline == GR_NOW ? -EAGAIN : lock_slow(m, deadline);
}

static inline bool wakes_nobody(uint32_t s)
{
	return !(s & RWAIT) && (!(s & WWAIT) || (s & (WOKEN | STARVING)) == WOKEN);
}

/* With m->lock held, no readers to let in, but a writer to wake: NULL if all have timed out. */
static struct wnode *pass_on(struct gr_rwmutex *m, uint32_t s)
{
	struct waitq *q = writers_of(m);
	struct wnode *n = waitq_pop(q);
	uint32_t gone = RWAIT | (n && q->head ? 0 : WWAIT | STARVING);

	if (!n) {
		add_clear(m, 0, WLOCKED | gone);
	} else if (s & STARVING) {
		n->w->result = LW_OWNER;
		add_clear(m, 0, gone | (lock_waiter_starves(q) ? 0 : STARVING));
	} else {
		n->w->result = LW_COMPETE;
		add_clear(m, WOKEN, WOKEN | WLOCKED | gone);
	}
	return n;
}

/* False: who waited has gone, or is awake, since the caller looked. */
static NOINLINE bool unlock_waiters(struct gr_rwmutex *m)
{
	struct wnode *list = NULL;
	uint32_t s;
	bool done;

	rt_enter();
	lock_acquire(lock_of(m));
	s = sync_state(&m->state);
	done = !wakes_nobody(s);
	if (done && !admit_from_writer(m, &list)) {
		/* RWAIT, if it was set, spoke of readers that have timed out */
		if (wakes_nobody(s & ~RWAIT))
			add_clear(m, 0, WLOCKED | RWAIT);
		else
			list = pass_on(m, s);
	}
	lock_release(lock_of(m));
	wake_all(list);
	rt_exit();
	return done;
}

int gr_rwmutex_unlock(struct gr_rwmutex *m)
{
	if (unlikely(!m))
		return -EINVAL;
	for (;;) {
		uint32_t s = sync_state(&m->state);

		if (unlikely(!(s & WLOCKED)))
			return SYNC_MISUSE(-EPERM, "%s: it is not locked", __func__);
		if (likely(wakes_nobody(s)) ? sync_change(&m->state, s, s & ~WLOCKED) :
					      unlock_waiters(m))
			return 0;
	}
}
