// SPDX-License-Identifier: MIT
/*
 * proc_test.c - what Go's proc_test asks of its scheduler, in behaviour: progress beside those who
 * yield, hog and recurse; timers are fair; what is stolen keeps its order; threads change.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

static int procs;
static struct gr_wg wg;
static _Atomic bool stop;
static _Atomic long count;

static int in_runtime(int (*fn)(void *))
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs };

	wg = (struct gr_wg)GR_WG_INIT;
	atomic_store(&stop, false);
	atomic_store(&count, 0);
	return gr_run(fn, NULL, &opts);
}

/* YieldProgress: one that only yields does not keep the others from running */
static void yields(void *unused)
{
	(void)unused;
	while (!atomic_load(&stop))
		gr_yield();
	gr_wg_done(&wg);
}

static int progress(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, 3);
	for (int i = 0; i < 3; i++)
		gr_go(yields, NULL);
	for (int i = 0; i < 100; i++)
		gr_yield();
	gr_sleep(gr_after(GR_MS));
	atomic_store(&stop, true);
	return gr_wg_wait(&wg, gr_after(30 * GR_SEC));
}

/* TimerFairness: timers fire although goroutines are always ready */
static void ticks(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20; i++)
		gr_sleep(gr_after(50 * GR_US));
	atomic_store(&stop, true);
	gr_wg_done(&wg);
}

static int timers(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, 5);
	for (int i = 0; i < 4; i++)
		gr_go(yields, NULL);
	gr_go(ticks, NULL);
	return gr_wg_wait(&wg, gr_after(30 * GR_SEC));
}

/* each goroutine starts its successor: the last one is reached beside a storm of others */
static void chain(void *n)
{
	atomic_fetch_add(&count, 1);
	if ((long)n > 0 && gr_go(chain, (void *)((long)n - 1)))
		abort();
	gr_wg_done(&wg);
}

static int chains(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, 8 * 1001);
	for (int i = 0; i < 8; i++)
		gr_go(chain, (void *)1000L);
	return gr_wg_wait(&wg, gr_after(30 * GR_SEC)) || atomic_load(&count) != 8 * 1001;
}

/* NumGoroutine: it is exact when nobody starts or ends */
static void waits(void *unused)
{
	(void)unused;
	gr_wg_wait(&wg, GR_FOREVER);
	atomic_fetch_add(&count, 1);
}

static int numbers(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };

	(void)unused;
	gr_wg_add(&wg, 1);
	for (int i = 0; i < 100; i++)
		gr_go(waits, NULL);
	if (gr_info(&info) || info.nr_goroutines != 101)
		return -1;
	gr_wg_done(&wg);
	for (int i = 0; i < 100000 && info.nr_goroutines != 1; i++) {
		gr_yield();
		gr_info(&info);
	}
	return info.nr_goroutines == 1 && atomic_load(&count) == 100 ? 0 : -1;
}

/* PreemptionAfterSyscall, GetgThreadSwitch: it is still itself after blocking and moving */
static void moves(void *unused)
{
	struct timespec ts = { 0, 10000 };
	uint64_t id = gr_id();

	(void)unused;
	for (int i = 0; i < 30; i++) {
		nanosleep(&ts, NULL);
		gr_yield();
		if (gr_id() != id)
			atomic_fetch_add(&count, 1);
	}
	gr_wg_done(&wg);
}

static int identity(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, 20);
	for (int i = 0; i < 20; i++)
		gr_go(moves, NULL);
	return gr_wg_wait(&wg, gr_after(60 * GR_SEC)) || atomic_load(&count);
}

/* what was queued in order on one P runs in order there, runnext aside */
static long order[200]; /* fewer than a ring holds */

static void note(void *n)
{
	order[atomic_fetch_add(&count, 1)] = (long)n;
}

static int in_order(void)
{
	for (int i = 2; i < 200; i++)
		if (order[i] != order[i - 1] + 1)
			return i;
	return 0;
}

static int fifo(void *unused)
{
	bool undisturbed;

	(void)unused;
	for (int tries = 0; tries < 100; tries++) {
		atomic_store(&count, 0);
		for (long i = 0; i < 200; i++)
			gr_go(note, (void *)i);
		/* if our slice ended meanwhile, somebody ran from runnext: try again */
		undisturbed = !atomic_load(&count);
		while (atomic_load(&count) < 200)
			gr_yield();
		if (procs > 1)
			return 0;
		if (undisturbed)
			return in_order();
	}
	return -1;
}

/* who was made ready last stands in runnext; its P computes on, so another one takes it */
static int overtaken(void *unused)
{
	int64_t until = gr_after(60 * GR_SEC);

	(void)unused;
	for (int i = 0; i < 20 && procs > 1; i++) {
		atomic_store(&count, 0);
		gr_go(note, NULL);
		while (!atomic_load(&count))
			if (gr_now() > until)
				return -1;
	}
	return 0;
}

int main(void)
{
	static const struct {
		const char *name;
		int (*fn)(void *);
	} ways[] = { { "others run beside those who yield", progress },
		     { "timers fire beside those who yield", timers },
		     { "chains of goroutines", chains },
		     { "the number of goroutines", numbers },
		     { "goroutines that block and move stay themselves", identity },
		     { "goroutines run in the order they were started", fifo },
		     { "a goroutine does not wait for one that computes", overtaken } };

	tap_limit(240);
	for (procs = 1; procs <= 4; procs *= 2)
		for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
			int ret = in_runtime(ways[i].fn);

			tap_ok(ret == 0, "procs=%d: %s: %d", procs, ways[i].name, ret);
		}
	return tap_done();
}
