// SPDX-License-Identifier: MIT
/*
 * procs_test.c - gr_set_procs(): as many goroutines run at once as it says, whenever it says so.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define MAX 4

static struct gr_wg wg;
static _Atomic int here, most, ran;
static _Atomic bool stop;
static int fds[2];

static int in_runtime(int procs, int max, int (*fn)(void *), void *arg)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs, .max_procs = max };

	wg = (struct gr_wg)GR_WG_INIT;
	return gr_run(fn, arg, &opts);
}

/* ---- how many at once ---- */

static void at_once(void *unused)
{
	int n = atomic_fetch_add(&here, 1) + 1, seen = atomic_load(&most);
	int64_t until = gr_now() + 100 * GR_US;

	(void)unused;
	while (n > seen && !atomic_compare_exchange_weak(&most, &seen, n))
		;
	while (gr_now() < until) /* no call that could let another one run */
		;
	atomic_fetch_sub(&here, 1);
	gr_wg_done(&wg);
}

static int measure(int n)
{
	atomic_store(&most, 0);
	gr_wg_add(&wg, n);
	for (int i = 0; i < n; i++)
		if (gr_go(at_once, NULL))
			return -1;
	return gr_wg_wait(&wg, gr_after(30 * GR_SEC)) ? -1 : atomic_load(&most);
}

/* n meet: they must run at the same time for that */
static _Atomic int met;

static void meet(void *n)
{
	int64_t until = gr_after(20 * GR_SEC);

	atomic_fetch_add(&met, 1);
	while (atomic_load(&met) < (int)(long)n && gr_now() < until)
		;
	if (atomic_load(&met) >= (int)(long)n)
		atomic_fetch_add(&ran, 1);
	gr_wg_done(&wg);
}

static bool all_meet(long n)
{
	atomic_store(&met, 0);
	atomic_store(&ran, 0);
	gr_wg_add(&wg, n);
	for (long i = 0; i < n; i++)
		gr_go(meet, (void *)n);
	return !gr_wg_wait(&wg, gr_after(60 * GR_SEC)) && atomic_load(&ran) == n;
}

static int up_and_down(void *unused)
{
	static const int sizes[] = { 1, 3, 2, 4, 1, 4, 2, 1 };
	struct gr_info info = { .size = sizeof(info) };
	int before = 1;

	(void)unused;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int n = sizes[i];

		if (gr_set_procs(n) != before || gr_info(&info) || info.nr_procs != n ||
		    info.max_procs != MAX)
			return -1;
		before = n;
		tap_ok(all_meet(n), "%d run at once", n);
		/* a thread on its way to a goroutine may still run that one: then measure again */
		for (int tries = 0; (n = measure(40)) > before && tries < 20; tries++)
			;
		tap_ok(n >= 1 && n <= before, "and no more than that: %d", n);
	}
	return 0;
}

/* ---- while all kinds of things are under way ---- */

static void worker(void *arg)
{
	long me = (long)arg;
	char c;

	for (int i = 0; i < 200; i++) {
		if (me % 4 == 0)
			gr_sleep(gr_after(30 * GR_US));
		else if (me % 4 == 1)
			gr_yield();
		else if (me % 4 == 2 && gr_write(fds[1], "x", 1, GR_FOREVER) != 1)
			abort();
		else if (me % 4 == 3 && gr_read(fds[0], &c, 1, GR_FOREVER) != 1)
			abort();
	}
	atomic_fetch_add(&ran, 1);
	gr_wg_done(&wg);
}

static void changer(void *unused)
{
	(void)unused;
	for (unsigned int i = 0; !atomic_load(&stop); i++) {
		if (gr_set_procs(1 + i * 7 % MAX) < 1)
			abort();
		gr_sleep(gr_after(100 * GR_US));
	}
	atomic_store(&stop, false);
}

static int storm(void *unused)
{
	int ret;

	(void)unused;
	if (pipe(fds))
		return -1;
	atomic_store(&ran, 0);
	atomic_store(&stop, false);
	gr_go(changer, NULL);
	gr_wg_add(&wg, 32);
	for (long i = 0; i < 32; i++)
		gr_go(worker, (void *)i);
	ret = gr_wg_wait(&wg, gr_after(60 * GR_SEC));
	atomic_store(&stop, true);
	while (atomic_load(&stop))
		gr_sleep(gr_after(GR_MS));
	close(fds[0]);
	close(fds[1]);
	return ret ? ret : atomic_load(&ran);
}

/* sleepers and readers on all Ps, then all but one are taken away: their events still come */
static void sleeper(void *ms)
{
	gr_sleep(gr_after((long)ms * GR_MS));
	gr_wg_done(&wg);
}

static void reader(void *unused)
{
	char c;

	(void)unused;
	if (gr_read(fds[0], &c, 1, GR_FOREVER) == 1)
		gr_wg_done(&wg);
}

static int leave_behind(void *unused)
{
	int ret;

	(void)unused;
	if (pipe(fds) || !all_meet(MAX))
		return -1;
	gr_wg_add(&wg, 40);
	for (long i = 0; i < 20; i++) {
		gr_go(sleeper, (void *)(5 + i));
		gr_go(reader, NULL);
	}
	gr_sleep(gr_after(GR_MS));
	if (gr_set_procs(1) != MAX)
		return -1;
	gr_sleep(gr_after(3 * GR_MS));
	if (write(fds[1], "01234567890123456789", 20) != 20)
		return -1;
	ret = gr_wg_wait(&wg, gr_after(30 * GR_SEC));
	close(fds[0]);
	close(fds[1]);
	return ret;
}

/* ---- from a thread; the end; misuse; numbers ---- */

static void *set_from_thread(void *unused)
{
	(void)unused;
	return (void *)(long)(gr_set_procs(2) == 4 && gr_set_procs(3) == 2);
}

static int from_thread(void *unused)
{
	pthread_t t;
	void *ok;

	(void)unused;
	if (pthread_create(&t, NULL, set_from_thread, NULL))
		return -1;
	pthread_join(t, &ok);
	return ok ? 0 : -1;
}

static int deadlock(void *n)
{
	gr_set_procs((int)(long)n);
	gr_sleep(gr_after(GR_MS));
	return gr_sleep(GR_FOREVER);
}

static int misuse(void *unused)
{
	struct gr_proc_info info = { .size = sizeof(info) }, bad = { .size = 1 };

	(void)unused;
	tap_ok(gr_set_procs(0) == -EINVAL && gr_set_procs(-1) == -EINVAL &&
		       gr_set_procs(5) == -EINVAL && gr_set_procs(2) == 2,
	       "gr_set_procs() wants 1..max_procs");
	tap_ok(gr_proc_info(-1, &info) == -EINVAL && gr_proc_info(4, &info) == -EINVAL &&
		       gr_proc_info(0, &bad) == -EINVAL && gr_proc_info(0, NULL) == -EINVAL,
	       "gr_proc_info() wants one of them");
	return 0;
}

static int numbers(void *unused)
{
	struct gr_info all = { .size = sizeof(all) };
	struct gr_proc_info one = { .size = sizeof(one) };
	uint64_t schedules = 0, fired = 0;
	int timers = 0;

	(void)unused;
	gr_wg_add(&wg, 10);
	for (int i = 0; i < 10; i++)
		gr_go(sleeper, (void *)1L);
	gr_wg_wait(&wg, GR_FOREVER);
	gr_go(sleeper, (void *)1000000L);
	gr_yield();
	while (!timers) { /* it may be on its way to another P */
		schedules = fired = 0;
		for (int i = 0; i < MAX; i++) {
			if (gr_proc_info(i, &one))
				return -1;
			schedules += one.schedules;
			fired += one.timers_fired;
			timers += one.timers;
		}
		gr_yield();
	}
	gr_info(&all);
	tap_ok(schedules >= 11 && schedules <= all.schedules && fired >= 10 && timers == 1,
	       "gr_proc_info() counts: %d schedules, %d timers fired, %d armed", (int)schedules,
	       (int)fired, timers);
	return 0;
}

int main(void)
{
	struct gr_opts bad = { .size = sizeof(bad), .nr_procs = 3, .max_procs = 2 };
	struct gr_proc_info info = { .size = sizeof(info) };

	tap_limit(240);
	tap_ok(in_runtime(1, MAX, up_and_down, NULL) == 0, "from 1 to %d and back", MAX);
	for (int i = 1; i <= MAX; i++)
		tap_ok(in_runtime(i, MAX, storm, NULL) == 32, "changes under load, from %d", i);
	tap_ok(in_runtime(MAX, 0, leave_behind, NULL) == 0,
	       "timers and I/O of Ps that were taken away");
	tap_ok(in_runtime(MAX, 0, from_thread, NULL) == 0, "a thread may change it");
	for (long i = 1; i <= MAX; i++)
		tap_ok(in_runtime(2, MAX, deadlock, (void *)i) == -EDEADLK,
		       "all asleep is seen with %ld of %d", i, MAX);
	tap_ok(gr_set_procs(1) == -ENXIO && gr_proc_info(0, &info) == -ENXIO,
	       "without a runtime: ENXIO");
	tap_ok(gr_run(misuse, NULL, &bad) == -EINVAL, "max_procs below nr_procs: EINVAL");
	tap_ok(in_runtime(2, MAX, misuse, NULL) == 0 && in_runtime(2, MAX, numbers, NULL) == 0,
	       "both ran");
	return tap_done();
}
