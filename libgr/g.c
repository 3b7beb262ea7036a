// SPDX-License-Identifier: MIT
/*
 * g.c - the life of a goroutine: made, run once, its stack kept for the next.
 *
 * A P caches dead goroutines with their stacks (holder only, no lock); more than GFREE_MAX go
 * back to stack.c. Callers: any thread for gr_go(); the scheduler for the rest.
 */
#include <errno.h>

#include "rt.h"
#include "runq.h"
#include "sched.h"
#include "scope.h"
#include "stack.h"
#include "switch.h"

#define GFREE_MAX 64
#define GFREE_BATCH 32 /* stacks that move at once between a P's cache and stack.c */
#define ID_BATCH 64

/* first and last code on a goroutine's stack; entered and left in a runtime section */
static void g_main(void *arg)
{
	struct g *g = arg;
	struct m *m;

	san_arrive(g);
	sched_began();
	rt_exit_m(m_self());
	if (g->fn)
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
	sched_ended(g);
}

/* half of p's cache to all */
static NOINLINE void spill(struct p *p)
{
	struct g *last = p->gfree, *rest;

	for (int i = 1; i < GFREE_BATCH; i++)
		last = last->next;
	rest = last->next;
	last->next = NULL;
	stack_put_list(p->gfree);
	p->gfree = rest;
	p->nr_gfree -= GFREE_BATCH;
}

/* m's thread has left g's stack */
void g_free_local(struct m *m, struct g *g)
{
	struct p *p = m->p;

	san_g_gone(g);
	if (likely(p)) {
		/* only the holder writes it */
		atomic_store_explicit(&p->nr_ended, p->nr_ended + 1, memory_order_relaxed);
		if (likely(g->stack_default)) {
			g->next = p->gfree;
			p->gfree = g;
			if (++p->nr_gfree > GFREE_MAX)
				spill(p);
			return;
		}
	} else {
		atomic_fetch_sub_explicit(&sched.nr_gs, 1, memory_order_relaxed);
	}
	stack_put(g);
}

void g_fini_local(struct p *p)
{
	while (p->gfree) {
		struct g *g = p->gfree;

		p->gfree = g->next;
		stack_put(g);
	}
	p->nr_gfree = 0;
}

static inline struct g *g_get(struct p *p, size_t size)
{
	struct g *g;

	if (likely(p && size == sched.stack_size)) {
		if (unlikely(!p->gfree))
			p->gfree = stack_get_list(GFREE_BATCH, &p->nr_gfree);
		g = p->gfree;
		if (likely(g)) {
			p->gfree = g->next;
			p->nr_gfree--;
			return g;
		}
	}
	g = stack_get(size);
	if (g)
		g->stack_default = size == sched.stack_size;
	return g;
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

int g_check_attr(const struct gr_attr *attr, size_t *size)
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

struct g *g_new(void (*fn)(void *), void *arg, const struct gr_attr *attr, size_t size)
{
	struct m *m = m_self();
	struct p *p = m ? m->p : NULL;
	struct g *g = g_get(p, size);

	if (!g)
		return NULL;
	g->fn = fn;
	g->arg = arg;
	g->name = attr ? attr->name : NULL;
	g->id = next_id(p);
	g->next = NULL;
	g->cancellable = false;
	atomic_store_explicit(&g->cancelled, false, memory_order_relaxed);
	g->shields = 0;
	g->io_dry = -1;
	g->scope = NULL;
	g->opened = NULL;
	g->task = NULL;
	g->ended = NULL;
	g->pins = 0;
	g->result = 0;
	san_g_new(g);
	g->sp = gr_switch_init(stack_top(g), g_main, g);
	atomic_store_explicit(&g->status, G_WAITING, memory_order_relaxed);
	if (likely(p)) /* only the holder writes it */
		atomic_store_explicit(&p->nr_spawned, p->nr_spawned + 1, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&sched.nr_gs, 1, memory_order_relaxed);
	return g;
}

int gr_go_with(void (*fn)(void *), void *arg, const struct gr_attr *attr)
{
	size_t size;
	struct g *g;
	struct m *m;
	int ret;

	if (!fn)
		return -EINVAL;
	ret = g_check_attr(attr, &size);
	if (ret)
		return ret;
	m = rt_enter_inline();
	g = g_new(fn, arg, attr, size);
	if (g)
		g_ready_m(m, g);
	if (m)
		rt_exit_m(m);
	return g ? 0 : -ENOMEM;
}

int gr_go(void (*fn)(void *), void *arg)
{
	return gr_go_with(fn, arg, NULL);
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
