// SPDX-License-Identifier: MIT
/*
 * sched.c - the scheduler: which goroutine runs next on this thread.
 *
 * Ms run Gs while they hold a P. Each M loops on its own stack (g0): find a goroutine, switch to
 * it, and when it comes back do what it asked for (park, yield, end). Algorithm: the Go
 * runtime's, with its constants; what differs is that the kernel, not a guess, takes Ps from
 * blocked threads, and that it says when one of them is back (returners).
 *
 * Order of search: returners get the P, and preempted threads when it is their turn; every 61st
 * turn the global queue; due timers; completions; runnext and the own ring; the global queue;
 * completions once more; stealing. Then idle.c: poll or park.
 *
 * Rejected: one central queue (a lock for every switch); handing a ready goroutine straight to
 * an idle P (it moves away from its caches); waking a thread for every ready goroutine (they
 * would wake, find nothing and sleep again). So: one spinning thread at a time is woken, and the
 * spinner that finds work wakes the next if there is more. One that finds only runnexts naps.
 *
 * Two ways to switch. A goroutine that parks or ends goes straight to the next one in its P's queue
 * when nothing else is due (next_quick() in turn.h), else to g0, which looks everywhere. Either way
 * the one who is switched to runs the commit() of the one who left, for only now its context is saved.
 *
 * Runtime sections: see gr_int.h. The depth belongs to the M; a goroutine parks at depth 1, g0
 * runs at depth 1, and whoever is switched to finds depth 1.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crash.h"
#include "debug.h"
#include "netpoll.h"
#include "stack.h"
#include "turn.h"

#define GLOBAL_EVERY 61	 /* a prime, as in Go: nothing else runs in step with it */
#define SUBMIT_EVERY 4	 /* turns that queued requests of a busy P wait at most */
#define SUBMIT_AT 32	 /* queued requests that do not wait for that */
#define GLOBAL_BATCH 128 /* half a ring */
#define CLOCK_CYCLES 3000 /* about a microsecond: how late timers may be seen in between */

struct sched sched;
struct park_tables park_tab;

__thread struct m *gr_tls_m;

NOINLINE void m_set_self(struct m *m)
{
	gr_tls_m = m;
	__asm__ volatile("" : : : "memory");
}

#ifndef __x86_64__
NOINLINE struct m *m_self(void)
{
	struct m *m = gr_tls_m;

	/* callers must not keep the address of gr_tls_m across a switch */
	__asm__ volatile("" : "+r"(m) : : "memory");
	return m;
}
#endif

struct g *g_self(void)
{
	struct m *m = m_self();

	return m ? m->curg : NULL;
}

uint64_t gr_id(void)
{
	struct g *g = g_self();

	return g ? g->id : 0;
}

void m_set_proc(struct m *m, int proc)
{
	m_hold(m, proc);
	if (m->p)
		m->p->turn_at = m->p->stamp = gr_now();
}

/* ---- runtime sections ---- */

static bool commit_yield(struct g *g, void *unused);

static bool commit_requeue(struct g *g, void *unused)
{
	(void)unused;
	atomic_store_explicit(&g->status, G_RUNNABLE, memory_order_release);
	globq_put(g);
	sched_wake();
	return true;
}

/* This goroutine runs without a P: queue it and let this thread wait for one. */
static void enter_without_p(struct m *m)
{
	struct g *g = m->curg;

	m_set_proc(m, sched.ops->recheck(m));
	if (m->p || !g)
		return;
	check_canary(g);
	g->commit = commit_requeue;
	finish_prev(leave(m, g, NULL, g));
}

/* GR_DEBUG=migrate: this thread waits until another one has taken the goroutine, if there is one */
static bool commit_elsewhere(struct g *g, void *unused)
{
	int64_t until = gr_after(20 * GR_MS);

	(void)unused;
	atomic_store_explicit(&g->status, G_RUNNABLE, memory_order_release);
	globq_put(g);
	sched_wake();
	while (globq_len() && gr_now() < until)
		syscall(SYS_sched_yield);
	return true;
}

static bool (*lose_turn(const struct g *g))(struct g *, void *)
{
	return debug.migrate && !g->pins ? commit_elsewhere : commit_yield;
}

NOINLINE struct m *rt_enter_slow(struct m *m)
{
	m_hold(m, PEEK(m->mirror->proc));
	if (!m->p)
		enter_without_p(m);
	m = m_self();
	if (sched.shuffle && m->curg && shuffle_lose_turn(m->p)) {
		g_park(lose_turn(m->curg), NULL, WAIT_NONE);
		m = m_self();
	}
	return m;
}

struct m *rt_enter(void)
{
	return rt_enter_inline();
}

void rt_exit(void)
{
	struct m *m = m_self();

	if (m)
		rt_exit_m(m);
}

/* ---- switching ---- */

static bool commit_yield(struct g *g, void *unused)
{
	struct m *m = m_self();

	(void)unused;
	atomic_store_explicit(&g->status, G_RUNNABLE, memory_order_release);
	if (m->p)
		runq_put_local(m->p, g, false);
	else
		globq_put(g);
	sched_wake(); /* F1 of idle.c: for a moment it was in no queue */
	return true;
}

static bool commit_ended(struct g *g, void *unused)
{
	(void)unused;
	g_free_local(m_self(), g);
	return true;
}

NOINLINE void finish_prev_slow(struct g *prev)
{
	if (unlikely(!prev->commit(prev, prev->commit_arg)))
		commit_yield(prev, NULL);
}

/* Time to look at the clock again? A look costs as much as some switches. */
static inline bool clock_due(struct p *p)
{
	uint64_t now = cpu_cycles();

	if (now - p->clock_at < CLOCK_CYCLES)
		return false;
	p->clock_at = now;
	return true;
}

NOINLINE bool pending_due(struct p *p)
{
	if (timers_next(p) != INT64_MAX && clock_due(p)) {
		p->clock_at = 0; /* find_local() looks */
		return true;
	}
	if (unlikely(atomic_load_explicit(&p->retired, memory_order_relaxed)))
		return true;
	return netpoll_due(p) || (netpoll_queued(p) && ++p->poll_tick >= SUBMIT_EVERY);
}

NOINLINE void check_canary_slow(struct g *g)
{
	if (unlikely(stack_overflowed(g->stack)))
		crash_overflow(g, __builtin_frame_address(0), NULL);
}

void sched_ended(struct m *m, struct g *g)
{
	struct g *next;
	void *sp;

	check_canary(g);
	atomic_store_explicit(&g->status, G_DEAD, memory_order_relaxed);
	g->commit = commit_ended;
	next = next_quick(m);
	if (next) {
		sp = begin_turn(m, next);
		san_leave(g, next, true);
	} else {
		sp = m->g0.sp;
		san_leave(g, &m->g0, true);
	}
	gr_switch_last(sp, g);
	gr_throw("goroutine %llu ran on after its end", (unsigned long long)g->id);
}

/* ---- park and ready ---- */

void g_park(bool (*commit)(struct g *, void *), void *arg, enum wait_reason why)
{
	struct m *m = m_self();
	struct g *g = m->curg;

	GR_CHECK(g);
	finish_prev(park(m, g, commit, arg, why));
}

struct m *g_park_unlock(struct m *m, struct lock *l, enum wait_reason why)
{
	park_unlock(m, m->curg, l, why);
	return m_self();
}

NOINLINE void not_waiting(const struct g *g)
{
	gr_throw("goroutine %llu made ready in state %u", (unsigned long long)g->id,
		 (unsigned int)atomic_load_explicit(&g->status, memory_order_relaxed));
}

void g_ready(struct g *g)
{
	g_ready_m(m_self(), g);
}

void g_ready_m(struct m *m, struct g *g)
{
	mark_ready(g);
	if (m && m->p && likely(!sched.shuffle)) {
		runq_put_local(m->p, g, true);
		if (!sched.alone)
			sched_wake_fenced(); /* F1: the exchange in runq_put_local() */
	} else if (m && m->p) {
		runq_put_local(m->p, g, shuffle_next(m->p));
		sched_wake();
	} else {
		globq_put(g);
		sched_wake();
	}
}

void g_ready_list(struct g *list, int n)
{
	struct m *m = m_self();
	struct g *g, *next;

	if (!n)
		return;
	for (g = list; g; g = g->next)
		mark_ready(g);
	if (m && m->p) {
		for (g = list; g; g = next) {
			next = g->next;
			runq_put_local(m->p, g, unlikely(sched.shuffle) && shuffle_next(m->p));
		}
	} else {
		globq_put_list(list, n);
	}
	sched_wake();
}

/* The end of a yield: it is g's turn again, prev has left. */
static NOINLINE void finish_yield(struct g *prev)
{
	if (likely(prev->commit == commit_yield))
		commit_yield(prev, NULL);
	else
		finish_prev(prev);
}

static inline int yielded(struct g *prev)
{
	if (prev)
		finish_yield(prev);
	rt_exit_m(m_self());
	return 0;
}

static NOINLINE int yield_slow(struct m *m, struct g *g)
{
	return yielded(park(m, g, commit_yield, NULL, WAIT_NONE));
}

/* next has not begun yet */
static NOINLINE int yield_to_new(struct m *m, struct g *g, struct g *next, struct g *pass)
{
	if (!g_has_stack(m->p)) {
		m->handed = next;
		next = NULL;
	}
	return yielded(leave(m, g, next, pass));
}

/*
 * For the next one in the ring, if nothing else is due. On a P that nobody can steal from g goes
 * to its end before its context is saved: nobody but this thread will take it from there. Nothing
 * is called on this way but the switch, so nothing need be kept across calls on the stack.
 */
int gr_yield(void)
{
	struct m *m = m_self();
	struct g *g, *next, *pass;
	struct p *p;
	void *sp;

	if (!m || !m->curg)
		return -EPERM;
	m = rt_enter_m(m);
	g = m->curg;
	p = m->p;
	if (unlikely(sched.odd || runq_has_next(p) || PEEK(p->q->pending) || g->canary ||
		     m->depth != 1) ||
	    !only_p(p))
		return yield_slow(m, g);
	if (sched.alone) {
		pass = NULL;
		next = runq_rotate_alone(p, g);
		if (unlikely(!next))
			return yield_slow(m, g);
		atomic_store_explicit(&g->status, G_RUNNABLE, memory_order_relaxed);
	} else {
		pass = g;
		next = runq_pop_shared(p);
		if (unlikely(!next))
			return yield_slow(m, g);
		g->commit = commit_yield;
	}
	count_turn(p, false);
	sp = next->sp;
	if (unlikely(!sp))
		return yield_to_new(m, g, next, pass);
	take_turn(m, p, next);
	san_leave(g, next, false);
	pass = gr_switch(&g->sp, sp, pass);
	san_arrive(g);
	return yielded(pass);
}

/* ---- the loop ---- */

/* a plain memory read when there is nothing */
static void harvest_own(struct p *p)
{
	struct g *list = NULL;
	int n = netpoll_harvest(p, &list);

	g_ready_list(list, n);
}

static void run_timers(struct p *p)
{
	if (timers_next(p) != INT64_MAX && clock_due(p))
		timers_run(p, p->stamp = gr_now());
}

/*
 * Threads whose goroutines were stopped at the end of a slice wait for a P. They get this one
 * when it has nothing else, or has been with the queues for a slice; but what a timer or a
 * completion just woke goes first, that is what the slice was ended for.
 */
static bool preempted_turn(struct p *p)
{
	if (!PEEK(park_tab.mirror->nr_preempted))
		return false;
	run_timers(p);
	netpoll_submit(p);
	harvest_own(p);
	return (runq_empty(p) && !globq_len()) || gr_now() - p->turn_at >= SLICE_NS;
}

/* A thread that came back from a system call waits for a P: it is its turn. */
static void yield_to_returner(struct m *m)
{
	unsigned int reason = 0;
	int proc;

	/* asleep it would be a spinner that does not look, and keep others from being woken */
	if (m->spinning)
		sched_stop_spinning(m);
	asleep_begin(m);
	proc = sched.ops->yield(m, &reason);
	asleep_end();
	if (proc == -EAGAIN)
		return;
	m_set_proc(m, proc);
	if (reason == GR_WAKE_UNPARK)
		m->spinning = true;
}

static int batch_size(void)
{
	int n = globq_len() / atomic_load_explicit(&sched.active_procs, memory_order_relaxed) + 1;

	return n < GLOBAL_BATCH ? n : GLOBAL_BATCH;
}

/* What m's P has to do, without looking at other Ps. */
static struct g *find_local(struct m *m, bool *inherit)
{
	struct p *p = m->p;
	struct g *g;

	*inherit = false;
	if (p->global_in <= 0) {
		p->global_in = GLOBAL_EVERY;
		p->stamp = gr_now();
		g = globq_get_local(p, 1);
		if (g)
			return g;
	}
	run_timers(p);
	if (++p->poll_tick >= SUBMIT_EVERY || netpoll_queued(p) >= SUBMIT_AT) {
		p->poll_tick = 0;
		netpoll_submit(p);
	}
	harvest_own(p);
	if (p->inherits >= INHERIT_MAX) {
		runq_demote_next_local(p);
		sched_wake(); /* F1: as in commit_yield() */
	}
	g = runq_get_local(p, inherit);
	if (g)
		return g;
	g = globq_get_local(p, batch_size());
	if (g)
		return g;
	netpoll_submit(p);
	harvest_own(p);
	return runq_get_local(p, inherit);
}

/* The next goroutine for this thread, with m->p held; NULL when the runtime stops. */
static struct g *find_runnable(struct m *m, bool *inherit)
{
	struct g *g;

	while (!sched_stopping()) {
		if (m->p && unlikely(atomic_load_explicit(&m->p->retired, memory_order_relaxed)))
			procs_hold(m);
		if (m->p && (PEEK(park_tab.mirror->nr_returners) || preempted_turn(m->p)))
			yield_to_returner(m);
		if (m->p) {
			g = find_local(m, inherit);
			if (!g)
				g = sched_spin(m);
			if (g)
				return g;
		}
		sched_idle(m);
	}
	return NULL;
}

/* Who is to run next whoever else is there; the turn is counted. NULL: ask find_runnable(). */
static inline struct g *bound_next(struct m *m)
{
	struct g *g = m->handed;

	if (g) {
		m->handed = NULL;
		return g;
	}
	if (likely(!m->pin))
		return NULL;
	g = pin_wait(m);
	if (g)
		count_turn(m->p, false);
	return g;
}

static void run(struct m *m, struct g *g, bool inherit)
{
	struct g *prev;
	void *sp;

	if (m->spinning)
		sched_stop_spinning(m);
	if (unlikely(g->pinned != NULL)) {
		pin_hand(g);
		return;
	}
	count_turn(m->p, inherit);
	do {
		sp = begin_turn(m, g);
		san_leave(&m->g0, g, false);
		prev = gr_switch(&m->g0.sp, sp, NULL);
		san_arrive(&m->g0);
		/* maybe another goroutine came back than the one we went to */
		m->curg = NULL;
		finish_prev(prev);
	} while ((g = bound_next(m)));
}

void sched_loop(struct m *m)
{
	struct g *g;
	bool inherit;

	while ((g = find_runnable(m, &inherit)))
		run(m, g, inherit);
	if (m->spinning) {
		m->spinning = false;
		atomic_fetch_sub(&sched.nr_spinning, 1);
	}
}
