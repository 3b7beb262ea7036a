// SPDX-License-Identifier: MIT
/*
 * sync.c - what the synchronisation objects share; see sync.h.
 *
 * Callers: inside rt_enter(), but sync_caller() and lock_wait(), which may be called from anywhere.
 *
 * lock_wait() is the half of mutex.c, and of rwmutex.c's writers, that waits: spin, take it if it
 * is free, else queue and sleep; once woken do so again, until it is taken or handed over, or the
 * wait was in vain. In those files: the fast paths, letting go, leaving the queue after a wait in
 * vain, and why it is done that way. The bits are those of struct lock_bits.
 * Invariants:
 *   W1 lw->awake: woken was set for this one, by who woke it or by itself when it began to spin. It
 *      clears woken in the change that takes the lock or, before it sleeps, sets waits. (Of two
 *      that are awake the first clears it: mutex.I1.)
 *   W2 one that goes to sleep has set waits in a change that found the lock held, and is on the
 *      queue before l is released: who lets go later sees waits, and needs l to wake it.
 *   W3 a spinner sets woken only while own and waits are set: it keeps that owner's unlock from
 *      waking another one. Behind readers the first in the queue is next (rwmutex.I2).
 *   W4 after LW_OWNER the word is not changed: who let go has set own for this one.
 * Order: A1, of both files, is the change in take(); after LW_OWNER the wake-up orders (wait.R1).
 */
#include <unistd.h>

#include "runq.h"
#include "sched.h"
#include "sync.h"

#define PAUSES 30 /* per round: Go's value, about a microsecond */

/* its address is the thread's number; goroutines have odd ones */
static __thread uint64_t thread_mark __attribute__((aligned(8)));

NOINLINE uint64_t sync_caller(void)
{
	uint64_t id = gr_id();

	return id ? id << 1 | 1 : (uint64_t)(uintptr_t)&thread_mark;
}

static bool many_cpus(void)
{
	static _Atomic long cpus;
	/* relaxed: whoever asks first; all get the same answer */
	long n = atomic_load_explicit(&cpus, memory_order_relaxed);

	if (!n) {
		n = sysconf(_SC_NPROCESSORS_ONLN);
		atomic_store_explicit(&cpus, n, memory_order_relaxed);
	}
	return n > 1;
}

bool sync_can_spin(const struct m *m)
{
	int idle, active = atomic_load_explicit(&sched.active_procs, memory_order_relaxed);

	if (!m)
		return many_cpus();
	if (!m->p || active == 1 || !many_cpus() || !runq_empty(m->p))
		return false;
	idle = (int)PEEK(park_tab.mirror->nr_idle) +
	       atomic_load_explicit(&sched.nr_polling, memory_order_relaxed) +
	       atomic_load_explicit(&sched.nr_spinning, memory_order_relaxed);
	return active > idle + 1;
}

void sync_spin(void)
{
	for (int i = 0; i < PAUSES; i++) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	}
}

/* ---- a lock that newcomers may pass ---- */

static struct lock_waiter *lock_waiter_of(struct wnode *n)
{
	return container_of(n->w, struct lock_waiter, w);
}

/* Queue it: in front if it has waited before. With the queue's lock held. */
static void lock_waiter_push(struct waitq *q, struct lock_waiter *lw)
{
	struct wnode *n = &lw->w.node;

	waiter_init(&lw->w);
	if (!lw->since) {
		lw->since = gr_now();
		waitq_push(q, n);
		return;
	}
	n->prev = NULL;
	n->next = q->head;
	n->queued = true;
	if (q->head)
		q->head->prev = n;
	else
		q->tail = n;
	q->head = n;
}

bool lock_waiter_starves(const struct waitq *q)
{
	return q->head && gr_now() - lock_waiter_of(q->head)->since > SYNC_STARVED;
}

/* woken to compete: has it been starving? */
static void lock_waiter_woken(struct lock_waiter *lw)
{
	lw->awake = true;
	lw->starved = gr_now() - lw->since > SYNC_STARVED;
}

/* in state s it is free: take it, and give back woken (W1) */
static bool take(uint32_t *word, uint32_t s, const struct lock_bits *b,
		 const struct lock_waiter *lw)
{
	return sync_change(word, s, (s | b->own) & ~(lw->awake ? b->woken : 0)); /* A1 */
}

/* True: locked. While it spins nobody else need be woken. */
static bool spin(uint32_t *word, const struct lock_bits *b, const struct m *self,
		 struct lock_waiter *lw)
{
	for (int i = 0; i < SYNC_SPINS;) {
		uint32_t s = sync_state(word);

		if (!(s & b->held)) {
			if (take(word, s, b, lw))
				return true;
			continue;
		}
		if ((s & b->starving) || !sync_can_spin(self))
			return false;
		if (!lw->awake && (s & (b->own | b->waits | b->woken)) == (b->own | b->waits) &&
		    sync_change(word, s, s | b->woken))
			lw->awake = true; /* W3 */
		sync_spin();
		i++;
	}
	return false;
}

/* With the queue's lock held. True: locked after all. False: waits is set, it was not free (W2). */
static bool take_or_mark(uint32_t *word, const struct lock_bits *b, struct lock_waiter *lw)
{
	for (;;) {
		uint32_t s = sync_state(word);

		if (!(s & b->held)) {
			if (take(word, s, b, lw))
				return true;
		} else if (sync_change(word, s, (s & ~(lw->awake ? b->woken : 0)) | b->waits |
							(lw->starved ? b->starving : 0))) {
			lw->awake = false;
			return false;
		}
	}
}

NOINLINE int lock_wait(uint32_t *word, struct lock *l, struct waitq *q, const struct lock_bits *b,
		       void (*give_up)(void *obj, struct lock_waiter *lw), void *obj,
		       int64_t deadline, enum wait_reason why)
{
	struct m *self = rt_enter();
	struct lock_waiter lw;
	int ret = 0;

	lw.since = 0;
	lw.awake = lw.starved = false;
	while (!spin(word, b, self, &lw)) {
		lock_acquire(l);
		if (take_or_mark(word, b, &lw)) {
			lock_release(l);
			break;
		}
		lock_waiter_push(q, &lw);
		ret = waiter_wait(&lw.w, l, deadline, why);
		if (ret)
			give_up(obj, &lw);
		if (ret || lw.w.result == LW_OWNER) /* W4 */
			break;
		lock_waiter_woken(&lw);
		self = m_self();
	}
	rt_exit();
	return ret;
}

/* ---- waking several ---- */

int waitq_take_all(struct waitq *q, struct wnode **list)
{
	struct wnode **end = list, *n;
	int count = 0;

	*list = NULL;
	while ((n = waitq_pop(q))) {
		*end = n;
		end = &n->next;
		count++;
	}
	return count;
}

void wake_all(struct wnode *list)
{
	struct g *gs = NULL, **end = &gs, *g;
	struct wnode *next;
	int n = 0;

	for (; list; list = next) {
		next = list->next; /* *list is gone once it is awake */
		g = waiter_wake_later(list->w);
		if (!g)
			continue;
		g->next = NULL; /* parked and claimed: ours */
		*end = g;
		end = &g->next;
		n++;
	}
	if (n == 1)
		g_ready(gs); /* runnext: its turn is next */
	else
		g_ready_list(gs, n);
}
