// SPDX-License-Identifier: MIT
/*
 * work_deadlock.c - the deadlock of a fixed pool. A goroutine holds a semaphore and is runnable;
 * more others than there are procs wait for it, in a way that blocks their threads: it is a
 * library's, which knows nothing of goroutines. Is there a thread left for the one that would
 * release it?
 */
#include <semaphore.h>

#include "model.h"
#include "work.h"

static sem_t library;
static _Atomic long waiting;
static struct meet done;

static void wait_call(void *unused)
{
	(void)unused;
	atomic_fetch_add(&waiting, 1);
	while (sem_wait(&library))
		; /* a signal */
}

static void waiter(void *unused)
{
	(void)unused;
	model->call(wait_call, NULL);
	sem_post(&library);
	meet_come(&done);
}

static void run(void *unused)
{
	long n = conf.procs + conf.size;

	(void)unused;
	sem_init(&library, 0, 0); /* held by this goroutine */
	atomic_store(&done.left, n);
	for (long i = 0; i < n; i++)
		spawn(waiter, NULL);
	while (atomic_load(&waiting) < n)
		model->yield();
	sem_post(&library);
	meet_wait(&done);
	cell_out("finished", n);
	cell_done();
}

static void text(const struct cell *of, int nr, char *buf, size_t n)
{
	double finished;

	if (last_with(of, nr, "finished", &finished))
		snprintf(buf, n, "%.0f finish", finished);
}

static enum tick tick(const struct row *row, const struct cell *of)
{
	double n;

	return last_with(of, row->nr_sizes, "finished", &n) != NULL;
}

const struct workload work_deadlock = {
	.name = "deadlock",
	.claim = "no deadlock of a fixed pool",
	.rule = "the holder of a semaphore that blocks threads gets a thread and releases it",
	.size_name = "more than procs",
	.sizes = { 4 },
	.most = 9000,
	.costs = costs_threads,
	.run = run,
	.text = text,
	.tick = tick,
};
