// SPDX-License-Identifier: MIT
/*
 * gor.c - descriptors of goroutines of models 1 to 5: memory for them, and a look at all of them.
 *
 * Callers: any thread. Chunks of descriptors are linked once and stay, so that gor_states() may
 * walk them at any time, in a signal handler too; it sees each as it was at some instant. A thread
 * keeps some free ones, so that this lock is not what a model is measured by.
 */
#include <errno.h>
#include <sys/mman.h>

#include "gor.h"
#include "stack.h"

#define CHUNK 256
#define KEEP 64 /* a thread has up to twice as many */

struct chunk {
	struct chunk *next;
	struct gor g[CHUNK];
};

const char *const why_names[NR_WHY] = { "none",	   "channel", "mutex",	    "semaphore",
					"network", "timer",   "system call" };
struct kern kern;

static struct lock lock;
static struct g *free_list; /* lock */
static struct chunk *_Atomic chunks;
static __thread struct gor *self;
static __thread struct {
	struct g *list;
	int n;
} mine;

NOINLINE struct gor *gor_self(void)
{
	struct gor *g = self;

	/* callers come back on other threads: no address of self is kept */
	__asm__ volatile("" : "+r"(g) : : "memory");
	return g;
}

NOINLINE void gor_set_self(struct gor *g)
{
	self = g;
	__asm__ volatile("" : : : "memory");
}

static bool grow_locked(bool stacks)
{
	struct chunk *c =
		mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED)
		return false;
	if (stacks && !stack_promise(CHUNK)) {
		munmap(c, sizeof(*c));
		return false;
	}
	for (int i = CHUNK - 1; i >= 0; i--) {
		c->g[i].g.next = free_list;
		free_list = &c->g[i].g;
	}
	c->next = atomic_load(&chunks);
	atomic_store(&chunks, c);
	return true;
}

static void refill(bool stacks)
{
	lock_acquire(&lock);
	while (mine.n < KEEP && (free_list || grow_locked(stacks))) {
		struct g *g = free_list;

		free_list = g->next;
		g->next = mine.list;
		mine.list = g;
		mine.n++;
	}
	lock_release(&lock);
}

NOINLINE struct gor *gor_new(void (*fn)(void *), void *arg, bool stacks)
{
	struct gor *g;

	if (!mine.n)
		refill(stacks);
	if (!mine.n)
		return NULL;
	g = gor_of(mine.list);
	mine.list = g->g.next;
	mine.n--;
	g->g.fn = fn;
	g->g.arg = arg;
	g->g.sp = NULL;
	atomic_store_explicit(&g->word, 0, memory_order_relaxed);
	gor_state(g, ST_RUNNABLE, WHY_NONE);
	return g;
}

/* all but so many of this thread's go to the others */
static void spill(int keep)
{
	lock_acquire(&lock);
	for (; mine.n > keep; mine.n--) {
		struct g *one = mine.list;

		mine.list = one->next;
		one->next = free_list;
		free_list = one;
	}
	lock_release(&lock);
}

NOINLINE void gor_free(struct gor *g)
{
	gor_state(g, ST_DEAD, WHY_NONE);
	g->g.next = mine.list;
	mine.list = &g->g;
	if (++mine.n == 2 * KEEP)
		spill(KEEP);
}

void gor_thread_end(void)
{
	spill(0);
}

/* relaxed: for who looks from outside only */
void gor_state(struct gor *g, enum state state, enum why why)
{
	atomic_store_explicit(&g->state, state, memory_order_relaxed);
	atomic_store_explicit(&g->why, why, memory_order_relaxed);
}

int gor_states(char *buf, size_t n)
{
	long in[NR_STATES] = { 0 }, by[NR_WHY] = { 0 };
	int len;

	for (struct chunk *c = atomic_load(&chunks); c; c = c->next)
		for (int i = 0; i < CHUNK; i++) {
			uint8_t state = atomic_load(&c->g[i].state);

			in[state]++;
			if (state == ST_BLOCKED)
				by[atomic_load(&c->g[i].why)]++;
		}
	len = snprintf(buf, n, "running %ld, runnable %ld, blocked %ld", in[ST_RUNNING],
		       in[ST_RUNNABLE], in[ST_BLOCKED]);
	for (int i = 1; i < NR_WHY && len < (int)n; i++)
		if (by[i])
			len += snprintf(buf + len, n - len, ", %s %ld", why_names[i], by[i]);
	return len < (int)n ? len : (int)n - 1;
}
