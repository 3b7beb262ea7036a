// SPDX-License-Identifier: MIT
/*
 * pool.c - model 3: a pool of threads, created when needed and reused. A goroutine that begins is
 * given to an idle thread, else to a new one; it keeps that thread until it ends, blocked or not.
 * With conf.max_threads it waits in a queue when that many are busy: then it may wait for ever,
 * when they wait for it.
 */
#include <errno.h>
#include <pthread.h>

#include "cell.h"
#include "gor.h"

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t work;
	struct glist queue;
	int idle, threads;
} p = { .mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER };

static void *body(void *first)
{
	struct gor *g = first;

	for (;;) {
		thread_run(g);
		pthread_mutex_lock(&p.mutex);
		p.idle++;
		while (!p.queue.head)
			pthread_cond_wait(&p.work, &p.mutex);
		g = glist_pop(&p.queue);
		p.idle--;
		pthread_mutex_unlock(&p.mutex);
	}
	return NULL;
}

static int spawn(void (*fn)(void *), void *arg)
{
	struct gor *g = gor_new(fn, arg, false);
	int ret = 0;
	bool create;

	if (!g)
		return -ENOMEM;
	pthread_mutex_lock(&p.mutex);
	create = p.idle <= p.queue.n && (!conf.max_threads || p.threads < conf.max_threads);
	if (create) {
		p.threads++;
	} else {
		glist_push(&p.queue, g);
		pthread_cond_signal(&p.work);
	}
	pthread_mutex_unlock(&p.mutex);
	if (!create)
		return 0;
	ret = thread_start(body, g);
	if (ret) {
		gor_free(g);
		pthread_mutex_lock(&p.mutex);
		p.threads--;
		pthread_mutex_unlock(&p.mutex);
	}
	return ret;
}

static void start(void (*fn)(void *), void *arg)
{
	struct gor *g = gor_new(fn, arg, false);

	if (!g)
		cell_fail("no memory");
	kern = thread_kern;
	p.threads = 1;
	body(g);
}

static void count(struct counters *c)
{
	pthread_mutex_lock(&p.mutex);
	*c = (struct counters){ .threads = p.threads };
	pthread_mutex_unlock(&p.mutex);
}

const struct model pool = {
	.name = "pool",
	.title = "thread pool",
	.start = start,
	.spawn = spawn,
	.count = count,
	THREAD_OPS,
	SYNC_OPS,
};
