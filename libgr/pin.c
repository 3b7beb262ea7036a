// SPDX-License-Identifier: MIT
/*
 * pin.c - goroutines that stay on their thread, and threads that run nothing else.
 *
 * Job: gr_pin(), gr_unpin(); what a thread does while its pinned goroutine waits; how the
 * goroutine's turn gets to that thread.
 * Callers: gr_pin(), gr_unpin(): the goroutine. pin_wait(): its M, on g0. pin_hand(): any M that
 * took the goroutine from a queue. pin_stop(): gr_run().
 *
 *	the pinned goroutine's M		the M that finds it in a queue
 *	  commit(): it may be queued now	  pin_word = GO
 *	  pin_word READY -> ASLEEP		  was ASLEEP: it counts as awake again
 *	  sleep while ASLEEP			  wake it
 *
 * To the backend the M that waits is a thread whose goroutine sits in a blocking call: hint flags
 * 0, so the P goes to others when they have something to do, and the M comes back as any such
 * thread does. A backend that learns of sleepers late is told (park_ops.leave).
 *
 * Invariants: I1 g->pinned == m exactly while m->pin == g; both are written by that thread only,
 * while it runs g. I2 at most one goroutine is pinned to an M, and it is queued at most once, so
 * GO is stored at most once per wait. I3 one thread of max_threads is never pinned, or nobody
 * would be left to look into the queues.
 * Order: R1 exchange in pin_hand() -> A1 exchanges in pin_wait(): what whoever made the goroutine
 * ready wrote before is visible to it.
 */
#include "futex.h"
#include "netpoll.h"
#include "sched.h"

enum { READY, ASLEEP, GO };

/* Not the last thread that is left for the others (I3). */
static bool may_pin(void)
{
	/* a P out of use holds a thread too, procs.c */
	int held = sched.nr_procs - atomic_load(&sched.active_procs);

	if (atomic_fetch_add(&sched.nr_pinned, 1) + 1 < sched.max_threads - held)
		return true;
	atomic_fetch_sub(&sched.nr_pinned, 1);
	return false;
}

static void unpin(struct m *m, struct g *g)
{
	g->pins = 0;
	g->pinned = NULL;
	m->pin = NULL;
	atomic_fetch_sub(&sched.odd, 1);
	atomic_fetch_sub(&sched.nr_pinned, 1);
}

int gr_pin(void)
{
	struct g *g = g_self();
	struct m *m;
	int ret = 0;

	if (!g)
		return -EPERM;
	m = rt_enter();
	if (!g->pins && !may_pin()) {
		ret = -EAGAIN;
	} else if (!g->pins++) {
		g->pinned = m;
		m->pin = g;
		atomic_fetch_add(&sched.odd, 1); /* before anybody finds g in a queue */
	}
	rt_exit();
	return ret;
}

int gr_unpin(void)
{
	struct g *g = g_self();

	if (!g || !g->pins)
		return -EPERM;
	rt_enter();
	if (g->pins > 1)
		g->pins--;
	else
		unpin(m_self(), g);
	rt_exit();
	return 0;
}

void pin_end(struct m *m)
{
	unpin(m, m->pin);
}

void pin_hand(struct g *g)
{
	struct m *m = g->pinned;

	/* R1 */
	if (atomic_exchange(&m->pin_word, GO) != ASLEEP)
		return;
	asleep_end(); /* we are awake, so the count is right at any instant */
	futex_wake(&m->pin_word);
}

void pin_stop(void)
{
	lock_acquire(&sched.ms_lock);
	for (struct m *m = sched.ms; m; m = m->all_next) {
		atomic_store(&m->pin_word, GO);
		futex_wake(&m->pin_word);
	}
	lock_release(&sched.ms_lock);
}

/* Sleep as a thread in a blocking call does; comes back with a P, unless the runtime stops. */
static void sleep_until_go(struct m *m)
{
	int64_t again;
	int proc;

	if (m->p) {
		netpoll_submit(m->p);
		if (sched.ops->leave)
			sched.ops->leave(m);
		m_hold(m, -1); /* another thread's, maybe: nothing may touch its ring through us */
	}
	again = asleep_begin(m);
	m_set_hint(m, 0);
	while (atomic_load(&m->pin_word) == ASLEEP) {
		futex_wait(&m->pin_word, ASLEEP, again);
		if (again != GR_FOREVER && gr_now() >= again)
			again = asleep_again(m);
	}
	m_set_hint(m, GR_HF_RUNTIME);
	proc = m->mirror->proc;
	if (proc < 0)
		proc = sched.ops->acquire(m);
	m_set_proc(m, proc);
}

struct g *pin_wait(struct m *m)
{
	uint32_t ready = READY;

	/* A1; GO already: its turn came before we could sleep */
	if (atomic_compare_exchange_strong(&m->pin_word, &ready, ASLEEP))
		sleep_until_go(m);
	if (sched_stopping())
		return NULL;
	atomic_store(&m->pin_word, READY); /* I2: nobody else writes it before we run g */
	if (!m->p)
		m_set_proc(m, sched.ops->acquire(m));
	return m->p ? m->pin : NULL;
}
