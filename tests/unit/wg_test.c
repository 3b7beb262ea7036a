// SPDX-License-Identifier: MIT
/*
 * wg_test.c - gr_wg: all waiters wait for all jobs, deadlines, cancellation, misuse, free after
 * wait. After Go's TestWaitGroup, TestWaitGroupMisuse and TestWaitGroupRace.
 */
#include "cancelled.h"

static struct gr_wg wg = GR_WG_INIT, started = GR_WG_INIT;
static atomic_int jobs, too_early, waited, timed_out, other;

static void job(void *arg)
{
	(void)arg;
	gr_sleep(gr_after(300 * GR_US));
	jobs++;
	gr_wg_done(&wg);
}

static void waiter(void *arg)
{
	int ret;

	gr_wg_done(&started);
	ret = gr_wg_wait(&wg, arg ? gr_after(100 * GR_US) : GR_FOREVER);
	if (!ret) {
		too_early += jobs != 20;
		waited++;
	} else if (ret == -ETIMEDOUT && arg) {
		timed_out++;
	} else {
		other++;
	}
}

static void many(void)
{
	jobs = too_early = waited = timed_out = other = 0;
	gr_wg_add(&wg, 20);
	gr_wg_add(&started, 12);
	tap_ok(gr_wg_wait(&wg, GR_NOW) == -EAGAIN, "%s: GR_NOW does not wait", mix.name);
	tap_ok(gr_wg_wait(&wg, gr_after(100 * GR_US)) == -ETIMEDOUT, "%s: deadline", mix.name);
	for (int i = 0; i < 12; i++)
		mix_go(waiter, i % 3 ? NULL : &wg);
	gr_wg_wait(&started, GR_FOREVER);
	for (int i = 0; i < 20; i++)
		mix_go(job, NULL);
	tap_ok(gr_wg_wait(&wg, GR_FOREVER) == 0 && jobs == 20, "%s: all jobs done", mix.name);
	mix_join();
	tap_ok(waited + timed_out == 12 && waited >= 8 && !other, "%s: every waiter returned",
	       mix.name);
	tap_ok(!too_early, "%s: none before the last job", mix.name);
	tap_ok(!wg.head && !wg.count, "%s: empty in the end", mix.name);
}

static void done(void *arg)
{
	gr_wg_done(arg);
}

#define GONE 2000

static struct gr_wg gone[GONE];
static atomic_int turn;

static void done_in_turn(void *arg)
{
	(void)arg;
	for (int i = 0; i < GONE; i++) {
		while (turn <= i)
			gr_yield(); /* -EPERM and no more, on a plain thread */
		gr_wg_done(&gone[i]);
	}
}

/* Look for the very moment when the count becomes 0, then give the memory back. */
static void gone_after_look(void)
{
	struct gr_wg ee;
	int touched = 0;

	memset(&ee, 0xee, sizeof(ee));
	memset(gone, 0, sizeof(gone));
	turn = 0;
	mix_go(done_in_turn, NULL);
	for (int i = 0; i < GONE; i++) {
		gr_wg_add(&gone[i], 1);
		turn = i + 1;
		for (int n = 1; gr_wg_wait(&gone[i], GR_NOW); n++)
			if (n % 64 == 0)
				gr_yield();
		memset(&gone[i], 0xee, sizeof(gone[i]));
	}
	mix_join();
	for (int i = 0; i < GONE; i++)
		touched += memcmp(&gone[i], &ee, sizeof(ee)) != 0;
	tap_ok(!touched, "%s: nobody writes to a wg after it was seen to be 0", mix.name);
}

/* the same for a waiter that sleeps */
static void gone_after_wait(void)
{
	struct gr_wg ee;
	int touched = 0;

	memset(&ee, 0xee, sizeof(ee));
	memset(gone, 0, sizeof(gone));
	for (int i = 0; i < 300; i++) {
		gr_wg_add(&gone[i], 2);
		mix_go(done, &gone[i]);
		mix_go(done, &gone[i]);
		gr_wg_wait(&gone[i], GR_FOREVER);
		memset(&gone[i], 0xee, sizeof(gone[i]));
	}
	mix_join();
	for (int i = 0; i < 300; i++)
		touched += memcmp(&gone[i], &ee, sizeof(ee)) != 0;
	tap_ok(!touched, "%s: nobody writes to a wg after the wait", mix.name);
}

/* ---- Go's TestWaitGroupRace: the last done and the wait at once ---- */

static atomic_int count;

static void count_done(void *arg)
{
	count++;
	gr_wg_done(arg);
}

static void race(void)
{
	int wrong = 0;

	for (int i = 0; i < 500; i++) {
		struct gr_wg w = GR_WG_INIT;

		count = 0;
		gr_wg_add(&w, 1);
		mix_go(count_done, &w);
		gr_wg_add(&w, 1);
		mix_go(count_done, &w);
		wrong += gr_wg_wait(&w, GR_FOREVER) || count != 2;
	}
	mix_join();
	tap_ok(!wrong, "%s: the wait returns after the last", mix.name);
}

/* ---- add while others wait ---- */

static void add_beside_waiters(void)
{
	waited = other = 0;
	gr_wg_add(&wg, 1);
	gr_wg_add(&started, 3);
	jobs = 20; /* what waiter() wants to see */
	for (int i = 0; i < 3; i++)
		mix_go(waiter, NULL);
	gr_wg_wait(&started, GR_FOREVER);
	while (queue_len(&wg.lock, &wg.head) != 3)
		gr_sleep(gr_after(50 * GR_US));
	tap_ok(gr_wg_add(&wg, 2) == 0 && gr_wg_add(&wg, -4) == -EINVAL &&
	       gr_wg_add(&wg, INT64_MAX) == -EINVAL && gr_wg_done(&wg) == 0 &&
	       gr_wg_done(&wg) == 0 && !waited, "%s: counted while others wait", mix.name);
	tap_ok(gr_wg_wait(&wg, GR_NOW) == -EAGAIN, "%s: one is missing", mix.name);
	gr_wg_done(&wg);
	mix_join();
	tap_ok(waited == 3 && !other && !wg.count && !wg.head, "%s: and they return", mix.name);
}

/* ---- cancellation ---- */

static int wait_it(void *arg)
{
	return gr_wg_wait(arg, GR_FOREVER);
}

static void cancelled(void)
{
	gr_wg_add(&wg, 1);
	check_cancel("wait", wait_it, &wg);
	tap_ok(wg.count == 1 && !wg.head, "%s: who gave up left no trace", mix.name);
	gr_wg_done(&wg);
}

static void body(void)
{
	race();
	add_beside_waiters();
	cancelled();
	many();
	gone_after_look();
	gone_after_wait();
}

int main(void)
{
	struct gr_wg w = GR_WG_INIT;

	tap_ok(gr_wg_add(NULL, 1) == -EINVAL && gr_wg_done(NULL) == -EINVAL &&
	       gr_wg_wait(NULL, GR_NOW) == -EINVAL, "NULL");
	tap_ok(gr_wg_wait(&w, GR_FOREVER) == 0, "nothing to wait for");
	tap_ok(gr_wg_wait(&w, GR_NOW) == 0, "not even for GR_NOW");
	tap_ok(gr_wg_done(&w) == -EINVAL && w.count == 0, "below 0 is refused");
	tap_ok(gr_wg_add(&w, INT64_MAX) == 0 && gr_wg_add(&w, 1) == -EINVAL, "overflow is refused");
	tap_ok(gr_wg_add(&w, -INT64_MAX) == 0 && gr_wg_add(&w, INT64_MIN) == -EINVAL, "back to 0");
	mix_run(body);
	return tap_done();
}
