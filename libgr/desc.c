// SPDX-License-Identifier: MIT
/*
 * desc.c - memory of struct g: slabs, and one list of those that are free.
 *
 * Job: hand descriptors out and take them back, many at once: g.c keeps a cache per P in front of
 * this. Walk over all of them, for dumps. Not here: stacks, which a goroutine gets when it first
 * runs (stack.c). So a goroutine that waits for its first turn holds three cache lines, and a
 * tree of a million that end soon after they begin needs the stacks of those that wait.
 *
 * A descriptor is only made when stack.c has promised a stack for it: gr_go() answers -ENOMEM, the
 * first turn never has to. In use is address space; memory comes with the first touch.
 *
 * Walking: slabs are only added, in front, and stay until desc_fini(). Stacks of other sizes than
 * the default are unmapped when their goroutine ends. W1: the walker raises nr_walkers, then
 * reads g->stack; W2: who ends a goroutine clears g->stack, then reads nr_walkers, and leaves the
 * memory for later if it is not 0. So what a walker can reach stays mapped.
 * Lock order: desc.lock -> stack.c's.
 */
#include <sys/mman.h>
#include <time.h>

#include "desc.h"
#include "sched.h"
#include "stack.h"

#define SLAB_BYTES ((size_t)1 << 20)

struct dslab {
	struct dslab *next;
	_Atomic int carved; /* taken so far, from the first; desc.lock */
	struct g g[] __attribute__((aligned(CACHELINE)));
};
#define SLAB_GS ((int)((SLAB_BYTES - sizeof(struct dslab)) / sizeof(struct g)))

#if !defined(GR_ASAN) && !defined(GR_TSAN)
_Static_assert(sizeof(struct g) == 3 * CACHELINE, "a descriptor shares no cache line");
#endif

static struct {
	struct lock lock;
	struct g *free;
	struct dslab *_Atomic slabs;
	_Atomic int nr_walkers;
} desc;

static struct dslab *grow_locked(void)
{
	struct dslab *s = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	s->next = atomic_load_explicit(&desc.slabs, memory_order_relaxed);
	atomic_store_explicit(&desc.slabs, s, memory_order_release);
	return s;
}

/* new ones, never used, side by side: all zero */
static struct g *carve_locked(int max, int *n)
{
	struct dslab *s = atomic_load_explicit(&desc.slabs, memory_order_relaxed);
	int from;

	if (!s || s->carved == SLAB_GS)
		s = grow_locked();
	if (!s)
		return NULL;
	from = s->carved;
	if (max > SLAB_GS - from)
		max = SLAB_GS - from;
	*n = stack_promise(max);
	if (!*n)
		return NULL;
	/* a walker may see them before they are filled in: zero, dead ones */
	atomic_store_explicit(&s->carved, from + *n, memory_order_relaxed);
	return &s->g[from];
}

struct g *desc_get_list(int max, int *n)
{
	struct g *list, *last;

	*n = 0;
	lock_acquire(&desc.lock);
	list = last = desc.free;
	if (list) {
		for (*n = 1; *n < max && last->next; ++*n)
			last = last->next;
		desc.free = last->next;
		last->next = NULL;
		lock_release(&desc.lock);
		return list;
	}
	list = carve_locked(max, n);
	lock_release(&desc.lock);
	/* the first touch, and its page faults, without the lock */
	for (int i = 0; i < *n - 1; i++)
		list[i].next = &list[i + 1];
	return list;
}

void desc_put_list(struct g *first, struct g *last)
{
	lock_acquire(&desc.lock);
	last->next = desc.free;
	desc.free = first;
	lock_release(&desc.lock);
}

/* ---- all of them ---- */

bool desc_walk_begin(void)
{
	atomic_fetch_add(&desc.nr_walkers, 1); /* W1; and before free_all() looks */
	if (atomic_load(&sched.running))
		return true;
	desc_walk_end();
	return false;
}

void desc_walk_end(void)
{
	atomic_fetch_sub(&desc.nr_walkers, 1);
}

NO_SAN void desc_walk(void (*fn)(struct g *, void *), void *arg)
{
	for (struct dslab *s = atomic_load(&desc.slabs); s; s = s->next) {
		int n = atomic_load(&s->carved);

		for (int i = 0; i < n; i++)
			fn(&s->g[i], arg);
	}
}

void desc_walk_wait(void)
{
	struct timespec ms = { 0, 1000000 };

	while (atomic_load(&desc.nr_walkers))
		nanosleep(&ms, NULL);
}

bool desc_walked(void)
{
	/* the unlinking was a plain store */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(&desc.nr_walkers); /* W2 */
}

static void unmap_odd(struct g *g, void *unused)
{
	(void)unused;
	if (g->stack)
		stack_unmap_odd(g->stack);
}

void desc_fini(void)
{
	struct dslab *s, *next;

	desc_walk(unmap_odd, NULL);
	for (s = desc.slabs; s; s = next) {
		next = s->next;
		munmap(s, SLAB_BYTES);
	}
	desc.slabs = NULL;
	desc.free = NULL;
}
