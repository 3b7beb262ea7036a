/* SPDX-License-Identifier: MIT */
/*
 * chan.h - what a channel is, and the send and the receive that do not wait, for chan.c and
 * select.c. The invariants I1..I6 are chan.c's.
 *
 * Callers: chan_try_*() with c->lock held; whoever calls them releases the lock, and then, only
 * then, wakes *partner. chan_looks_*() anybody: a guess, the lock decides.
 */
#ifndef GR_CHAN_H
#define GR_CHAN_H

#include <errno.h>
#include <string.h>

#include "gr_int.h"

struct gr_chan {
	size_t elem, cap; /* constant */
	_Atomic size_t refs;

	struct lock lock;
	_Atomic bool closed;  /* written under lock, read by anybody */
	size_t first;	      /* index of the oldest value */
	_Atomic size_t count; /* values in the buffer; written under lock, read by anybody */
	struct waitq sendq, recvq;
	char buf[] __attribute__((aligned(16)));
};

static inline size_t chan_count(struct gr_chan *c)
{
	/* relaxed: under the lock, or a snapshot */
	return atomic_load_explicit(&c->count, memory_order_relaxed);
}

static inline bool chan_closed(struct gr_chan *c)
{
	/* relaxed: as chan_count() */
	return atomic_load_explicit(&c->closed, memory_order_relaxed);
}

static inline void chan_set_count(struct gr_chan *c, size_t n)
{
	atomic_store_explicit(&c->count, n, memory_order_relaxed); /* under the lock */
}

static inline void chan_copy(struct gr_chan *c, void *to, const void *from)
{
	if (!to)
		return;
	switch (c->elem) {
	case 0:
		break;
	case 4:
		memcpy(to, from, 4);
		break;
	case 8:
		memcpy(to, from, 8);
		break;
	default:
		memcpy(to, from, c->elem);
	}
}

static inline void chan_buf_put(struct gr_chan *c, const void *value)
{
	size_t n = chan_count(c), i = c->first + n;

	chan_copy(c, c->buf + (i >= c->cap ? i - c->cap : i) * c->elem, value);
	chan_set_count(c, n + 1);
}

static inline void chan_buf_get(struct gr_chan *c, void *value)
{
	chan_copy(c, value, c->buf + c->first * c->elem);
	c->first = c->first + 1 == c->cap ? 0 : c->first + 1;
	chan_set_count(c, chan_count(c) - 1);
}

/* 0 sent, -EPIPE closed, -EAGAIN it would have to wait */
static inline int chan_try_send(struct gr_chan *c, const void *value, struct wnode **partner)
{
	struct wnode *n;

	*partner = NULL;
	if (chan_closed(c))
		return -EPIPE;
	n = waitq_take(&c->recvq);
	if (n) {
		chan_copy(c, n->data, value); /* I4; I2: nothing is before it in the buffer */
		*partner = n;
		return 0;
	}
	if (chan_count(c) == c->cap)
		return -EAGAIN;
	chan_buf_put(c, value);
	return 0;
}

/* 0 received, -ENODATA closed and drained, -EAGAIN it would have to wait */
static inline int chan_try_recv(struct gr_chan *c, void *value, struct wnode **partner)
{
	struct wnode *n = waitq_take(&c->sendq);

	*partner = n;
	if (n && !c->cap) {
		chan_copy(c, value, n->data); /* I4 */
		return 0;
	}
	if (chan_count(c)) {
		chan_buf_get(c, value);
		if (n)
			chan_buf_put(c, n->data); /* I5; I3: the room we just made */
		return 0;
	}
	return chan_closed(c) ? -ENODATA : -EAGAIN;
}

static inline bool chan_looks_sendable(struct gr_chan *c)
{
	return waitq_looks_used(&c->recvq) || chan_count(c) < c->cap || chan_closed(c);
}

static inline bool chan_looks_receivable(struct gr_chan *c)
{
	return waitq_looks_used(&c->sendq) || chan_count(c) || chan_closed(c);
}

#endif /* GR_CHAN_H */
