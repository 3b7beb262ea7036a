// SPDX-License-Identifier: MIT
/*
 * work_parallel.c - do goroutines that compute run at the same time? As many as there are procs
 * wait for each other without calling anybody; each gives up when it has had half a second of CPU
 * time. Then the same number computes, beside one that computes alone.
 */
#include <time.h>

#include "model.h"
#include "work.h"

static _Atomic long inside, most;
static struct meet done;
static long rounds;

static int64_t thread_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * GR_SEC + ts.tv_nsec;
}

static void see(long n)
{
	long old = atomic_load(&most);

	while (old < n && !atomic_compare_exchange_weak(&most, &old, n))
		;
}

static void together(void *unused)
{
	int64_t begin = thread_cpu();

	(void)unused;
	see(atomic_fetch_add(&inside, 1) + 1);
	while (atomic_load(&most) < conf.procs && thread_cpu() - begin < GR_SEC / 2)
		;
	atomic_fetch_sub(&inside, 1);
	meet_come(&done);
}

static void compute(void *unused)
{
	unsigned long x = 1;

	(void)unused;
	for (long i = 0; i < rounds; i++) {
		x = x * 6364136223846793005UL + 1;
		__asm__ volatile("" : "+r"(x));
	}
	meet_come(&done);
}

static int64_t timed(void (*fn)(void *), long n)
{
	int64_t since = gr_now();

	atomic_store(&done.left, n);
	for (long i = 0; i < n; i++)
		spawn(fn, NULL);
	meet_wait(&done);
	return gr_now() - since;
}

static void run(void *unused)
{
	int64_t alone, all;

	(void)unused;
	timed(together, conf.procs);
	cell_out("at_once", atomic_load(&most));
	rounds = conf.size * 1000; /* about as many microseconds */
	alone = timed(compute, 1);
	all = timed(compute, conf.procs);
	cell_out("speedup", (double)alone * conf.procs / all);
	cell_done();
}

static void text(const struct cell *of, int nr, char *buf, size_t n)
{
	double at_once, speedup = 0;
	const struct cell *c = last_with(of, nr, "at_once", &at_once);

	if (c && cell_figure(c, "speedup", &speedup))
		snprintf(buf, n, "%.0f at once, %.1fx", at_once, speedup);
}

static enum tick tick(const struct row *row, const struct cell *of)
{
	double n;

	if (conf.procs < 2)
		return TICK_UNKNOWN;
	return last_with(of, row->nr_sizes, "at_once", &n) && n >= conf.procs;
}

const struct workload work_parallel = {
	.name = "parallel",
	.claim = "in parallel",
	.rule = "as many goroutines as procs met while none of them called the scheduler; below: "
		"how "
		"many, and the speed-up of as many that compute",
	.size_name = "work",
	.sizes = { 100000 },
	.short_sizes = { 5000 },
	.run = run,
	.text = text,
	.tick = tick,
};
