// SPDX-License-Identifier: MIT
/*
 * go_chan_test.c - Go's smaller channel programs in behaviour: fifo, goroutines, nonblock,
 * chancap, closedchan and ken/chan of its test directory. Own code.
 */
#include "mix.h"

static struct gr_chan *chan(size_t elem, size_t cap)
{
	struct gr_chan *c;

	if (gr_chan_new(&c, elem, cap))
		mix_fatal("gr_chan_new", ENOMEM);
	return c;
}

/* ---- fifo ---- */

#define N 200

static struct gr_chan *fifo;
static atomic_int wrong;

struct link {
	struct gr_chan *in, *out;
	int v;
};

/* waits for its turn, then takes one value, which must be its own */
static void in_turn(void *arg)
{
	struct link *l = arg;
	int v = -1, turn = 0;

	wrong += gr_chan_recv(l->in, &turn, GR_FOREVER) != 0;
	wrong += gr_chan_recv(fifo, &v, GR_FOREVER) != 0 || v != l->v;
	wrong += gr_chan_send(l->out, &turn, GR_FOREVER) != 0;
}

static void fifo_test(void)
{
	struct link links[N];
	int v, bad = 0;

	fifo = chan(sizeof(int), N);
	for (int i = 0; i < N; i++)
		bad += gr_chan_send(fifo, &i, GR_NOW) != 0;
	for (int i = 0; i < N; i++)
		bad += gr_chan_recv(fifo, &v, GR_NOW) != 0 || v != i;
	tap_ok(!bad, "%s: fifo: buffered", mix.name);
	gr_chan_release(fifo);

	wrong = 0;
	fifo = chan(sizeof(int), 0);
	for (int i = 0; i < N; i++) {
		links[i] = (struct link){ i ? links[i - 1].out : chan(sizeof(int), 0),
					  chan(sizeof(int), 0), i };
		mix_go(in_turn, &links[i]);
	}
	v = 0;
	gr_chan_send(links[0].in, &v, GR_FOREVER);
	for (int i = 0; i < N; i++)
		wrong += gr_chan_send(fifo, &i, GR_FOREVER) != 0;
	gr_chan_recv(links[N - 1].out, &v, GR_FOREVER);
	mix_join();
	tap_ok(!wrong, "%s: fifo: unbuffered, a chain of %d takes them in order", mix.name, N);
	gr_chan_release(links[0].in);
	for (int i = 0; i < N; i++)
		gr_chan_release(links[i].out);
	gr_chan_release(fifo);
}

/* ---- goroutines: a long chain that falls down like dominoes ---- */

#define CHAIN 10000

static void plus_one(void *arg)
{
	struct link *l = arg;
	int v = 0;

	gr_chan_recv(l->in, &v, GR_FOREVER);
	v++;
	gr_chan_send(l->out, &v, GR_FOREVER);
}

static void chain(void)
{
	int n = mix.nr_procs && !mix.mixed ? CHAIN : 100, v = 0;
	struct link *links = malloc(n * sizeof(*links));

	if (!links)
		mix_fatal("malloc", ENOMEM);
	for (int i = 0; i < n; i++) {
		links[i].in = i ? links[i - 1].out : chan(sizeof(int), 0);
		links[i].out = chan(sizeof(int), 0);
		mix_go(plus_one, &links[i]);
	}
	gr_chan_send(links[0].in, &v, GR_FOREVER);
	gr_chan_recv(links[n - 1].out, &v, GR_FOREVER);
	mix_join();
	tap_ok(v == n, "%s: goroutines: a chain of %d", mix.name, n);
	gr_chan_release(links[0].in);
	for (int i = 0; i < n; i++)
		gr_chan_release(links[i].out);
	free(links);
}

/* ---- nonblock: every state, values of several sizes ---- */

struct meeting {
	struct gr_chan *c, *there;
	char value[64];
	int ret;
};

static void sends(void *arg)
{
	struct meeting *m = arg;

	gr_chan_send(m->there, NULL, GR_FOREVER);
	m->ret = gr_chan_send(m->c, m->value, GR_FOREVER);
	gr_chan_send(m->there, NULL, GR_FOREVER);
}

static void receives(void *arg)
{
	struct meeting *m = arg;

	gr_chan_send(m->there, NULL, GR_FOREVER);
	m->ret = gr_chan_recv(m->c, m->value, GR_FOREVER);
	gr_chan_send(m->there, NULL, GR_FOREVER);
}

static bool is(const char *buf, size_t n, int with)
{
	for (size_t i = 0; i < n; i++)
		if (buf[i] != with)
			return false;
	return true;
}

static int nonblock_one(size_t elem, size_t cap)
{
	struct meeting m = { .c = chan(elem, cap), .there = chan(0, 0) };
	char a[64], b[64];
	int bad = 0;

	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	bad += gr_chan_recv(m.c, b, GR_NOW) != -EAGAIN || !is(b, sizeof(b), 'b');
	for (size_t i = 0; i < cap; i++)
		bad += gr_chan_send(m.c, a, GR_NOW) != 0;
	bad += gr_chan_send(m.c, a, GR_NOW) != -EAGAIN;
	for (size_t i = 0; i < cap; i++)
		bad += gr_chan_recv(m.c, b, GR_NOW) != 0 || !is(b, elem, 'a') ||
		       !is(b + elem, sizeof(b) - elem, 'b');
	bad += gr_chan_recv(m.c, b, GR_NOW) != -EAGAIN;
	/* somebody waits at the other end: not yet, then at once */
	memset(m.value, 'r', sizeof(m.value));
	mix_go(receives, &m);
	gr_chan_recv(m.there, NULL, GR_FOREVER);
	while (gr_chan_send(m.c, a, GR_NOW) == -EAGAIN)
		gr_sleep(gr_after(20 * GR_US));
	gr_chan_recv(m.there, NULL, GR_FOREVER);
	bad += m.ret != 0 || !is(m.value, elem, 'a') || !is(m.value + elem, 64 - elem, 'r');
	memset(m.value, 's', sizeof(m.value));
	memset(b, 'b', sizeof(b));
	mix_go(sends, &m);
	gr_chan_recv(m.there, NULL, GR_FOREVER);
	while (gr_chan_recv(m.c, b, GR_NOW) == -EAGAIN)
		gr_sleep(gr_after(20 * GR_US));
	gr_chan_recv(m.there, NULL, GR_FOREVER);
	bad += m.ret != 0 || !is(b, elem, 's') || !is(b + elem, sizeof(b) - elem, 'b');
	mix_join();
	gr_chan_release(m.c);
	gr_chan_release(m.there);
	return bad;
}

static void nonblock(void)
{
	static const size_t sizes[] = { 0, 1, 4, 8, 16, 24, 63 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		tap_ok(!nonblock_one(sizes[i], 0) && !nonblock_one(sizes[i], 1) &&
		       !nonblock_one(sizes[i], 10), "%s: nonblock: %zu bytes", mix.name, sizes[i]);
}

/* ---- chancap ---- */

static void capacity(void)
{
	struct gr_chan *c = chan(4, 10), *u = chan(4, 0);
	size_t len;

	tap_ok(gr_chan_cap(c) == 10 && gr_chan_len(c) == 0, "%s: chancap: empty", mix.name);
	for (int i = 0; i < 3; i++)
		gr_chan_send(c, &i, GR_FOREVER);
	len = gr_chan_len(c);
	gr_chan_close(c);
	tap_ok(len == 3 && gr_chan_len(c) == 3 && gr_chan_cap(c) == 10,
	       "%s: chancap: three values, closed or not", mix.name);
	tap_ok(!gr_chan_len(u) && !gr_chan_cap(u), "%s: chancap: unbuffered", mix.name);
	tap_ok(!gr_chan_len(NULL) && !gr_chan_cap(NULL), "%s: chancap: none", mix.name);
	gr_chan_release(c);
	gr_chan_release(u);
}

/* ---- closedchan: every call, in every form ---- */

static int closed_one(size_t cap, int left)
{
	struct gr_chan *c = chan(sizeof(int), cap);
	struct gr_case send, recv;
	int bad = 0, v = 7;

	for (int i = 0; i < left; i++)
		gr_chan_send(c, &i, GR_FOREVER);
	bad += gr_chan_close(c) != 0;
	for (int i = 0; i < left; i++) {
		recv = (struct gr_case)GR_RECV(c, &v);
		if (i % 2)
			bad += gr_chan_recv(c, &v, i % 3 ? GR_FOREVER : GR_NOW) != 0;
		else
			bad += gr_select(&recv, 1, i % 3 ? GR_FOREVER : GR_NOW) || recv.result;
		bad += v != i;
	}
	for (int i = 0; i < 4; i++) {
		int64_t until = i % 2 ? GR_FOREVER : GR_NOW;

		v = 7;
		recv = (struct gr_case)GR_RECV(c, &v);
		send = (struct gr_case)GR_SEND(c, &v);
		bad += gr_chan_recv(c, &v, until) != -ENODATA || v != 7;
		bad += gr_chan_send(c, &v, until) != -EPIPE;
		bad += gr_select(&recv, 1, until) || recv.result != -ENODATA || v != 7;
		bad += gr_select(&send, 1, until) || send.result != -EPIPE;
		bad += gr_chan_close(c) != -EPIPE;
	}
	gr_chan_release(c);
	return bad;
}

static void closed(void)
{
	tap_ok(!closed_one(0, 0), "%s: closedchan: unbuffered", mix.name);
	tap_ok(!closed_one(5, 0), "%s: closedchan: buffered, empty", mix.name);
	tap_ok(!closed_one(5, 4), "%s: closedchan: buffered, four values left", mix.name);
}

/* ---- ken/chan: senders and receivers in all numbers, by calls and by select ---- */

#define LINES 6
#define VALUES 300

static struct gr_chan *lines[LINES];
static atomic_int next[LINES], got;
static atomic_long sum;

/* on one line */
static void ken_send(void *arg)
{
	int i = (int)(intptr_t)arg, v;

	while ((v = atomic_fetch_add(&next[i], 1)) < VALUES) {
		v += i * VALUES;
		wrong += gr_chan_send(lines[i], &v, GR_FOREVER) != 0;
	}
}

/* on all of them */
static void ken_select_send(void *arg)
{
	struct gr_case cases[LINES];
	int v[LINES], at;

	(void)arg;
	for (int i = 0; i < LINES; i++) {
		v[i] = atomic_fetch_add(&next[i], 1);
		cases[i] = (struct gr_case)GR_SEND(v[i] < VALUES ? lines[i] : NULL, &v[i]);
		v[i] += i * VALUES;
	}
	for (;;) {
		int open = 0;

		for (int i = 0; i < LINES; i++)
			open += cases[i].chan != NULL;
		if (!open)
			return;
		at = gr_select(cases, LINES, GR_FOREVER);
		if (at < 0 || cases[at].result) {
			wrong++;
			return;
		}
		v[at] = atomic_fetch_add(&next[at], 1);
		if (v[at] >= VALUES)
			cases[at].chan = NULL;
		v[at] += at * VALUES;
	}
}

static void took(int i, int v)
{
	wrong += v / VALUES != i;
	sum += v;
	got++;
}

static void ken_recv(void *arg)
{
	int i = (int)(intptr_t)arg, v;

	while (!gr_chan_recv(lines[i], &v, GR_FOREVER))
		took(i, v);
}

static void ken_select_recv(void *arg)
{
	struct gr_case cases[LINES];
	int v[LINES], open = LINES, at;

	(void)arg;
	for (int i = 0; i < LINES; i++)
		cases[i] = (struct gr_case)GR_RECV(lines[i], &v[i]);
	while (open) {
		at = gr_select(cases, LINES, GR_FOREVER);
		if (at < 0) {
			wrong++;
			return;
		}
		if (cases[at].result) {
			wrong += cases[at].result != -ENODATA;
			cases[at].chan = NULL;
			open--;
		} else {
			took(at, v[at]);
		}
	}
}

static void ken_one(size_t cap, bool select_send, bool select_recv)
{
	const int total = LINES * VALUES;

	sum = 0;
	got = wrong = 0;
	for (int i = 0; i < LINES; i++) {
		next[i] = 0;
		lines[i] = chan(sizeof(int), cap);
	}
	for (int i = 0; i < LINES; i++) {
		mix_go(select_send ? ken_select_send : ken_send, (void *)(intptr_t)i);
		mix_go(ken_send, (void *)(intptr_t)i);
		mix_go(select_recv ? ken_select_recv : ken_recv, (void *)(intptr_t)i);
		mix_go(ken_recv, (void *)(intptr_t)i);
	}
	while (got < total && !wrong)
		gr_sleep(gr_after(100 * GR_US));
	for (int i = 0; i < LINES; i++)
		gr_chan_close(lines[i]);
	mix_join();
	tap_ok(!wrong && got == total && sum == (long)total * (total - 1) / 2,
	       "%s: ken/chan: cap %zu%s%s", mix.name, cap, select_send ? ", select to send" : "",
	       select_recv ? ", select to receive" : "");
	for (int i = 0; i < LINES; i++)
		gr_chan_release(lines[i]);
}

static void ken(void)
{
	for (int how = 0; how < 4; how++) {
		ken_one(0, how & 1, how & 2);
		ken_one(1, how & 1, how & 2);
		ken_one(10, how & 1, how & 2);
	}
}

static void body(void)
{
	fifo_test();
	chain();
	nonblock();
	capacity();
	closed();
	ken();
}

int main(void)
{
	mix_run(body);
	return tap_done();
}
