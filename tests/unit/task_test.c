// SPDX-License-Identifier: MIT
/* task_test.c - tasks: result, many joiners, deadlines, cancel, references dropped at any time. */
#include "mix.h"

static atomic_int ran, joined, wrong;
static struct gr_task *task;
static struct gr_wg gate = GR_WG_INIT;

static int seven(void *arg)
{
	(void)arg;
	ran++;
	return 7;
}

static int at_gate(void *arg)
{
	int ret = gr_wg_wait(&gate, GR_FOREVER);

	ran++;
	return ret ? ret : (int)(intptr_t)arg;
}

static int sleeps(void *arg)
{
	(void)arg;
	return gr_sleep(GR_FOREVER);
}

static void join(void *arg)
{
	int result = 0;
	int ret = gr_task_join(task, &result, arg ? gr_after(50 * GR_US) : GR_FOREVER);

	if (ret == -ETIMEDOUT && arg)
		result = 42;
	else
		wrong += ret != 0;
	wrong += result != 42;
	joined++;
}

static void results(void)
{
	int result = 0;

	ran = 0;
	tap_ok(!gr_task_new(&task, seven, NULL, NULL), "%s: new", mix.name);
	tap_ok(!gr_task_join(task, &result, GR_FOREVER) && result == 7, "%s: result", mix.name);
	result = 0;
	tap_ok(!gr_task_join(task, &result, GR_NOW) && result == 7, "%s: again, GR_NOW", mix.name);
	tap_ok(!gr_task_join(task, NULL, GR_FOREVER), "%s: result not wanted", mix.name);
	tap_ok(!gr_task_cancel(task), "%s: cancel after the end", mix.name);
	gr_task_join(task, &result, GR_NOW);
	tap_ok(result == 7, "%s: changes nothing", mix.name);
	gr_task_release(task);
}

static void joiners(void)
{
	joined = wrong = 0;
	gr_wg_add(&gate, 1);
	gr_task_new(&task, at_gate, (void *)42, NULL);
	tap_ok(gr_task_join(task, NULL, GR_NOW) == -EAGAIN, "%s: GR_NOW", mix.name);
	tap_ok(gr_task_join(task, NULL, gr_after(GR_MS)) == -ETIMEDOUT, "%s: deadline", mix.name);
	for (int i = 0; i < 20; i++)
		mix_go(join, i % 4 ? NULL : &gate);
	while (joined < 3)
		gr_sleep(gr_after(100 * GR_US));
	gr_wg_done(&gate);
	mix_join();
	tap_ok(joined == 20 && !wrong, "%s: join by many", mix.name);
	gr_task_release(task);
}

static int join_self(void *arg)
{
	struct gr_task *t;

	gr_chan_recv(arg, &t, GR_FOREVER);
	return gr_task_join(t, NULL, GR_FOREVER);
}

static void self(void)
{
	struct gr_chan *c;
	int result = 0;

	gr_chan_new(&c, sizeof(task), 0);
	gr_task_new(&task, join_self, c, NULL);
	gr_chan_send(c, &task, GR_FOREVER);
	gr_task_join(task, &result, GR_FOREVER);
	tap_ok(result == -EDEADLK, "%s: join itself", mix.name);
	gr_task_release(task);
	gr_chan_release(c);
}

static int joins_sleeper(void *arg)
{
	struct gr_task *t;
	int ret, result = 0;

	(void)arg;
	gr_task_new(&t, sleeps, NULL, NULL);
	ret = gr_task_join(t, NULL, GR_FOREVER);
	wrong += ret != -ECANCELED;
	wrong += gr_task_join(t, NULL, gr_after(GR_SEC)) != -ECANCELED;
	wrong += gr_task_join(t, NULL, GR_NOW) != -EAGAIN;
	gr_task_cancel(t);
	gr_shield_begin();
	wrong += gr_task_join(t, &result, GR_FOREVER) != 0;
	gr_shield_end();
	wrong += result != -ECANCELED;
	gr_task_release(t);
	return ret;
}

static void cancel(void)
{
	int result = 0;

	wrong = 0;
	gr_task_new(&task, sleeps, NULL, NULL);
	gr_sleep(gr_after(100 * GR_US));
	gr_task_cancel(task);
	gr_task_cancel(task);
	tap_ok(!gr_task_join(task, &result, GR_FOREVER) && result == -ECANCELED, "%s: cancel",
	       mix.name);
	gr_task_release(task);
	gr_task_new(&task, joins_sleeper, NULL, NULL);
	gr_sleep(gr_after(100 * GR_US));
	gr_task_cancel(task);
	gr_task_join(task, &result, GR_FOREVER);
	tap_ok(result == -ECANCELED && !wrong, "%s: a cancelled join; its task goes on", mix.name);
	gr_task_release(task);
}

/* the handle goes first, or the goroutine does, or both at once */
static void releases(void)
{
	ran = 0;
	for (int i = 0; i < 3000; i++) {
		struct gr_task *t;

		if (gr_task_new(&t, seven, NULL, NULL))
			wrong++;
		if (i % 3 == 1)
			gr_yield();
		if (i % 3 == 2)
			gr_task_cancel(t);
		gr_task_release(t);
	}
	while (ran < 3000)
		gr_sleep(gr_after(100 * GR_US));
	gr_task_release(NULL);
	tap_ok(ran == 3000, "%s: released before, at and after the end: all ran", mix.name);
}

/* every join of a storm of tasks ends, with the result or the reason why not */
#define STORM 400

static struct gr_task *storm_tasks[STORM];

static int stormy(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;
	struct gr_task *other = arg && rnd & 1 ? storm_tasks[(intptr_t)arg - 1] : NULL;

	if (other)
		return gr_task_join(other, NULL, gr_after((rnd >> 16) % 100 * GR_US));
	return gr_sleep(gr_after((rnd >> 16) % 100 * GR_US));
}

static void canceller(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg;

	for (int i = 0; i < STORM; i++) {
		rnd = rnd * 1664525 + 1013904223;
		gr_task_cancel(storm_tasks[(rnd >> 8) % STORM]);
		if (rnd >> 28 == 0)
			gr_sleep(gr_after(10 * GR_US));
	}
}

static void storm(void)
{
	int odd = 0, cancelled = 0, result;

	for (int i = 0; i < STORM; i++)
		gr_task_new(&storm_tasks[i], stormy, (void *)(intptr_t)i, NULL);
	for (int i = 1; i <= 3; i++)
		mix_go(canceller, (void *)(intptr_t)(i * 77));
	for (int i = 0; i < STORM; i++) {
		odd += gr_task_join(storm_tasks[i], &result, GR_FOREVER) != 0;
		odd += result != 0 && result != -ETIMEDOUT && result != -ECANCELED;
		cancelled += result == -ECANCELED;
	}
	mix_join();
	tap_ok(!odd, "%s: a storm of joins and cancels, %d of %d cancelled", mix.name, cancelled,
	       STORM);
	for (int i = 0; i < STORM; i++)
		gr_task_release(storm_tasks[i]);
}

static void body(void)
{
	results();
	joiners();
	self();
	cancel();
	releases();
	storm();
}

int main(void)
{
	tap_limit(LIMIT_S);
	tap_ok(gr_task_new(&task, seven, NULL, NULL) == -ENXIO, "without a runtime: -ENXIO");
	mix.body = body;
	mix_run_in("go1", 1, false);
	mix_run_in("go2", 2, false);
	mix_run_in("go4", 4, false);
	mix_run_in("mixed", 2, true);
	return tap_done();
}
