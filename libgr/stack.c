// SPDX-License-Identifier: MIT
/*
 * stack.c - stacks of goroutines.
 *
 * Job: reserve address space in slabs of many stacks, guard each one below, reuse them, give
 * back what deep ones hold. Callers: g.c, which keeps a cache per P in front of this, and desc.c;
 * any thread. Not here: which goroutine has which (g.c), struct g (desc.c).
 *
 * A stack is reserved, not committed: a small goroutine touches one page, from its first turn on.
 * Its page tables are shared by the seven or eight stacks of 2 MiB of addresses. A slab's stacks
 * are taken in order, so one that was never used holds nothing.
 *
 * Promises. A goroutine gets its stack when it first runs, where nobody could be told that there
 * is none. Therefore gr_go() has it promised: each descriptor comes with a promise (desc.c).
 * I1 there are at least as many stacks in slabs (nr_stacks) as were promised. I2 each one that is
 * taken belongs to one descriptor, in use or in a P's cache, or returns from one that nobody can get
 * before (put_list() in g.c), and none has two. So whoever calls stack_get(), for one that has none,
 * finds one, whatever the caches hold.
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
 * Layout of a stack:  base | guard | lo ... frames grow down | struct stack | end
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "desc.h"
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
	struct slab *next; /* made after this one */
	size_t bytes;
	int nr;
	int carved; /* stacks taken so far, from the first */
	bool guarded;
};

enum stack_guard stack_guard_best = GUARD_MADVISE;

static struct {
	struct lock lock;
	struct stack *free; /* of the default size */
	struct slab *slabs, *last; /* in the order they were made */
	struct slab *carving;      /* the first one that has stacks nobody took yet */
	int nr_stacks, nr_promised; /* I1 */
	size_t size; /* default size, of this runtime, with its guard */
	struct stack *unmap_later; /* of other sizes */

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

static void start_locked(void)
{
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	stacks.size = round_page(sched.stack_size) + GUARD_BYTES;
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
static void guard(struct stack *s)
{
	if (guard_madvise(s->base))
		return;
	lower(&stacks.weakest, GUARD_MPROTECT);
	if (guard_mprotect(s->base))
		return;
	lower(&stacks.weakest, GUARD_CANARY);
	s->canary = true;
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
 * Where the top of the stack from base is: at its end, less a colour that neighbours differ in.
 * Without it the same lines of all pages would hold the frames of all goroutines, and thousands
 * of them would share a few sets of the caches. The colour costs part of the top page only.
 */
static struct stack *top_of(char *base, size_t size)
{
	size_t colour = (uintptr_t)base / size % COLOURS * COLOUR_BYTES;

	return (struct stack *)((uintptr_t)(base + size - colour - sizeof(struct stack)) & ~63UL);
}

/* the stack of memory that is all zero; touches its top page for the first time */
static struct stack *carve(char *base, size_t size, bool guarded)
{
	struct stack *s = top_of(base, size);

	s->base = base;
	s->size = size;
	s->lo = base + GUARD_BYTES;
	if (!guarded)
		guard(s);
	san_stack_new(s);
	return s;
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

static bool grow_by(int nr)
{
	size_t bytes = round_page(sizeof(struct slab)) + nr * stacks.size;
	struct slab *s = (struct slab *)map(bytes);

	if (!s)
		return false;
	s->bytes = bytes;
	s->nr = nr;
	if (stacks.last)
		stacks.last->next = s;
	else
		stacks.slabs = s;
	stacks.last = s;
	if (!stacks.carving)
		stacks.carving = s;
	stacks.nr_stacks += nr;
	return true;
}

static bool grow_locked(void)
{
	if (stacks.nr_stacks >= SLAB_FROM && grow_by(SLAB_MANY))
		return true;
	return grow_by(SLAB_FEW);
}

int stack_promise(int max)
{
	int n;

	lock_acquire(&stacks.lock);
	if (!stacks.started)
		start_locked();
	while (stacks.nr_stacks - stacks.nr_promised < max && grow_locked())
		;
	n = stacks.nr_stacks - stacks.nr_promised;
	if (n > max)
		n = max;
	stacks.nr_promised += n;
	lock_release(&stacks.lock);
	return n;
}

static char *slab_stack(struct slab *s, int i)
{
	return (char *)s + round_page(sizeof(*s)) + (size_t)i * stacks.size;
}

struct stack *stack_get(void)
{
	struct stack *s;
	struct slab *slab;
	bool guarded;
	char *base;

	lock_acquire(&stacks.lock);
	s = stacks.free;
	if (s) {
		stacks.free = s->next;
		lock_release(&stacks.lock);
		return s;
	}
	slab = stacks.carving; /* there is one: I1, I2 */
	GR_CHECK(slab != NULL);
	base = slab_stack(slab, slab->carved);
	/* not before: guards need page tables */
	if (!slab->carved++)
		slab->guarded = guard_slab(base, stacks.size, slab->nr);
	guarded = slab->guarded;
	if (slab->carved == slab->nr)
		stacks.carving = slab->next;
	lock_release(&stacks.lock);
	return carve(base, stacks.size, guarded);
}

/* ---- stacks of other sizes ---- */

struct stack *stack_get_odd(size_t size)
{
	struct stack *s;
	char *base;

	size = round_page(size) + GUARD_BYTES;
	base = map(size);
	if (!base)
		return NULL;
	s = carve(base, size, false);
	s->odd = true;
	return s;
}

static void unmap_all(struct stack *list)
{
	while (list) {
		struct stack *s = list;

		list = s->next;
		san_stack_gone(s);
		munmap(s->base, s->size);
	}
}

void stack_put_odd(struct stack *s)
{
	struct stack *list = NULL;

	if (!s->canary && atomic_load_explicit(&stacks.guard, memory_order_relaxed) < GUARD_MADVISE)
		atomic_fetch_add(&stacks.mprotects, 1);
	lock_acquire(&stacks.lock);
	s->next = stacks.unmap_later;
	stacks.unmap_later = s;
	if (!desc_walked()) { /* W2 of desc.c */
		list = stacks.unmap_later;
		stacks.unmap_later = NULL;
	}
	lock_release(&stacks.lock);
	unmap_all(list);
}

void stack_unmap_odd(struct stack *s)
{
	s->next = NULL;
	if (s->odd)
		unmap_all(s);
}

/* ---- what stacks hold ---- */

/* the lowest page that is in memory, or NULL: none, or nobody knows */
static char *lowest_resident(const struct stack *s)
{
	char *end = stack_end(s), *at = s->lo;
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
	low = lowest_resident(g->stack);
	return low ? stack_end(g->stack) - low : -ENOSYS;
}

static void trim(struct stack *s)
{
	char *low, *keep = stack_end(s) - KEEP;
	uint32_t left = atomic_load_explicit(&stacks.trim_left, memory_order_relaxed);

	if (!left && atomic_fetch_add_explicit(&stacks.puts, 1, memory_order_relaxed) % TRIM_EVERY)
		return;
	low = lowest_resident(s);
	if (low && low < keep) {
		madvise(low, (size_t)(keep - low), MADV_DONTNEED);
		left = TRIM_AFTER + 1;
	}
	/* two threads may both count: it is a matter of taste anyway */
	if (left)
		atomic_store_explicit(&stacks.trim_left, left - 1, memory_order_relaxed);
}

void stack_put_list(struct stack *list)
{
	struct stack *last = list;

	for (trim(last); last->next; trim(last))
		last = last->next;
	lock_acquire(&stacks.lock);
	last->next = stacks.free;
	stacks.free = list;
	lock_release(&stacks.lock);
}

void stack_fini(void)
{
	struct slab *slab, *next;

	for (slab = stacks.slabs; slab; slab = next) {
		next = slab->next;
		for (int i = 0; i < slab->carved; i++)
			san_stack_gone(top_of(slab_stack(slab, i), stacks.size));
		munmap(slab, slab->bytes);
	}
	unmap_all(stacks.unmap_later);
	stacks.unmap_later = stacks.free = NULL;
	stacks.slabs = stacks.last = stacks.carving = NULL;
	stacks.nr_stacks = stacks.nr_promised = 0;
	stacks.started = false;
}
