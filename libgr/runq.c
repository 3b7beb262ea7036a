// SPDX-License-Identifier: MIT
/*
 * runq.c - the queue of goroutines ready to run on one P.
 *
 * Job: a ring with one producer and many consumers, and the runnext slot.
 * Not here: the global queue (globq.c); when to look where (sched.c).
 * Algorithm: the Go runtime's runqput, runqget, runqgrab.
 *
 * Head, tail and runnext live in the hint page of the P, so that the kernel sees for free
 * whether a blocked thread leaves work behind. The kernel only reads them.
 *
 * The fast paths, put and get by the holder, are in runq.h.
 *
 * Callers: _local: the thread that holds the P. Others: any M in a runtime section.
 * Invariants: I1 tail - head <= RUNQ_SIZE. I2 only the holder writes tail and slots.
 *             I3 head only grows, by compare-and-swap.
 * Overlap:          put  get  steal
 *            put     X    X    -          (X = must not overlap, - = may)
 *            get     X    X    -
 *            steal   -    -    -
 * Order: R1 put: tail store       -> A1 steal: tail load   (slot contents visible)
 *        R2 get/steal: head cas   -> A2 put: head load     (slot may be reused)
 *        R3 put: runnext xchg     -> A3 steal/get: runnext cas (the goroutine's fields visible)
 */
#include "runq.h"
#include "sched.h"

#define NEXT_NS (3 * GR_US)

/* The ring is full: half of it and g go to the global queue. False: thieves made room. */
NOINLINE bool runq_put_slow(struct p *p, struct g *g, uint32_t h)
{
	const uint32_t n = RUNQ_SIZE / 2;
	struct g *list[RUNQ_SIZE / 2 + 1];

	for (uint32_t i = 0; i < n; i++)
		list[i] = runq_slot(p, h + i);
	/* R2 */
	if (!atomic_compare_exchange_strong_explicit(runq_head(p), &h, h + n, memory_order_release,
						     memory_order_relaxed))
		return false;
	list[n] = g;
	globq_put_array(list, n + 1);
	return true;
}

void runq_demote_next_local(struct p *p)
{
	/* A3 */
	uint64_t next = atomic_exchange_explicit(runq_next(p), 0, memory_order_acq_rel);

	if (next)
		runq_put_local(p, (struct g *)(uintptr_t)next, false);
}

static uint64_t turns(struct p *p)
{
	/* relaxed: only whether it changes */
	return atomic_load_explicit(&p->nr_sched, memory_order_relaxed);
}

/*
 * The goroutine in runnext, when the one that runs has gone on for NEXT_NS since we looked: its
 * partner in a ping-pong runs sooner than that, and best where it is.
 */
struct g *runq_steal_next(struct p *victim)
{
	int64_t until = gr_now() + NEXT_NS;
	uint64_t next = atomic_load_explicit(runq_next(victim), memory_order_relaxed);
	uint64_t turn = turns(victim);

	if (!next)
		return NULL;
	while (gr_now() < until)
		if (turns(victim) != turn)
			return NULL;
	/* A3 */
	if (atomic_compare_exchange_strong_explicit(runq_next(victim), &next, 0,
						    memory_order_acquire, memory_order_relaxed))
		return (struct g *)(uintptr_t)next;
	return NULL;
}

/* Up to half of victim's ring into batch[]; how many. */
static uint32_t grab(struct p *victim, struct g **batch)
{
	uint32_t h, t, n;

	for (;;) {
		h = atomic_load_explicit(runq_head(victim), memory_order_acquire);
		/* A1: pairs with R1, the slots up to t are visible */
		t = atomic_load_explicit(runq_tail(victim), memory_order_acquire);
		n = t - h;
		n -= n / 2;
		if (!n)
			return 0;
		if (n > RUNQ_SIZE / 2)
			continue; /* h and t do not belong together */
		for (uint32_t i = 0; i < n; i++)
			batch[i] = runq_slot(victim, h + i);
		/* R2 */
		if (atomic_compare_exchange_strong_explicit(runq_head(victim), &h, h + n,
							    memory_order_acq_rel,
							    memory_order_relaxed))
			return n;
	}
}

struct g *runq_steal(struct p *p, struct p *victim)
{
	struct g *batch[RUNQ_SIZE / 2];
	uint32_t n = grab(victim, batch);

	if (!n)
		return NULL;
	for (uint32_t i = 0; i + 1 < n; i++)
		runq_put_local(p, batch[i], false);
	return batch[n - 1];
}

uint32_t runq_len(struct p *p)
{
	uint32_t h = atomic_load_explicit(runq_head(p), memory_order_acquire);
	uint32_t t = atomic_load_explicit(runq_tail(p), memory_order_acquire);

	return t - h + !!atomic_load_explicit(runq_next(p), memory_order_acquire);
}

bool runq_empty(struct p *p)
{
	return !runq_len(p);
}
