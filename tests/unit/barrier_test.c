// SPDX-License-Identifier: MIT
/* barrier_test.c - gr_barrier: none goes before the last comes, rounds, who gives up, bad input. */
#include "cancelled.h"

#define N 5
#define ROUNDS 150

static struct gr_barrier bar;
static atomic_int wrong, came, gave_up, leaders, passed, quit;

static void meet(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		int ret;

		came++;
		ret = gr_barrier_wait(&bar, GR_FOREVER);
		leaders += ret == 1;
		wrong += ret != 0 && ret != 1;
		/* all of this round have come, and nobody can be two rounds ahead */
		wrong += came < N * (i + 1) || came > N * (i + 2);
	}
}

static void rounds(void)
{
	bar = (struct gr_barrier)GR_BARRIER_INIT(N);
	wrong = came = leaders = 0;
	for (int i = 0; i < N; i++)
		mix_go(meet, NULL);
	mix_join();
	tap_ok(!wrong && came == N * ROUNDS, "%s: nobody before the last", mix.name);
	tap_ok(leaders == ROUNDS && !bar.here && !bar.head, "%s: one of them is told", mix.name);
}

/* ---- deadlines ---- */

static void wait_short(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;

	while (!quit) {
		int64_t deadline;
		int ret;

		rnd = rnd * 1664525 + 1013904223;
		deadline = rnd >> 31 ? GR_NOW : gr_after((rnd >> 16) % 200 * GR_US);
		ret = gr_barrier_wait(&bar, deadline);
		if (ret == 1 && ++leaders == 100)
			quit = 1;
		if (ret >= 0)
			passed++;
		else if (ret == (deadline == GR_NOW ? -EAGAIN : -ETIMEDOUT))
			gave_up++;
		else
			wrong++;
		if (ret == -EAGAIN)
			gr_sleep(gr_after(20 * GR_US));
	}
}

static void deadlines(void)
{
	bar = (struct gr_barrier)GR_BARRIER_INIT(2);
	tap_ok(gr_barrier_wait(&bar, gr_after(100 * GR_US)) == -ETIMEDOUT && !bar.here,
	       "%s: who gives up is not counted", mix.name);
	wrong = leaders = passed = gave_up = quit = 0;
	for (int i = 0; i < 4; i++)
		mix_go(wait_short, (void *)(uintptr_t)(i + 1));
	mix_join();
	tap_ok(passed == 2 * leaders && !wrong && !bar.here && !bar.head,
	       "%s: %d pairs met beside those who gave up", mix.name, leaders);
}

/* The last one comes when the other has timed out but has not left: both are together. */

static atomic_int late;

static void come_late(void *deadline)
{
	late = gr_barrier_wait(&bar, *(int64_t *)deadline);
}

static bool one_here(void)
{
	return queue_len(&bar.lock, &bar.head) == 1;
}

static void timed_out_late(void)
{
	wrong = 0;
	for (int i = 0; i < 5; i++) {
		int ret;

		bar = (struct gr_barrier)GR_BARRIER_INIT(2);
		time_out(come_late, one_here);
		ret = gr_barrier_wait(&bar, GR_NOW);
		mix_join();
		wrong += !(ret == 1 && late == 0) && !(ret == -EAGAIN && late == -ETIMEDOUT);
		wrong += bar.here || bar.head;
	}
	tap_ok(!wrong, "%s: both agree whether they met", mix.name);
}

/* ---- cancellation, memory ---- */

static int wait_it(void *arg)
{
	return gr_barrier_wait(arg, GR_FOREVER);
}

static struct gr_barrier gone[300];

static void come(void *arg)
{
	gr_barrier_wait(arg, GR_FOREVER);
}

static void body(void)
{
	rounds();
	deadlines();
	timed_out_late();
	bar = (struct gr_barrier)GR_BARRIER_INIT(2);
	check_cancel("wait", wait_it, &bar);
	tap_ok(!bar.here && !bar.head, "%s: who was cancelled is not counted", mix.name);
	for (int i = 0; i < 300; i++) {
		gone[i] = (struct gr_barrier)GR_BARRIER_INIT(2);
		mix_go(come, &gone[i]);
	}
	for (int i = 0; i < 300; i++)
		wrong += gr_barrier_wait(&gone[i], GR_FOREVER) < 0;
	mix_join();
	tap_ok(!wrong, "%s: many barriers", mix.name);
}

int main(void)
{
	struct gr_barrier b = GR_BARRIER_INIT(0);

	tap_ok(gr_barrier_wait(NULL, GR_NOW) == -EINVAL && gr_barrier_wait(&b, GR_NOW) == -EINVAL,
	       "NULL, and nobody to meet");
	b = (struct gr_barrier)GR_BARRIER_INIT(1);
	tap_ok(gr_barrier_wait(&b, GR_NOW) == 1 && gr_barrier_wait(&b, GR_FOREVER) == 1, "alone");
	b = (struct gr_barrier)GR_BARRIER_INIT(2);
	tap_ok(gr_barrier_wait(&b, GR_NOW) == -EAGAIN && !b.here, "GR_NOW does not wait");
	tap_ok(gr_barrier_wait(&b, 1) == -ETIMEDOUT && !b.here, "a deadline long ago");
	mix_run(body);
	return tap_done();
}
