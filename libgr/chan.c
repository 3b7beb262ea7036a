// SPDX-License-Identifier: MIT
/*
 * chan.c - channels: values of one size, handed over in order.
 *
 * Job: send, receive, close. Not here: how a waiter sleeps and is claimed (wait.c), several
 * channels at once (select.c).
 * Callers: any thread that has a reference.
 *
 * Invariants, under c->lock; "live" means a waiter that has not been claimed, nor timed out:
 *   I1 at most one of sendq and recvq has live waiters; one select may stand in both.
 *   I2 live receivers: the buffer is empty, and the channel is open.
 *   I3 live senders: the buffer is full (cap 0: always), and the channel is open.
 *   I4 a value moves while its other end is claimed and c->lock is held, from the sender's
 *      memory straight to the receiver's when the buffer does not stand between them; the
 *      waiter is woken after c->lock was released. A waiter that timed out is never claimed:
 *      -ETIMEDOUT means the value was not taken, and that none was delivered.
 *   I5 with live senders a receiver takes the oldest value of the buffer, and the oldest
 *      sender's value goes to its end: one order for all.
 *   I6 close claims everybody; what is in the buffer can still be received.
 * Order: c->lock orders everything but len (a snapshot) and refs (release on each drop, acquire
 * before the free: R1/A1).
 * Lifetime: nothing of *c is touched after c->lock was released, except by a call that has a
 * reference and timed out.
 */
#include "chan.h"
#include "turn.h"

#define MAX_ELEM 65536

int gr_chan_new(struct gr_chan **out, size_t elem, size_t cap)
{
	struct gr_chan *c;
	size_t bytes;

	if (!out || elem > MAX_ELEM || __builtin_mul_overflow(elem, cap, &bytes) ||
	    bytes > PTRDIFF_MAX - sizeof(*c) || cap > PTRDIFF_MAX)
		return -EINVAL;
	c = malloc(sizeof(*c) + bytes);
	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->elem = elem;
	c->cap = cap;
	atomic_init(&c->refs, 1);
	*out = c;
	return 0;
}

struct gr_chan *gr_chan_retain(struct gr_chan *c)
{
	/* relaxed: the caller has a reference already */
	if (c)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void gr_chan_release(struct gr_chan *c)
{
	/* R1 and A1, each the other's pair: all uses come before the free */
	if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		free(c);
}

/* Unlock, let n go if there is one, leave the runtime: how every call that does not wait ends. */
static inline int finish(struct gr_chan *c, struct m *m, struct wnode *n, int ret)
{
	lock_release(&c->lock);
	if (n && likely(n->w->g))
		ready(m, n->w->g);
	else if (n)
		waiter_wake(n->w);
	if (m)
		rt_exit_m(m);
	return ret;
}

/* block() of a thread, or of who may be woken by something else too */
static NOINLINE int block_slow(struct gr_chan *c, struct waitq *q, void *data, int64_t deadline,
			       enum wait_reason why)
{
	struct waiter w;
	int ret;

	waiter_init(&w);
	w.node.data = data;
	ret = waitq_wait(q, &c->lock, &w, deadline, why);
	rt_exit();
	return ret ? ret : w.result;
}

/* Queue on q, sleep, leave the runtime. data: where the value is, or goes. */
ALWAYS_INLINE int block(struct gr_chan *c, struct m *m, struct waitq *q, void *data,
			int64_t deadline, enum wait_reason why)
{
	struct g *g = plain_waiter(m, deadline);
	int ret;

	if (unlikely(!g))
		return block_slow(c, q, data, deadline, why);
	ret = wait_plain(m, g, q, data, &c->lock, why);
	rt_exit_m(m_self());
	return ret;
}

static NOINLINE int block_send(struct gr_chan *c, struct m *m, void *data, int64_t deadline)
{
	return block(c, m, &c->sendq, data, deadline, WAIT_CHAN_SEND);
}

static NOINLINE int block_recv(struct gr_chan *c, struct m *m, void *data, int64_t deadline)
{
	return block(c, m, &c->recvq, data, deadline, WAIT_CHAN_RECV);
}

static NOINLINE int cancelled(void)
{
	rt_exit();
	return -ECANCELED;
}

int gr_chan_send(struct gr_chan *c, const void *value, int64_t deadline)
{
	struct wnode *n;
	struct m *m;
	int ret;

	if (!c || (!value && c->elem))
		return -EINVAL;
	m = rt_enter_inline();
	if (m_cancelled(m) && deadline != GR_NOW)
		return cancelled();
	lock_acquire(&c->lock);
	ret = chan_try_send(c, value, &n);
	if (ret != -EAGAIN || deadline == GR_NOW)
		return finish(c, m, n, ret);
	return block_send(c, m, (void *)value, deadline);
}

int gr_chan_recv(struct gr_chan *c, void *value, int64_t deadline)
{
	struct wnode *n;
	struct m *m;
	int ret;

	if (!c)
		return -EINVAL;
	m = rt_enter_inline();
	if (m_cancelled(m) && deadline != GR_NOW)
		return cancelled();
	lock_acquire(&c->lock);
	ret = chan_try_recv(c, value, &n);
	if (ret != -EAGAIN || deadline == GR_NOW)
		return finish(c, m, n, ret);
	return block_recv(c, m, value, deadline);
}

/* claim all of q with this result, appended to *end; returns the new end */
static struct wnode **drain(struct waitq *q, int result, struct wnode **end)
{
	struct wnode *n;

	while ((n = waitq_pop(q))) {
		n->w->result = result;
		*end = n;
		end = &n->next;
	}
	return end;
}

int gr_chan_close(struct gr_chan *c)
{
	struct wnode *n = NULL, *next, **end;
	struct m *m;

	if (!c)
		return -EINVAL;
	m = rt_enter();
	lock_acquire(&c->lock);
	if (chan_closed(c))
		return finish(c, m, NULL, -EPIPE);
	atomic_store_explicit(&c->closed, true, memory_order_relaxed); /* under the lock */
	end = drain(&c->recvq, -ENODATA, &n);
	drain(&c->sendq, -EPIPE, end);
	lock_release(&c->lock);
	for (; n; n = next) {
		next = n->next; /* *n is gone after waiter_wake() */
		waiter_wake(n->w);
	}
	rt_exit();
	return 0;
}

size_t gr_chan_len(struct gr_chan *c)
{
	return c ? chan_count(c) : 0;
}

size_t gr_chan_cap(struct gr_chan *c)
{
	return c ? c->cap : 0;
}
