// SPDX-License-Identifier: MIT
/* once_test.c - gr_once: once, seen by all, recursion, cancellation, bad input. */
#include "cancelled.h"

static struct gr_once once;
static atomic_int ran, early, wrong, here, go_on;

static void slow(void *arg)
{
	gr_sleep(gr_after(200 * GR_US)); /* the others queue */
	*(int *)arg += 1;
	ran++;
}

static int value;

static void call(void *arg)
{
	(void)arg;
	here++;
	wrong += gr_once(&once, slow, &value) != 0;
	early += value != 1;
}

static void many(void)
{
	wrong = early = 0;
	for (int i = 0; i < 50; i++) {
		once = (struct gr_once)GR_ONCE_INIT;
		ran = value = 0;
		for (int k = 0; k < 6; k++)
			mix_go(call, NULL);
		call(NULL);
		mix_join();
		wrong += ran != 1;
	}
	tap_ok(!wrong && !early, "%s: once, and nobody returns before", mix.name);
	tap_ok(!once.head && !once.lock && gr_once(&once, slow, &value) == 0 && ran == 1,
	       "%s: not again", mix.name);
}

/* ---- recursion ---- */

static int inner;

static void recurse(void *arg)
{
	(void)arg;
	inner = gr_once(&once, recurse, NULL);
	ran++;
}

static void recursion(void)
{
	once = (struct gr_once)GR_ONCE_INIT;
	ran = inner = 0;
	tap_ok(gr_once(&once, recurse, NULL) == 0 && inner == -EDEADLK && ran == 1,
	       "%s: its own function is refused", mix.name);
}

/* ---- cancellation ---- */

static void run_until(void *arg)
{
	(void)arg;
	here = 1;
	while (!go_on)
		gr_sleep(gr_after(50 * GR_US));
	ran++;
}

static void runner(void *arg)
{
	(void)arg;
	wrong += gr_once(&once, run_until, NULL) != 0;
}

static int wait_for_it(void *arg)
{
	return gr_once(arg, run_until, NULL);
}

static int after_it(void *arg)
{
	while (!gr_cancelled())
		gr_yield();
	return gr_once(arg, run_until, NULL);
}

static void cancelled(void)
{
	once = (struct gr_once)GR_ONCE_INIT;
	here = go_on = ran = wrong = 0;
	mix_go(runner, NULL);
	while (!here)
		gr_sleep(gr_after(50 * GR_US));
	check_cancel("wait", wait_for_it, &once);
	go_on = 1;
	mix_join();
	tap_ok(ran == 1 && !wrong && !once.head, "%s: the others go on", mix.name);
	if (mix.nr_procs)
		tap_ok(cancel_after(0, after_it, &once) == 0, "%s: done is done, cancelled or not",
		       mix.name);
}

static void body(void)
{
	many();
	recursion();
	cancelled();
}

int main(void)
{
	struct gr_once o = GR_ONCE_INIT;

	tap_ok(gr_once(NULL, slow, NULL) == -EINVAL && gr_once(&o, NULL, NULL) == -EINVAL, "NULL");
	mix_run(body);
	return tap_done();
}
