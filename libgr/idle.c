// SPDX-License-Identifier: MIT
/*
 * idle.c - a P that has nothing to do: steal, poll, park; and how it is woken.
 *
 * No lost wake-up. Two sides, one full fence each:
 *
 *	publisher (g_ready, gr_go, gr_yield)	idler
 *	  push the goroutine			  stop spinning / say that it polls or parks
 *	  F1 full fence				  F2 full fence
 *	  look for spinners and idle Ps		  look at all queues once more
 *
 * Forbidden outcome: the publisher sees nobody to wake and the idler sees no work. For a parked
 * P the second look is the kernel's (GR_IOC_PARK), for a polling one it is ours.
 *
 * One at a time. A publisher wakes at most one thread and only if none spins: it raises
 * nr_spinning for it (0 -> 1). The one who finds work lowers it again and, when it was the last
 * and there is more work, wakes the next. The count moves with the wake-up: a parked thread gets
 * GR_WAKE_UNPARK as its reason, a polling one finds its poll_state at 2. If the wake completion
 * was harvested by another thread, that one gives the count back (sched_wake_harvested()).
 * Whoever raised the count and then finds nobody to wake lowers it and looks at the queues again:
 * a publisher that came in between saw a spinner, and a thread may have gone idle before that.
 */
#include <errno.h>

#include "netpoll.h"
#include "runq.h"
#include "sched.h"

#define STEAL_PASSES 4
#define NAP_NS (20 * GR_US)
#define WAKE_TRIES 8 /* a bound, should the mirror and the counts of pollers not agree for long */

static uint32_t random_next(struct m *m)
{
	/* xorshift32 (Marsaglia) */
	uint32_t x = m->rng;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return m->rng = x;
}

static int gcd(int a, int b)
{
	while (b) {
		int t = a % b;

		a = b;
		b = t;
	}
	return a;
}

/* ---- stealing ---- */

/* the completions and timers of a P whose thread computes */
static struct g *steal_service(struct m *m, struct p *victim)
{
	struct g *list = NULL;
	bool inherit;
	int n = 0;

	if (timers_next(victim) != INT64_MAX)
		timers_run(victim, gr_now());
	if (!atomic_load_explicit(&victim->poller, memory_order_relaxed) && netpoll_due(victim))
		n = netpoll_harvest(victim, &list);
	g_ready_list(list, n);
	return runq_get_local(m->p, &inherit);
}

/* g, from another P's queue, or NULL */
static struct g *stolen(struct m *m, struct g *g)
{
	if (g)
		atomic_fetch_add_explicit(&m->p->nr_steals, 1, memory_order_relaxed);
	return g;
}

static struct g *steal_from(struct m *m, struct p *victim, bool last_pass)
{
	struct g *g;

	if (victim == m->p)
		return NULL;
	g = stolen(m, runq_steal(m->p, victim));
	return g || !last_pass ? g : steal_service(m, victim);
}

/*
 * Nothing is left but goroutines in runnext. Mostly each is about to run where it is: looking all
 * the time would only disturb, and going idle would mean to be woken by the next that is put
 * there. So sleep a little, still counted as spinning, and look at one of them then.
 */
static struct g *steal_next(struct m *m)
{
	int n = sched.nr_procs, at = random_next(m) % n;
	int64_t timer = timers_next(m->p), until;
	struct g *g;
	int i = 0;

	for (; i < n && !runq_has_next(&sched.procs[at]); i++)
		at = (at + 1) % n;
	if (i == n)
		return NULL;
	until = gr_now() + NAP_NS;
	netpoll_submit(m->p);
	/* in a runtime section: the P stays ours */
	netpoll_wait(m->p, timer < until ? timer : until);
	g = runq_steal(m->p, &sched.procs[at]);
	return stolen(m, g ? g : runq_steal_next(&sched.procs[at]));
}

/* all Ps, in an order that visits each once: a random start and a step coprime to their number */
static struct g *steal(struct m *m)
{
	int n = sched.nr_procs;
	uint64_t looks = 0;
	struct g *g = NULL;

	for (int pass = 0; pass < STEAL_PASSES && !g; pass++) {
		int at = random_next(m) % n, step = random_next(m) % n + 1;

		while (gcd(step, n) != 1)
			step = step % n + 1;
		for (int i = 0; i < n && !g; i++, at = (at + step) % n) {
			g = steal_from(m, &sched.procs[at], pass == STEAL_PASSES - 1);
			looks += at != m->p->id;
		}
	}
	atomic_fetch_add_explicit(&m->p->nr_scans, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->p->nr_looks, looks, memory_order_relaxed);
	if (g)
		return g;
	g = globq_get_local(m->p, 1);
	return g ? g : steal_next(m);
}

struct g *sched_spin(struct m *m)
{
	int busy = atomic_load_explicit(&sched.active_procs, memory_order_relaxed) -
		   (int)PEEK(park_tab.mirror->nr_idle) -
		   atomic_load_explicit(&sched.nr_polling, memory_order_relaxed);

	if (sched.nr_procs == 1)
		return NULL;
	if (!m->spinning) {
		/* at most half as many spinners as busy Ps */
		if (2 * atomic_load_explicit(&sched.nr_spinning, memory_order_relaxed) >= busy)
			return NULL;
		m->spinning = true;
		atomic_fetch_add(&sched.nr_spinning, 1);
	}
	return steal(m);
}

static bool work_anywhere(void)
{
	if (globq_len())
		return true;
	for (int i = 0; i < sched.nr_procs; i++)
		if (!runq_empty(&sched.procs[i]))
			return true;
	return false;
}

/* a plain thread armed a timer on a P that idles, or whose thread sleeps: nobody watches it */
static bool idle_pending(void)
{
	for (int i = 0; i < sched.nr_procs; i++)
		if (PEEK(park_tab.mprocs[i].state) != GR_P_RUNNING &&
		    PEEK(park_tab.hprocs[i].pending) &&
		    !atomic_load_explicit(&sched.procs[i].poller, memory_order_relaxed))
			return true;
	return false;
}

/* ---- waking ---- */

/* a thread that waits in a ring; it is now counted as spinning */
static bool wake_poller(void)
{
	for (int i = 0; i < sched.nr_procs; i++) {
		struct p *p = &sched.procs[i];
		struct m *m = atomic_load_explicit(&p->poller, memory_order_acquire);
		uint32_t polling = 1;

		if (m && atomic_compare_exchange_strong(&m->poll_state, &polling, 2)) {
			netpoll_wake(p, m);
			return true;
		}
	}
	return false;
}

void sched_wake_for_returner(void)
{
	/* as in sched_wake(): the count moves with the wake-up */
	atomic_fetch_add(&sched.nr_spinning, 1);
	if (wake_poller())
		return;
	atomic_fetch_sub(&sched.nr_spinning, 1);
	sched_wake(); /* who published meanwhile relied on the count */
}

void sched_wake(void)
{
	atomic_thread_fence(memory_order_seq_cst); /* F1 */
	sched_wake_fenced();
}

/* With the count raised. True: a thread was woken, or is on its way. */
static bool wake_one(void)
{
	const volatile struct gr_mirror *mirror = park_tab.mirror;
	bool asked = PEEK(mirror->nr_idle);

	if (asked && sched.ops->unpark(1) > 0)
		return true;
	if (wake_poller())
		return true;
	if (PEEK(mirror->nr_lazy)) {
		asked = true;
		if (sched.ops->unpark(1) > 0)
			return true;
	}
	atomic_fetch_sub(&sched.nr_spinning, 1);
	/* nobody sleeps who could have it: a new thread was asked for, and will look */
	return asked && (PEEK(mirror->nr_idle) || PEEK(mirror->nr_lazy)) &&
	       !PEEK(mirror->nr_spares) && !atomic_load(&sched.nr_polling);
}

void sched_wake_fenced(void)
{
	const volatile struct gr_mirror *mirror = park_tab.mirror;

	for (int i = 0; i < WAKE_TRIES; i++) {
		int none = 0;

		if (atomic_load_explicit(&sched.nr_spinning, memory_order_relaxed))
			return;
		if (!PEEK(mirror->nr_idle) && !PEEK(mirror->nr_lazy) &&
		    !atomic_load_explicit(&sched.nr_polling, memory_order_relaxed))
			return;
		if (!atomic_compare_exchange_strong(&sched.nr_spinning, &none, 1))
			return;
		/* woke nobody: others may have relied on the count, and somebody gone idle */
		if (wake_one() || !work_anywhere() || sched_stopping())
			return;
	}
}

void sched_stop_spinning(struct m *m)
{
	m->spinning = false;
	/*
	 * F2: who published work while we spun relied on us. Found nothing else: nobody is woken
	 * just to look, as Go's rule would have it.
	 */
	if (atomic_fetch_sub(&sched.nr_spinning, 1) == 1) {
		rmw_is_fence();
		if (work_anywhere() || idle_pending())
			sched_wake_fenced();
	}
}

void sched_wake_harvested(struct m *target)
{
	uint32_t woken = 2;

	if (target == m_self())
		return;
	if (atomic_compare_exchange_strong(&target->poll_state, &woken, 1)) {
		atomic_fetch_sub(&sched.nr_spinning, 1);
		sched_wake();
	}
}

void sched_timer_earlier(struct p *p, int64_t when)
{
	struct m *m = atomic_load_explicit(&p->poller, memory_order_acquire);

	if (m && m != m_self() &&
	    when < atomic_load_explicit(&m->poll_deadline, memory_order_relaxed))
		netpoll_wake(p, m);
}

void sched_wake_pollers(void)
{
	lock_acquire(&sched.ms_lock);
	for (struct m *m = sched.ms; m; m = m->all_next)
		if (atomic_load(&m->poll_state))
			netpoll_wake(atomic_load(&m->poll_p), m);
	lock_release(&sched.ms_lock);
}

/* ---- going idle ---- */

/* the earliest timer that nobody else watches: ours, and those of Ps whose thread computes */
static int64_t poll_deadline(struct p *own)
{
	int64_t deadline = timers_next(own);

	for (int i = 0; i < sched.nr_procs; i++) {
		struct p *p = &sched.procs[i];
		int64_t next = timers_next(p); /* once: its holder fires timers meanwhile */

		if (p != own && !atomic_load_explicit(&p->poller, memory_order_relaxed) &&
		    next < deadline)
			deadline = next;
	}
	return deadline;
}

/* The P is no longer ours: bring what its ring had to the global queue. */
static void leave_lost_ring(struct m *m, struct p *p)
{
	struct g *list = NULL;
	int n;

	n = netpoll_harvest(p, &list);
	g_ready_list(list, n);
	if (m->spinning) {
		m->spinning = false;
		atomic_fetch_sub(&sched.nr_spinning, 1);
		sched_wake();
	}
}

void poller_set(struct p *p, struct m *m)
{
	struct m *old = atomic_exchange(&p->poller, m);

	/* it lost p while it waited in this ring, and nobody would find it there any more */
	if (old && old != m)
		netpoll_wake(p, old);
}

/* Wait in the P's ring for completions, its next timer, or new work. */
static void idle_poll(struct m *m)
{
	struct p *p = m->p;
	struct m *self = m;
	int64_t deadline;

	netpoll_submit(p);
	/* until it is known, every timer that is armed meanwhile counts as earlier */
	atomic_store_explicit(&m->poll_deadline, INT64_MAX, memory_order_relaxed);
	atomic_store_explicit(&m->poll_p, p, memory_order_relaxed);
	atomic_store(&m->poll_state, 1);
	poller_set(p, m);
	atomic_fetch_add(&sched.nr_polling, 1);
	atomic_thread_fence(memory_order_seq_cst); /* F2; and timer.c F1: poller before timers */
	deadline = poll_deadline(p);
	atomic_store_explicit(&m->poll_deadline, deadline, memory_order_relaxed);
	if (!work_anywhere() && !sched_stopping() && !netpoll_ready(p) &&
	    !atomic_load(&p->retired)) {
		m_set_hint(m, GR_HF_POLL);
		netpoll_wait(p, deadline);
		m_set_hint(m, GR_HF_RUNTIME);
	}
	atomic_fetch_sub(&sched.nr_polling, 1);
	if (atomic_exchange(&m->poll_state, 0) == 2)
		m->spinning = true;
	atomic_compare_exchange_strong(&p->poller, &self, NULL);
	if (sched.ops->busy)
		sched.ops->busy();
	m_set_proc(m, PEEK(m->mirror->proc));
	if (m->p != p)
		leave_lost_ring(m, p);
}

void sched_park(struct m *m)
{
	int64_t again = asleep_begin(m);
	unsigned int reason = 0;
	int proc;

	while ((proc = sched.ops->park(m, again, &reason)) == -ETIMEDOUT)
		again = asleep_again(m);
	asleep_end();
	m_set_proc(m, proc);
	if (reason == GR_WAKE_UNPARK)
		m->spinning = true;
}

void sched_idle(struct m *m)
{
	if (m->spinning) {
		m->spinning = false;
		atomic_fetch_sub(&sched.nr_spinning, 1);
		atomic_thread_fence(memory_order_seq_cst); /* F2 */
		if (m->p && work_anywhere()) {
			atomic_fetch_add(&sched.nr_spinning, 1);
			m->spinning = true;
			return;
		}
	}
	if (m->p && PEEK(m->p->q->pending))
		idle_poll(m);
	else
		sched_park(m);
}
