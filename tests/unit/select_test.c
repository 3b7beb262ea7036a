// SPDX-License-Identifier: MIT
/*
 * select_test.c - gr_select(): each kind of case, ready and not, alone and among others.
 *
 * The behaviour of Go's test/chan programs select, select3, select6, select7 and of
 * runtime's chan_test (SelfSelect, NonblockSelectRace 1 and 2, SelectDuplicateChannel,
 * SelectFairness, PseudoRandomSend), and libdill's choose, in code of our own.
 */
#include "mix.h"

#define LONG (60 * GR_SEC) /* longer than the test: who waits for this long hangs */

static struct gr_chan *make(size_t elem, size_t cap)
{
	struct gr_chan *c = NULL;
	int ret = gr_chan_new(&c, elem, cap);

	if (ret)
		mix_fatal("gr_chan_new", ret);
	return c;
}

/* ---- what is ready, or never (select3) ---- */

enum want { READY, WAITS };

static void one_form(const char *what, struct gr_case k, enum want want, int result)
{
	struct gr_case alone = k, two[2] = { k, GR_NEVER };
	int now, late, both;

	now = gr_select(&alone, 1, GR_NOW);
	late = gr_select(&two[0], 2, gr_after(200 * GR_US));
	both = gr_select_ordered(two, 2, GR_NOW);
	if (want == WAITS)
		tap_ok(now == -EAGAIN && late == -ETIMEDOUT && both == -EAGAIN, "%s: %s waits",
		       mix.name, what);
	else
		tap_ok(now == 0 && late == 0 && both == 0 && alone.result == result &&
		       two[0].result == result, "%s: %s is ready with %d", mix.name, what, result);
}

static void forms(void)
{
	struct gr_chan *sync = make(4, 0), *empty = make(4, 8), *full = make(4, 1);
	struct gr_chan *done = make(4, 2), *rest = make(4, 8), *none = NULL;
	int v = 1;

	gr_chan_send(full, &v, GR_FOREVER);
	gr_chan_close(done);
	for (int i = 0; i < 8; i++)
		gr_chan_send(rest, &v, GR_FOREVER);
	gr_chan_close(rest);
	one_form("send, NULL", (struct gr_case)GR_SEND(none, &v), WAITS, 0);
	one_form("receive, NULL", (struct gr_case)GR_RECV(none, &v), WAITS, 0);
	one_form("send, unbuffered", (struct gr_case)GR_SEND(sync, &v), WAITS, 0);
	one_form("receive, unbuffered", (struct gr_case)GR_RECV(sync, &v), WAITS, 0);
	one_form("receive, empty", (struct gr_case)GR_RECV(empty, &v), WAITS, 0);
	one_form("send, room", (struct gr_case)GR_SEND(empty, &v), READY, 0);
	one_form("receive, some", (struct gr_case)GR_RECV(empty, NULL), READY, 0);
	one_form("send, full", (struct gr_case)GR_SEND(full, &v), WAITS, 0);
	one_form("send, closed", (struct gr_case)GR_SEND(done, &v), READY, -EPIPE);
	one_form("receive, closed", (struct gr_case)GR_RECV(done, &v), READY, -ENODATA);
	one_form("receive, closed, some left", (struct gr_case)GR_RECV(rest, &v), READY, 0);
	one_form("a time that has passed", (struct gr_case)GR_AT(gr_now()), READY, 0);
	one_form("a time far ahead", (struct gr_case)GR_AT(gr_after(LONG)), WAITS, 0);
	one_form("the end of time", (struct gr_case)GR_AT(GR_FOREVER), WAITS, 0);
	one_form("nothing", (struct gr_case)GR_NEVER, WAITS, 0);
	gr_chan_release(sync);
	gr_chan_release(empty);
	gr_chan_release(full);
	gr_chan_release(done);
	gr_chan_release(rest);
}

static void misuse(void)
{
	struct gr_case many[GR_SELECT_MAX + 1] = { GR_NEVER }, k;
	struct gr_chan *c = make(4, 1), *zero = make(0, 1);
	struct gr_task *no_task = NULL;
	struct gr_timer *no_timer = NULL;
	int v = 0;

	tap_ok(gr_select(many, GR_SELECT_MAX + 1, GR_NOW) == -EINVAL, "%s: too many", mix.name);
	tap_ok(gr_select(many, GR_SELECT_MAX, GR_NOW) == -EAGAIN, "%s: just enough", mix.name);
	tap_ok(gr_select(many, -1, GR_NOW) == -EINVAL, "%s: n < 0", mix.name);
	tap_ok(gr_select(NULL, 1, GR_NOW) == -EINVAL, "%s: NULL cases", mix.name);
	tap_ok(gr_select(NULL, 0, GR_NOW) == -EAGAIN &&
	       gr_select(NULL, 0, gr_after(GR_US)) == -ETIMEDOUT, "%s: no cases", mix.name);
	k = (struct gr_case){ .op = 99 };
	tap_ok(gr_select(&k, 1, GR_NOW) == -EINVAL, "%s: unknown op", mix.name);
	k = (struct gr_case)GR_SEND(c, NULL);
	many[0] = k;
	tap_ok(gr_select(&k, 1, GR_NOW) == -EINVAL && gr_select(many, 2, GR_NOW) == -EINVAL,
	       "%s: NULL to send", mix.name);
	k = (struct gr_case)GR_SEND(zero, NULL);
	tap_ok(gr_select(&k, 1, GR_NOW) == 0, "%s: but not of 0 bytes", mix.name);
	k = (struct gr_case)GR_JOIN(no_task);
	tap_ok(gr_select(&k, 1, GR_NOW) == -EINVAL, "%s: NULL task", mix.name);
	k = (struct gr_case)GR_TIMER(no_timer);
	tap_ok(gr_select(&k, 1, GR_NOW) == -EINVAL, "%s: NULL timer", mix.name);
	k = (struct gr_case)GR_FD(0, 1U << 20);
	tap_ok(gr_select(&k, 1, GR_NOW) == -EINVAL, "%s: no such event", mix.name);
	if (!mix.nr_procs) {
		k = (struct gr_case)GR_FD(0, 1);
		tap_ok(gr_select(&k, 1, GR_NOW) == -ENXIO, "fd without a runtime");
	}
	v += gr_chan_recv(zero, NULL, GR_NOW);
	tap_ok(v == 0, "%s: and it was sent", mix.name);
	gr_chan_release(c);
	gr_chan_release(zero);
}

/* ---- chosen at random, or the first ---- */

static void choice(void)
{
	struct gr_chan *a = make(4, 1000), *b = make(4, 1000);
	int n[4] = { 0 }, v = 7;
	struct gr_case k[4] = { GR_RECV(a, &v), GR_RECV(NULL, NULL), GR_RECV(b, &v), GR_AT(1) };

	for (int i = 0; i < 1000; i++) {
		gr_chan_send(a, &v, GR_FOREVER);
		gr_chan_send(b, &v, GR_FOREVER);
	}
	for (int i = 0; i < 1000; i++)
		n[gr_select(k, 4, GR_NOW)]++;
	/* a fair choice is outside of this once in 10^20 runs */
	tap_ok(n[1] == 0 && n[0] > 190 && n[2] > 190 && n[3] > 190,
	       "%s: a choice at random: %d %d %d", mix.name, n[0], n[2], n[3]);
	n[0] = n[1] = 0;
	for (int i = 0; i < 100; i++)
		n[gr_select_ordered(&k[2], 2, GR_FOREVER) != 0]++;
	tap_ok(n[0] == 100, "%s: the first one that is ready", mix.name);
	gr_chan_release(a);
	gr_chan_release(b);
}

/* zeroes and ones into one channel from both cases of a select */
static void random_send(size_t cap)
{
	struct gr_chan *c = make(4, cap);
	int zero = 0, one = 1, ones = 0, v, n = 1000;
	struct gr_case k[2] = { GR_SEND(c, &zero), GR_SEND(c, &one) };

	for (int i = 0; i < n; i++) {
		v = -1;
		gr_select(k, 2, GR_FOREVER);
		gr_chan_recv(c, &v, GR_NOW);
		ones += v == 1;
	}
	tap_ok(ones > n / 4 && ones < n * 3 / 4, "%s: both sends are chosen (%d of %d)", mix.name,
	       ones, n);
	gr_chan_release(c);
}

/* ---- somebody else comes ---- */

static struct gr_chan *c1, *c2, *back;
static atomic_int wrong, woken;

static void send_later(void *arg)
{
	int v = 42;

	gr_sleep(gr_after(300 * GR_US));
	wrong += gr_chan_send(arg, &v, GR_FOREVER) != 0;
}

static void recv_later(void *arg)
{
	int v = 0;

	gr_sleep(gr_after(300 * GR_US));
	wrong += gr_chan_recv(arg, &v, GR_FOREVER) != 0 || v != 43;
}

static void close_later(void *arg)
{
	gr_sleep(gr_after(300 * GR_US));
	wrong += gr_chan_close(arg) != 0;
}

static void partners(void)
{
	int out = 43, in = 0, ret;
	struct gr_case k[3] = { GR_RECV(NULL, &in), GR_SEND(NULL, &out), GR_AT(GR_FOREVER) };

	wrong = 0;
	c1 = k[0].chan = make(4, 0);
	c2 = k[1].chan = make(4, 0);
	mix_go(send_later, c1);
	ret = gr_select(k, 3, gr_after(LONG));
	tap_ok(ret == 0 && k[0].result == 0 && in == 42, "%s: a sender comes", mix.name);
	mix_go(recv_later, c2);
	ret = gr_select(k, 3, gr_after(LONG));
	tap_ok(ret == 1 && k[1].result == 0, "%s: a receiver comes", mix.name);
	mix_go(close_later, c2);
	ret = gr_select(k, 3, gr_after(LONG));
	tap_ok(ret == 1 && k[1].result == -EPIPE, "%s: somebody closes what it sends to", mix.name);
	k[1].op = GR_OP_NONE;
	mix_go(close_later, c1);
	ret = gr_select(k, 3, gr_after(LONG));
	tap_ok(ret == 0 && k[0].result == -ENODATA, "%s: or receives from", mix.name);
	mix_join();
	tap_ok(!wrong, "%s: all of them succeeded", mix.name);
	k[0].op = GR_OP_NONE;
	k[2].when = gr_after(300 * GR_US);
	ret = gr_select(k, 3, gr_after(LONG));
	tap_ok(ret == 2 && k[2].result == 0 && gr_now() >= k[2].when, "%s: its time comes", mix.name);
	k[2].when = gr_after(LONG);
	tap_ok(gr_select(k, 3, gr_after(300 * GR_US)) == -ETIMEDOUT, "%s: or the deadline first",
	       mix.name);
	tap_ok(gr_select(k, 3, -5) == -ETIMEDOUT, "%s: also one long ago", mix.name);
	gr_chan_release(c1);
	gr_chan_release(c2);
}

/* A select that was chosen elsewhere has left the queues of its other channels (select6). */
static void waits_in_two(void *arg)
{
	int v = 0;
	struct gr_case k[2] = { GR_RECV(c1, &v), GR_RECV(c2, &v) };

	(void)arg;
	wrong += gr_select(k, 2, GR_FOREVER) < 0 || v != 42;
	woken++;
}

static void leaves_queues(void)
{
	int v = 42;

	wrong = woken = 0;
	c1 = make(4, 0);
	c2 = make(4, 0);
	for (int i = 0; i < 3; i++)
		mix_go(waits_in_two, NULL);
	gr_chan_send(c1, &v, GR_FOREVER);
	gr_chan_send(c2, &v, GR_FOREVER);
	gr_chan_send(c2, &v, GR_FOREVER);
	mix_join();
	tap_ok(woken == 3 && !wrong, "%s: three waiters, three values, two channels", mix.name);
	tap_ok(gr_chan_send(c1, &v, GR_NOW) == -EAGAIN && gr_chan_send(c2, &v, GR_NOW) == -EAGAIN,
	       "%s: and nobody is left behind", mix.name);
	gr_chan_release(c1);
	gr_chan_release(c2);
}

/* ---- the same channel in several cases; both ways; against itself ---- */

static void sends_many(void *arg)
{
	for (int i = 0; i < 500; i++)
		wrong += gr_chan_send(arg, &i, GR_FOREVER) != 0;
}

static void duplicates(void)
{
	int v = -1, w = -1, next = 0;
	struct gr_case k[3];

	wrong = 0;
	c1 = make(4, 0);
	k[0] = k[1] = (struct gr_case)GR_RECV(c1, &v);
	k[2] = (struct gr_case)GR_RECV(c1, &w);
	mix_go(sends_many, c1);
	while (next < 500) {
		int i = gr_select(k, 3, gr_after(LONG));

		wrong += i < 0 || (i == 2 ? w : v) != next;
		next++;
	}
	mix_join();
	tap_ok(!wrong, "%s: one channel in three cases keeps its order", mix.name);
	tap_ok(gr_select(k, 3, GR_NOW) == -EAGAIN, "%s: and is empty then", mix.name);
	gr_chan_release(c1);
}

/* both sides select send and receive on one channel: they meet, never themselves */
static void meets_itself(void *arg)
{
	int me = (int)(intptr_t)arg, in, i;
	struct gr_case k[2] = { GR_SEND(c1, &me), GR_RECV(c1, &in) };

	for (int n = 0; n < 1000; n++) {
		in = -1;
		i = gr_select(k, 2, gr_after(LONG));
		if (i == 1)
			wrong += in == me;
		else
			wrong += i != 0;
	}
	woken++;
}

static void self_select(void)
{
	int v = 0;
	struct gr_case k[2];

	wrong = woken = 0;
	c1 = make(4, 0);
	k[0] = (struct gr_case)GR_SEND(c1, &v);
	k[1] = (struct gr_case)GR_RECV(c1, &v);
	tap_ok(gr_select(k, 2, GR_NOW) == -EAGAIN && gr_select(k, 2, gr_after(GR_MS)) == -ETIMEDOUT,
	       "%s: a select does not meet itself", mix.name);
	mix_go(meets_itself, (void *)1);
	mix_go(meets_itself, (void *)2);
	mix_join();
	tap_ok(woken == 2 && !wrong, "%s: two of them meet each other", mix.name);
	gr_chan_release(c1);
	c1 = make(4, 10);
	mix_go(meets_itself, (void *)1);
	mix_join();
	tap_ok(woken == 3, "%s: with a buffer one is enough", mix.name);
	gr_chan_release(c1);
}

/* ---- "none is ready" is true at one instant ---- */

static void look_at_both(void *arg)
{
	struct gr_case k[2] = { GR_RECV(c1, NULL), GR_RECV(c2, NULL) };
	int ret = gr_select(k, 2, GR_NOW), v = 0;

	(void)arg;
	wrong += ret < 0;
	gr_chan_send(back, &v, GR_FOREVER);
}

/* c1 has a value until after c2 has one: somebody who looks at both finds one of them */
static void nonblock_race(bool closes)
{
	int rounds = mix.nr_procs ? 1000 : 200, v = 1;

	wrong = 0;
	back = make(4, 1);
	for (int i = 0; i < rounds; i++) {
		c1 = make(4, 1);
		c2 = make(4, closes ? 0 : 1);
		gr_chan_send(c1, &v, GR_FOREVER);
		mix_go(look_at_both, NULL);
		if (closes)
			gr_chan_close(c2);
		else
			gr_chan_send(c2, &v, GR_FOREVER);
		gr_chan_recv(c1, NULL, GR_NOW);
		gr_chan_recv(back, NULL, GR_FOREVER);
		gr_chan_release(c1);
		gr_chan_release(c2);
	}
	tap_ok(!wrong, "%s: one of two was always ready, and was found%s", mix.name,
	       closes ? " (close)" : "");
	mix_join();
	gr_chan_release(back);
}

/* ---- fairness ---- */

static void send_until_closed(void *arg)
{
	int v = 0;

	while (!gr_chan_send(arg, &v, GR_FOREVER))
		;
}

static void fairness(void)
{
	int n[2] = { 0 }, v;
	struct gr_case k[2];

	c1 = make(4, 1024);
	c2 = make(4, 1024);
	k[0] = (struct gr_case)GR_RECV(c1, &v);
	k[1] = (struct gr_case)GR_RECV(c2, &v);
	mix_go(send_until_closed, c1);
	mix_go(send_until_closed, c2);
	while (!gr_chan_len(c1) || !gr_chan_len(c2))
		gr_sleep(gr_after(20 * GR_US));
	for (int i = 0; i < 10000; i++) {
		int at = gr_select(k, 2, GR_FOREVER);

		n[at]++;
		/* both are ready, or the count would say how fast they were filled */
		while (!gr_chan_len(c1) || !gr_chan_len(c2))
			gr_sleep(gr_after(20 * GR_US));
	}
	gr_chan_close(c1);
	gr_chan_close(c2);
	mix_join();
	tap_ok(n[0] > 4000 && n[1] > 4000, "%s: two that are always ready: %d and %d", mix.name,
	       n[0], n[1]);
	gr_chan_release(c1);
	gr_chan_release(c2);
}

/* ---- tasks ---- */

static int seven(void *arg)
{
	gr_sleep(gr_after((intptr_t)arg * GR_US));
	return 7;
}

static int wait_for_ever(void *arg)
{
	struct gr_case k[2] = { GR_RECV(arg, NULL), GR_AT(GR_FOREVER) };

	return gr_select(k, 2, GR_FOREVER);
}

static int joins_itself(void *arg)
{
	struct gr_task **t = arg;
	struct gr_case k = { .op = GR_OP_JOIN };

	gr_sleep(gr_after(100 * GR_US));
	k.task = *t;
	return gr_select(&k, 1, GR_FOREVER);
}

static void joins(void)
{
	struct gr_task *fast, *slow, *self;
	struct gr_case k[2];
	int ret, result = 0;

	c1 = make(0, 0);
	gr_task_new(&fast, seven, (void *)300, NULL);
	gr_task_new(&slow, wait_for_ever, c1, NULL);
	k[0] = (struct gr_case)GR_JOIN(slow);
	k[1] = (struct gr_case)GR_JOIN(fast);
	tap_ok(gr_select(k, 2, gr_after(LONG)) == 1 && k[1].result == 7, "%s: a task ends",
	       mix.name);
	tap_ok(gr_select(k, 2, GR_NOW) == 1 && k[1].result == 7, "%s: and has ended", mix.name);
	tap_ok(gr_select(k, 1, GR_NOW) == -EAGAIN, "%s: the other one has not", mix.name);
	gr_task_cancel(slow);
	ret = gr_select(k, 1, gr_after(LONG));
	tap_ok(ret == 0 && k[0].result == -ECANCELED, "%s: a select is cancelled", mix.name);
	gr_task_release(fast);
	gr_task_release(slow);
	gr_task_new(&self, joins_itself, &self, NULL);
	gr_task_join(self, &result, GR_FOREVER);
	tap_ok(result == -EDEADLK, "%s: a task that joins itself: %d", mix.name, result);
	gr_task_release(self);
	gr_chan_release(c1);
}

/* ---- all that fit, on the smallest stack ---- */

static struct gr_chan *wide[GR_SELECT_MAX];

static void many_cases(void *arg)
{
	struct gr_case k[GR_SELECT_MAX];
	int v = -1;

	for (int i = 0; i < GR_SELECT_MAX; i++)
		k[i] = (struct gr_case)GR_RECV(wide[i * 37 % GR_SELECT_MAX], &v);
	for (int i = 0; i < GR_SELECT_MAX; i++) {
		int at = gr_select(k, GR_SELECT_MAX, gr_after(LONG));

		wrong += at < 0 || v != at * 37 % GR_SELECT_MAX;
		if (at >= 0)
			k[at].op = GR_OP_NONE;
	}
	woken++;
	(void)arg;
}

static void small_stack(void)
{
	struct gr_attr attr = { .size = sizeof(attr), .stack_size = 16384 };

	wrong = woken = 0;
	for (int i = 0; i < GR_SELECT_MAX; i++)
		wide[i] = make(4, 0);
	if (!mix.nr_procs || mix.mixed)
		mix_go(many_cases, NULL);
	else
		gr_go_with(many_cases, NULL, &attr);
	for (int i = 0; i < GR_SELECT_MAX; i++)
		gr_chan_send(wide[i], &i, GR_FOREVER);
	while (!woken)
		gr_sleep(gr_after(50 * GR_US));
	mix_join();
	tap_ok(!wrong, "%s: %d cases", mix.name, GR_SELECT_MAX);
	for (int i = 0; i < GR_SELECT_MAX; i++)
		gr_chan_release(wide[i]);
}

static void body(void)
{
	forms();
	misuse();
	choice();
	random_send(1);
	partners();
	leaves_queues();
	duplicates();
	self_select();
	nonblock_race(false);
	nonblock_race(true);
	fairness();
	small_stack();
	if (mix.nr_procs)
		joins();
}

int main(void)
{
	mix_run(body);
	return tap_done();
}
