// SPDX-License-Identifier: MIT
/*
 * thread.c - a goroutine that has a kernel thread to itself, models 1 and 3.
 *
 * Callers: goroutines of those models; plain_call() those of 2 and 4 too.
 * Order: R1 ready: word store -> A1 block: word load (what was done before ready() is visible)
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "futex.h"
#include "gor.h"
#include "stack.h"

static void block(struct lock *l, enum why why)
{
	struct gor *g = gor_self();

	gor_state(g, ST_BLOCKED, why);
	lock_release(l);
	/* A1 */
	while (!atomic_exchange_explicit(&g->word, 0, memory_order_acquire))
		futex_wait(&g->word, 0, GR_FOREVER);
	gor_state(g, ST_RUNNING, WHY_NONE);
}

static void ready(struct gor *g)
{
	gor_state(g, ST_RUNNABLE, WHY_NONE);
	/* R1 */
	atomic_store_explicit(&g->word, 1, memory_order_release);
	futex_wake(&g->word);
}

const struct kern thread_kern = { .block = block, .ready = ready };

int thread_start(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_DEFAULT);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -ret;
}

void thread_run(struct gor *g)
{
	gor_set_self(g);
	gor_state(g, ST_RUNNING, WHY_NONE);
	g->g.fn(g->g.arg);
	gor_set_self(NULL);
	gor_free(g);
}

void thread_yield(void)
{
	sched_yield();
}

void thread_sleep(int64_t ns)
{
	struct gor *g = gor_self();
	struct timespec ts = { ns / GR_SEC, ns % GR_SEC };

	gor_state(g, ST_BLOCKED, WHY_TIMER);
	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
	gor_state(g, ST_RUNNING, WHY_NONE);
}

ssize_t thread_read(int fd, void *buf, size_t n)
{
	struct gor *g = gor_self();
	ssize_t ret;

	gor_state(g, ST_BLOCKED, WHY_NET);
	ret = read(fd, buf, n);
	gor_state(g, ST_RUNNING, WHY_NONE);
	return ret < 0 ? -errno : ret;
}

void plain_call(void (*fn)(void *), void *arg)
{
	struct gor *g = gor_self();

	gor_state(g, ST_BLOCKED, WHY_CALL);
	fn(arg);
	gor_state(g, ST_RUNNING, WHY_NONE);
}
