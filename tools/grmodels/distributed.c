// SPDX-License-Identifier: MIT
/*
 * distributed.c - model 5: a run queue for each thread and a global one; a thread with an empty
 * queue steals. Queues are libgr's: rings with stealing of half (runq.c), and globq.c.
 *
 * At most conf.procs threads run at a time: each holds a token. One that makes a blocking system
 * call says so, and its token goes to an idle thread or a new one: threads grow with the calls
 * that block. Afterwards it takes a token again, or leaves its goroutine in the global queue.
 * The queue belongs to the thread, so a blocked or idle thread's queue has to be looked at as well:
 * the way of a thief gets longer with each thread. That is what the P of model 6 is for.
 *
 * Accepted: while a thread only looks at the network, another one that runs out of work sleeps
 * instead of waiting there. If the first one then computes, what comes in waits for it.
 *
 * No lost wake-up. put() queues, F1, looks at the tokens; idle() gives its token back, F2, looks at
 * the queues. Forbidden: no token seen, no work seen. Both are seq_cst fences.
 */
#include <string.h>

#include "cell.h"
#include "co.h"
#include "futex.h"
#include "runq.h"

#define THREADS_MAX 10000
#define GLOBAL_EVERY 61
#define GLOBAL_BATCH 128

struct thread {
	struct worker w;
	struct p *p; /* libgr's, of which the run queue is used */
	bool token;  /* its own; given under d.lock, before word */
	unsigned int turns;
	uint32_t rng;
	_Atomic uint32_t word; /* futex: has been given a token */
	struct thread *next_idle;
	_Atomic long scans, looks, steals; /* it adds, anyone reads */
};

static struct {
	struct lock lock;
	struct thread *idle; /* lock; those that sleep on word */
	_Atomic int tokens;  /* lock for writers: free ones */
	_Atomic int n;	     /* lock for writers */
	struct thread *_Atomic all[THREADS_MAX];
} d;

static struct thread *me(void)
{
	return container_of(co_worker(), struct thread, w);
}

static struct thread *new_locked(void)
{
	struct thread *t = calloc(1, sizeof(*t));
	int n = atomic_load(&d.n);

	if (!t)
		return NULL;
	t->p = aligned_alloc(CACHELINE, sizeof(*t->p));
	if (t->p)
		memset(t->p, 0, sizeof(*t->p));
	if (t->p)
		t->p->q = aligned_alloc(CACHELINE, sizeof(*t->p->q));
	if (!t->p || !t->p->q)
		return NULL; /* the cell is about to end */
	memset(t->p->q, 0, sizeof(*t->p->q));
	t->rng = n + 1;
	t->token = true;
	atomic_store(&d.all[n], t);
	atomic_store(&d.n, n + 1);
	return t;
}

static void *body(void *t)
{
	co_loop(&((struct thread *)t)->w);
}

/* ---- tokens ---- */

static bool take_locked(void)
{
	if (!atomic_load(&d.tokens))
		return false;
	atomic_fetch_sub(&d.tokens, 1);
	return true;
}

static bool take(struct thread *t)
{
	lock_acquire(&d.lock);
	t->token = take_locked();
	lock_release(&d.lock);
	return t->token;
}

static void give_back_locked(struct thread *t)
{
	t->token = false;
	atomic_fetch_add(&d.tokens, 1);
}

/* There is work: if a token is free, a thread that sleeps, polls, or a new one takes it. */
static void wake(void)
{
	struct thread *t = NULL;
	bool create = false;

	atomic_thread_fence(memory_order_seq_cst); /* F1 */
	if (!atomic_load(&d.tokens))
		return;
	lock_acquire(&d.lock);
	if (d.idle && take_locked()) {
		t = d.idle;
		d.idle = t->next_idle;
		t->token = true;
	} else if (atomic_load(&d.tokens) && !poll_kick() && atomic_load(&d.n) < THREADS_MAX &&
		   take_locked()) {
		t = new_locked();
		create = true;
	}
	lock_release(&d.lock);
	if (create && (!t || thread_start(body, t)))
		cell_fail("no memory, or no thread, for thread %d", atomic_load(&d.n));
	if (!t || create)
		return;
	atomic_store(&t->word, 1);
	futex_wake(&t->word);
}

static bool has_work(void)
{
	if (globq_len())
		return true;
	for (int i = 0; i < atomic_load(&d.n); i++)
		if (!runq_empty(atomic_load(&d.all[i])->p))
			return true;
	return false;
}

static void put_list(struct thread *t, struct g *list)
{
	struct g *next;

	for (; list; list = next) {
		next = list->next;
		if (t->token)
			runq_put_local(t->p, list, false);
		else
			globq_put(list);
		wake();
	}
}

static void sleep_until_given(struct thread *t)
{
	while (!atomic_exchange(&t->word, 0))
		futex_wait(&t->word, 0, GR_FOREVER);
}

/* It has no token: take a free one, or wait for one. */
static void sleep_idle(struct thread *t)
{
	lock_acquire(&d.lock);
	t->token = take_locked();
	if (!t->token) {
		t->next_idle = d.idle;
		d.idle = t;
	}
	lock_release(&d.lock);
	if (!t->token)
		sleep_until_given(t);
}

/* Nothing to do: one thread polls, the others sleep. Comes back with a token. */
static void idle(struct thread *t)
{
	bool polls = poll_claim(true);
	struct g *list = NULL;

	lock_acquire(&d.lock);
	give_back_locked(t);
	if (!polls) {
		t->next_idle = d.idle;
		d.idle = t;
	}
	lock_release(&d.lock);
	atomic_thread_fence(memory_order_seq_cst); /* F2 */
	if (!polls) {
		if (has_work())
			wake();
		sleep_until_given(t);
		return;
	}
	if (has_work())
		poll_unclaim();
	else
		list = poll_wait(true);
	take(t);
	put_list(t, list);
	if (!t->token)
		sleep_idle(t);
}

/* ---- what is next ---- */

static struct g *steal(struct thread *t)
{
	int n = atomic_load(&d.n), at;
	struct g *g = NULL;
	long looks = 0;

	t->rng = t->rng * 1664525 + 1013904223; /* Knuth's */
	at = (int)((t->rng >> 8) % (uint32_t)n);
	for (int i = 0; i < n && !g; i++, at = (at + 1) % n) {
		struct thread *victim = atomic_load(&d.all[at]);

		if (victim == t)
			continue;
		looks++;
		g = runq_steal(t->p, victim->p);
	}
	atomic_fetch_add_explicit(&t->scans, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&t->looks, looks, memory_order_relaxed);
	if (g)
		atomic_fetch_add_explicit(&t->steals, 1, memory_order_relaxed);
	return g;
}

/* own queue, global queue, network, the others' queues */
static struct g *find(struct thread *t)
{
	struct g *g = NULL;
	bool inherit;

	/* what comes from outside must not wait for ever behind those that yield */
	if (!(++t->turns % GLOBAL_EVERY)) {
		if (poll_claim(false))
			put_list(t, poll_wait(false));
		g = globq_get_local(t->p, 1);
	}
	if (!g)
		g = runq_get_local(t->p, &inherit);
	if (!g)
		g = globq_get_local(t->p, GLOBAL_BATCH);
	if (!g && poll_claim(false)) {
		put_list(t, poll_wait(false));
		g = runq_get_local(t->p, &inherit);
	}
	return g ? g : steal(t);
}

static struct gor *next(struct worker *w)
{
	struct thread *t = container_of(w, struct thread, w);
	bool came = !t->token || !t->turns; /* or it is new */
	struct g *g = NULL;

	if (!t->token)
		sleep_idle(t);
	for (; !(g = find(t)); came = true)
		idle(t);
	/* one wake-up may have been meant for two: whoever comes and finds work wakes the next */
	if (came && has_work())
		wake();
	return gor_of(g);
}

static void put(struct gor *g, bool back)
{
	struct thread *t = me();

	if (t->token)
		runq_put_local(t->p, &g->g, false);
	else
		globq_put(&g->g);
	if (!back || !t->token)
		wake();
}

/* the token goes to another thread for as long as fn() takes */
static void call(void (*fn)(void *), void *arg)
{
	struct gor *g = gor_self();

	gor_state(g, ST_BLOCKED, WHY_CALL);
	lock_acquire(&d.lock);
	give_back_locked(me());
	lock_release(&d.lock);
	wake();
	fn(arg);
	if (!take(me()))
		co_yield (); /* into the global queue */
	gor_state(g, ST_RUNNING, WHY_NONE);
}

static void start(void (*fn)(void *), void *arg)
{
	static const struct queue queue = { .put = put, .next = next };
	static struct gr_hint hint;
	struct gor *g;
	struct thread *t;

	park_tab.hint = &hint; /* globq.c keeps its length there */
	co_set_queue(&queue);
	atomic_store(&d.tokens, conf.procs - 1);
	t = new_locked();
	g = co_new(fn, arg);
	if (!t || !g)
		cell_fail("no memory");
	runq_put_local(t->p, &g->g, false);
	co_loop(&t->w);
}

static void count(struct counters *c)
{
	*c = (struct counters){ .threads = atomic_load(&d.n) };
	for (int i = 0; i < c->threads; i++) {
		struct thread *t = atomic_load(&d.all[i]);

		c->scans += atomic_load(&t->scans);
		c->looks += atomic_load(&t->looks);
		c->steals += atomic_load(&t->steals);
	}
}

const struct model distributed = {
	.name = "stealing",
	.title = "queue per thread",
	.steals = true,
	.start = start,
	.spawn = co_spawn,
	.call = call,
	.count = count,
	CO_OPS,
	SYNC_OPS,
};
