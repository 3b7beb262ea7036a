// SPDX-License-Identifier: MIT
/*
 * scope.c - goroutines that end together: structured concurrency.
 *
 * Job: who is in a scope, the first failure, waiting for the last one, and the walk down the tree
 * when one is cancelled. Not here: what cancellation does to one goroutine (cancel.c).
 * Callers: go, cancel: any thread, while the scope has not been left. init, wait: its owner.
 *
 * Invariants:
 *   I1 (s->lock) children are the goroutines that were started and have not run scope_ended()
 *      yet: none of them can go away while the lock is held, so they may be cancelled.
 *   I2 (s->lock) a cancelled scope has cancelled every child; a new child starts cancelled.
 *   I3 (live_lock) live counts the children, and who is about to become or cease to be one. The
 *      last scope_ended() touches *s for the last time when it releases live_lock; the owner
 *      takes that lock before it returns, so the scope may then go.
 * A scope is on its owner's list (g->opened, cancel_lock) from init to the end of wait: a
 * cancelled goroutine cancels what it opened. One that was opened under a shield stays out of it.
 *
 * Locks, down the tree: owner's cancel_lock -> s->lock -> child's cancel_lock -> lock of a scope
 * that it opened -> ... The owner sleeps with live_lock -> its own cancel_lock, which is why
 * live_lock is not s->lock and is never taken inside it, nor inside a cancel_lock.
 * The walk holds the locks of the path it is on. It keeps its place in the scopes (at), not on
 * its stack: trees are as deep as users make them, stacks are not.
 * Source: trio's nurseries and Go's errgroup: the first failure cancels the rest.
 */
#include <errno.h>
#include <string.h>

#include "scope.h"

#define OPENED 0x7363f09eU

struct __attribute__((may_alias)) scope { /* in the user's struct gr_scope */
	struct lock lock;
	uint32_t magic; /* OPENED from init to wait: says -EINVAL instead of worse */
	uint32_t flags;
	int error; /* the first result that was not 0, nor just the echo of our cancelling */
	int why;   /* -errno if the owner was cancelled, or the deadline passed, before all else */
	bool cancelled;
	bool shielded;	     /* opened under a shield of its owner; fixed */
	struct g *children, *at; /* at: where the walk is */
	struct g *owner;     /* NULL: a plain thread; fixed */
	struct scope *outer; /* owner's cancel_lock */

	struct lock live_lock;
	uint32_t live;
	struct waitq waiters; /* the owner */
};

_Static_assert(sizeof(struct scope) <= sizeof(struct gr_scope), "struct gr_scope is too small");

static struct scope *scope_of(struct gr_scope *s)
{
	return (struct scope *)s;
}

/* the scope, or NULL if it was never opened or was left already */
static struct scope *opened(struct gr_scope *s)
{
	return s && scope_of(s)->magic == OPENED ? scope_of(s) : NULL;
}

/* ---- the walk ---- */

/* the first from s outwards that has to be cancelled, marked, its lock held; or NULL */
static struct scope *next_opened(struct scope *s)
{
	for (; s; s = s->outer) {
		if (s->shielded)
			continue;
		lock_acquire(&s->lock);
		if (!s->cancelled) {
			s->cancelled = true;
			s->why = -ECANCELED;
			s->at = s->children;
			return s;
		}
		lock_release(&s->lock);
	}
	return NULL;
}

/* All below root, which is marked, its lock held. */
static void walk(struct scope *root, struct g_list *ready)
{
	struct scope *s = root, *down;
	struct g *g;

	for (;;) {
		g = s->at;
		if (g) {
			lock_acquire(&g->cancel_lock);
			down = cancel_mark(g, ready) ? next_opened(g->opened) : NULL;
		} else if (s == root) {
			return;
		} else { /* all of s are done: what else its owner opened */
			g = s->owner;
			down = next_opened(s->outer);
			lock_release(&s->lock);
		}
		if (down) {
			s = down;
			continue;
		}
		s = g->scope;
		s->at = g->scope_next;
		lock_release(&g->cancel_lock);
	}
}

/* with s->lock held */
static void cancel_locked(struct scope *s, int why, struct g_list *ready)
{
	if (s->cancelled)
		return;
	s->cancelled = true;
	s->why = why;
	s->at = s->children;
	walk(s, ready);
}

static void cancel_scope(struct scope *s, int why)
{
	struct g_list ready = { 0 };

	lock_acquire(&s->lock);
	cancel_locked(s, why, &ready);
	lock_release(&s->lock);
	g_ready_list(ready.first, ready.n);
}

void cancel_g(struct g *g)
{
	struct g_list ready = { 0 };
	struct scope *s;

	lock_acquire(&g->cancel_lock);
	if (cancel_mark(g, &ready)) {
		for (s = g->opened; (s = next_opened(s)); s = s->outer) {
			walk(s, &ready);
			lock_release(&s->lock);
		}
	}
	lock_release(&g->cancel_lock);
	g_ready_list(ready.first, ready.n);
}

/* ---- init, go, end ---- */

int gr_scope_init(struct gr_scope *out, unsigned int flags)
{
	struct scope *s = scope_of(out);
	struct g *g = g_self();

	if (!s || (flags & ~GR_SCOPE_ALL))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	s->magic = OPENED;
	s->flags = flags;
	s->owner = g;
	if (!g)
		return 0;
	rt_enter();
	lock_acquire(&g->cancel_lock);
	s->shielded = g->shields;
	s->cancelled = !s->shielded && atomic_load_explicit(&g->cancelled, memory_order_relaxed);
	s->why = s->cancelled ? -ECANCELED : 0;
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
	g->scope = NULL;
}

/* by the goroutine that ended */
static void scope_ended(struct g *g)
{
	struct g_list ready = { 0 };
	struct scope *s = g->scope;
	struct wnode *n = NULL;

	rt_enter();
	lock_acquire(&s->lock);
	unlink_child(s, g);
	if (g->result && !s->error && !(s->cancelled && g->result == -ECANCELED)) {
		s->error = g->result;
		if (!(s->flags & GR_SCOPE_ALL))
			cancel_locked(s, 0, &ready);
	}
	lock_release(&s->lock);
	g_ready_list(ready.first, ready.n);
	lock_acquire(&s->live_lock); /* I3 */
	if (!--s->live)
		n = waitq_pop(&s->waiters);
	lock_release(&s->live_lock);
	if (n)
		waiter_wake(n->w);
	rt_exit();
}

static void start_in(struct scope *s, struct g *g)
{
	lock_acquire(&s->live_lock);
	s->live++;
	lock_release(&s->live_lock);
	lock_acquire(&s->lock);
	link_child(s, g);
	lock_release(&s->lock);
	g_ready(g);
}

int gr_scope_go_with(struct gr_scope *out, int (*fn)(void *), void *arg, const struct gr_attr *attr)
{
	struct scope *s = opened(out);
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
		g->returns = true;
		g->ended = scope_ended;
		start_in(s, g);
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
	struct scope *s = opened(out);

	if (!s)
		return -EINVAL;
	rt_enter();
	cancel_scope(s, 0);
	rt_exit();
	return 0;
}

/* ---- wait ---- */

static int wait_live(struct scope *s, int64_t deadline)
{
	struct waiter w;

	lock_acquire(&s->live_lock);
	if (!s->live || deadline == GR_NOW) {
		int ret = s->live ? -EAGAIN : 0;

		lock_release(&s->live_lock);
		return ret;
	}
	waiter_init(&w);
	return waitq_wait(&s->waiters, &s->live_lock, &w, deadline, WAIT_SCOPE);
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
	struct scope *s = opened(out);
	struct g *g = g_self();
	int why;

	if (!s)
		return -EINVAL;
	if (s->owner != g)
		return -EPERM;
	rt_enter();
	why = wait_live(s, deadline);
	if (why) {
		cancel_scope(s, why);
		if (g)
			g->shields++;
		wait_live(s, GR_FOREVER);
		if (g)
			g->shields--;
	}
	/* after the last scope_ended(), I3; from here nobody can cancel it any more */
	leave(s);
	s->magic = 0;
	rt_exit();
	if (s->error)
		return s->error;
	return why ? why : s->why;
}
