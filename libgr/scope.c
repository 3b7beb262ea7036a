// SPDX-License-Identifier: MIT
/*
 * scope.c - goroutines that end together: structured concurrency.
 *
 * Job: who is in a scope, the first failure, waiting for the last one. Not here: what
 * cancellation does to a goroutine (cancel.c).
 * Callers: go, cancel: any thread, while the scope has not been left. init, wait: its owner.
 *
 * Invariants, under s->lock:
 *   I1 children are the goroutines that were started and have not run scope_ended() yet: so
 *      none of them can go away while the lock is held, and cancel_g() may be called.
 *   I2 a cancelled scope has cancelled every child; a new child starts cancelled.
 *   I3 scope_ended() of the last child touches *s for the last time when it releases s->lock;
 *      the owner takes that lock before it returns, so the scope may then go.
 * A scope is on its owner's list (g->opened, cancel_lock) from init to the end of wait: a
 * cancelled goroutine cancels what it opened. One that was opened under a shield stays out of it.
 * Locks, down the tree: s->lock -> child's cancel_lock -> lock of a scope that it opened -> ...
 * Source: trio's nurseries and Go's errgroup: the first failure cancels the rest.
 */
#include <errno.h>
#include <string.h>

#include "scope.h"

struct scope {
	struct lock lock;
	uint32_t flags;
	struct g *children;
	uint32_t nr_children;
	int error; /* the first result that was not 0, nor just the echo of our cancelling */
	bool cancelled;
	bool shielded;	     /* opened under a shield of its owner; fixed */
	struct g *owner;     /* NULL: a plain thread; fixed */
	struct scope *outer; /* owner's cancel_lock */
	struct waitq waiters;
};

_Static_assert(sizeof(struct scope) <= sizeof(struct gr_scope), "struct gr_scope is too small");

static struct scope *scope_of(struct gr_scope *s)
{
	return (struct scope *)s;
}

static void cancel_locked(struct scope *s)
{
	if (s->cancelled)
		return;
	s->cancelled = true;
	for (struct g *g = s->children; g; g = g->scope_next)
		cancel_g(g);
}

void scopes_cancel_opened(struct g *g)
{
	for (struct scope *s = g->opened; s; s = s->outer) {
		if (s->shielded)
			continue;
		lock_acquire(&s->lock);
		cancel_locked(s);
		lock_release(&s->lock);
	}
}

int gr_scope_init(struct gr_scope *out, unsigned int flags)
{
	struct scope *s = scope_of(out);
	struct g *g = g_self();

	if (!s || (flags & ~GR_SCOPE_ALL))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	s->flags = flags;
	s->owner = g;
	if (!g)
		return 0;
	rt_enter();
	lock_acquire(&g->cancel_lock);
	s->shielded = g->shields;
	s->cancelled = !s->shielded && atomic_load_explicit(&g->cancelled, memory_order_relaxed);
	s->outer = g->opened;
	g->opened = s;
	lock_release(&g->cancel_lock);
	rt_exit();
	return 0;
}

static void link_child(struct scope *s, struct g *g)
{
	g->scope = s;
	g->scope_prev = NULL;
	g->scope_next = s->children;
	if (s->children)
		s->children->scope_prev = g;
	s->children = g;
	s->nr_children++;
	g->cancellable = true;
	atomic_store_explicit(&g->cancelled, s->cancelled, memory_order_relaxed);
}

static void unlink_child(struct scope *s, struct g *g)
{
	if (g->scope_prev)
		g->scope_prev->scope_next = g->scope_next;
	else
		s->children = g->scope_next;
	if (g->scope_next)
		g->scope_next->scope_prev = g->scope_prev;
	s->nr_children--;
	g->scope = NULL;
}

/* by the goroutine that ended */
static void scope_ended(struct g *g)
{
	struct wnode *n = NULL;
	struct scope *s = g->scope;

	rt_enter();
	lock_acquire(&s->lock);
	unlink_child(s, g);
	if (g->result && !s->error && !(s->cancelled && g->result == -ECANCELED)) {
		s->error = g->result;
		if (!(s->flags & GR_SCOPE_ALL))
			cancel_locked(s);
	}
	if (!s->nr_children)
		n = waitq_pop(&s->waiters);
	lock_release(&s->lock);
	if (n)
		waiter_wake(n->w);
	rt_exit();
}

int gr_scope_go_with(struct gr_scope *out, int (*fn)(void *), void *arg, const struct gr_attr *attr)
{
	struct scope *s = scope_of(out);
	size_t size;
	struct g *g;
	int ret;

	if (!s || !fn)
		return -EINVAL;
	ret = g_check_attr(attr, &size);
	if (ret)
		return ret;
	rt_enter();
	g = g_new(NULL, arg, attr, size);
	if (g) {
		g->result_fn = fn;
		g->ended = scope_ended;
		lock_acquire(&s->lock);
		link_child(s, g);
		lock_release(&s->lock);
		g_ready(g);
	}
	rt_exit();
	return g ? 0 : -ENOMEM;
}

int gr_scope_go(struct gr_scope *s, int (*fn)(void *), void *arg)
{
	return gr_scope_go_with(s, fn, arg, NULL);
}

int gr_scope_cancel(struct gr_scope *out)
{
	struct scope *s = scope_of(out);

	if (!s)
		return -EINVAL;
	rt_enter();
	lock_acquire(&s->lock);
	cancel_locked(s);
	lock_release(&s->lock);
	rt_exit();
	return 0;
}

/* with s->lock held; released. 0: nobody is left. */
static int wait_locked(struct scope *s, int64_t deadline)
{
	struct waiter w;

	if (!s->nr_children) {
		lock_release(&s->lock);
		return 0;
	}
	if (deadline == GR_NOW) {
		lock_release(&s->lock);
		return -EAGAIN;
	}
	waiter_init(&w);
	return waitq_wait(&s->waiters, &s->lock, &w, deadline, WAIT_SCOPE);
}

static void leave(struct scope *s)
{
	struct g *g = s->owner;
	struct scope **at;

	if (!g)
		return;
	lock_acquire(&g->cancel_lock);
	for (at = &g->opened; *at != s; at = &(*at)->outer)
		GR_CHECK(*at);
	*at = s->outer;
	lock_release(&g->cancel_lock);
}

int gr_scope_wait(struct gr_scope *out, int64_t deadline)
{
	struct scope *s = scope_of(out);
	struct g *g = g_self();
	int why, ret;

	if (!s)
		return -EINVAL;
	if (s->owner != g)
		return -EPERM;
	rt_enter();
	lock_acquire(&s->lock);
	why = wait_locked(s, deadline);
	if (why) {
		if (g)
			g->shields++;
		lock_acquire(&s->lock);
		cancel_locked(s);
		wait_locked(s, GR_FOREVER);
		if (g)
			g->shields--;
	}
	/* I3: after the last scope_ended(); and nobody can cancel it any more */
	leave(s);
	lock_acquire(&s->lock);
	ret = s->error ? s->error : why;
	lock_release(&s->lock);
	rt_exit();
	return ret;
}
