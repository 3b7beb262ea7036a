// SPDX-License-Identifier: MIT
/*
 * pool.c - gr_pool: objects kept for reuse.
 *
 * Job: a small stack of objects for each P, which the P's holder uses without an atomic, and a
 * shared stack under a lock, to which a full P gives half of what it has and from which an empty
 * one takes as much: so objects that are made here and given back there find their way, and
 * what no other P can reach is at most LOCAL objects for each P. Plain threads use the shared one.
 * Callers: any thread. create() and destroy() run outside runtime sections.
 *
 * Invariants: I1 local[i] is touched only by the holder of P i inside a runtime section, which
 * cannot lose it there (what one holder stores before rt_exit() the next one sees: sched.h,
 * m_set_hint()). I2 shared, nr_shared: pool->lock. I3 an object is in one place only.
 * Memory: all of it comes when the pool is made, for nothing may be allocated in a section; pages
 * that are not used are not there. An object is not written to, so it cannot be a link of a list.
 * Rejected: Go's way, where other Ps steal from a P's objects without a lock and the garbage
 * collector empties the pool: it takes an atomic on both ends, and we have no collector.
 */
#include "sched.h"
#include "sync.h"

#define LOCAL 30	/* 4 cache lines with its count */
#define BATCH (LOCAL / 2)
#define SHARED 4096

struct local_pool {
	uint32_t n;
	void *objs[LOCAL];
} __attribute__((aligned(CACHELINE)));

struct gr_pool {
	void *(*create)(void *);
	void (*destroy)(void *);
	void *arg;
	void *mem; /* what malloc gave */
	struct lock lock;
	uint32_t nr_shared;
	struct local_pool local[GR_MAX_PROCS];
	void *shared[SHARED];
};

int gr_pool_new(struct gr_pool **out, void *(*create)(void *), void (*destroy)(void *), void *arg)
{
	struct gr_pool *p;
	void *mem;

	if (!out)
		return -EINVAL;
	mem = calloc(1, sizeof(*p) + CACHELINE);
	if (!mem)
		return -ENOMEM;
	p = (struct gr_pool *)(((uintptr_t)mem + CACHELINE - 1) & ~(uintptr_t)(CACHELINE - 1));
	p->mem = mem;
	p->create = create;
	p->destroy = destroy;
	p->arg = arg;
	*out = p;
	return 0;
}

/* up to max objects from shared to objs[]; how many */
static uint32_t take_shared(struct gr_pool *p, void **objs, uint32_t max)
{
	uint32_t n;

	lock_acquire(&p->lock);
	n = p->nr_shared < max ? p->nr_shared : max;
	for (uint32_t i = 0; i < n; i++)
		objs[i] = p->shared[--p->nr_shared];
	lock_release(&p->lock);
	return n;
}

/* as many of the last of n objects as there is room for; how many */
static uint32_t give_shared(struct gr_pool *p, void **objs, uint32_t n)
{
	uint32_t room;

	lock_acquire(&p->lock);
	room = SHARED - p->nr_shared;
	if (n > room) {
		objs += n - room;
		n = room;
	}
	for (uint32_t i = 0; i < n; i++)
		p->shared[p->nr_shared++] = objs[i];
	lock_release(&p->lock);
	return n;
}

void *gr_pool_get(struct gr_pool *p)
{
	struct local_pool *l;
	void *obj = NULL;
	struct m *m;

	if (unlikely(!p))
		return NULL;
	m = rt_enter();
	if (likely(m && m->p)) {
		l = &p->local[m->p->id];
		if (unlikely(!l->n))
			l->n = take_shared(p, l->objs, BATCH);
		if (likely(l->n))
			obj = l->objs[--l->n]; /* I1 */
	} else {
		take_shared(p, &obj, 1);
	}
	rt_exit();
	if (unlikely(!obj) && p->create)
		obj = p->create(p->arg);
	return obj;
}

void gr_pool_put(struct gr_pool *p, void *obj)
{
	struct local_pool *l;
	struct m *m;

	if (unlikely(!p || !obj))
		return;
	m = rt_enter();
	if (likely(m && m->p)) {
		l = &p->local[m->p->id];
		if (unlikely(l->n == LOCAL))
			l->n -= give_shared(p, l->objs + LOCAL - BATCH, BATCH); /* I3 */
		if (likely(l->n < LOCAL)) {
			l->objs[l->n++] = obj; /* I1 */
			obj = NULL;
		}
	} else if (give_shared(p, &obj, 1)) {
		obj = NULL;
	}
	rt_exit();
	if (unlikely(obj) && p->destroy)
		p->destroy(obj);
}

void gr_pool_release(struct gr_pool *p)
{
	if (!p)
		return;
	for (int i = 0; p->destroy && i < GR_MAX_PROCS; i++)
		for (uint32_t k = 0; k < p->local[i].n; k++)
			p->destroy(p->local[i].objs[k]);
	for (uint32_t k = 0; p->destroy && k < p->nr_shared; k++)
		p->destroy(p->shared[k]);
	free(p->mem);
}
