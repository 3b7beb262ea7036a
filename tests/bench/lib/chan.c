// SPDX-License-Identifier: MIT
/* chan.c - workloads of channels: pingpong, bufchan, ring, skynet, select. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static void send(struct gr_chan *c, long v)
{
	must(gr_chan_send(c, &v, GR_FOREVER), "gr_chan_send");
}

static long recv(struct gr_chan *c)
{
	long v = 0;

	must(gr_chan_recv(c, &v, GR_FOREVER), "gr_chan_recv");
	return v;
}

/* ---- pingpong: an operation is one value handed over, two make a round trip ---- */

static struct gr_chan *ping, *pong;
/* of this round; a goroutine may still be about to end when the next round has begun */
static long count;

static void ponger(void *unused)
{
	long n = count;

	(void)unused;
	for (long i = 0; i < n; i++)
		send(pong, recv(ping));
}

static void pings(long n)
{
	count = (n + 1) / 2;
	start(ponger, NULL);
	for (long i = 0; i < count; i++) {
		send(ping, i);
		recv(pong);
	}
}

void bench_pingpong(long n)
{
	ping = chan(sizeof(long), 0);
	pong = chan(sizeof(long), 0);
	per_op("pingpong", pings, n);
}

/* ---- bufchan: one sends, one receives, 128 fit ---- */

static struct gr_chan *queue;

static void producer(void *unused)
{
	long n = count;

	(void)unused;
	for (long i = 0; i < n; i++)
		send(queue, i);
}

static void stream(long n)
{
	long sum = 0;

	count = n;
	start(producer, NULL);
	for (long i = 0; i < n; i++)
		sum += recv(queue);
	if (sum != n * (n - 1) / 2)
		must(-1, "bufchan: wrong sum");
}

void bench_bufchan(long n)
{
	queue = chan(sizeof(long), 128);
	per_op("bufchan", stream, n);
}

/* ---- ring: 503 goroutines pass a number on and count it down ---- */

#define RING 503

static struct gr_chan *links[RING], *done;

static void node(void *arg)
{
	long me = (long)arg;

	for (;;) {
		long v = recv(links[me]);

		if (v)
			send(links[(me + 1) % RING], v - 1);
		else
			send(done, me);
	}
}

static void hops(long n)
{
	send(links[0], n);
	if (recv(done) != n % RING)
		must(-1, "ring: ended elsewhere");
}

void bench_ring(long n)
{
	done = chan(sizeof(long), 0);
	for (long i = 0; i < RING; i++)
		links[i] = chan(sizeof(long), 0);
	for (long i = 0; i < RING; i++)
		start(node, (void *)i);
	per_op("ring", hops, n);
}

/* ---- skynet: each has ten children, down to n leaves; numbers are summed on the way back ---- */

struct sky {
	struct gr_chan *to;
	long num, size;
};

static void sky(void *arg)
{
	struct sky *s = arg, kids[10];
	struct gr_chan *to = s->to;
	long sum = 0, num = s->num, size = s->size / 10;

	if (!size) {
		send(to, num);
		return;
	}
	struct gr_chan *c = chan(sizeof(long), 0);

	for (int i = 0; i < 10; i++) {
		kids[i] = (struct sky){ c, num + i * size, size };
		start(sky, &kids[i]);
	}
	for (int i = 0; i < 10; i++)
		sum += recv(c);
	gr_chan_release(c);
	send(to, sum);
}

void bench_skynet(long n)
{
	struct gr_chan *c = chan(sizeof(long), 0);
	struct sky root = { c, 0, n };
	int64_t t = gr_now();

	start(sky, &root);
	if (recv(c) != n * (n - 1) / 2)
		must(-1, "skynet: wrong sum");
	report("skynet", "ms", (double)(gr_now() - t) / 1e6);
}

/* ---- select: one receives from whoever of four senders is ready ---- */

/* weak: a build of the library without it is measured all the same */
extern __typeof__(gr_select) gr_select __attribute__((weak));
static struct gr_chan *four[4];

static void sender(void *arg)
{
	long n = count;

	for (long i = 0; i < n; i++)
		send(arg, i);
}

static void selects(long n)
{
	long v[4], sum = 0;
	struct gr_case cases[] = { GR_RECV(four[0], &v[0]), GR_RECV(four[1], &v[1]),
				   GR_RECV(four[2], &v[2]), GR_RECV(four[3], &v[3]) };

	count = (n + 3) / 4;
	for (int i = 0; i < 4; i++)
		start(sender, four[i]);
	for (long i = 0; i < 4 * count; i++) {
		int which = gr_select(cases, 4, GR_FOREVER);

		must(which, "gr_select");
		sum += v[which];
	}
	if (sum != 2 * count * (count - 1))
		must(-1, "select: wrong sum");
}

void bench_select(long n)
{
	if (!gr_select) {
		printf("skip: this build of the library has no gr_select()\n");
		fflush(stdout);
		exit(4);
	}
	for (int i = 0; i < 4; i++)
		four[i] = chan(sizeof(long), 0);
	per_op("select", selects, n);
}
