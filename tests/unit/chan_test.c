// SPDX-License-Identifier: MIT
/* chan_test.c - one channel at a time: order, hand-over, close, deadlines, misuse. */
#include "mix.h"

/* under a sanitizer: malloc() of too much says NULL, as elsewhere (used by its runtime) */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static struct gr_chan *c;
static atomic_int epipe, enodata, got, bad;

static struct gr_chan *make(size_t elem, size_t cap)
{
	struct gr_chan *new = NULL;
	int ret = gr_chan_new(&new, elem, cap);

	if (ret)
		mix_fatal("gr_chan_new", ret);
	return new;
}

/* ---- order, through buffers of several sizes ---- */

static void send_numbers(void *arg)
{
	for (int i = 0; i < (int)(intptr_t)arg; i++)
		bad += gr_chan_send(c, &i, GR_FOREVER) != 0;
	bad += gr_chan_close(c) != 0;
}

static void order(size_t cap)
{
	int v, n = 0, ret;

	bad = 0;
	c = make(sizeof(int), cap);
	mix_go(send_numbers, (void *)3000);
	while (!(ret = gr_chan_recv(c, &v, GR_FOREVER)))
		bad += v != n++;
	tap_ok(n == 3000 && !bad, "%s: cap %zu keeps the order", mix.name, cap);
	tap_ok(ret == -ENODATA, "%s: then says closed", mix.name);
	mix_join();
	gr_chan_release(c);
}

/* ---- a value larger than a register, both ways round ---- */

struct big {
	uint64_t word[125];
};

static void send_big(void *arg)
{
	struct big b;

	for (uint64_t i = 0; i < 200; i++) {
		for (int j = 0; j < 125; j++)
			b.word[j] = i * 1000 + j;
		gr_chan_send(arg, &b, GR_FOREVER);
		memset(&b, 0xee, sizeof(b)); /* the value has left this memory */
	}
}

static void large(size_t cap)
{
	struct gr_chan *l = make(sizeof(struct big), cap);
	struct big b;
	int wrong = 0;

	mix_go(send_big, l);
	for (uint64_t i = 0; i < 200; i++) {
		if (i % 16 == 0)
			gr_sleep(gr_after(50 * GR_US));
		wrong += gr_chan_recv(l, &b, GR_FOREVER) != 0;
		for (int j = 0; j < 125; j++)
			wrong += b.word[j] != i * 1000 + j;
	}
	mix_join();
	tap_ok(!wrong, "%s: values of 1000 bytes, cap %zu", mix.name, cap);
	gr_chan_release(l);
}

/* ---- close finds everybody ---- */

static atomic_int ready;

static void recv_until_closed(void *arg)
{
	int v;

	(void)arg;
	ready++;
	if (gr_chan_recv(c, &v, GR_FOREVER) == -ENODATA)
		enodata++;
}

static void send_until_closed(void *arg)
{
	int v = (int)(intptr_t)arg;

	ready++;
	if (gr_chan_send(c, &v, GR_FOREVER) == -EPIPE)
		epipe++;
}

static void wait_ready(int n)
{
	while (ready != n)
		gr_sleep(gr_after(50 * GR_US));
	gr_sleep(gr_after(GR_MS)); /* most of them have queued; the result is the same if not */
}

static void close_wakes(void)
{
	int v = 0;

	enodata = epipe = ready = 0;
	c = make(sizeof(int), 0);
	for (int i = 0; i < 10; i++)
		mix_go(recv_until_closed, NULL);
	wait_ready(10);
	tap_ok(gr_chan_close(c) == 0, "%s: close", mix.name);
	mix_join();
	tap_ok(enodata == 10, "%s: 10 receivers hear of it", mix.name);
	gr_chan_release(c);

	ready = 0;
	c = make(sizeof(int), 1);
	for (int i = 0; i < 10; i++)
		mix_go(send_until_closed, (void *)7);
	wait_ready(10);
	while (gr_chan_len(c) != 1)
		gr_sleep(gr_after(50 * GR_US));
	gr_chan_close(c);
	mix_join();
	tap_ok(epipe == 9, "%s: 9 of 10 senders hear of it", mix.name);
	tap_ok(gr_chan_recv(c, &v, GR_FOREVER) == 0 && v == 7, "%s: the tenth value is there",
	       mix.name);
	tap_ok(gr_chan_recv(c, &v, GR_FOREVER) == -ENODATA, "%s: drained", mix.name);
	gr_chan_release(c);
}

/* ---- deadlines ---- */

static void deadlines(void)
{
	struct gr_chan *u = make(sizeof(int), 0), *b = make(sizeof(int), 1);
	int v = 5;
	int64_t until = gr_after(2 * GR_MS);

	tap_ok(gr_chan_recv(u, &v, until) == -ETIMEDOUT && gr_now() >= until && v == 5,
	       "%s: receive times out, not before", mix.name);
	until = gr_after(2 * GR_MS);
	tap_ok(gr_chan_send(u, &v, until) == -ETIMEDOUT && gr_now() >= until,
	       "%s: send times out, not before", mix.name);
	tap_ok(gr_chan_send(u, &v, GR_NOW) == -EAGAIN && gr_chan_recv(u, &v, GR_NOW) == -EAGAIN,
	       "%s: GR_NOW does not wait, and nobody was left on the queues", mix.name);
	tap_ok(gr_chan_send(b, &v, GR_NOW) == 0 && gr_chan_send(b, &v, GR_NOW) == -EAGAIN &&
	       gr_chan_send(b, &v, 1) == -ETIMEDOUT, "%s: a full buffer", mix.name);
	v = 0;
	tap_ok(gr_chan_recv(b, &v, 1) == 0 && v == 5, "%s: what is there comes, deadline or not",
	       mix.name);
	gr_chan_release(u);
	gr_chan_release(b);
}

/* ---- references: the last one to leave frees ---- */

static void use_and_drop(void *arg)
{
	struct gr_chan *r = arg;
	int v = 1;

	if (gr_chan_send(r, &v, GR_FOREVER) == 0)
		got++;
	gr_chan_release(r);
}

static void references(void)
{
	got = 0;
	for (int i = 0; i < 200; i++) {
		struct gr_chan *r = make(sizeof(int), i % 3);

		mix_go(use_and_drop, gr_chan_retain(r));
		mix_go(use_and_drop, gr_chan_retain(r));
		gr_chan_recv(r, NULL, GR_FOREVER);
		gr_chan_recv(r, NULL, GR_FOREVER);
		gr_chan_release(r);
	}
	mix_join();
	tap_ok(got == 400, "%s: 200 channels passed on by reference", mix.name);
}

static void body(void)
{
	order(0);
	order(1);
	order(7);
	large(0);
	large(2);
	close_wakes();
	deadlines();
	references();
}

static void misuse(void)
{
	struct gr_chan *e, *x = NULL;
	int v = 0;

	tap_ok(gr_chan_new(NULL, 4, 0) == -EINVAL, "new: nowhere to put it");
	tap_ok(gr_chan_new(&x, 65537, 0) == -EINVAL && !x, "new: element too large");
	tap_ok(gr_chan_new(&x, 16, SIZE_MAX / 8) == -EINVAL && !x, "new: overflow");
	tap_ok(gr_chan_new(&x, 65536, (size_t)1 << 46) == -ENOMEM && !x, "new: no memory");
	tap_ok(gr_chan_send(NULL, &v, GR_NOW) == -EINVAL, "send: NULL channel");
	tap_ok(gr_chan_recv(NULL, &v, GR_NOW) == -EINVAL, "recv: NULL channel");
	tap_ok(gr_chan_close(NULL) == -EINVAL, "close: NULL channel");
	gr_chan_release(NULL);
	e = make(sizeof(int), 2);
	tap_ok(gr_chan_send(e, NULL, GR_NOW) == -EINVAL, "send: no value");
	tap_ok(gr_chan_cap(e) == 2 && gr_chan_len(e) == 0, "cap and len");
	tap_ok(gr_chan_send(e, &v, GR_NOW) == 0 && gr_chan_len(e) == 1, "len counts");
	tap_ok(gr_chan_close(e) == 0 && gr_chan_close(e) == -EPIPE, "closed once");
	tap_ok(gr_chan_send(e, &v, GR_FOREVER) == -EPIPE, "send: closed");
	tap_ok(gr_chan_recv(e, NULL, GR_NOW) == 0, "recv: discards, after close too");
	tap_ok(gr_chan_recv(e, NULL, GR_NOW) == -ENODATA, "recv: closed and drained");
	gr_chan_release(e);
	e = make(0, 3);
	tap_ok(gr_chan_send(e, NULL, GR_NOW) == 0 && gr_chan_len(e) == 1 &&
	       gr_chan_recv(e, NULL, GR_NOW) == 0, "elements of size 0 are counted");
	gr_chan_release(e);
}

int main(void)
{
	misuse();
	mix_run(body);
	return tap_done();
}
