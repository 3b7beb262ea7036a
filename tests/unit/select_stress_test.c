// SPDX-License-Identifier: MIT
/*
 * select_stress_test.c - selects against selects: every value arrives once, nobody stays behind.
 *
 * The behaviour of Go's test/chan programs select2 and doubleselect and of runtime's chan_test
 * SelectStress and MultiConsumer, and a storm of our own with all kinds of cases. GR_STRESS
 * multiplies the amount.
 */
#include <poll.h>

#include "mix.h"
#include "san.h"

static int factor = 1;
static atomic_int wrong, left;

static struct gr_chan *make(size_t elem, size_t cap)
{
	struct gr_chan *c = NULL;
	int ret = gr_chan_new(&c, elem, cap);

	if (ret)
		mix_fatal("gr_chan_new", ret);
	return c;
}

static uint32_t next(uint32_t *rnd)
{
	*rnd = *rnd * 1664525 + 1013904223;
	return *rnd >> 8;
}

/* threads and their futexes are slow: fewer turns for them */
static int turns(int n)
{
	return factor * (mix.nr_procs && !mix.mixed ? n : n / 20);
}

/* ---- SelectStress: four channels, all of them used singly and by selects ---- */

static struct gr_chan *four[4];

static void sends_to(void *arg)
{
	for (int i = 0; i < turns(4000); i++)
		wrong += gr_chan_send(arg, &i, GR_FOREVER) != 0;
	left--;
}

static void receives_from(void *arg)
{
	int v;

	for (int i = 0; i < turns(4000); i++)
		wrong += gr_chan_recv(arg, &v, GR_FOREVER) != 0 || v < 0;
	left--;
}

/* each case as often as the single ones do it, then switched off */
static void selects_of(bool send)
{
	int count[4] = { 0 }, v[4], n = turns(4000);
	struct gr_case k[4];

	for (int i = 0; i < 4; i++)
		k[i] = send ? (struct gr_case)GR_SEND(four[i], &v[i]) :
			      (struct gr_case)GR_RECV(four[3 - i], &v[i]);
	for (int i = 0; i < 4 * n; i++) {
		int at;

		for (int j = 0; j < 4; j++)
			v[j] = send ? count[j] : -1;
		at = gr_select(k, 4, GR_FOREVER);
		if (at < 0 || k[at].result || (!send && v[at] < 0)) {
			wrong++;
			break;
		}
		if (++count[at] == n)
			k[at].op = GR_OP_NONE;
	}
	left--;
}

static void selects_sends(void *arg)
{
	(void)arg;
	selects_of(true);
}

static void selects_receives(void *arg)
{
	(void)arg;
	selects_of(false);
}

static void stress(void)
{
	static const size_t caps[4] = { 0, 0, 2, 3 };

	wrong = 0;
	left = 10;
	for (int i = 0; i < 4; i++)
		four[i] = make(sizeof(int), caps[i]);
	for (int i = 0; i < 4; i++) {
		mix_go(sends_to, four[i]);
		mix_go(receives_from, four[i]);
	}
	mix_go(selects_sends, NULL);
	mix_go(selects_receives, NULL);
	mix_join();
	tap_ok(!wrong && !left, "%s: four channels, singly and by selects", mix.name);
	for (int i = 0; i < 4; i++)
		gr_chan_release(four[i]);
}

/* ---- doubleselect: one select never does two of its cases ---- */

static void sends_each_once(void *arg)
{
	int n = turns(20000);

	(void)arg;
	for (int i = 0; i < n; i++) {
		struct gr_case k[4];

		for (int j = 0; j < 4; j++)
			k[j] = (struct gr_case)GR_SEND(four[j], &i);
		wrong += gr_select(k, 4, GR_FOREVER) < 0;
	}
	for (int j = 0; j < 4; j++)
		gr_chan_close(four[j]);
}

static struct gr_chan *merged;

static void forwards(void *arg)
{
	int v;

	while (!gr_chan_recv(arg, &v, GR_FOREVER))
		wrong += gr_chan_send(merged, &v, GR_FOREVER) != 0;
	if (--left == 0)
		gr_chan_close(merged);
}

static void double_select(void)
{
	int n = turns(20000), v, total = 0, twice = 0;
	unsigned char *seen = calloc(n, 1);

	wrong = 0;
	left = 4;
	merged = make(sizeof(int), 0);
	for (int i = 0; i < 4; i++) {
		four[i] = make(sizeof(int), 0);
		mix_go(forwards, four[i]);
	}
	mix_go(sends_each_once, NULL);
	while (seen && !gr_chan_recv(merged, &v, GR_FOREVER)) {
		twice += seen[v]++;
		total++;
	}
	mix_join();
	tap_ok(total == n && !twice && !wrong, "%s: %d of %d values, %d twice", mix.name, total, n,
	       twice);
	for (int i = 0; i < 4; i++)
		gr_chan_release(four[i]);
	gr_chan_release(merged);
	free(seen);
}

/* ---- MultiConsumer: a line of selects from producers to a sum ---- */

#define STAGES 5

static struct gr_chan *in, *out;

static void stage(void *arg)
{
	int v;
	struct gr_case k[2] = { GR_RECV(in, &v), GR_NEVER };

	while (gr_select(k, 2, GR_FOREVER) == 0 && !k[0].result) {
		struct gr_case o = GR_SEND(out, &v);

		if (v % 7 == 0)
			gr_yield();
		wrong += gr_select(&o, 1, GR_FOREVER) != 0;
	}
	if (--left == 0)
		gr_chan_close(out);
	(void)arg;
}

static void produce(void *arg)
{
	for (int i = 1; i <= (int)(intptr_t)arg; i++)
		wrong += gr_chan_send(in, &i, GR_FOREVER) != 0;
	gr_chan_close(in);
}

static void multi_consumer(void)
{
	long sum = 0, n = turns(10000);
	int v;

	wrong = 0;
	left = STAGES;
	in = make(sizeof(int), 8);
	out = make(sizeof(int), 3);
	for (int i = 0; i < STAGES; i++)
		mix_go(stage, NULL);
	mix_go(produce, (void *)n);
	while (!gr_chan_recv(out, &v, GR_FOREVER))
		sum += v;
	mix_join();
	tap_ok(sum == n * (n + 1) / 2 && !wrong, "%s: %d stages lose nothing", mix.name, STAGES);
	gr_chan_release(in);
	gr_chan_release(out);
}

/* ---- select2: selects on a channel that nobody uses leave nothing behind ---- */

static long resident_kb(void)
{
	long pages = 0, dummy;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld %ld", &dummy, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void sends_zeroes(void *arg)
{
	struct gr_chan **c = arg;
	int v = 0;

	for (int i = 0; i < turns(100000); i++)
		wrong += gr_chan_send(c[0], &v, GR_FOREVER) != 0;
}

static void no_growth(void)
{
	struct gr_chan *c[2] = { make(sizeof(int), 0), make(sizeof(int), 0) };
	struct gr_case k[2] = { GR_RECV(c[0], NULL), GR_RECV(c[1], NULL) };
	long before = 0;

	wrong = 0;
	for (int round = 0; round < 2; round++) {
		mix_go(sends_zeroes, c);
		for (int i = 0; i < turns(100000); i++)
			wrong += gr_select(k, 2, GR_FOREVER) != 0;
		mix_join();
		if (!round)
			before = resident_kb();
	}
	before = resident_kb() - before;
#if defined(GR_ASAN) || defined(GR_TSAN)
	before = 0; /* it would be the sanitizer's own memory */
#endif
	tap_ok(!wrong && before < 1024, "%s: %d selects grow by %ld KiB", mix.name, turns(100000),
	       before);
	gr_chan_release(c[0]);
	gr_chan_release(c[1]);
}

/* ---- storm: values, timers, descriptors, times, deadlines, cancelled now and then ---- */

#define STORMERS 6

static atomic_int sent, received;

static struct gr_case some_case(uint32_t *rnd, struct gr_timer *t, int fd, const int *o, int *i)
{
	struct gr_chan *c = four[next(rnd) % 4];

	switch (next(rnd) % 8) {
	case 0:
		return (struct gr_case)GR_TIMER(t);
	case 1:
		return (struct gr_case)GR_AT(gr_after(next(rnd) % 50 * GR_US));
	case 2:
		return (struct gr_case)GR_FD(fd, POLLIN);
	case 3:
	case 4:
		return (struct gr_case)GR_RECV(c, i);
	default:
		return (struct gr_case)GR_SEND(c, o);
	}
}

static int storm(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg;
	struct gr_timer *t;
	int fds[2], o = 77, ret = 0;

	if (gr_timer_new(&t) || pipe(fds))
		return 1;
	for (int n = 0; n < turns(1000) && ret != -ECANCELED; n++) {
		struct gr_case k[5];
		int size = 1 + next(&rnd) % 5, in = -1;
		int64_t until = next(&rnd) % 8 ? gr_after(next(&rnd) % 100 * GR_US) : GR_NOW;

		for (int i = 0; i < size; i++)
			k[i] = some_case(&rnd, t, fds[0], &o, &in);
		if (next(&rnd) % 2)
			gr_timer_set(t, gr_after(next(&rnd) % 50 * GR_US), 0);
		ret = next(&rnd) % 2 ? gr_select(k, size, until) : gr_select_ordered(k, size, until);
		if (ret >= 0 && k[ret].op == GR_OP_SEND && !k[ret].result)
			sent++;
		if (ret >= 0 && k[ret].op == GR_OP_RECV && !k[ret].result)
			received++;
		/* a value came if and only if the case that received was chosen */
		wrong += (in == 77) != (ret >= 0 && k[ret].op == GR_OP_RECV);
		wrong += ret >= 0 && k[ret].op == GR_OP_FD;
		if (next(&rnd) % 16 == 0)
			gr_yield();
	}
	gr_timer_release(t);
	gr_close(fds[0]);
	gr_close(fds[1]);
	return 0;
}

static void storm_plain(void *arg)
{
	wrong += storm(arg) != 0;
}

static void storms(void)
{
	struct gr_task *t[STORMERS];
	int ret, rest = 0;

	wrong = sent = received = 0;
	for (int i = 0; i < 4; i++)
		four[i] = make(sizeof(int), i % 2 * 2);
	for (int i = 0; i < STORMERS; i++) {
		mix_go(storm_plain, (void *)(intptr_t)(i * 101 + 1));
		ret = gr_task_new(&t[i], storm, (void *)(intptr_t)(i * 103 + 7), NULL);
		if (ret)
			mix_fatal("gr_task_new", ret);
	}
	for (int i = 0; i < STORMERS; i++) {
		if (i % 2) {
			gr_sleep(gr_after(GR_MS));
			gr_task_cancel(t[i]);
		}
		gr_task_join(t[i], &ret, GR_FOREVER);
		wrong += ret != 0;
		gr_task_release(t[i]);
	}
	mix_join();
	for (int i = 0; i < 4; i++) {
		rest += (int)gr_chan_len(four[i]);
		gr_chan_release(four[i]);
	}
	tap_ok(sent == received + rest && !wrong, "%s: storm: %d sent, %d received, %d left",
	       mix.name, sent, received, rest);
}

static void body(void)
{
	stress();
	double_select();
	multi_consumer();
	no_growth();
	if (mix.nr_procs)
		storms();
}

int main(void)
{
	const char *s = getenv("GR_STRESS");

	factor = s ? atoi(s) : 1;
	if (factor <= 0)
		return 1;
	mix_run(body);
	return tap_done();
}
