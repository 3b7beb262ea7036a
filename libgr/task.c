// SPDX-License-Identifier: MIT
/*
 * task.c - a goroutine with a handle: join it, cancel it, get its result.
 *
 * Callers: any thread with a reference; task_ended() the goroutine itself.
 * Invariants, under t->lock: g is not NULL exactly until task_ended(), so the goroutine cannot go
 * away while the lock is held; done and result never change again; nobody queues once done.
 * Lifetime: two references, the handle's and the goroutine's.
 */
#include <errno.h>

#include "task.h"

static void unref(struct gr_task *t)
{
	/* both orders: all uses come before the free */
	if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
		free(t);
}

static void task_ended(struct g *g)
{
	struct gr_task *t = g->task;
	struct wnode *n, *list = NULL, **end = &list;

	rt_enter();
	lock_acquire(&t->lock);
	t->done = true;
	t->result = g->result;
	t->g = NULL;
	while ((n = waitq_pop(&t->joiners))) {
		n->w->result = t->result;
		*end = n;
		end = &n->next;
	}
	lock_release(&t->lock);
	while (list) {
		n = list;
		list = n->next; /* *n is gone after waiter_wake() */
		waiter_wake(n->w);
	}
	g->task = NULL;
	rt_exit();
	unref(t);
}

int gr_task_new(struct gr_task **out, int (*fn)(void *), void *arg, const struct gr_attr *attr)
{
	struct gr_task *t;
	size_t size;
	struct g *g;
	int ret;

	if (!out || !fn)
		return -EINVAL;
	ret = g_check_attr(attr, &size);
	if (ret)
		return ret;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	atomic_init(&t->refs, 2);
	rt_enter();
	g = g_new(NULL, arg, attr, size);
	if (g) {
		g->result_fn = fn;
		g->returns = true;
		g->ended = task_ended;
		g->task = t;
		g->cancellable = true;
		t->g = g;
		*out = t;
		g_ready(g);
	}
	rt_exit();
	if (g)
		return 0;
	free(t);
	return -ENOMEM;
}

int gr_task_join(struct gr_task *t, int *result, int64_t deadline)
{
	struct waiter w;
	struct m *m;
	int ret = 0;

	if (!t)
		return -EINVAL;
	m = rt_enter();
	if (m && m->curg && m->curg->task == t) {
		ret = -EDEADLK;
	} else if (deadline != GR_NOW && m_cancelled(m)) {
		ret = -ECANCELED;
	} else {
		lock_acquire(&t->lock);
		if (t->done) {
			w.result = t->result;
			lock_release(&t->lock);
		} else if (deadline == GR_NOW) {
			lock_release(&t->lock);
			ret = -EAGAIN;
		} else {
			waiter_init(&w);
			ret = waitq_wait(&t->joiners, &t->lock, &w, deadline, WAIT_JOIN);
		}
	}
	rt_exit();
	if (!ret && result)
		*result = w.result;
	return ret;
}

int gr_task_cancel(struct gr_task *t)
{
	if (!t)
		return -EINVAL;
	rt_enter();
	lock_acquire(&t->lock);
	if (t->g)
		cancel_g(t->g);
	lock_release(&t->lock);
	rt_exit();
	return 0;
}

void gr_task_release(struct gr_task *t)
{
	if (t)
		unref(t);
}
