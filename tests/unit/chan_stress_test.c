// SPDX-License-Identifier: MIT
/*
 * chan_stress_test.c - every value sent is received exactly once, whatever happens.
 *
 * Producers and consumers on one channel, with random deadlines on both sides: a send that said
 * 0 was received once, a send that timed out not at all. Counted per value. The second storm
 * closes the channel in the middle. GR_STRESS multiplies the amount.
 */
#include "mix.h"

#define PRODUCERS 4
#define CONSUMERS 4

enum { SENT_NO, SENT_YES };

static struct gr_chan *c;
static int per_producer;
static unsigned char *sent;  /* by its producer */
static atomic_uchar *seen;   /* by consumers */
static atomic_int producers, wrong, received;
static bool closes;

static int64_t some_deadline(uint32_t *rnd)
{
	*rnd = *rnd * 1664525 + 1013904223;
	switch (*rnd >> 29) {
	case 0:
		return GR_NOW;
	case 1:
	case 2:
		return gr_after((*rnd >> 16) % 32 * GR_US);
	default:
		return GR_FOREVER;
	}
}

static bool result_allowed(int ret, int64_t until, int closed)
{
	if (ret == closed)
		return true;
	if (until == GR_FOREVER)
		return ret == 0;
	return ret == 0 || ret == (until == GR_NOW ? -EAGAIN : -ETIMEDOUT);
}

static void produce(void *arg)
{
	int first = (int)(intptr_t)arg * per_producer;
	uint32_t rnd = (uint32_t)first + 17;

	for (int v = first; v < first + per_producer; v++) {
		int64_t until = some_deadline(&rnd);
		int ret = gr_chan_send(c, &v, until);

		sent[v] = ret == 0 ? SENT_YES : SENT_NO;
		if (!result_allowed(ret, until, closes ? -EPIPE : 1))
			wrong++;
		if (ret == -EPIPE)
			break;
	}
	if (atomic_fetch_sub(&producers, 1) == 1 && !closes)
		gr_chan_close(c);
}

static void consume(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 40503u;
	int ret = 0;

	while (ret != -ENODATA) {
		int64_t until = some_deadline(&rnd);
		int v = -1;

		ret = gr_chan_recv(c, &v, until);
		if (!result_allowed(ret, until, -ENODATA) || (ret && v != -1))
			wrong++;
		if (!ret) {
			atomic_fetch_add(&seen[v], 1);
			received = 1;
		} else if (ret == -EAGAIN) {
			gr_sleep(gr_after(5 * GR_US));
		}
	}
}

static void closer(void *arg)
{
	/* in the middle, also on a machine that is busy with something else */
	while (atomic_load(&producers) == PRODUCERS &&
	       (!received || gr_chan_len(c) < gr_chan_cap(c)))
		gr_sleep(gr_after(100 * GR_US));
	gr_sleep(gr_after(2 * GR_MS));
	if (gr_chan_close(arg))
		wrong++;
}

static void storm(size_t cap, bool close_early)
{
	int n = PRODUCERS * per_producer, lost = 0, twice = 0, ghosts = 0, total = 0;

	closes = close_early;
	wrong = 0;
	received = 0;
	producers = PRODUCERS;
	memset(sent, SENT_NO, n);
	memset((void *)seen, 0, n);
	if (gr_chan_new(&c, sizeof(int), cap))
		mix_fatal("gr_chan_new", -ENOMEM);
	for (int i = 0; i < CONSUMERS; i++)
		mix_go(consume, (void *)(intptr_t)(i + 1));
	for (int i = 0; i < PRODUCERS; i++)
		mix_go(produce, (void *)(intptr_t)i);
	if (closes)
		mix_go(closer, c);
	mix_join();
	for (int v = 0; v < n; v++) {
		total += sent[v] == SENT_YES;
		lost += sent[v] == SENT_YES && !seen[v];
		ghosts += sent[v] == SENT_NO && seen[v];
		twice += seen[v] > 1;
	}
	tap_ok(!lost && !twice && !ghosts, "%s: cap %zu%s: %d sent, %d lost, %d twice, %d ghosts",
	       mix.name, cap, closes ? ", closed early" : "", total, lost, twice, ghosts);
	tap_ok(!wrong && total > 0, "%s: every result was one the deadline allows", mix.name);
	gr_chan_release(c);
}

static void body(void)
{
	storm(0, false);
	storm(1, false);
	storm(64, false);
	storm(0, true);
	storm(3, true);
}

int main(void)
{
	const char *factor = getenv("GR_STRESS");

	per_producer = 5000 * (factor ? atoi(factor) : 1);
	if (per_producer <= 0)
		return 1;
	sent = malloc((size_t)PRODUCERS * per_producer);
	seen = malloc((size_t)PRODUCERS * per_producer);
	if (!sent || !seen)
		return 1;
	mix_run(body);
	free(sent);
	free((void *)seen);
	return tap_done();
}
