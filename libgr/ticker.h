/* SPDX-License-Identifier: MIT */
/* ticker.h - a gr_timer, for ticker.c and select.c. */
#ifndef GR_TICKER_H
#define GR_TICKER_H

#include "gr_int.h"

struct gr_timer {
	void (*fn)(void *); /* constant; NULL: it is waited for */
	void *arg;

	struct lock lock;
	bool armed;
	bool stale;   /* the firing whose post() is still to come is not to be seen */
	bool pending; /* fired, post() is still to come: ticker.c I2 */
	int64_t period;
	_Atomic int count; /* fired and not waited for; written under lock, read by anybody */
	struct waitq waiters;
	struct waitq releasers;
	struct timer timer;
};

/* how often it has fired since the last time, or -EAGAIN; with t->lock held */
static inline int timer_try_wait(struct gr_timer *t)
{
	/* relaxed: under the lock */
	int n = atomic_load_explicit(&t->count, memory_order_relaxed);

	if (!n)
		return -EAGAIN;
	atomic_store_explicit(&t->count, 0, memory_order_relaxed);
	return n;
}

static inline bool timer_looks_fired(struct gr_timer *t)
{
	return atomic_load_explicit(&t->count, memory_order_relaxed) != 0; /* a guess */
}

#endif /* GR_TICKER_H */
