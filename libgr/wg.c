// SPDX-License-Identifier: MIT
/*
 * wg.c - gr_wg: wait until a count of jobs has come down to zero.
 *
 * Callers: any thread.
 * Invariants: count >= 0; count and queue only change with wg->lock held; a waiter queues only
 * while count > 0, and the change to 0 takes every waiter off that has not timed out.
 * Lifetime: the waiter may free the wg when its call returns. So even a wait for a count of 0
 * takes the lock: it then comes after the last access of the gr_wg_done() that made it 0.
 */
#include <errno.h>

#include "gr_int.h"

_Static_assert(offsetof(struct gr_wg, tail) == offsetof(struct gr_wg, head) +
	       offsetof(struct waitq, tail), "gr_wg.head, tail are a struct waitq");

static inline struct lock *lock_of(struct gr_wg *wg)
{
	return (struct lock *)&wg->lock;
}

static inline struct waitq *queue_of(struct gr_wg *wg)
{
	return (struct waitq *)&wg->head;
}

/* claim them all, oldest first, linked by next */
static struct wnode *take_all(struct waitq *q)
{
	struct wnode *list = NULL, **end = &list, *w;

	while ((w = waitq_pop(q))) {
		*end = w;
		end = &w->next;
	}
	return list;
}

int gr_wg_add(struct gr_wg *wg, int64_t n)
{
	struct wnode *w = NULL, *next;
	int64_t count;
	int ret = 0;

	rt_enter();
	lock_acquire(lock_of(wg));
	if (__builtin_add_overflow(wg->count, n, &count) || count < 0) {
		ret = -EINVAL;
	} else {
		wg->count = count;
		if (!count)
			w = take_all(queue_of(wg));
	}
	lock_release(lock_of(wg));
	for (; w; w = next) {
		next = w->next; /* *w is gone after waiter_wake() */
		waiter_wake(w->w);
	}
	rt_exit();
	return ret;
}

int gr_wg_done(struct gr_wg *wg)
{
	return gr_wg_add(wg, -1);
}

int gr_wg_wait(struct gr_wg *wg, int64_t deadline)
{
	struct waiter w;
	int ret;

	rt_enter();
	lock_acquire(lock_of(wg));
	if (!wg->count || deadline == GR_NOW) {
		ret = wg->count ? -EAGAIN : 0;
		lock_release(lock_of(wg));
	} else {
		waiter_init(&w);
		ret = waitq_wait(queue_of(wg), lock_of(wg), &w, deadline, WAIT_WG);
	}
	rt_exit();
	return ret;
}
