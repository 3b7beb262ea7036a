// SPDX-License-Identifier: MIT
/*
 * structs - what libgr's shared structures cost by themselves, beside a mutex of pthreads'.
 *
 * No runtime: threads call runq.c, wait.c and lock.c as the scheduler would. "thief": another
 * thread steals all the time. "two threads": both want it all the time. Prints lines of
 * `go test -bench`; median of ROUNDS. What they must do right: tests/unit/runq_test.c, wait_test.c
 * and lock_test.c.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "park.h"
#include "runq.h"

#define N 2000000L
#define ROUNDS 5
#define BURST 16

static struct p *procs[2];
static struct gr_hint_proc hints[2];
static struct gr_hint hint;
static struct g goroutine;
static struct lock lock;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool stop;
static volatile long sink;

/* ---- the work: n operations of the first thread ---- */

static void put_get(long n)
{
	bool inherit;

	for (long i = 0; i < n; i += BURST) {
		for (int j = 0; j < BURST; j++)
			runq_put_local(procs[0], &goroutine, false);
		while (runq_get_local(procs[0], &inherit))
			;
	}
}

static void put_get_next(long n)
{
	bool inherit;

	for (long i = 0; i < n; i++) {
		runq_put_local(procs[0], &goroutine, true);
		if (!runq_get_local(procs[0], &inherit))
			abort();
	}
}

/* the queue that everybody writes first */
static void put_get_mutex(long n)
{
	static struct g *ring[RUNQ_SIZE];
	static uint32_t head, tail;

	for (long i = 0; i < n; i += BURST) {
		for (int j = 0; j < BURST; j++) {
			pthread_mutex_lock(&mutex);
			ring[tail++ % RUNQ_SIZE] = &goroutine;
			pthread_mutex_unlock(&mutex);
		}
		for (int j = 0; j < BURST; j++) {
			pthread_mutex_lock(&mutex);
			sink += ring[head++ % RUNQ_SIZE] != NULL;
			pthread_mutex_unlock(&mutex);
		}
	}
}

static void claim(long n)
{
	struct waiter w;

	for (long i = 0; i < n; i++) {
		waiter_init_g(&w, &goroutine);
		if (!waiter_claim(&w))
			abort();
	}
}

static void lock_unlock(long n)
{
	for (long i = 0; i < n; i++) {
		lock_acquire(&lock);
		sink++;
		lock_release(&lock);
	}
}

static void lock_unlock_mutex(long n)
{
	for (long i = 0; i < n; i++) {
		pthread_mutex_lock(&mutex);
		sink++;
		pthread_mutex_unlock(&mutex);
	}
}

/* ---- the other thread, until stop ---- */

static void *steals(void *unused)
{
	bool inherit;

	(void)unused;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		runq_steal(procs[1], procs[0]);
		while (runq_get_local(procs[1], &inherit))
			;
	}
	return NULL;
}

static void *locks(void *unused)
{
	(void)unused;
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		lock_unlock(100);
	return NULL;
}

static void *locks_mutex(void *unused)
{
	(void)unused;
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		lock_unlock_mutex(100);
	return NULL;
}

/* ---- */

static const struct {
	const char *name;
	void (*run)(long n);
	void *(*other)(void *);
	bool alone; /* one P: no thief can be there */
} table[] = {
	{ "RunqPutGet/alone", put_get, NULL, true },
	{ "RunqPutGet", put_get, NULL, false },
	{ "RunqPutGet/thief", put_get, steals, false },
	{ "RunqPutGet/mutex", put_get_mutex, NULL, false },
	{ "Runnext/alone", put_get_next, NULL, true },
	{ "Runnext", put_get_next, NULL, false },
	{ "WaiterClaim", claim, NULL, false },
	{ "Lock", lock_unlock, NULL, false },
	{ "Lock/pthread", lock_unlock_mutex, NULL, false },
	{ "Lock/two_threads", lock_unlock, locks, false },
	{ "Lock/two_threads/pthread", lock_unlock_mutex, locks_mutex, false },
};

static double round_of(size_t i)
{
	pthread_t thread;
	int64_t t;

	atomic_store(&stop, false);
	sched.alone = table[i].alone;
	if (table[i].other && pthread_create(&thread, NULL, table[i].other, NULL))
		exit(1);
	table[i].run(N / 20);
	t = gr_now();
	table[i].run(N);
	t = gr_now() - t;
	atomic_store(&stop, true);
	if (table[i].other)
		pthread_join(thread, NULL);
	return (double)t / N;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	static double ns[sizeof(table) / sizeof(table[0])][ROUNDS];

	park_tab.hint = &hint;
	for (int i = 0; i < 2; i++) {
		procs[i] = aligned_alloc(CACHELINE, sizeof(struct p));
		if (!procs[i])
			return 1;
		memset(procs[i], 0, sizeof(struct p));
		procs[i]->q = &hints[i];
	}
	for (int r = 0; r < ROUNDS; r++) /* in turn: noise hits all */
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			ns[i][r] = round_of(i);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		qsort(ns[i], ROUNDS, sizeof(double), compare);
		printf("Benchmark%-26s %10ld %10.2f ns/op\n", table[i].name, N, ns[i][ROUNDS / 2]);
	}
	return 0;
}
