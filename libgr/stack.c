// SPDX-License-Identifier: MIT
/*
 * stack.c - stacks of goroutines, with the descriptor at the top of each.
 *
 * Job: reserve address space in slabs of many stacks, guard each one below, reuse them.
 * Callers: g.c, which keeps a cache per P in front of this; any thread.
 *
 * A stack is reserved, not committed: a small goroutine touches one page, which also holds its
 * descriptor. Guards: MADV_GUARD_INSTALL (6.13+: no extra mapping), else PROT_NONE by mprotect()
 * as long as vm.max_map_count allows (two mappings each), else the lowest word is the canary,
 * looked at when the goroutine parks: zero as long as nobody got there, which costs no page.
 *
 * Layout of a stack:  lo | guard page | usable ... frames grow down | struct g | hi
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stack.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define SLAB_STACKS 64

/* In the slab's first page: never malloc() in a runtime section. A thread that was held back
 * inside malloc() has the allocator's lock and needs a P, which we would not give up. */
struct slab {
	struct slab *next;
	size_t bytes;
};

static struct {
	struct lock lock;
	struct g *free; /* of the default size */
	struct slab *slabs;
	size_t size; /* default size, of this runtime */
	_Atomic bool no_madv_guard;
} stacks;

static size_t round_page(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) & ~(page - 1);
}

void *stack_top(struct g *g)
{
	return g;
}

bool stack_overflowed(const struct g *g)
{
	return g->canary && *(const volatile unsigned long *)g->stack_lo != 0;
}

static void guard(struct g *g, char *lo, size_t page)
{
	g->stack_lo = lo + page;
	g->canary = false;
	if (!atomic_load_explicit(&stacks.no_madv_guard, memory_order_relaxed)) {
		if (!madvise(lo, page, MADV_GUARD_INSTALL))
			return;
		atomic_store_explicit(&stacks.no_madv_guard, true, memory_order_relaxed);
	}
	if (!mprotect(lo, page, PROT_NONE))
		return;
	g->stack_lo = lo;
	g->canary = true;
}

static struct g *carve(char *lo, size_t size)
{
	size_t page = round_page(1);
	struct g *g = (struct g *)((uintptr_t)(lo + size - sizeof(struct g)) & ~63UL);

	memset(g, 0, sizeof(*g));
	g->stack_base = lo;
	g->stack_size = size;
	guard(g, lo, page);
	return g;
}

static char *map(size_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	/* the first touch of a stack must commit one page, not two megabytes */
	madvise(mem, bytes, MADV_NOHUGEPAGE);
	return mem;
}

/* a slab's stacks onto the free list; false: no memory */
static bool grow_locked(size_t size)
{
	size_t head = round_page(sizeof(struct slab));
	size_t bytes = head + SLAB_STACKS * size;
	char *base = map(bytes);
	struct slab *s = (struct slab *)base;

	if (!base)
		return false;
	s->bytes = bytes;
	s->next = stacks.slabs;
	stacks.slabs = s;
	for (int i = SLAB_STACKS - 1; i >= 0; i--) {
		struct g *g = carve(base + head + i * size, size);

		g->next = stacks.free;
		stacks.free = g;
	}
	return true;
}

struct g *stack_get(size_t size)
{
	struct g *g = NULL;

	size = round_page(size) + round_page(1);
	lock_acquire(&stacks.lock);
	if (!stacks.size)
		stacks.size = size; /* the first goroutine has the default size */
	if (size == stacks.size) {
		if (stacks.free || grow_locked(size)) {
			g = stacks.free;
			stacks.free = g->next;
		}
		lock_release(&stacks.lock);
		return g;
	}
	lock_release(&stacks.lock);

	char *lo = map(size);

	return lo ? carve(lo, size) : NULL;
}

void stack_put(struct g *g)
{
	if (g->stack_size != stacks.size) {
		munmap(g->stack_base, g->stack_size);
		return;
	}
	lock_acquire(&stacks.lock);
	g->next = stacks.free;
	stacks.free = g;
	lock_release(&stacks.lock);
}

void stack_fini(void)
{
	while (stacks.slabs) {
		struct slab *s = stacks.slabs;

		stacks.slabs = s->next;
		munmap(s, s->bytes);
	}
	stacks.free = NULL;
	stacks.size = 0;
}
