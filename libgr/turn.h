/* SPDX-License-Identifier: MIT */
/*
 * turn.h - one goroutine leaves and another one's turn begins, without a call but the switch; for
 * the hottest paths, see sched.c.
 *
 * Callers: sched.c, g.c, chan.c, wg.c; inside a runtime section of depth 1.
 *
 * The one who leaves is passed through gr_switch() to whoever runs next on this thread, who does
 * what the other one asked for: finish_prev(). NULL: nothing is to be done.
 */
#ifndef GR_TURN_H
#define GR_TURN_H

#include "rt.h"
#include "runq.h"
#include "switch.h"

#define INHERIT_MAX 100 /* turns that two goroutines may hand each other the slice */

#define ALWAYS_INLINE static __attribute__((always_inline)) inline

/* ---- sched.c: what is not usual ---- */
/* timers and I/O of p: is it time to look at them? */
bool pending_due(struct p *p);
/* g's stack has no guard page: ends the program if it overflowed */
void check_canary_slow(struct g *g);
_Noreturn void not_waiting(const struct g *g);
/* commit() of prev, which is not that of park_unlock() */
void finish_prev_slow(struct g *prev);

/* The switch is over: what the goroutine that ran here before asked for can be done. */
static inline void finish_prev(struct g *prev)
{
	if (!prev)
		return;
	if (likely(!prev->commit))
		lock_release(prev->commit_arg);
	else
		finish_prev_slow(prev);
}

static inline void check_canary(struct g *g)
{
	if (unlikely(g->canary))
		check_canary_slow(g);
}

/* Somebody's turn on p: with the slice of the one before, or one of its own? */
static inline void count_turn(struct p *p, bool inherit)
{
	if (inherit) {
		p->inherits++;
	} else {
		p->inherits = 0;
		p->global_in--;
		POKE(p->q->tick, p->q->tick + 1);
	}
}

/*
 * m, which holds p, runs g now, from sp. From here until it is switched away from g->sp is NULL:
 * its state says WAITING some instructions before its context is saved, and who dumps must not
 * take the place of the last time for the one of this time.
 */
static inline void take_turn(struct m *m, struct p *p, struct g *g)
{
	g->sp = NULL;
	/* only the holder writes it */
	atomic_store_explicit(&p->nr_sched,
			      atomic_load_explicit(&p->nr_sched, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	m->curg = g;
	g->m = m;
	atomic_store_explicit(&g->status, G_RUNNING, memory_order_relaxed);
}

/* the same; returns where g goes on, or begins */
static inline void *begin_turn(struct m *m, struct g *g)
{
	void *sp = g->sp;

	/* before it is curg: an overflow in here is that of the goroutine that leaves */
	if (unlikely(!sp)) {
		g_start(m->p, g);
		sp = g->sp;
	}
	take_turn(m, m->p, g);
	return sp;
}

/* Nobody outside of p is due. */
ALWAYS_INLINE bool only_p(const struct p *p)
{
	const volatile struct gr_mirror *mirror = park_tab.mirror;

	return likely(!(PEEK(mirror->nr_returners) | PEEK(mirror->nr_preempted)) &&
		      p->global_in > 0);
}

/*
 * Who runs next on m's P, in the usual case: somebody is in its queue and nothing else is due; the
 * turn is counted. NULL: ask the scheduler, find_runnable(). Every rule there that is not about an
 * empty queue has its test here. One that has no stack yet, and there is none at hand, is handed to
 * g0: memory is not asked for while the one who leaves has a lock that finish_prev() will release.
 */
ALWAYS_INLINE struct g *next_quick(struct m *m)
{
	/* relaxed: who queued a pinned goroutine has counted it before */
	int odd = atomic_load_explicit(&sched.odd, memory_order_relaxed);
	struct p *p = m->p;
	bool inherit;
	struct g *g;

	if (unlikely(odd) && (m->pin || sched_stopping()))
		return NULL;
	if (!only_p(p) || unlikely(p->inherits >= INHERIT_MAX) ||
	    (unlikely(PEEK(p->q->pending)) && pending_due(p)))
		return NULL;
	g = runq_get_local(p, &inherit);
	if (!g)
		return NULL;
	if (unlikely(odd) && g->pinned) {
		pin_hand(g);
		return NULL;
	}
	count_turn(p, inherit);
	if (unlikely(!g->sp) && !g_has_stack(p)) {
		m->handed = g;
		return NULL;
	}
	return g;
}

/*
 * Leave g, for next or, if that is NULL, for the scheduler's stack of this thread. Comes back when
 * g is switched to again, on any thread, with who left there.
 */
ALWAYS_INLINE struct g *leave(struct m *m, struct g *g, struct g *next, struct g *pass)
{
	struct g *prev;
	void *sp;

	if (likely(next)) {
		sp = begin_turn(m, next);
		san_leave(g, next, false);
	} else {
		sp = m->g0.sp;
		san_leave(g, &m->g0, false);
	}
	prev = gr_switch(&g->sp, sp, pass);
	san_arrive(g);
	return prev;
}

/* g_park() without its end: who left when g runs again. m, g: m_self(), m->curg. */
ALWAYS_INLINE struct g *park(struct m *m, struct g *g, bool (*commit)(struct g *, void *),
			     void *arg, enum wait_reason why)
{
	GR_CHECK(m->depth == 1);
	check_canary(g);
	g->commit = commit;
	g->commit_arg = arg;
	g->wait_reason = why;
	g->wait_since = m->p->stamp;
	atomic_store_explicit(&g->status, G_WAITING, memory_order_relaxed);
	return leave(m, g, next_quick(m), g);
}

/* g_park_unlock(); g: m->curg */
ALWAYS_INLINE void park_unlock(struct m *m, struct g *g, struct lock *l, enum wait_reason why)
{
	finish_prev(park(m, g, NULL, l, why));
}

/* Whoever makes a goroutine ready has claimed it: nobody else changes its state now. */
static inline void mark_ready(struct g *g)
{
	if (unlikely(atomic_load_explicit(&g->status, memory_order_relaxed) != G_WAITING))
		not_waiting(g);
	atomic_store_explicit(&g->status, G_RUNNABLE, memory_order_relaxed);
}

/* g_ready_m() */
static inline void ready(struct m *m, struct g *g)
{
	if (likely(sched.alone && m && m->p && !runq_has_next(m->p))) {
		mark_ready(g);
		runq_set_next_alone(m->p, g);
	} else {
		g_ready_m(m, g);
	}
}

/* Can the caller wait as a plain waiter (wait.c)? Its goroutine, or NULL. m: m_self(). */
static inline struct g *plain_waiter(const struct m *m, int64_t deadline)
{
	struct g *g = m ? m->curg : NULL;

	return likely(deadline == GR_FOREVER && g && !g->cancellable) ? g : NULL;
}

/* waitq_wait() of such a goroutine g; returns the waiter's result */
ALWAYS_INLINE int wait_plain(struct m *m, struct g *g, struct waitq *q, void *data, struct lock *l,
			     enum wait_reason why)
{
	struct waiter w;

	/* all that is looked at of such a waiter */
	w.g = g;
	w.result = 0;
	w.plain = true;
	w.node.w = &w;
	w.node.data = data;
	waitq_push(q, &w.node);
	park_unlock(m, g, l, why);
	return w.result;
}

#endif /* GR_TURN_H */
