// SPDX-License-Identifier: MIT
/*
 * ticker_test.c - gr_timer: armed, periodic, stopped, released, each from every kind of caller.
 *
 * The behaviour of Go's time tests TimerStopStress, TickerStress, AfterFuncStarvation,
 * TimerModifiedEarlier, AdjustTimers, StopResult, ResetResult, in code of our own. No figure of
 * time is asserted but lower bounds: machines are noisy, but never early.
 */
#include "mix.h"

#define LONG (60 * GR_SEC)

static atomic_int ran, wrong;

static struct gr_timer *make(void)
{
	struct gr_timer *t = NULL;
	int ret = gr_timer_new(&t);

	if (ret)
		mix_fatal("gr_timer_new", ret);
	return t;
}

static void count_run(void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
}

static atomic_int nobody; /* runs of timers whose runs are not looked at */

/* each test has a counter of its own: a goroutine that was started runs on after the stop */
static struct gr_timer *make_func(atomic_int *count)
{
	struct gr_timer *t = NULL;
	int ret = gr_timer_func(&t, count_run, count);

	*count = 0;

	if (ret)
		mix_fatal("gr_timer_func", ret);
	return t;
}

static void wait_until(atomic_int *what, int n)
{
	while (atomic_load(what) < n)
		gr_sleep(gr_after(50 * GR_US));
}

/* ---- one after the other ---- */

static void misuse(void)
{
	struct gr_timer *t = make(), *f = make_func(&nobody);

	tap_ok(gr_timer_new(NULL) == -EINVAL && gr_timer_func(NULL, count_run, NULL) == -EINVAL &&
	       gr_timer_func(&f, NULL, NULL) == -EINVAL, "%s: NULL is refused", mix.name);
	tap_ok(gr_timer_set(NULL, 1, 0) == -EINVAL && gr_timer_stop(NULL) == -EINVAL &&
	       gr_timer_wait(NULL, GR_NOW) == -EINVAL, "%s: everywhere", mix.name);
	tap_ok(gr_timer_wait(f, GR_NOW) == -EINVAL, "%s: waiting for one with a function",
	       mix.name);
	if (mix.nr_procs)
		tap_ok(gr_timer_set(t, 1, -1) == -EINVAL, "%s: a negative period", mix.name);
	else
		tap_ok(gr_timer_set(t, 1, 0) == -ENXIO, "without a runtime nothing is armed");
	tap_ok(gr_timer_wait(t, GR_NOW) == -EAGAIN && gr_timer_wait(t, gr_after(1)) == -ETIMEDOUT,
	       "%s: not armed, not fired", mix.name);
	tap_ok(gr_timer_stop(t) == 0, "%s: stop of one that is not armed", mix.name);
	gr_timer_release(t);
	gr_timer_release(f);
	gr_timer_release(NULL);
}

static void once(void)
{
	struct gr_timer *t = make();
	struct gr_case k = GR_TIMER(t);
	int64_t when = gr_after(300 * GR_US);

	tap_ok(gr_timer_set(t, when, 0) == 0, "%s: it was not armed", mix.name);
	tap_ok(gr_timer_wait(t, GR_NOW) == -EAGAIN || gr_now() >= when, "%s: not yet", mix.name);
	gr_timer_set(t, when, 0);
	tap_ok(gr_timer_wait(t, gr_after(LONG)) == 1 && gr_now() >= when, "%s: it fires",
	       mix.name);
	tap_ok(gr_timer_wait(t, GR_NOW) == -EAGAIN, "%s: once", mix.name);
	tap_ok(gr_timer_stop(t) == 0, "%s: and is not armed any more", mix.name);
	tap_ok(gr_timer_set(t, gr_after(LONG), 0) == 0 && gr_timer_stop(t) == 1,
	       "%s: stopped in time", mix.name);
	tap_ok(gr_timer_set(t, gr_after(LONG), 0) == 0 && gr_timer_set(t, gr_now(), 0) == 1,
	       "%s: armed anew, earlier", mix.name);
	tap_ok(gr_timer_wait(t, gr_after(LONG)) == 1, "%s: fires at the new time", mix.name);
	gr_timer_set(t, -3, 0);
	tap_ok(gr_timer_wait(t, gr_after(LONG)) == 1, "%s: a time long ago is now", mix.name);
	gr_timer_set(t, gr_after(200 * GR_US), 0);
	tap_ok(gr_select(&k, 1, gr_after(LONG)) == 0 && k.result == 1, "%s: in a select", mix.name);
	tap_ok(gr_select(&k, 1, GR_NOW) == -EAGAIN, "%s: where it is over, too", mix.name);
	gr_timer_set(t, GR_FOREVER, 0);
	tap_ok(gr_timer_wait(t, gr_after(GR_US)) == -ETIMEDOUT && gr_timer_stop(t) == 1,
	       "%s: GR_FOREVER is armed and does not fire", mix.name);
	gr_timer_release(t);
}

/* What fired and was not waited for is forgotten by set and stop. */
static void forgets(void)
{
	struct gr_timer *t = make();
	int seen = 0;

	for (int i = 0; i < 200; i++) {
		gr_timer_set(t, gr_now(), 0);
		if (i % 4)
			gr_sleep(gr_after(i % 4 * 20 * GR_US));
		if (i % 2)
			gr_timer_set(t, gr_after(LONG), 0);
		else
			gr_timer_stop(t);
		seen += gr_timer_wait(t, gr_after(i % 3 * 20 * GR_US)) > 0;
	}
	tap_ok(!seen, "%s: nothing of an earlier arming is seen", mix.name);
	gr_timer_release(t);
}

static void periodic(void)
{
	struct gr_timer *t = make();
	int64_t start = gr_after(GR_MS), period = 100 * GR_US, behind = INT64_MAX;
	int n = 0, early = 0, ret;

	gr_timer_set(t, start, period);
	while (n < 20) {
		ret = gr_timer_wait(t, gr_after(LONG));
		if (ret < 1)
			mix_fatal("gr_timer_wait", ret);
		n += ret;
		/* the n-th is due at start + (n - 1) periods: what was missed is counted, and none
		 * comes before its time, whoever was late before */
		early += gr_now() < start + (n - 1) * period;
	}
	tap_ok(!early, "%s: a period does not drift (%d)", mix.name, n);
	/* if what we miss in our sleep were lost, we would be 40 behind for ever */
	gr_sleep(gr_after(5 * GR_MS));
	for (int i = 0; i < 3000 && behind > 10; i++) {
		n += gr_timer_wait(t, gr_after(LONG));
		behind = (gr_now() - start) / period - n;
	}
	tap_ok(behind <= 10, "%s: what is missed is counted", mix.name);
	tap_ok(gr_timer_stop(t) == 1, "%s: a period is armed until it is stopped", mix.name);
	tap_ok(gr_timer_wait(t, gr_after(GR_MS)) == -ETIMEDOUT, "%s: then it is silent", mix.name);
	gr_timer_set(t, gr_now(), INT64_MAX / 2);
	tap_ok(gr_timer_wait(t, gr_after(LONG)) == 1 && gr_timer_stop(t) == 1,
	       "%s: a period of centuries", mix.name);
	gr_timer_set(t, 1, 1);
	tap_ok(gr_timer_wait(t, gr_after(LONG)) > 1000, "%s: and one of a nanosecond", mix.name);
	gr_timer_release(t);
}

static void functions(void)
{
	static atomic_int runs;
	struct gr_timer *t = make_func(&runs);

	gr_timer_set(t, gr_after(100 * GR_US), 0);
	wait_until(&runs, 1);
	tap_ok(gr_timer_stop(t) == 0, "%s: a function runs", mix.name);
	gr_timer_set(t, gr_now(), 50 * GR_US);
	wait_until(&runs, 10);
	tap_ok(gr_timer_stop(t) == 1, "%s: and again and again", mix.name);
	gr_timer_release(t);
}

/* ---- StopResult, ResetResult: stopped, or seen, never both or none ---- */

static void stop_or_seen(bool with_set)
{
	static atomic_int counts[2];
	atomic_int *runs = &counts[with_set];
	struct gr_timer *t = make(), *f = make_func(runs);
	int stopped = 0, seen = 0, bad = 0, n = 300;

	for (int i = 0; i < n; i++) {
		int was, got;

		gr_timer_set(t, gr_after(i % 40 * GR_US), 0);
		if (i % 3)
			gr_sleep(gr_after(i % 40 * GR_US));
		got = gr_timer_wait(t, GR_NOW) > 0;
		was = with_set ? gr_timer_set(t, gr_after(LONG), 0) : gr_timer_stop(t);
		/* it fired between the two calls: forgotten */
		bad += got && was;
		seen += got;
		bad += gr_timer_wait(t, GR_NOW) > 0;
		gr_timer_stop(t);
	}
	for (int i = 0; i < n; i++) {
		gr_timer_set(f, gr_after(i % 40 * GR_US), 0);
		if (i % 3)
			gr_sleep(gr_after(i % 40 * GR_US));
		stopped += with_set ? gr_timer_set(f, gr_after(LONG), 0) : gr_timer_stop(f);
		if (with_set)
			gr_timer_stop(f);
	}
	wait_until(runs, n - stopped);
	gr_sleep(gr_after(GR_MS));
	tap_ok(!bad, "%s: %s: seen or armed, not both (%d seen)", mix.name,
	       with_set ? "set" : "stop", seen);
	tap_ok(*runs == n - stopped, "%s: %s: of %d, %d did not run, %d did", mix.name,
	       with_set ? "set" : "stop", n, stopped, *runs);
	gr_timer_release(t);
	gr_timer_release(f);
}

/* ---- the order of deadlines, however they were armed (AdjustTimers, ModifiedEarlier) ---- */

#define NR 200

static struct gr_timer *timers[NR];

static void adjust(void)
{
	uint32_t rnd = 5;
	int64_t now = gr_now(), late = now + LONG;
	int bad = 0, fired = 0;

	for (int i = 0; i < NR; i++) {
		timers[i] = make();
		gr_timer_set(timers[i], late, 0);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < NR; i++) {
			rnd = rnd * 1664525 + 1013904223;
			gr_timer_set(timers[i], late + (int)(rnd >> 8), 0);
			if (rnd >> 30 == 0)
				bad += gr_timer_stop(timers[i]) != 1;
		}
	now = gr_after(500 * GR_US);
	for (int i = NR - 1; i >= 0; i--)
		gr_timer_set(timers[i], now + i % 10 * 10 * GR_US, 0);
	for (int i = 0; i < NR; i++) {
		fired += gr_timer_wait(timers[i], gr_after(LONG)) == 1;
		bad += gr_now() < now + i % 10 * 10 * GR_US;
		gr_timer_release(timers[i]);
	}
	tap_ok(fired == NR && !bad, "%s: %d timers, set to many times, fire at the last", mix.name,
	       NR);
}

/* ---- storms ---- */

static void stop_storm(void *arg)
{
	struct gr_timer *t = make(), *f = make_func(&nobody);
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 40503u + 1;

	for (int i = 0; i < 400; i++) {
		rnd = rnd * 1664525 + 1013904223;
		gr_timer_set(t, gr_after((rnd >> 20) % 50 * GR_US), (rnd >> 28) * GR_US);
		gr_timer_set(f, gr_after((rnd >> 10) % 50 * GR_US), 0);
		if (rnd >> 31)
			gr_yield();
		if (gr_timer_wait(t, rnd >> 30 ? GR_NOW : gr_after(20 * GR_US)) == -EINVAL)
			wrong++;
		if (rnd % 7 == 0)
			gr_sleep(gr_after(10 * GR_US));
		gr_timer_stop(f);
		if (gr_timer_stop(t) < 0 || gr_timer_wait(t, GR_NOW) != -EAGAIN)
			wrong++;
		if (rnd % 5 == 0) { /* armed, or its firing under way */
			gr_timer_set(t, gr_now(), 1);
			gr_timer_release(t);
			t = make();
		}
	}
	gr_timer_release(t);
	gr_timer_release(f);
}

/* two that stop and set the same timer, one that waits for it */
static struct gr_timer *shared;
static atomic_int setters;

static void sets_shared(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg;

	for (int i = 0; i < 500; i++) {
		rnd = rnd * 1664525 + 1013904223;
		if (rnd >> 30)
			wrong += gr_timer_set(shared, gr_after((rnd >> 20) % 20 * GR_US),
					      (rnd >> 29) * 5 * GR_US) < 0;
		else
			wrong += gr_timer_stop(shared) < 0;
		if (rnd % 4 == 0)
			gr_sleep(gr_after(5 * GR_US));
	}
	setters--;
}

static void waits_shared(void *arg)
{
	(void)arg;
	while (setters) {
		int ret = gr_timer_wait(shared, gr_after(50 * GR_US));

		wrong += ret < 1 && ret != -ETIMEDOUT;
	}
}

static void storms(void)
{
	wrong = 0;
	for (intptr_t i = 0; i < 8; i++)
		mix_go(stop_storm, (void *)i);
	mix_join();
	tap_ok(!wrong, "%s: eight that set, stop and release", mix.name);
	shared = make();
	setters = 2;
	mix_go(sets_shared, (void *)11);
	mix_go(sets_shared, (void *)12);
	mix_go(waits_shared, NULL);
	mix_go(waits_shared, NULL);
	mix_join();
	tap_ok(!wrong, "%s: two set and two wait for the same", mix.name);
	gr_timer_release(shared);
}

/* Functions of timers that fire at once must not keep others from running (AfterFuncStarvation). */
static struct gr_timer *again;
static atomic_bool enough, ended;

static void rearm(void *arg)
{
	(void)arg;
	ran++;
	if (enough)
		ended = true;
	else
		gr_timer_set(again, gr_now(), 0);
}

static void starvation(void)
{
	ran = 0;
	enough = ended = false;
	if (gr_timer_func(&again, rearm, NULL))
		mix_fatal("gr_timer_func", 0);
	gr_timer_set(again, gr_now(), 0);
	for (int i = 0; i < 100; i++)
		if (gr_yield())
			gr_sleep(gr_after(GR_US));
	wait_until(&ran, 10);
	enough = true;
	while (!ended)
		gr_sleep(gr_after(50 * GR_US));
	gr_timer_release(again);
	tap_ok(ran >= 10, "%s: a timer that arms itself and we take turns", mix.name);
}

/* ---- a plain thread arms; nobody else is awake ---- */

static void *arms_from_outside(void *arg)
{
	static atomic_int runs;
	struct gr_timer *t = make(), *f = make_func(&runs);
	int bad = 0;

	for (int i = 0; i < 20; i++) {
		usleep(i % 2 ? 100 : 3000); /* the runtime goes idle */
		gr_timer_set(t, gr_after(100 * GR_US), 0);
		bad += gr_timer_wait(t, GR_FOREVER) != 1;
		usleep(i % 2 ? 100 : 3000);
		gr_timer_set(f, gr_after(100 * GR_US), 0);
		while (runs <= i)
			usleep(50);
	}
	gr_timer_release(t);
	gr_timer_release(f);
	gr_chan_send(arg, &bad, GR_FOREVER);
	return NULL;
}

static void from_outside(void)
{
	struct gr_chan *c;
	pthread_t thread;
	int bad = -1;

	if (gr_chan_new(&c, sizeof(int), 1))
		mix_fatal("gr_chan_new", -ENOMEM);
	if (pthread_create(&thread, NULL, arms_from_outside, c))
		mix_fatal("pthread_create", 0);
	gr_chan_recv(c, &bad, GR_FOREVER); /* not a timer, no I/O: the process is idle */
	pthread_join(thread, NULL);
	tap_ok(!bad, "%s: a plain thread arms timers of an idle process", mix.name);
	gr_chan_release(c);
}

/* ---- cancelled while it waits ---- */

static int waits(void *arg)
{
	return gr_timer_wait(arg, GR_FOREVER);
}

static void cancelled(void)
{
	struct gr_timer *t = make();
	struct gr_task *task;
	int result = 0;

	gr_task_new(&task, waits, t, NULL);
	gr_sleep(gr_after(100 * GR_US));
	gr_task_cancel(task);
	gr_task_join(task, &result, GR_FOREVER);
	gr_task_release(task);
	tap_ok(result == -ECANCELED, "%s: a wait is cancelled", mix.name);
	gr_timer_release(t);
}

/* armed, fired, stopped perhaps before it fired, stopped before: they outlive the runtime */
#define NR_LEFT 4

static struct gr_timer *left[NR_LEFT];

static void body(void)
{
	misuse();
	if (!mix.nr_procs)
		return;
	once();
	forgets();
	periodic();
	functions();
	stop_or_seen(false);
	stop_or_seen(true);
	adjust();
	storms();
	starvation();
	from_outside();
	cancelled();
	for (int i = 0; i < NR_LEFT; i++) {
		gr_timer_release(left[i]);
		left[i] = make();
		gr_timer_set(left[i], i % 3 ? gr_now() : gr_after(LONG), 0);
	}
	gr_timer_wait(left[1], GR_FOREVER);
	gr_timer_stop(left[2]);
	gr_timer_stop(left[3]);
}

static int arm_left(void *arg)
{
	(void)arg;
	for (int i = 0; i < NR_LEFT; i++)
		if (gr_timer_set(left[i], gr_now(), 0) != 0 ||
		    gr_timer_wait(left[i], GR_FOREVER) != 1)
			return 1;
	return 0;
}

int main(void)
{
	int ret;

	mix_run(body);
	if (left[0]) {
		tap_ok(gr_timer_stop(left[0]) == 0, "a timer of a runtime that ended is not armed");
		ret = gr_run(arm_left, NULL, NULL);
		tap_ok(ret == 0, "but can be armed in the next one");
		for (int i = 0; i < NR_LEFT; i++)
			gr_timer_release(left[i]);
	}
	return tap_done();
}
