// SPDX-License-Identifier: MIT
/*
 * select.c - wait for the first of several things to happen.
 *
 * Job: gr_select(). Not here: what each thing is (chan.h, ticker.h, task.h, fdwait.h), how a
 * waiter sleeps and is claimed (wait.c). Callers: any thread.
 *
 * Three passes, as Go's, and a guess before them:
 *   0 without a lock: which cases look ready? Of these one is chosen, locked alone, and tried. A
 *     case that succeeds is a choice that was right at that instant, whatever the others do.
 *   1 with the locks of all objects: the same again. Only here "none is ready" is a fact: two
 *     goroutines that each send to one channel and then look at both cannot miss each other.
 *   2 a place in every queue (struct wnode), one waiter for all; sleep. The locks are released
 *     on whatever stack is switched to.
 *   3 leave the queues again, object by object.
 *
 * Invariants:
 *   I1 the waiter is claimed once (wait.c), so one case happens: not two, not half.
 *   I2 locks are taken in the order of their addresses, each once however often its object
 *      stands among the cases; outside this file nobody holds two objects' locks.
 *   I3 the caller keeps every object until we return: pass 3 touches them all.
 *   I4 a select stands in no queue in passes 0 and 1: it cannot find itself. One that sends to
 *      and receives from the same channel waits in both queues, for somebody else.
 *   I5 while a lock is still held in asleep(), *s is there: whoever woke us by a case of that
 *      object would have held the lock, so our place in its queue is still to be given up.
 * A plain thread has no ring: descriptors are waited for by a goroutine in its place.
 * Memory: the caller's stack, about 80 bytes per case; never malloc().
 * Locks: those of I2 -> g->cancel_lock -> p->timer_lock.
 */
#include "chan.h"
#include "fdwait.h"
#include "proxy.h"
#include "rt.h"
#include "task.h"
#include "ticker.h"

struct sel {
	struct gr_case *cases;
	int n;
	int nr_fds;
	bool ordered;
	bool needs_runtime;
	int64_t deadline; /* the caller's */
	int64_t until;	  /* of it and all GR_OP_AT the earliest */
	int at;		  /* that GR_OP_AT case, or -1 */
	struct pollfd *fds; /* of each case, with fd -1 where it is none; only if nr_fds */
	/* pass 2 */
	struct lock **locks; /* distinct, by address */
	int nr_locks;
	struct wnode *nodes; /* of each case */
	struct fd_wait fd_wait;
};

/* ---- one case ---- */

/* most cases: asked first, for a branch is cheaper than the table of a switch */
static inline bool is_chan(const struct gr_case *k)
{
	return k->op == GR_OP_SEND || k->op == GR_OP_RECV;
}

static inline struct lock *lock_of(const struct gr_case *k)
{
	if (likely(is_chan(k)))
		return k->chan ? &k->chan->lock : NULL;
	if (k->op == GR_OP_TIMER)
		return &k->timer->lock;
	return k->op == GR_OP_JOIN ? &k->task->lock : NULL;
}

/* NULL exactly where lock_of() is NULL */
static inline struct waitq *queue_of(const struct gr_case *k)
{
	if (likely(is_chan(k))) {
		if (!k->chan)
			return NULL;
		return k->op == GR_OP_SEND ? &k->chan->sendq : &k->chan->recvq;
	}
	if (k->op == GR_OP_TIMER)
		return &k->timer->waiters;
	return k->op == GR_OP_JOIN ? &k->task->joiners : NULL;
}

/* what the queue's owner wants in node->data */
static void *data_of(const struct gr_case *k)
{
	return is_chan(k) ? k->value : NULL;
}

/* a guess, without the lock */
static bool looks_ready(const struct sel *s, int i, int64_t now)
{
	const struct gr_case *k = &s->cases[i];

	if (likely(is_chan(k))) {
		if (!k->chan)
			return false;
		return k->op == GR_OP_SEND ? chan_looks_sendable(k->chan) :
					     chan_looks_receivable(k->chan);
	}
	switch (k->op) {
	case GR_OP_TIMER:
		return timer_looks_fired(k->timer);
	case GR_OP_JOIN:
		return true; /* its lock tells */
	case GR_OP_AT:
		return k->when <= now;
	case GR_OP_FD:
		return s->fds[i].revents;
	default:
		return false;
	}
}

/* With its lock held: do it if it can be done now. *partner is to be woken without the lock. */
static bool try_case(const struct sel *s, int i, struct wnode **partner)
{
	struct gr_case *k = &s->cases[i];
	int ret = -EAGAIN;

	switch (k->op) {
	case GR_OP_SEND:
		ret = chan_try_send(k->chan, k->send, partner);
		break;
	case GR_OP_RECV:
		ret = chan_try_recv(k->chan, k->value, partner);
		break;
	case GR_OP_TIMER:
		ret = timer_try_wait(k->timer);
		break;
	case GR_OP_JOIN:
		if (!k->task->done)
			return false;
		k->result = k->task->result; /* whatever it is */
		return true;
	case GR_OP_FD:
		ret = fd_result(&s->fds[i]);
		break;
	default:
		ret = 0;
		break;
	}
	if (ret == -EAGAIN)
		return false;
	k->result = ret;
	return true;
}

/* ---- choosing ---- */

static NOINLINE uint32_t random_of_thread(void)
{
	static __thread uint32_t x;

	if (!x)
		x = (uint32_t)((uintptr_t)&x >> 4 ^ (uint64_t)gr_now()) | 1;
	x ^= x << 13; /* xorshift32 (Marsaglia) */
	x ^= x >> 17;
	return x ^= x << 5;
}

static int pick(const struct sel *s, int n)
{
	if (n == 1 || s->ordered)
		return 0;
	return (int)((uint64_t)random_of_thread() * (uint32_t)n >> 32);
}

/*
 * Do one of the cases that look ready; its index or -1. locked: all locks are held. Among those
 * that look ready each is as likely: a random start alone would favour who follows a gap.
 */
static int choose(const struct sel *s, bool locked, struct wnode **partner)
{
	int64_t now = s->at >= 0 ? gr_now() : 0;
	uint8_t ready[GR_SELECT_MAX];
	int n = 0;

	for (int i = 0; i < s->n; i++)
		if (looks_ready(s, i, now))
			ready[n++] = (uint8_t)i;
	while (n) {
		int at = pick(s, n), i = ready[at];
		struct lock *l = locked ? NULL : lock_of(&s->cases[i]);
		bool done;

		if (l)
			lock_acquire(l);
		done = try_case(s, i, partner);
		if (l)
			lock_release(l);
		if (done)
			return i;
		memmove(&ready[at], &ready[at + 1], (size_t)(--n - at));
	}
	return -1;
}

/* ---- all locks ---- */

/* sorted by insertion: there are few, and callers tend to keep their order */
static void lock_all(struct sel *s)
{
	int n = 0;

	for (int i = 0; i < s->n; i++) {
		struct lock *l = lock_of(&s->cases[i]);
		int at = n;

		if (!l)
			continue;
		while (at && s->locks[at - 1] > l)
			at--;
		if (at && s->locks[at - 1] == l)
			continue;
		for (int j = n++; j > at; j--)
			s->locks[j] = s->locks[j - 1];
		s->locks[at] = l;
	}
	s->nr_locks = n;
	for (int i = 0; i < n; i++)
		lock_acquire(s->locks[i]); /* I2 */
}

static void unlock_all(struct lock **locks, int n)
{
	for (int i = 0; i < n; i++)
		lock_release(locks[i]);
}

/*
 * The sleeper's context is saved. It may have been woken already, by its deadline: *s is there
 * until the requests are submitted, for they must end, and by I5 until the last lock.
 */
static void asleep(void *arg)
{
	struct sel *s = arg;
	struct lock **locks = s->locks;
	int n = s->nr_locks;

	if (s->nr_fds)
		netpoll_submit(s->fd_wait.p);
	unlock_all(locks, n);
}

/* ---- waiting ---- */

static void enqueue(struct sel *s, struct waiter *w, struct fd_req *reqs)
{
	if (s->nr_fds)
		fd_wait_begin(&s->fd_wait, reqs, s->nr_fds);
	for (int i = 0; i < s->n; i++) {
		const struct gr_case *k = &s->cases[i];
		struct wnode *node = &s->nodes[i];
		struct waitq *q = queue_of(k);

		node->w = w;
		node->data = data_of(k);
		if (q)
			waitq_push(q, node);
		else if (k->op == GR_OP_FD)
			fd_wait_add(&s->fd_wait, k->fd, k->events, node);
	}
}

static void dequeue(struct sel *s, const struct wnode *won)
{
	for (int i = 0; i < s->n; i++) {
		struct lock *l = lock_of(&s->cases[i]);

		if (!l || &s->nodes[i] == won) /* who claimed us took that one off */
			continue;
		lock_acquire(l);
		waitq_remove(queue_of(&s->cases[i]), &s->nodes[i]);
		lock_release(l);
	}
}

/* passes 2 and 3, with all locks held, which are released */
static int wait_locked(struct sel *s, struct fd_req *reqs)
{
	struct waiter w;
	int ret, i;

	waiter_init(&w);
	enqueue(s, &w, reqs);
	ret = waiter_wait_fn(&w, s->nr_locks || s->nr_fds ? asleep : NULL, s, s->until,
			     WAIT_SELECT);
	dequeue(s, w.won);
	if (s->nr_fds)
		fd_wait_end(&s->fd_wait);
	if (ret && !(ret == -ETIMEDOUT && s->at >= 0))
		return ret;
	i = ret ? s->at : (int)(w.won - s->nodes);
	s->cases[i].result = ret ? 0 : w.result;
	return i;
}

/* Passes 1 to 3. -EINPROGRESS: a plain thread would have to wait for descriptors. */
static NOINLINE int choose_or_wait(struct sel *s)
{
	int n = s->n ? s->n : 1;
	struct wnode nodes[n];
	struct lock *locks[n];
	struct fd_req reqs[s->nr_fds ? s->nr_fds : 1];
	struct wnode *partner = NULL;
	int i;

	s->nodes = nodes;
	s->locks = locks;
	lock_all(s);
	i = choose(s, true, &partner);
	if (i < 0 && s->deadline == GR_NOW)
		i = -EAGAIN;
	else if (i < 0 && s->nr_fds && !g_self())
		i = -EINPROGRESS;
	else if (i < 0)
		return wait_locked(s, reqs);
	unlock_all(locks, s->nr_locks);
	if (partner)
		waiter_wake(partner->w);
	return i;
}

static int select_any(struct sel *s)
{
	struct m *m = rt_enter_inline();
	struct wnode *partner = NULL;
	int i;

	if (m_cancelled(m) && s->deadline != GR_NOW) {
		i = -ECANCELED;
	} else {
		i = choose(s, false, &partner);
		if (partner)
			waiter_wake(partner->w);
		if (i < 0) {
			i = choose_or_wait(s);
			m = m_self();
		}
	}
	if (m)
		rt_exit_m(m);
	return i;
}

/* ---- descriptors ---- */

static int select_again(void *s)
{
	return select_any(s);
}

static NOINLINE int select_with_fds(struct sel *s)
{
	struct pollfd fds[s->n];
	int i;

	for (i = 0; i < s->n; i++) {
		const struct gr_case *k = &s->cases[i];
		bool is_fd = k->op == GR_OP_FD;

		fds[i].fd = is_fd ? k->fd : -1;
		fds[i].events = is_fd ? (short)k->events : 0;
		fds[i].revents = 0;
	}
	fd_poll(fds, s->n);
	for (i = 0; i < s->n; i++)
		if (s->cases[i].op == GR_OP_FD && s->cases[i].fd < 0)
			fds[i].revents = POLLNVAL; /* poll() skips these */
	s->fds = fds;
	i = select_any(s);
	if (i == -EINPROGRESS)
		return proxy_do(select_again, s);
	return i >= 0 && s->cases[i].op == GR_OP_FD ? (int)io_did_not_wait(i) : i;
}

/* ---- the calls ---- */

static bool is_own(const struct gr_task *t)
{
	const struct g *g = g_self();

	return g && g->task == t;
}

static inline int check_case(struct sel *s, int i)
{
	const struct gr_case *k = &s->cases[i];

	if (likely(is_chan(k)))
		return k->value || k->op == GR_OP_RECV || !k->chan || !k->chan->elem ? 0 : -EINVAL;
	switch (k->op) {
	case GR_OP_NONE:
		return 0;
	case GR_OP_FD:
		s->needs_runtime = true;
		s->nr_fds++;
		return k->events & ~0xffffU ? -EINVAL : 0;
	case GR_OP_TIMER:
		s->needs_runtime = true;
		return !k->timer || k->timer->fn ? -EINVAL : 0;
	case GR_OP_JOIN:
		if (!k->task)
			return -EINVAL;
		return is_own(k->task) ? -EDEADLK : 0;
	case GR_OP_AT:
		if (k->when < s->until || (k->when == s->until && s->at < 0)) {
			s->until = k->when;
			s->at = i;
		}
		return 0;
	default:
		return -EINVAL;
	}
}

static int check(struct sel *s)
{
	int ret = 0;

	if (s->n < 0 || s->n > GR_SELECT_MAX || (s->n && !s->cases))
		return -EINVAL;
	for (int i = 0; i < s->n && !ret; i++)
		ret = check_case(s, i);
	if (!ret && s->needs_runtime && !atomic_load_explicit(&sched.running, memory_order_acquire))
		ret = -ENXIO;
	return ret;
}

/* a single send or receive: the plain call is faster */
static int select_one(struct gr_case *k, int64_t deadline)
{
	int ret = k->op == GR_OP_SEND ? gr_chan_send(k->chan, k->send, deadline) :
					gr_chan_recv(k->chan, k->value, deadline);

	if (ret && ret != -EPIPE && ret != -ENODATA)
		return ret;
	k->result = ret;
	return 0;
}

static int select_cases(struct gr_case *cases, int n, int64_t deadline, bool ordered)
{
	struct sel s; /* not initialised as a whole: most of it is for those that wait */
	int ret;

	s.cases = cases;
	s.n = n;
	s.nr_fds = 0;
	s.ordered = ordered;
	s.needs_runtime = false;
	s.deadline = deadline;
	s.until = deadline == GR_NOW ? GR_FOREVER : deadline;
	s.at = -1;
	ret = check(&s);
	if (ret)
		return ret;
	if (n == 1 && is_chan(cases) && cases->chan)
		return select_one(cases, deadline);
	return s.nr_fds ? select_with_fds(&s) : select_any(&s);
}

int gr_select(struct gr_case *cases, int n, int64_t deadline)
{
	return select_cases(cases, n, deadline, false);
}

int gr_select_ordered(struct gr_case *cases, int n, int64_t deadline)
{
	return select_cases(cases, n, deadline, true);
}
