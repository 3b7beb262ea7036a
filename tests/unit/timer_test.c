// SPDX-License-Identifier: MIT
/*
 * timer_test.c - the heap of timers against a plain array, on a P of its own; del against run
 * from two threads; and gr_sleep() with many sleepers.
 */
#include "gr_int.h"
#include "mix.h"

#define NR 3000

static struct gr_hint_proc hint;
static struct p proc = { .q = &hint };
static struct timer timers[NR];
static bool armed[NR];
static int64_t last_when;
static int fired_count, fired_wrong;

static struct g *fire(struct timer *t)
{
	fired_count++;
	fired_wrong += t->when < last_when || !armed[t - timers];
	last_when = t->when;
	armed[t - timers] = false;
	return NULL;
}

static uint32_t rnd(void)
{
	static uint32_t x = 1;

	x ^= x << 13;
	x ^= x >> 17;
	return x ^= x << 5;
}

static bool heap_ok(void)
{
	for (int i = 0; i < proc.nr_timers; i++)
		if (proc.slots[proc.heap[i].slot].index != i ||
		    proc.slots[proc.heap[i].slot].t->when != proc.heap[i].when ||
		    (i && proc.heap[(i - 1) / 4].when > proc.heap[i].when))
			return false;
	return true;
}

/* what the model says: the earliest armed deadline, and how many are armed */
static int model(int64_t *next)
{
	int n = 0;

	*next = INT64_MAX;
	for (int i = 0; i < NR; i++) {
		if (!armed[i])
			continue;
		n++;
		if (timers[i].when < *next)
			*next = timers[i].when;
	}
	return n;
}

/* all that is due: one call fires a batch */
static int run_all(int64_t now)
{
	int n = 0, all = 0;

	while ((n = timers_run(&proc, now)))
		all += n;
	return all;
}

static void heap_follows_model(void)
{
	int left, bad_heap = 0, bad_next = 0, bad_pending = 0, bad_del = 0;
	int64_t next, now = 0;

	tap_ok(timers_next(&proc) == INT64_MAX, "a fresh P has no deadline");
	for (int i = 0; i < NR; i++)
		timer_init(&timers[i], fire);
	for (int round = 0; round < 20000; round++) {
		int i = (int)(rnd() % NR);

		if (!armed[i]) {
			timer_add_to(&proc, &timers[i], now + 1 + rnd() % 5000);
			armed[i] = true;
		} else if (rnd() % 2) {
			bad_del += !timer_del(&timers[i]) || timer_del(&timers[i]);
			armed[i] = false;
		}
		if (round % 500 == 499) {
			now += 700;
			last_when = 0;
			run_all(now);
		}
		if (round % 50)
			continue;
		bad_heap += !heap_ok();
		bad_pending += model(&next) != (int)hint.pending;
		bad_next += timers_next(&proc) != next || (next <= now && next != INT64_MAX);
	}
	tap_ok(!bad_heap, "heap order holds");
	tap_ok(!bad_next, "the published deadline is the earliest one, and not overdue");
	tap_ok(!bad_pending, "pending counts armed timers");
	tap_ok(!bad_del, "del says true once");
	tap_ok(fired_count > NR && !fired_wrong, "%d fired in order, none twice", fired_count);
	last_when = 0;
	left = model(&next);
	tap_ok(left && run_all(INT64_MAX - 1) == left, "run returns how many");
	tap_ok(timers_next(&proc) == INT64_MAX && !hint.pending, "all gone");
}

static void odd_deadlines(void)
{
	struct timer *t = &timers[0];

	timer_init(t, fire);
	tap_ok(!timer_del(t), "del of a timer that was never armed is false");
	timer_add_to(&proc, t, 0);
	armed[0] = true;
	last_when = 0;
	tap_ok(timers_next(&proc) == 1, "a deadline of 0 does not read as none");
	tap_ok(timers_run(&proc, 0) == 0 && timers_run(&proc, 1) == 1, "and fires");
	timer_add_to(&proc, t, 5);
	timer_init(&timers[1], fire);
	timer_add_to(&proc, &timers[1], 9);
	tap_ok(timer_del(t) && timers_next(&proc) == 9, "del of the earliest publishes the next");
	timers_fini(&proc);
	tap_ok(timers_next(&proc) == INT64_MAX && !hint.pending, "fini forgets what is armed");
}

/* ---- del against run ---- */

static atomic_int fires;
static atomic_bool stop;

static struct g *count_fire(struct timer *t)
{
	(void)t;
	atomic_fetch_add(&fires, 1);
	return NULL;
}

static void *runner(void *arg)
{
	while (!atomic_load(&stop))
		run_all(1 << 20);
	return arg;
}

static void del_races_run(void)
{
	int deleted = 0, wrong = 0;
	pthread_t t;

	atomic_store(&fires, 0);
	pthread_create(&t, NULL, runner, NULL);
	for (int i = 0; i < 200000; i++) {
		struct timer tm; /* on the stack, as a waiter's: gone after del */
		int before = atomic_load(&fires), after;
		bool del;

		timer_init(&tm, count_fire);
		timer_add_to(&proc, &tm, 1 + i % 7);
		for (int spin = i % 64; spin; spin--)
			atomic_signal_fence(memory_order_seq_cst);
		del = timer_del(&tm);
		after = atomic_load(&fires);
		deleted += del;
		wrong += after - before != !del;
		memset(&tm, 0xee, sizeof(tm));
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	tap_ok(!wrong, "fired or deleted, never both or none (%d deleted)", deleted);
	tap_ok(atomic_load(&fires) + deleted == 200000 && !hint.pending, "all accounted for");
}

/* ---- through the scheduler ---- */

static atomic_int slept, early;

static void sleeper(void *arg)
{
	uintptr_t n = (uintptr_t)arg;

	for (int i = 0; i < 10; i++) {
		int64_t until = gr_after((int64_t)(n * 7919 % 3000) * GR_US);

		gr_sleep(until);
		early += gr_now() < until;
		slept++;
	}
}

static void body(void)
{
	int n = mix.nr_procs && !mix.mixed ? 1000 : 50;

	slept = early = 0;
	for (int i = 0; i < n; i++)
		mix_go(sleeper, (void *)(uintptr_t)i);
	mix_join();
	tap_ok(slept == 10 * n, "%s: %d sleepers all woke", mix.name, n);
	tap_ok(!early, "%s: none before its time", mix.name);
}

int main(void)
{
	heap_follows_model();
	odd_deadlines();
	del_races_run();
	tap_ok(gr_after(INT64_MAX) == GR_FOREVER, "gr_after saturates");
	tap_ok(gr_after(INT64_MIN) != GR_NOW, "and never says GR_NOW");
	tap_ok(gr_sleep(GR_NOW) == 0 && gr_sleep(-5) == 0, "sleeping until the past is no sleep");
	mix_run(body);
	return tap_done();
}
