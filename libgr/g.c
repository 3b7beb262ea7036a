// SPDX-License-Identifier: MIT
/*
 * g.c - the life of a goroutine: made, given a stack, run once; both are kept for the next.
 *
 * A goroutine has a stack from its first turn on: until then nobody can know where it will run,
 * and a million that are queued need no memory for stacks.
 * A P caches descriptors of dead goroutines (holder only, no lock), with their stacks as long as
 * nobody needs them. A new goroutine may find one on its descriptor; else it takes, when it starts,
 * that of the one that ended last on this P, which is still in the CPU's caches, or if that one's is
 * gone already, one of stack.c. What is too much goes back, to desc.c and stack.c.
 * Callers: any thread for gr_go(); the scheduler for the rest.
 */
#include <errno.h>

#include "desc.h"
#include "sched.h"
#include "scope.h"
#include "stack.h"
#include "turn.h"

#define CACHE_MAX 64
#define CACHE_BATCH 32 /* that move at once between a P's cache and desc.c */
#define ID_BATCH 64

/* first and last code on a goroutine's stack; entered and left in a runtime section */
static void g_main(void *arg, void *prev)
{
	struct g *g = arg;
	struct m *m;

	san_arrive(g);
	g->started = true;
	finish_prev(prev);
	rt_exit_m(m_self());
	if (likely(!g->returns))
		g->fn(g->arg);
	else
		g->result = g->result_fn(g->arg);
	if (unlikely(g->locals))
		locals_end(g);
	if (unlikely(g->opened)) /* its memory is about to go, with goroutines in it */
		gr_throw("goroutine %llu (%s) ends without gr_scope_wait() for a scope it opened",
			 (unsigned long long)g->id, g->name ? g->name : "unnamed");
	if (g->ended)
		g->ended(g);
	m = rt_enter_inline();
	if (unlikely(g->pins))
		pin_end(m);
	sched_ended(m, g);
}

/* ---- stacks ---- */

/* g, which has its stack, begins with g_main() */
static inline void prepare(struct g *g)
{
	san_g_start(g, g->stack);
	g->sp = gr_switch_init(g->stack, g_main, g);
}

void g_start(struct p *p, struct g *g)
{
	struct g *dead = p->gfree;

	if (likely(g_has_stack(p))) {
		g->stack = dead->stack;
		dead->stack = NULL;
	} else {
		g->stack = stack_get();
	}
	g->canary = g->stack->canary;
	prepare(g);
}

/* A stack of another size is g's from now on: nobody has promised that there is memory later. */
static NOINLINE bool give_odd_stack(struct g *g, size_t size)
{
	struct stack *s = stack_get_odd(size);

	if (!s)
		return false;
	if (g->stack) {
		g->stack->next = NULL;
		stack_put_list(g->stack);
	}
	g->stack = s;
	g->canary = s->canary;
	g->odd = true;
	return true;
}

static void take_odd_stack(struct g *g)
{
	struct stack *s = g->stack;

	g->stack = NULL;
	g->odd = false;
	stack_put_odd(s);
}

/* ---- descriptors ---- */

/* a chain of dead ones to everybody; their stacks first, which others are promised with them */
static void put_list(struct g *list)
{
	struct stack *stacks = NULL;
	struct g *last = list;

	for (struct g *g = list; g; g = g->next) {
		last = g;
		if (!g->stack)
			continue;
		g->stack->next = stacks;
		stacks = g->stack;
		g->stack = NULL;
	}
	if (stacks)
		stack_put_list(stacks);
	desc_put_list(list, last);
}

static void put_one(struct g *g)
{
	g->next = NULL;
	put_list(g);
}

/* all but the keep that ended last */
static NOINLINE void spill(struct p *p, int keep)
{
	struct g **end = &p->gfree, *rest;

	for (int i = 0; i < keep; i++)
		end = &(*end)->next;
	rest = *end;
	*end = NULL;
	p->nr_gfree = keep;
	put_list(rest);
}

/* dead g into p's cache */
static inline void cache_put(struct p *p, struct g *g)
{
	g->next = p->gfree;
	p->gfree = g;
	if (unlikely(++p->nr_gfree > CACHE_MAX))
		spill(p, CACHE_BATCH);
}

static inline void free_to(struct p *p, struct g *g)
{
	/* only the holder writes it */
	atomic_store_explicit(&p->nr_ended, p->nr_ended + 1, memory_order_relaxed);
	cache_put(p, g);
}

static NOINLINE void free_slow(struct p *p, struct g *g)
{
	if (g->odd)
		take_odd_stack(g);
	if (p) {
		free_to(p, g);
	} else {
		atomic_fetch_sub_explicit(&sched.nr_gs, 1, memory_order_relaxed);
		put_one(g);
	}
}

/* m's thread has left g's stack */
void g_free_local(struct m *m, struct g *g)
{
	struct p *p = m->p;

	san_g_gone(g);
	if (likely(p && !g->odd))
		free_to(p, g);
	else
		free_slow(p, g);
}

void g_fini_local(struct p *p)
{
	if (p->gfree)
		spill(p, 0);
}

/* the one that ended last; p's cache is not empty */
static inline struct g *cache_pop(struct p *p)
{
	struct g *g = p->gfree;

	p->gfree = g->next;
	p->nr_gfree--;
	return g;
}

static NOINLINE struct g *get_slow(struct p *p, size_t size)
{
	struct g *g;
	int n;

	if (p && !p->gfree)
		p->gfree = desc_get_list(CACHE_BATCH, &p->nr_gfree);
	if (!p)
		g = desc_get_list(1, &n);
	else
		g = p->gfree ? cache_pop(p) : NULL;
	if (size == sched.stack_size || !g || give_odd_stack(g, size))
		return g;
	if (p)
		cache_put(p, g);
	else
		put_one(g);
	return NULL;
}

/* a dead goroutine with, or to be given, a stack of that size */
static inline struct g *get(struct p *p, size_t size)
{
	if (likely(p && p->gfree && size == sched.stack_size))
		return cache_pop(p);
	return get_slow(p, size);
}

/* numbers are dealt out to Ps in batches: unique, and in order on each of them */
static inline uint64_t next_id(struct p *p)
{
	if (unlikely(!p))
		return atomic_fetch_add_explicit(&sched.next_id, 1, memory_order_relaxed) + 1;
	if (unlikely(p->next_id == p->end_id)) {
		p->next_id = atomic_fetch_add_explicit(&sched.next_id, ID_BATCH,
						       memory_order_relaxed);
		p->end_id = p->next_id + ID_BATCH;
	}
	return ++p->next_id;
}

int g_count(void)
{
	int64_t n = atomic_load_explicit(&sched.nr_gs, memory_order_relaxed);

	for (int i = 0; i < sched.nr_procs; i++)
		n += (int64_t)(atomic_load_explicit(&sched.procs[i].nr_spawned,
						    memory_order_relaxed) -
			       atomic_load_explicit(&sched.procs[i].nr_ended,
						    memory_order_relaxed));
	return (int)n;
}

static inline int check_attr(const struct gr_attr *attr, size_t *size)
{
	if (!atomic_load_explicit(&sched.running, memory_order_acquire))
		return -ENXIO;
	*size = sched.stack_size;
	if (!attr)
		return 0;
	if (attr->size != sizeof(*attr))
		return -EINVAL;
	if (attr->stack_size) {
		if (attr->stack_size < STACK_MIN || attr->stack_size > STACK_MAX)
			return -EINVAL;
		*size = attr->stack_size;
	}
	return 0;
}

int g_check_attr(const struct gr_attr *attr, size_t *size)
{
	return check_attr(attr, size);
}

/* g_new(); m: m_self() */
ALWAYS_INLINE struct g *make(struct m *m, void (*fn)(void *), void *arg, const char *name,
			      size_t size)
{
	struct p *p = m ? m->p : NULL;
	struct g *g = get(p, size);

	if (unlikely(!g))
		return NULL;
	g->fn = fn;
	g->arg = arg;
	g->name = name;
	g->id = next_id(p);
	g->cancellable = false;
	atomic_store_explicit(&g->cancelled, false, memory_order_relaxed);
	g->shields = 0;
	g->io_dry = -1;
	g->scope = NULL;
	g->task = NULL;
	g->ended = NULL;
	g->returns = false;
	g->started = false;
	if (g->stack) /* else g->sp is NULL: so it was while the last one ran, to its end */
		prepare(g);
	atomic_store_explicit(&g->status, G_WAITING, memory_order_relaxed);
	if (likely(p)) /* only the holder writes it */
		atomic_store_explicit(&p->nr_spawned, p->nr_spawned + 1, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&sched.nr_gs, 1, memory_order_relaxed);
	return g;
}

struct g *g_new(void (*fn)(void *), void *arg, const struct gr_attr *attr, size_t size)
{
	return make(m_self(), fn, arg, attr ? attr->name : NULL, size);
}

/* compiled twice, for gr_go() is what others are measured by */
ALWAYS_INLINE int go(void (*fn)(void *), void *arg, const struct gr_attr *attr)
{
	size_t size;
	struct g *g;
	struct m *m;
	int ret;

	if (!fn)
		return -EINVAL;
	ret = check_attr(attr, &size);
	if (ret)
		return ret;
	m = rt_enter_inline();
	g = make(m, fn, arg, attr ? attr->name : NULL, size);
	if (g)
		ready(m, g);
	if (m)
		rt_exit_m(m);
	return g ? 0 : -ENOMEM;
}

int gr_go_with(void (*fn)(void *), void *arg, const struct gr_attr *attr)
{
	return go(fn, arg, attr);
}

int gr_go(void (*fn)(void *), void *arg)
{
	return go(fn, arg, NULL);
}

const char *gr_name(void)
{
	struct g *g = g_self();

	return g ? g->name : NULL;
}

int gr_set_name(const char *name)
{
	struct g *g = g_self();

	if (!g)
		return -EPERM;
	g->name = name;
	return 0;
}
