/* SPDX-License-Identifier: MIT */
/*
 * scope.h - scopes and tasks: what g.c and cancel.c need of scope.c, task.c and local.c.
 */
#ifndef GR_SCOPE_H
#define GR_SCOPE_H

#include "gr_int.h"

/* ---- g.c ---- */
/*
 * A goroutine that is not started: g_ready() starts it. fn(arg), or with fn NULL result_fn(arg)
 * and ended(). NULL: no memory. Inside rt_enter(). attr was checked by g_check_attr().
 */
struct g *g_new(void (*fn)(void *), void *arg, const struct gr_attr *attr, size_t stack_size);
/* -EINVAL, -ENXIO no runtime; *stack_size is what attr wants */
int g_check_attr(const struct gr_attr *attr, size_t *stack_size);

/* ---- cancel.c ---- */
/* goroutines to make ready, when the locks have been released; by g->next: they are parked */
struct g_list {
	struct g *first;
	int n;
};
/* with g->cancel_lock held: set the flag, claim its sleep. False: it was cancelled before */
bool cancel_mark(struct g *g, struct g_list *ready);

/* ---- local.c ---- */
/* destroy g's values, by g itself at its end, outside a runtime section */
void locals_end(struct g *g);

#endif /* GR_SCOPE_H */
