// SPDX-License-Identifier: MIT
/*
 * work_steal.c - what it takes to steal: with more and more threads, all but procs of them blocked
 * in system calls, one goroutine makes work and computes on, so that the others have to steal it.
 * How many queues does a thief look at, each time that it looks?
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "model.h"
#include "work.h"

#define ROUNDS 30
#define BATCH 64

static int fds[2];
static _Atomic long calling;
static _Atomic long left;

static void read_call(void *unused)
{
	char c;

	(void)unused;
	atomic_fetch_add(&calling, 1);
	if (read(fds[0], &c, 1) != 1)
		cell_fail("nothing read from the pipe: errno %d", errno);
}

static void reader(void *unused)
{
	(void)unused;
	model->call(read_call, NULL);
}

static void task(void *unused)
{
	(void)unused;
	atomic_fetch_sub(&left, 1);
}

static void run(void *unused)
{
	struct counters before, after;

	(void)unused;
	if (conf.procs < 2)
		cell_refuse("nobody steals with one thread");
	if (pipe2(fds, O_CLOEXEC))
		cell_fail("no pipe: errno %d", errno);
	for (long i = 0; i < conf.size; i++)
		spawn(reader, NULL);
	while (atomic_load(&calling) < conf.size)
		model->yield();
	model->count(&before);
	for (int r = 0; r < ROUNDS; r++) {
		atomic_store(&left, BATCH);
		for (int i = 0; i < BATCH; i++)
			spawn(task, NULL);
		/* without a call: only a thief can have run them */
		while (atomic_load(&left))
			;
	}
	model->count(&after);
	cell_out("threads", after.threads);
	cell_out("scans", after.scans - before.scans);
	cell_out("steals", after.steals - before.steals);
	if (after.scans > before.scans)
		cell_out("looks_per_scan",
			 (double)(after.looks - before.looks) / (after.scans - before.scans));
	cell_done();
}

static void text(const struct cell *of, int nr, char *buf, size_t n)
{
	double first = 0, last;

	if (last_with(of, nr, "looks_per_scan", &last) && cell_figure(of, "looks_per_scan", &first))
		snprintf(buf, n, "%.1f -> %.1f", first, last);
}

/* a model without stealing pays nothing for it, and shows nothing */
static enum tick tick(const struct row *row, const struct cell *of)
{
	double first, last;

	if (row->nr_sizes < 2 || !cell_figure(of, "looks_per_scan", &first))
		return TICK_UNKNOWN;
	return last_with(of, row->nr_sizes, "looks_per_scan", &last) == &of[row->nr_sizes - 1] &&
	       last <= first * 4;
}

const struct workload work_steal = {
	.name = "steal",
	.claim = "to steal costs the same",
	.rule = "with the most threads a thief looks at no more than four times as many queues as "
		"with the fewest; below: queues looked at, both",
	.size_name = "blocked threads",
	.sizes = { 2, 8, 32, 128, 512 },
	.short_sizes = { 2, 64 },
	.steals = true,
	.most = 9000,
	.costs = costs_threads,
	.run = run,
	.text = text,
	.tick = tick,
};
