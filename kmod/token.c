// SPDX-License-Identifier: GPL-2.0
/*
 * token.c - the token protocol: which thread holds which processor.
 *
 * Job: the state of threads and processors, the spares stacks, the queue of returners, and
 * their copies in the mirror. Every function wants group->lock and asserts it. Nothing here
 * sleeps, wakes or allocates: callers may hold the runqueue lock.
 *
 *	processor	IDLE --give--> RUNNING --block--> LAZY --wake--> RUNNING
 *			  ^               |                 |
 *			  +---release-----+                 +--hand over--> RUNNING (new holder)
 *
 * Invariants: I-1 procs[i].holder is the only thread with proc == i. A thread is RUNNING or
 * LAZY exactly when proc >= 0. It is on a list exactly when PARKED (spares) or RETURNING
 * (returners, or preempted). A processor is never IDLE while one of those waits.
 *
 * Order: G1 full fence after a processor turned IDLE or LAZY, before the hints are read; pairs
 * with the full fence that a publisher of work executes between storing the hint and reading
 * mirror.nr_idle / nr_lazy (include/uapi/gr.h, ORDER). Forbidden outcome: the publisher sees
 * no idle processor and the kernel sees no work.
 *
 * Hints are read once per decision; whatever they say, only this group's processors move.
 */
#include <linux/bitmap.h>
#include <linux/cpumask.h>

#include "gr_kmod.h"
#include "trace.h"

#define MIRROR_SET(g, field) WRITE_ONCE((g)->mirror->field, (g)->field)

/* ---- hints: untrusted, read once ---- */

/* runnable goroutines, or timers and I/O that somebody must poll */
static bool gr_proc_has_work(struct gr_group *g, struct gr_proc *p)
{
	struct gr_hint_proc *h = &g->hprocs[p - g->procs];

	return READ_ONCE(h->head) != READ_ONCE(h->tail) || READ_ONCE(h->runnext) ||
	       READ_ONCE(h->pending);
}

/* work that any processor could do: the global queue, or something to steal */
static bool gr_work_shared(struct gr_group *g)
{
	u32 i;

	if (READ_ONCE(g->hint->globq_len))
		return true;
	for (i = 0; i < g->nr_procs; i++)
		if (READ_ONCE(g->hprocs[i].head) != READ_ONCE(g->hprocs[i].tail))
			return true;
	return false;
}

/* Would another thread have something to do on @p, whose holder sleeps? */
bool gr_work_for(struct gr_group *g, struct gr_proc *p)
{
	lockdep_assert_held(&g->lock);
	return gr_proc_has_work(g, p) || gr_work_shared(g);
}

/*
 * Is there something to do for a thread that takes an idle processor? A running one's runnext is:
 * whoever put it there looked for an idle processor, and may have looked before there was one.
 */
bool gr_work_any(struct gr_group *g)
{
	u32 i;

	lockdep_assert_held(&g->lock);
	if (gr_work_shared(g))
		return true;
	for (i = 0; i < g->nr_procs; i++)
		if (READ_ONCE(g->hprocs[i].runnext) ||
		    (g->procs[i].state == GR_P_IDLE && gr_proc_has_work(g, &g->procs[i])))
			return true;
	return false;
}

/* ---- processors ---- */

void gr_thread_set_state(struct gr_group *g, struct gr_thread *t, u32 state)
{
	lockdep_assert_held(&g->lock);
	WRITE_ONCE(t->state, state);
	WRITE_ONCE(g->mthreads[t->slot].proc, t->proc);
	WRITE_ONCE(g->mthreads[t->slot].state, state);
}

/* lazy processors that UNPARK may take: a polling owner is woken through its ring instead */
bool gr_proc_is_lazy(const struct gr_proc *p)
{
	return p->state == GR_P_LAZY && !p->polls;
}

static void gr_proc_set(struct gr_group *g, struct gr_proc *p, u32 state, bool polls,
			struct gr_thread *holder)
{
	struct gr_mirror_proc *mp = &g->mprocs[p - g->procs];

	lockdep_assert_held(&g->lock);
	g->nr_idle -= p->state == GR_P_IDLE;
	g->nr_lazy -= gr_proc_is_lazy(p);
	p->state = state;
	p->polls = polls;
	p->holder = holder;
	g->nr_idle += p->state == GR_P_IDLE;
	g->nr_lazy += gr_proc_is_lazy(p);
	WRITE_ONCE(mp->state, state);
	WRITE_ONCE(mp->thread, holder ? holder->slot : -1);
	WRITE_ONCE(mp->cpu, p->cpu);
	WRITE_ONCE(mp->handoffs, p->handoffs);
	MIRROR_SET(g, nr_idle);
	MIRROR_SET(g, nr_lazy);
	if (state == GR_P_RUNNING)
		gr_slice_start(p);
	else
		smp_mb(); /* G1: see the head of this file */
}

static void gr_thread_lose(struct gr_group *g, struct gr_thread *t)
{
	t->last_proc = t->proc;
	t->proc = GR_NO_PROC;
	gr_thread_set_state(g, t, GR_T_BLOCKED);
}

/* @p goes to @t; its owner, if it has one, loses it and becomes BLOCKED */
void gr_proc_give(struct gr_group *g, struct gr_proc *p, struct gr_thread *t)
{
	if (p->holder) {
		if (p->state == GR_P_LAZY)
			trace_handoff(p->holder->slot, t->slot, (int)(p - g->procs));
		gr_thread_lose(g, p->holder);
		if (gr_proc_is_lazy(p)) {
			p->handoffs++;
			g->handoffs++;
			MIRROR_SET(g, handoffs);
		}
	}
	t->proc = p - g->procs;
	t->last_proc = t->proc;
	gr_proc_set(g, p, GR_P_RUNNING, false, t);
	gr_thread_set_state(g, t, GR_T_RUNNING);
}

void gr_proc_lazy_begin(struct gr_group *g, struct gr_thread *t, bool polls)
{
	struct gr_proc *p = &g->procs[t->proc];

	p->cpu = raw_smp_processor_id();
	gr_thread_set_state(g, t, GR_T_LAZY);
	gr_proc_set(g, p, GR_P_LAZY, polls, t);
	if (!polls) {
		g->blocks++;
		MIRROR_SET(g, blocks);
	}
}

void gr_proc_lazy_end(struct gr_group *g, struct gr_thread *t)
{
	gr_proc_set(g, &g->procs[t->proc], GR_P_RUNNING, false, t);
	gr_thread_set_state(g, t, GR_T_RUNNING);
}

/*
 * @t, running or lazy, gives its processor up: to the oldest returner, else it goes idle.
 */
void gr_proc_release(struct gr_group *g, struct gr_thread *t, struct gr_wake *wake)
{
	struct gr_thread *returner = gr_returner_first(g);
	struct gr_proc *p;

	lockdep_assert_held(&g->lock);
	if (t->proc < 0)
		return;
	p = &g->procs[t->proc];
	p->cpu = raw_smp_processor_id();
	gr_thread_lose(g, t);
	gr_proc_set(g, p, GR_P_IDLE, false, NULL);
	if (returner)
		gr_hand_over(g, p, returner, GR_WAKE_HANDOFF, 0, wake);
}

/*
 * A processor may just have been left idle by a thread that goes away: when there is work, or
 * a wake-up is owed, a spare takes it.
 */
void gr_proc_cover(struct gr_group *g, struct gr_wake *wake)
{
	struct gr_proc *p = gr_proc_idle(g, 0);
	struct gr_thread *spare;

	if (!p || !(g->permits || gr_work_any(g)))
		return;
	spare = gr_spare_near(g, p->cpu);
	if (!spare) {
		gr_need_spare(g, p, wake);
		return;
	}
	if (g->permits)
		g->permits--;
	gr_hand_over(g, p, spare, GR_WAKE_HANDOFF, 0, wake);
}

/* An idle processor: one with something to do on it, else @prefer, else any; or NULL. */
struct gr_proc *gr_proc_idle(struct gr_group *g, int prefer)
{
	struct gr_proc *any = NULL;
	u32 i;

	lockdep_assert_held(&g->lock);
	if (!g->nr_idle)
		return NULL;
	for (i = 0; i < g->nr_procs; i++) {
		struct gr_proc *p = &g->procs[i];

		if (p->state != GR_P_IDLE)
			continue;
		if (gr_proc_has_work(g, p))
			return p;
		if (!any || (int)i == prefer)
			any = p;
	}
	return any;
}

/* A processor whose holder sleeps in goroutine code, one with work of its own if there is one. */
static struct gr_proc *gr_lazy_first(struct gr_group *g, bool *work)
{
	struct gr_proc *any = NULL;
	u32 i;

	lockdep_assert_held(&g->lock);
	*work = false;
	for (i = 0; g->nr_lazy && i < g->nr_procs; i++) {
		struct gr_proc *p = &g->procs[i];

		if (!gr_proc_is_lazy(p))
			continue;
		/* what is only its own is seen by nobody who looks at another one */
		if (gr_proc_has_work(g, p)) {
			*work = true;
			return p;
		}
		if (!any)
			any = p;
	}
	return any;
}

/* the same or NULL */
struct gr_proc *gr_proc_lazy(struct gr_group *g)
{
	bool work;

	return gr_lazy_first(g, &work);
}

/* One that a thread which has nothing else to do should take; the hints are read once. */
struct gr_proc *gr_proc_lazy_busy(struct gr_group *g)
{
	struct gr_proc *p;
	bool work;

	p = gr_lazy_first(g, &work);
	return p && (work || gr_work_shared(g)) ? p : NULL;
}

/*
 * What @t, back from a sleep that cost its processor, may take: its last one, an idle one, a
 * lazy one, and last one whose owner only polls.
 */
struct gr_proc *gr_proc_free_for(struct gr_group *g, struct gr_thread *t)
{
	struct gr_proc *p;
	u32 i;

	lockdep_assert_held(&g->lock);
	if (t->last_proc >= 0 && g->procs[t->last_proc].state != GR_P_RUNNING)
		return &g->procs[t->last_proc];
	p = gr_proc_idle(g, t->last_proc);
	if (!p)
		p = gr_proc_lazy(g);
	for (i = 0; !p && i < g->nr_procs; i++)
		if (g->procs[i].state == GR_P_LAZY)
			p = &g->procs[i];
	return p;
}

/* ---- spares and returners ---- */

void gr_spare_push(struct gr_group *g, struct gr_thread *t, int cpu)
{
	t->spare_cpu = cpu;
	list_add(&t->node, &g->spares[cpu]);
	__set_bit(cpu, g->spare_cpus);
	g->nr_spares++;
	MIRROR_SET(g, nr_spares);
	gr_thread_set_state(g, t, GR_T_PARKED);
}

static void gr_spare_remove(struct gr_group *g, struct gr_thread *t)
{
	lockdep_assert_held(&g->lock);
	list_del_init(&t->node);
	if (list_empty(&g->spares[t->spare_cpu]))
		__clear_bit(t->spare_cpu, g->spare_cpus);
	g->nr_spares--;
	MIRROR_SET(g, nr_spares);
}

/* the last thread that parked on @cpu, else on the next core that has one; or NULL */
struct gr_thread *gr_spare_near(struct gr_group *g, int cpu)
{
	lockdep_assert_held(&g->lock);
	if (!g->nr_spares)
		return NULL;
	cpu = find_next_bit(g->spare_cpus, nr_cpu_ids, cpu);
	if (cpu >= nr_cpu_ids)
		cpu = find_first_bit(g->spare_cpus, nr_cpu_ids);
	return list_first_entry(&g->spares[cpu], struct gr_thread, node);
}

/* the last thread that parked on the first of @cpus that has one; or NULL */
struct gr_thread *gr_spare_on(struct gr_group *g, const unsigned long *cpus, unsigned int nbits)
{
	unsigned int cpu = min(nbits, nr_cpu_ids);

	lockdep_assert_held(&g->lock);
	nbits = cpu;
	for_each_set_bit(cpu, cpus, nbits)
		if (test_bit(cpu, g->spare_cpus))
			return list_first_entry(&g->spares[cpu], struct gr_thread, node);
	return NULL;
}

static void gr_returner_count(struct gr_group *g, struct gr_thread *t, int n)
{
	if (t->had_slice)
		g->nr_preempted += n;
	else
		g->nr_returners += n;
	MIRROR_SET(g, nr_returners);
	MIRROR_SET(g, nr_preempted);
}

/* @had_slice: it was preempted, so everybody who has something to do goes first */
void gr_returner_push(struct gr_group *g, struct gr_thread *t, bool had_slice)
{
	t->queued_at = ktime_get_mono_fast_ns();
	t->late_told = false;
	t->had_slice = had_slice;
	list_add_tail(&t->node, had_slice ? &g->preempted : &g->returners);
	gr_returner_count(g, t, 1);
	gr_thread_set_state(g, t, GR_T_RETURNING);
}

static void gr_returner_remove(struct gr_group *g, struct gr_thread *t)
{
	lockdep_assert_held(&g->lock);
	list_del_init(&t->node);
	gr_returner_count(g, t, -1);
}

struct gr_thread *gr_returner_first(struct gr_group *g)
{
	lockdep_assert_held(&g->lock);
	return list_first_entry_or_null(g->nr_returners ? &g->returners : &g->preempted,
					struct gr_thread, node);
}

/* Could another thread use @p, whose holder sleeps (@polls: on its behalf) or had its slice? */
bool gr_wanted(struct gr_group *g, struct gr_proc *p, bool polls)
{
	return g->nr_returners || g->nr_preempted || (!polls && gr_work_for(g, p));
}

/*
 * Who goes on with @p: the oldest that slept; a spare, if the hints show work that is not done
 * by polling; the oldest that was preempted; NULL nobody. Asks for a spare where one is missing.
 */
struct gr_thread *gr_next_for(struct gr_group *g, struct gr_proc *p, bool polls,
			      struct gr_wake *wake)
{
	struct gr_thread *to = NULL;

	lockdep_assert_held(&g->lock);
	if (!g->nr_returners && !polls && gr_work_for(g, p)) {
		to = gr_spare_near(g, raw_smp_processor_id());
		if (!to)
			gr_need_spare(g, p, wake);
	}
	return to ? to : gr_returner_first(g);
}

/* Off the spares or the returners, if it is on one of them; leaves the state to the caller. */
void gr_unqueue(struct gr_group *g, struct gr_thread *t)
{
	if (t->state == GR_T_PARKED)
		gr_spare_remove(g, t);
	else if (t->state == GR_T_RETURNING)
		gr_returner_remove(g, t);
}

void gr_wake_add(struct gr_group *g, struct gr_thread *t, struct gr_wake *wake)
{
	lockdep_assert_held(&g->lock);
	wake->task[wake->nr++] = t->task;
	g->wakeups++;
	MIRROR_SET(g, wakeups);
}

/*
 * Give @p to @to, a spare or a returner, and put it on @wake. @since: when what caused this
 * happened, for the histogram of @reason; 0 to leave it out.
 */
void gr_hand_over(struct gr_group *g, struct gr_proc *p, struct gr_thread *to, u32 reason,
		  u64 since, struct gr_wake *wake)
{
	lockdep_assert_held(&g->lock);
	gr_unqueue(g, to);
	to->reason = reason;
	to->since = since;
	gr_proc_give(g, p, to);
	gr_wake_add(g, to, wake);
}

/* There was work for @p and no spare to do it: tell user space. */
void gr_need_spare(struct gr_group *g, struct gr_proc *p, struct gr_wake *wake)
{
	lockdep_assert_held(&g->lock);
	g->spare_needed++;
	MIRROR_SET(g, spare_needed);
	gr_event_add(g, GR_EV_SPARE_NEEDED, -1, p - g->procs, g->spare_needed);
	if (g->monitor)
		wake->task[wake->nr++] = g->monitor;
}

/*
 * A new thread has got a processor. MONITOR says once that threads are missing, however many: is
 * there another processor with work of its own, which nobody who is awake would see?
 */
void gr_need_another(struct gr_group *g, struct gr_wake *wake)
{
	u32 i;

	lockdep_assert_held(&g->lock);
	if (g->nr_spares)
		return;
	for (i = 0; i < g->nr_procs; i++) {
		struct gr_proc *p = &g->procs[i];

		if ((p->state == GR_P_IDLE || gr_proc_is_lazy(p)) && gr_proc_has_work(g, p)) {
			gr_need_spare(g, p, wake);
			return;
		}
	}
}
