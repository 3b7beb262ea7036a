// SPDX-License-Identifier: MIT
/*
 * shared_queue.c - model 4: M:N with one run queue under one mutex, and a fixed number of threads.
 * Whoever is ready goes to the end of the queue, whichever thread is free takes the first: fair
 * and simple, and every switch of every thread goes through that mutex. A system call that
 * blocks takes one thread away; with as many of them as threads, nothing runs.
 */
#include <pthread.h>

#include "cell.h"
#include "co.h"

#define POLL_EVERY 61

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t work;
	struct glist list;
	int sleeping;
	unsigned int turns;
	double lock_ns;
} q = { .mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER };

/* an uncontended lock costs no look at the clock */
static void lock(void)
{
	int64_t since;

	if (!pthread_mutex_trylock(&q.mutex))
		return;
	since = gr_now();
	pthread_mutex_lock(&q.mutex);
	q.lock_ns += gr_now() - since;
}

static void put_locked(struct gor *g)
{
	glist_push(&q.list, g);
	if (q.sleeping)
		pthread_cond_signal(&q.work);
	else
		poll_kick();
}

/* back: this very thread is going to take one, so nobody needs to wake */
static void put(struct gor *g, bool back)
{
	lock();
	if (back)
		glist_push(&q.list, g);
	else
		put_locked(g);
	pthread_mutex_unlock(&q.mutex);
}

/* the mutex is held, and released while it waits */
static void poll_locked(bool sleep)
{
	struct g *g, *next;

	pthread_mutex_unlock(&q.mutex);
	g = poll_wait(sleep);
	lock();
	for (; g; g = next) {
		next = g->next;
		put_locked(gor_of(g));
	}
	/* somebody has to wait for the rest */
	if (q.sleeping)
		pthread_cond_signal(&q.work);
}

static struct gor *next(struct worker *w)
{
	struct gor *g;

	(void)w;
	lock();
	if (!(++q.turns % POLL_EVERY) && poll_claim(false))
		poll_locked(false);
	while (!q.list.head) {
		if (poll_claim(true)) {
			poll_locked(true);
			continue;
		}
		q.sleeping++;
		pthread_cond_wait(&q.work, &q.mutex);
		q.sleeping--;
	}
	g = glist_pop(&q.list);
	pthread_mutex_unlock(&q.mutex);
	return g;
}

static void *body(void *worker)
{
	co_loop(worker);
}

static void start(void (*fn)(void *), void *arg)
{
	static const struct queue queue = { .put = put, .next = next };
	struct worker *workers = calloc(conf.procs, sizeof(*workers));

	co_set_queue(&queue);
	if (!workers || co_spawn(fn, arg))
		cell_fail("no memory");
	for (int i = 1; i < conf.procs; i++)
		if (thread_start(body, &workers[i]))
			cell_fail("no thread");
	co_loop(&workers[0]);
}

static void count(struct counters *c)
{
	pthread_mutex_lock(&q.mutex);
	*c = (struct counters){ .threads = conf.procs, .lock_ns = q.lock_ns };
	pthread_mutex_unlock(&q.mutex);
}

const struct model shared_queue = {
	.name = "shared",
	.title = "one queue",
	.start = start,
	.spawn = co_spawn,
	.call = plain_call,
	.count = count,
	CO_OPS,
	SYNC_OPS,
};
