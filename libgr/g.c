// SPDX-License-Identifier: MIT
/*
 * g.c - the life of a goroutine: made, run once, its stack kept for the next.
 *
 * A P caches dead goroutines with their stacks (holder only, no lock); more than GFREE_MAX go
 * back to stack.c. Callers: any thread for gr_go(); the scheduler for the rest.
 */
#include <errno.h>

#include "runq.h"
#include "sched.h"
#include "stack.h"
#include "switch.h"

#define GFREE_MAX 64

/* first and last code on a goroutine's stack; entered and left in a runtime section */
static void g_main(void *arg)
{
	struct g *g = arg;

	rt_exit();
	g->fn(g->arg);
	rt_enter();
	atomic_store_explicit(&g->status, G_DEAD, memory_order_relaxed);
	g->commit = NULL; /* tells run() that it ended */
	gr_switch(&g->sp, m_self()->g0.sp);
	gr_throw("goroutine %llu ran on after its end", (unsigned long long)g->id);
}

/* m's thread has left g's stack */
void g_free_local(struct m *m, struct g *g)
{
	struct p *p = m->p;

	atomic_fetch_sub_explicit(&sched.nr_gs, 1, memory_order_relaxed);
	if (p && p->nr_gfree < GFREE_MAX && g->stack_default) {
		g->next = p->gfree;
		p->gfree = g;
		p->nr_gfree++;
	} else {
		stack_put(g);
	}
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

static struct g *g_get(struct p *p, size_t size)
{
	struct g *g;

	if (p && p->gfree && size == sched.stack_size) {
		g = p->gfree;
		p->gfree = g->next;
		p->nr_gfree--;
		return g;
	}
	g = stack_get(size);
	if (g)
		g->stack_default = size == sched.stack_size;
	return g;
}

static int check_attr(const struct gr_attr *attr, size_t *size)
{
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

static int spawn(void (*fn)(void *), void *arg, const struct gr_attr *attr, size_t size)
{
	struct m *m = m_self();
	struct p *p = m ? m->p : NULL;
	struct g *g = g_get(p, size);

	if (!g)
		return -ENOMEM;
	g->fn = fn;
	g->arg = arg;
	g->name = attr ? attr->name : NULL;
	g->id = atomic_fetch_add_explicit(&sched.next_id, 1, memory_order_relaxed) + 1;
	g->next = NULL;
	g->sp = gr_switch_init(stack_top(g), g_main, g);
	atomic_store_explicit(&g->status, G_WAITING, memory_order_relaxed);
	atomic_fetch_add_explicit(&sched.nr_gs, 1, memory_order_relaxed);
	g_ready(g);
	return 0;
}

int gr_go_with(void (*fn)(void *), void *arg, const struct gr_attr *attr)
{
	size_t size;
	int ret;

	if (!fn)
		return -EINVAL;
	if (!atomic_load_explicit(&sched.running, memory_order_acquire))
		return -ENXIO;
	ret = check_attr(attr, &size);
	if (ret)
		return ret;
	rt_enter();
	ret = spawn(fn, arg, attr, size);
	rt_exit();
	return ret;
}

int gr_go(void (*fn)(void *), void *arg)
{
	return gr_go_with(fn, arg, NULL);
}
