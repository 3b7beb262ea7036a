// SPDX-License-Identifier: MIT
/*
 * globq.c - the global queue: what overflows a P's ring, or comes from a thread without P.
 *
 * Callers: any thread; M's in a runtime section. One lock; the length is mirrored into the hint
 * page, where the kernel looks before it lets a P sleep, and read without the lock by all.
 *
 * A queue of pointers in chunks, not a list through the goroutines: with many of them each one's
 * first word is a cache miss and a TLB miss, and linking, walking and unlinking would
 * take it several times before it runs. Who takes a batch has the CPU fetch all of it at once.
 * Chunks come from mmap() (see timer.c for why not malloc()) and stay until the runtime ends.
 */
#include <sys/mman.h>

#include "park.h"
#include "runq.h"
#include "sched.h"

#define CHUNK_GS 254 /* two kilobytes */
#define SLAB_CHUNKS 32
#define GET_MAX 128

struct qchunk {
	struct qchunk *next;
	uint32_t head, tail;
	struct g *g[CHUNK_GS];
};

/* all under sched.globq_lock */
static struct {
	struct qchunk *first, *last;
	struct qchunk *free;
	struct qchunk *slabs; /* the first chunk of each mapping, linked by next */
} q;

static _Atomic uint32_t *len(void)
{
	return (_Atomic uint32_t *)&park_tab.hint->globq_len;
}

uint32_t globq_len(void)
{
	return atomic_load_explicit(len(), memory_order_acquire);
}

static void grow(void)
{
	size_t bytes = SLAB_CHUNKS * sizeof(struct qchunk);
	struct qchunk *c = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	if (c == MAP_FAILED)
		gr_throw("no memory for the global queue, %zu bytes", bytes);
	c->next = q.slabs;
	q.slabs = c;
	for (int i = 1; i < SLAB_CHUNKS; i++) {
		c[i].next = q.free;
		q.free = &c[i];
	}
}

static void put_locked(struct g *g)
{
	struct qchunk *c = q.last;

	if (unlikely(!c || c->tail == CHUNK_GS)) {
		if (!q.free)
			grow();
		c = q.free;
		q.free = c->next;
		c->next = NULL;
		c->head = c->tail = 0;
		if (q.last)
			q.last->next = c;
		else
			q.first = c;
		q.last = c;
	}
	c->g[c->tail++] = g;
}

/* the queue is not empty */
static struct g *get_locked(void)
{
	struct qchunk *c = q.first;
	struct g *g = c->g[c->head++];

	if (c->head == c->tail) {
		q.first = c->next;
		if (!q.first)
			q.last = NULL;
		c->next = q.free;
		q.free = c;
	}
	return g;
}

/* the lock orders it among writers; readers only need to see it some time */
static void add_len(int n)
{
	atomic_fetch_add_explicit(len(), (uint32_t)n, memory_order_release);
}

void globq_put_array(struct g *const *gs, int n)
{
	lock_acquire(&sched.globq_lock);
	for (int i = 0; i < n; i++)
		put_locked(gs[i]);
	add_len(n);
	lock_release(&sched.globq_lock);
}

void globq_put_list(struct g *list, int n)
{
	struct g *next;

	if (!list)
		return;
	lock_acquire(&sched.globq_lock);
	for (struct g *g = list; g; g = next) {
		next = g->next;
		put_locked(g);
	}
	add_len(n);
	lock_release(&sched.globq_lock);
}

void globq_put(struct g *g)
{
	globq_put_array(&g, 1);
}

struct g *globq_get_local(struct p *p, int max)
{
	struct g *batch[GET_MAX];
	int n = 0, left;

	if (!globq_len())
		return NULL;
	if (max > GET_MAX)
		max = GET_MAX;
	lock_acquire(&sched.globq_lock);
	left = (int)globq_len(); /* only changes under the lock */
	while (n < max && n < left)
		batch[n++] = get_locked();
	add_len(-n);
	lock_release(&sched.globq_lock);
	g_prefetch_all(batch, n);
	for (int i = 1; i < n; i++)
		runq_put_local(p, batch[i], false);
	return n ? batch[0] : NULL;
}

void globq_fini(void)
{
	while (q.slabs) {
		struct qchunk *c = q.slabs;

		q.slabs = c->next;
		munmap(c, SLAB_CHUNKS * sizeof(*c));
	}
	q.first = q.last = q.free = NULL;
}
