// SPDX-License-Identifier: MIT
/*
 * stack.c - stacks of goroutines, with the descriptor at the top of each.
 *
 * Job: reserve address space in slabs of many stacks, guard each one below, reuse them, give
 * back what deep ones hold. Callers: g.c, which keeps a cache per P in front of this; any
 * thread. dump.c walks over all of them, from a signal handler too.
 *
 * A stack is reserved, not committed: a small goroutine touches one page, which also holds its
 * descriptor. Its page tables are shared by the seven or eight stacks of 2 MiB of addresses. A
 * slab's stacks are taken in order, so one that was never used holds nothing.
 *
 * Guards. MADV_GUARD_INSTALL (6.13+): marks in the page tables, no mapping of its own, and a
 * whole slab is marked by a few calls of process_madvise(). Else PROT_NONE by mprotect(): two
 * mappings each, so only for a quarter of vm.max_map_count stacks: half of the mappings are the
 * program's. Beyond that the lowest word is the canary, looked at when the goroutine parks: zero
 * as long as nobody got there, which costs no page. A guard is 16 KiB: a function with a
 * large array does not step over it.
 *
 * Deep stacks. One that leaves the P's cache gives back all but its top KEEP bytes. To know
 * whether it has more takes a system call, so only every TRIM_EVERY-th is looked at, until a
 * deep one is found: then the next TRIM_AFTER are, and so on.
 *
 * Layout of a stack:  lo | guard | usable ... frames grow down | struct g | hi
 *
 * Walking (stack_walk()): slabs are only added, in front, and stay until stack_fini(). Stacks of
 * other sizes are on a list of their own and are unmapped when their goroutine ends. W1: the
 * walker raises nr_walkers, then reads the list; W2: stack_put() unlinks, then reads nr_walkers,
 * and leaves the memory for later if it is not 0. So what a walker can reach stays mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "sched.h"
#include "stack.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define OWN_PROCESS (-10000) /* PIDFD_SELF (6.14+) */

#define GUARD_BYTES ((size_t)16 << 10)
#define SLAB_FEW 64    /* stacks of a slab, until there are SLAB_FROM */
#define SLAB_MANY 512
#define SLAB_FROM 1024
#define IOV_BATCH 64   /* this array may stand on a small stack */
#define KEEP ((size_t)16 << 10)
#define COLOURS 8
#define COLOUR_BYTES 192
#define TRIM_EVERY 512
#define TRIM_AFTER 256

/* In the slab's first page: never malloc() in a runtime section. A thread that was held back
 * inside malloc() has the allocator's lock and needs a P, which we would not give up. */
struct slab {
	struct slab *_Atomic next;
	size_t bytes;
	size_t stack; /* bytes of each */
	int nr;
	_Atomic int carved; /* stacks taken so far, from the first; lock */
	bool guarded;
};

enum stack_guard stack_guard_best = GUARD_MADVISE;

static struct {
	struct lock lock;
	struct g *free; /* of the default size */
	struct slab *_Atomic slabs;
	int nr_stacks;
	size_t size; /* default size, of this runtime */
	struct g *_Atomic odd; /* in use, of other sizes; links: all_next, all_prev */
	struct g *unmap_later;
	_Atomic int nr_walkers;

	bool started;
	_Atomic int guard;  /* enum stack_guard: the kind for the next slab */
	_Atomic int weakest; /* enum stack_guard */
	_Atomic int mprotects; /* more that may be made */

	_Atomic uint32_t puts;
	_Atomic uint32_t trim_left;
} stacks;

static size_t page_size;

static size_t round_page(size_t n)
{
	return (n + page_size - 1) & ~(page_size - 1);
}

void *stack_top(struct g *g)
{
	return g;
}

bool stack_overflowed(const struct g *g)
{
	return g->canary && *(const volatile unsigned long *)g->stack_lo != 0;
}

const char *stack_guard_name(void)
{
	static const char *const names[] = { "canary", "mprotect", "madvise" };

	return names[atomic_load_explicit(&stacks.weakest, memory_order_relaxed)];
}

/* ---- guards ---- */

static int read_max_maps(void)
{
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC), max = 65530;
	char buf[24];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n > 0) {
		buf[n] = 0;
		max = atoi(buf);
	}
	if (fd >= 0)
		close(fd);
	return max;
}

static void start_locked(size_t size)
{
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	stacks.size = round_page(size) + GUARD_BYTES; /* the first goroutine has the default size */
	stacks.guard = stacks.weakest = stack_guard_best;
	stacks.mprotects = read_max_maps() / 4;
	stacks.started = true;
}

/* the kind became worse, for good: other threads may have seen that too */
static void lower(_Atomic int *kind, int to)
{
	int is = atomic_load_explicit(kind, memory_order_relaxed);

	while (is > to && !atomic_compare_exchange_weak(kind, &is, to))
		;
}

static bool guard_madvise(char *lo)
{
	if (atomic_load_explicit(&stacks.guard, memory_order_relaxed) < GUARD_MADVISE)
		return false;
	if (!madvise(lo, GUARD_BYTES, MADV_GUARD_INSTALL))
		return true;
	lower(&stacks.guard, GUARD_MPROTECT);
	return false;
}

static bool guard_mprotect(char *lo)
{
	if (atomic_load_explicit(&stacks.guard, memory_order_relaxed) < GUARD_MPROTECT)
		return false;
	if (atomic_fetch_sub(&stacks.mprotects, 1) > 0 && !mprotect(lo, GUARD_BYTES, PROT_NONE))
		return true;
	lower(&stacks.guard, GUARD_CANARY);
	return false;
}

/* one stack that has none yet */
static void guard(struct g *g, char *lo)
{
	g->canary = false;
	if (guard_madvise(lo))
		return;
	lower(&stacks.weakest, GUARD_MPROTECT);
	if (guard_mprotect(lo))
		return;
	lower(&stacks.weakest, GUARD_CANARY);
	g->stack_lo = lo;
	g->canary = true;
}

/* all of a slab with few calls; false: each stack needs its own */
static bool guard_slab(char *first, size_t size, int nr)
{
	struct iovec iov[IOV_BATCH];

	if (atomic_load_explicit(&stacks.guard, memory_order_relaxed) < GUARD_MADVISE)
		return false;
	for (int i = 0; i < nr; i += IOV_BATCH) {
		int n = nr - i < IOV_BATCH ? nr - i : IOV_BATCH;

		for (int j = 0; j < n; j++)
			iov[j] = (struct iovec){ first + (size_t)(i + j) * size, GUARD_BYTES };
		if (syscall(SYS_process_madvise, OWN_PROCESS, iov, n, MADV_GUARD_INSTALL, 0) !=
		    (long)(n * GUARD_BYTES))
			return false;
	}
	return true;
}

/* ---- memory ---- */

/*
 * Where the descriptor of the stack from lo is: at its end, less a colour that neighbours differ in.
 * Without it the same lines of all pages would hold all descriptors and frames, and thousands of
 * goroutines would share a few sets of the caches. The colour costs part of the top page only.
 */
static struct g *g_of(char *lo, size_t size)
{
	size_t colour = (uintptr_t)lo / size % COLOURS * COLOUR_BYTES;

	return (struct g *)((uintptr_t)(lo + size - colour - sizeof(struct g)) & ~63UL);
}

/* the descriptor of a stack whose memory is all zero; touches its top page for the first time */
static struct g *carve(char *lo, size_t size, bool guarded)
{
	struct g *g = g_of(lo, size);

	g->stack_base = lo;
	g->stack_size = size;
	g->stack_lo = lo + GUARD_BYTES;
	if (!guarded)
		guard(g, lo);
	san_stack_new(g);
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

static struct slab *grow_locked(void)
{
	int nr = stacks.nr_stacks < SLAB_FROM ? SLAB_FEW : SLAB_MANY;
	size_t head = round_page(sizeof(struct slab)), bytes = head + nr * stacks.size;
	char *base = map(bytes);
	struct slab *s = (struct slab *)base;

	if (!base)
		return NULL;
	s->bytes = bytes;
	s->stack = stacks.size;
	s->nr = nr;
	s->guarded = guard_slab(base + head, s->stack, nr);
	s->next = stacks.slabs;
	stacks.slabs = s;
	stacks.nr_stacks += nr;
	return s;
}

static char *slab_stack(struct slab *s, int i)
{
	return (char *)s + round_page(sizeof(*s)) + (size_t)i * s->stack;
}

static struct g *slab_g(struct slab *s, int i)
{
	return g_of(slab_stack(s, i), s->stack);
}

static struct g *get_default(void)
{
	struct g *g = stacks.free;
	struct slab *s;
	int i;

	if (g) {
		stacks.free = g->next;
		lock_release(&stacks.lock);
		return g;
	}
	s = stacks.slabs;
	if (!s || s->carved == s->nr)
		s = grow_locked();
	i = s ? s->carved : 0;
	if (s)
		/* a walker may see the descriptor before it is filled in: zero, a dead one */
		atomic_store_explicit(&s->carved, i + 1, memory_order_relaxed);
	lock_release(&stacks.lock);
	return s ? carve(slab_stack(s, i), s->stack, s->guarded) : NULL;
}

/* ---- stacks of other sizes ---- */

static struct g *get_odd(size_t size)
{
	char *lo = map(size);
	struct g *g = lo ? carve(lo, size, false) : NULL, *first;

	if (!g)
		return NULL;
	lock_acquire(&stacks.lock);
	first = stacks.odd;
	g->all_next = first;
	g->all_prev = NULL;
	if (first)
		first->all_prev = g;
	atomic_store_explicit(&stacks.odd, g, memory_order_release);
	lock_release(&stacks.lock);
	return g;
}

static void unmap_all(struct g *list)
{
	while (list) {
		struct g *g = list;

		list = g->next;
		san_stack_gone(g);
		munmap(g->stack_base, g->stack_size);
	}
}

static void put_odd(struct g *g)
{
	struct g *list = NULL;

	if (!g->canary && atomic_load_explicit(&stacks.guard, memory_order_relaxed) < GUARD_MADVISE)
		atomic_fetch_add(&stacks.mprotects, 1);
	lock_acquire(&stacks.lock);
	if (g->all_prev)
		g->all_prev->all_next = g->all_next;
	else
		stacks.odd = g->all_next;
	if (g->all_next)
		g->all_next->all_prev = g->all_prev;
	g->next = stacks.unmap_later;
	stacks.unmap_later = g;
	/* the unlinking may have been a plain store */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load(&stacks.nr_walkers)) { /* W2 */
		list = stacks.unmap_later;
		stacks.unmap_later = NULL;
	}
	lock_release(&stacks.lock);
	unmap_all(list);
}

struct g *stack_get(size_t size)
{
	lock_acquire(&stacks.lock);
	if (!stacks.started)
		start_locked(size);
	size = round_page(size) + GUARD_BYTES;
	if (size == stacks.size)
		return get_default();
	lock_release(&stacks.lock);
	return get_odd(size);
}

/* ---- what stacks hold ---- */

/* the lowest page that is in memory, or NULL: none, or nobody knows */
static char *lowest_resident(const struct g *g)
{
	char *end = stack_end(g), *at = g->stack_lo;
	unsigned char in[256];

	while (at < end) {
		size_t n = (size_t)(end - at) / page_size;

		n = n < sizeof(in) ? n : sizeof(in);
		if (mincore(at, n * page_size, in))
			return NULL;
		for (size_t i = 0; i < n; i++)
			if (in[i] & 1)
				return at + i * page_size;
		at += n * page_size;
	}
	return NULL;
}

ssize_t gr_stack_used(void)
{
	struct g *g = g_self();
	char *low;

	if (!g)
		return -EPERM;
	low = lowest_resident(g);
	return low ? stack_end(g) - low : -ENOSYS;
}

static void trim(struct g *g)
{
	char *low, *keep = stack_end(g) - KEEP;
	uint32_t left = atomic_load_explicit(&stacks.trim_left, memory_order_relaxed);

	if (!left && atomic_fetch_add_explicit(&stacks.puts, 1, memory_order_relaxed) % TRIM_EVERY)
		return;
	low = lowest_resident(g);
	if (low && low < keep) {
		madvise(low, (size_t)(keep - low), MADV_DONTNEED);
		left = TRIM_AFTER + 1;
	}
	/* two threads may both count: it is a matter of taste anyway */
	if (left)
		atomic_store_explicit(&stacks.trim_left, left - 1, memory_order_relaxed);
}

void stack_put(struct g *g)
{
	if (g->stack_size != stacks.size) {
		put_odd(g);
		return;
	}
	g->next = NULL;
	stack_put_list(g);
}

void stack_put_list(struct g *list)
{
	struct g *last = list;

	for (trim(last); last->next; trim(last))
		last = last->next;
	lock_acquire(&stacks.lock);
	last->next = stacks.free;
	stacks.free = list;
	lock_release(&stacks.lock);
}

struct g *stack_get_list(int max, int *n)
{
	struct g *list, **end = &list;

	*n = 0;
	lock_acquire(&stacks.lock);
	list = stacks.free;
	while (*n < max && *end) {
		end = &(*end)->next;
		++*n;
	}
	stacks.free = *end;
	lock_release(&stacks.lock);
	*end = NULL;
	return list;
}

/* ---- all of them ---- */

bool stack_walk_begin(void)
{
	atomic_fetch_add(&stacks.nr_walkers, 1); /* W1; and before stack_fini() looks */
	if (atomic_load(&sched.running))
		return true;
	stack_walk_end();
	return false;
}

void stack_walk_end(void)
{
	atomic_fetch_sub(&stacks.nr_walkers, 1);
}

NO_SAN void stack_walk(void (*fn)(struct g *, void *), void *arg)
{
	for (struct slab *s = atomic_load(&stacks.slabs); s; s = s->next) {
		int n = atomic_load(&s->carved);

		for (int i = 0; i < n; i++)
			fn(slab_g(s, i), arg);
	}
	for (struct g *g = atomic_load(&stacks.odd); g; g = g->all_next)
		fn(g, arg);
}

void stack_walk_wait(void)
{
	struct timespec ms = { 0, 1000000 };

	while (atomic_load(&stacks.nr_walkers))
		nanosleep(&ms, NULL);
}

void stack_fini(void)
{
	struct slab *s, *next;

	stack_walk_wait();
	for (s = stacks.slabs; s; s = next) {
		next = s->next;
		for (int i = 0; i < s->carved; i++)
			san_stack_gone(slab_g(s, i));
		munmap(s, s->bytes);
	}
	unmap_all(stacks.unmap_later);
	for (struct g *g = stacks.odd, *after; g; g = after) {
		after = g->all_next;
		g->next = NULL;
		unmap_all(g);
	}
	stacks.unmap_later = NULL;
	stacks.odd = NULL;
	stacks.free = NULL;
	stacks.slabs = NULL;
	stacks.nr_stacks = 0;
	stacks.size = 0;
	stacks.started = false;
}
