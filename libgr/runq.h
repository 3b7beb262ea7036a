/* SPDX-License-Identifier: MIT */
/* runq.h - goroutines ready to run: a ring per P and one global queue; see runq.c, globq.c. */
#ifndef GR_RUNQ_H
#define GR_RUNQ_H

#include "sched.h"

static inline _Atomic uint32_t *runq_head(struct p *p)
{
	return (_Atomic uint32_t *)&p->q->head;
}

static inline _Atomic uint32_t *runq_tail(struct p *p)
{
	return (_Atomic uint32_t *)&p->q->tail;
}

static inline _Atomic uint64_t *runq_next(struct p *p)
{
	return (_Atomic uint64_t *)&p->q->runnext;
}

static inline struct g *runq_slot(struct p *p, uint32_t i)
{
	/* relaxed: ordered by A1 and R2 */
	return atomic_load_explicit(&p->runq[i % RUNQ_SIZE], memory_order_relaxed);
}

/* The ring is full: half of it and g go to the global queue. False: thieves made room. */
bool runq_put_slow(struct p *p, struct g *g, uint32_t h);

/* into an empty runnext of a P that nobody can steal from */
static inline void runq_set_next_alone(struct p *p, struct g *g)
{
	/* relaxed: nobody but this thread looks, except for the kernel's hint */
	atomic_store_explicit(runq_next(p), (uint64_t)(uintptr_t)g, memory_order_relaxed);
}

/* next: into runnext, which inherits the running goroutine's slice */
static inline void runq_put_local(struct p *p, struct g *g, bool next)
{
	_Atomic uint32_t *head = runq_head(p), *tail = runq_tail(p);
	_Atomic uint64_t *first = runq_next(p);
	uint32_t h, t;

	if (next && sched.alone) {
		uint64_t old = atomic_load_explicit(first, memory_order_relaxed);

		runq_set_next_alone(p, g);
		g = (struct g *)(uintptr_t)old;
		if (!g)
			return;
	} else if (next) {
		/* R3; seq_cst: also F1 of idle.c for g_ready() */
		g = (struct g *)(uintptr_t)atomic_exchange_explicit(
			first, (uint64_t)(uintptr_t)g, memory_order_seq_cst);
		rmw_is_fence();
		if (!g)
			return;
	}
	do {
		/* A2: pairs with R2, the slot has been read */
		h = atomic_load_explicit(head, memory_order_acquire);
		/* relaxed: only we write it (I2) */
		t = atomic_load_explicit(tail, memory_order_relaxed);
		if (t - h < RUNQ_SIZE) {
			atomic_store_explicit(&p->runq[t % RUNQ_SIZE], g, memory_order_relaxed);
			/* R1: pairs with A1 in grab() */
			atomic_store_explicit(tail, t + 1, memory_order_release);
			/* F1 again: who was kicked out of runnext became work just now */
			if (next && !sched.alone)
				atomic_thread_fence(memory_order_seq_cst);
			return;
		}
	} while (!runq_put_slow(p, g, h));
}

/* the first in the ring; on a P that others may steal from */
static inline struct g *runq_pop_shared(struct p *p)
{
	_Atomic uint32_t *head = runq_head(p), *tail = runq_tail(p);
	uint32_t t, h = atomic_load_explicit(head, memory_order_acquire);
	struct g *g;

	for (;;) {
		t = atomic_load_explicit(tail, memory_order_relaxed);
		if (t == h)
			return NULL;
		g = runq_slot(p, h);
		/* R2 */
		if (atomic_compare_exchange_weak_explicit(head, &h, h + 1, memory_order_acq_rel,
							  memory_order_acquire))
			return g;
	}
}

/* the same where nobody can */
static inline struct g *runq_pop_alone(struct p *p)
{
	uint32_t h = atomic_load_explicit(runq_head(p), memory_order_relaxed);
	uint32_t t = atomic_load_explicit(runq_tail(p), memory_order_relaxed);
	struct g *g = runq_slot(p, h);

	if (h == t)
		return NULL;
	atomic_store_explicit(runq_head(p), h + 1, memory_order_relaxed);
	return g;
}

/* *inherit: it came from runnext */
static inline struct g *runq_get_local(struct p *p, bool *inherit)
{
	_Atomic uint64_t *first = runq_next(p);
	uint64_t next = atomic_load_explicit(first, memory_order_relaxed);

	*inherit = true;
	if (sched.alone) {
		if (next) {
			atomic_store_explicit(first, 0, memory_order_relaxed);
			return (struct g *)(uintptr_t)next;
		}
		*inherit = false;
		return runq_pop_alone(p);
	}
	/* A3; a failure means a thief has it, and only we could have put another */
	if (next && atomic_compare_exchange_strong_explicit(first, &next, 0, memory_order_acquire,
							    memory_order_relaxed))
		return (struct g *)(uintptr_t)next;
	*inherit = false;
	return runq_pop_shared(p);
}

/*
 * g to the end of the ring, for the first one in it; NULL: it is empty, and g nowhere. On a P that
 * nobody can steal from.
 */
static inline struct g *runq_rotate_alone(struct p *p, struct g *g)
{
	_Atomic uint32_t *head = runq_head(p), *tail = runq_tail(p);
	uint32_t h = atomic_load_explicit(head, memory_order_relaxed);
	uint32_t t = atomic_load_explicit(tail, memory_order_relaxed);
	struct g *first = runq_slot(p, h);

	if (h == t)
		return NULL;
	/* a full ring: the slot that was just read */
	atomic_store_explicit(&p->runq[t % RUNQ_SIZE], g, memory_order_relaxed);
	atomic_store_explicit(head, h + 1, memory_order_relaxed);
	atomic_store_explicit(tail, t + 1, memory_order_relaxed);
	return first;
}

/* runnext loses its privilege: to the end of the ring */
void runq_demote_next_local(struct p *p);
/* half of victim's ring to p's, one of them returned */
struct g *runq_steal(struct p *p, struct p *victim);
/* victim's runnext, if that does not come to its turn by itself; takes some us */
struct g *runq_steal_next(struct p *victim);
/* these three may be out of date at once; runnext counts in the last two */
static inline bool runq_has_next(struct p *p)
{
	return atomic_load_explicit(runq_next(p), memory_order_relaxed) != 0;
}
bool runq_empty(struct p *p);
uint32_t runq_len(struct p *p);

void globq_put(struct g *g);
/* a chain linked by g->next, n of them; or an array */
void globq_put_list(struct g *list, int n);
void globq_put_array(struct g *const *gs, int n);
/* the runtime has ended */
void globq_fini(void);
/* One goroutine; up to max - 1 more go to p's ring. NULL: empty. */
struct g *globq_get_local(struct p *p, int max);
uint32_t globq_len(void);

#endif /* GR_RUNQ_H */
