// SPDX-License-Identifier: MIT
/*
 * globq.c - the global queue: what overflows a P's ring, or comes from a thread without P.
 *
 * Callers: any thread; M's in a runtime section. One lock; the length is mirrored into the hint
 * page, where the kernel looks before it lets a P sleep, and read without the lock by all.
 */
#include "park.h"
#include "runq.h"
#include "sched.h"

static _Atomic uint32_t *len(void)
{
	return (_Atomic uint32_t *)&park_tab.hint->globq_len;
}

uint32_t globq_len(void)
{
	return atomic_load_explicit(len(), memory_order_acquire);
}

void globq_put_list(struct g *list, int n)
{
	struct g *last = list;

	if (!list)
		return;
	while (last->next)
		last = last->next;
	lock_acquire(&sched.globq_lock);
	if (sched.globq_tail)
		sched.globq_tail->next = list;
	else
		sched.globq_head = list;
	sched.globq_tail = last;
	/* the lock orders it among writers; readers only need to see it some time */
	atomic_fetch_add_explicit(len(), n, memory_order_release);
	lock_release(&sched.globq_lock);
}

void globq_put(struct g *g)
{
	g->next = NULL;
	globq_put_list(g, 1);
}

struct g *globq_get_local(struct p *p, int max)
{
	struct g *first, *g;
	int n;

	if (!globq_len())
		return NULL;
	lock_acquire(&sched.globq_lock);
	first = sched.globq_head;
	for (n = 0, g = first; g && n < max; n++)
		g = g->next;
	sched.globq_head = g;
	if (!g)
		sched.globq_tail = NULL;
	atomic_fetch_sub_explicit(len(), n, memory_order_release);
	lock_release(&sched.globq_lock);
	if (!n)
		return NULL;
	g = first->next;
	for (int i = 1; i < n; i++) {
		struct g *next = g->next;

		runq_put_local(p, g, false);
		g = next;
	}
	first->next = NULL;
	return first;
}
