// SPDX-License-Identifier: MIT
/*
 * work_contention.c - tiny tasks on more and more threads: two goroutines for each thread do
 * nothing but yield, so all that happens is that queues are put to and taken from.
 */
#include "model.h"
#include "work.h"

#define TRY_NS (60 * GR_MS)
#define TRIES 5

static struct meet done;
static _Atomic long turns;
static _Atomic bool stop;

static void yielder(void *unused)
{
	long n = 0;

	(void)unused;
	/* relaxed: it only has to be seen some time */
	for (; !atomic_load_explicit(&stop, memory_order_relaxed); n++)
		model->yield();
	atomic_fetch_add(&turns, n);
	meet_come(&done);
}

/* the best of some tries: what the rest of the machine does only makes it worse */
static void once(double *best, double *percent)
{
	struct counters before, after;
	long n = 2 * conf.procs;
	double per_ms;
	int64_t ns;

	atomic_store(&done.left, n);
	atomic_store(&turns, 0);
	atomic_store(&stop, false);
	model->count(&before);
	ns = gr_now();
	for (long i = 0; i < n; i++)
		spawn(yielder, NULL);
	model->sleep(TRY_NS);
	atomic_store(&stop, true);
	meet_wait(&done);
	ns = gr_now() - ns;
	model->count(&after);
	per_ms = (double)atomic_load(&turns) * GR_MS / ns;
	if (per_ms < *best)
		return;
	*best = per_ms;
	*percent = 100 * (after.lock_ns - before.lock_ns) / ns / conf.procs;
}

static void run(void *unused)
{
	double best = 0, percent = 0;

	(void)unused;
	for (int i = 0; i < TRIES; i++)
		once(&best, &percent);
	cell_out("turns_per_ms", best);
	cell_out("lock_percent", percent);
	cell_done();
}

static void text(const struct cell *of, int nr, char *buf, size_t n)
{
	double first, last;

	if (cell_figure(of, "turns_per_ms", &first) && last_with(of, nr, "turns_per_ms", &last))
		snprintf(buf, n, "%.1f -> %.1f M/s", first / 1000, last / 1000);
}

static enum tick tick(const struct row *row, const struct cell *of)
{
	const struct cell *alone = row_model(row, "N:1");
	double free, last;

	if (!alone || !cell_figure(alone, "turns_per_ms", &free))
		return TICK_UNKNOWN;
	return last_with(of, row->nr_sizes, "turns_per_ms", &last) && last * 2 >= free;
}

const struct workload work_contention = {
	.name = "contention",
	.claim = "threads do not contend",
	.rule = "with the most threads at least half as many turns a second as N:1, which needs no "
		"lock; below: with the fewest and with the most",
	.size_name = "threads",
	.sizes = { 1, 2, 4, 8, 16 },
	.short_sizes = { 1, 4 },
	.size_is_procs = true,
	.most = 256,
	.costs = costs_threads,
	.run = run,
	.text = text,
	.tick = tick,
};
