// SPDX-License-Identifier: MIT
/*
 * timer_test.c - the heap of timers against a plain array, on a P of its own; many of them; many
 * that are deleted; del against run from two threads; and gr_sleep() with many sleepers.
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

/* order, slots, and how many entries are those of deleted timers */
static bool heap_ok(void)
{
	int live = 0;

	for (int i = 0; i < proc.nr_heap; i++) {
		struct timer *t = proc.slots[proc.heap[i].slot].t;

		live += t != NULL;
		if ((t && (t->slot != (int32_t)proc.heap[i].slot || t->when != proc.heap[i].when)) ||
		    (i && proc.heap[(i - 1) / 4].when > proc.heap[i].when))
			return false;
	}
	return live == proc.nr_timers && proc.nr_heap <= 2 * live + 64;
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
	tap_ok(!bad_heap, "heap order holds, slots are right, not many dead entries");
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

/* ---- many ---- */

#define MANY 100000
#define HOUR (3600 * GR_SEC)

static struct timer *many;
static int many_fired, many_wrong;
static int64_t many_now;

static struct g *fire_many(struct timer *t)
{
	many_fired++;
	many_wrong += t->when < last_when || t->when > many_now;
	last_when = t->when;
	return NULL;
}

static void arm_many(int n, int64_t from, int64_t range)
{
	for (int i = 0; i < n; i++) {
		timer_init(&many[i], fire_many);
		timer_add_to(&proc, &many[i],
			     from + (int64_t)(((uint64_t)rnd() << 32 | rnd()) % (uint64_t)range));
	}
	many_fired = many_wrong = 0;
	last_when = 0;
}

/* as an idle P does: again and again at the deadline that is published; how many times in vain */
static int run_until_empty(void)
{
	int vain = 0;

	while ((many_now = timers_next(&proc)) != INT64_MAX) {
		int n = timers_run(&proc, many_now);

		vain += !n;
		many_wrong += n > TIMER_BATCH;
	}
	return vain;
}

static void many_in_order(void)
{
	arm_many(MANY, 1, 1000 * HOUR);
	tap_ok(!run_until_empty() && many_fired == MANY && !many_wrong, "%d fire in order", MANY);
	arm_many(MANY, 1, 300);
	tap_ok(!run_until_empty() && many_fired == MANY && !many_wrong, "also in crowds");
	arm_many(MANY / 10, GR_FOREVER - 1000, 1000);
	tap_ok(timers_run(&proc, GR_FOREVER - 1001) == 0, "the far future does not fire early");
	tap_ok(!run_until_empty() && many_fired == MANY / 10 && !many_wrong, "but fires");
	arm_many(MANY / 10, -HOUR, HOUR);
	tap_ok(timers_next(&proc) == 1, "the past is due");
	tap_ok(!run_until_empty() && many_fired == MANY / 10, "and fires");
}

/* timeouts that are set and nearly never pass: dead entries must not pile up */
static void many_deleted(void)
{
	int bad = 0, live = MANY / 10;

	arm_many(live, 2 * HOUR, HOUR);
	for (int i = 0; i < MANY; i++) {
		struct timer *t = &many[i % live]; /* the one that was armed first */

		bad += !timer_del(t);
		timer_add_to(&proc, t, 3 * HOUR + i * GR_MS + rnd() % 8 * GR_MS);
		bad += proc.nr_heap > 2 * live;
	}
	tap_ok(!bad && heap_ok(), "armed anew all the time, the heap stays small");
	for (int i = live - 1; i > 0; i--)
		bad += !timer_del(&many[i]);
	tap_ok(!bad && heap_ok() && timers_next(&proc) == many[0].when,
	       "all but one deleted: its deadline is published");
	tap_ok(timer_del(&many[0]) && !proc.nr_heap && timers_next(&proc) == INT64_MAX,
	       "the last one deleted: nothing is left");
}

/* between a timer and the next one were many, which are dead: nobody cleans up at once */
static void dead_behind_the_top(void)
{
	const int dying = MANY / 10;
	int vain;

	arm_many(MANY, 3 * HOUR, HOUR);
	timer_del(&many[0]);
	timer_add_to(&proc, &many[0], 1);
	for (int i = 1; i <= dying; i++) {
		timer_del(&many[i]);
		timer_add_to(&proc, &many[i], HOUR + i);
	}
	for (int i = 1; i <= dying; i++)
		timer_del(&many[i]);
	tap_ok(heap_ok() && (int)hint.pending == MANY - dying, "dead ones are not counted");
	many_now = 1;
	timers_run(&proc, 1);
	tap_ok(many_fired == 1 && timers_next(&proc) > 1, "the one before them fires");
	vain = run_until_empty();
	tap_ok(many_fired == MANY - dying && !many_wrong, "those behind them fire, in order");
	tap_ok(vain && vain <= dying / 64 + 1, "the dead are dropped in %d steps", vain);
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
	many = calloc(MANY, sizeof(*many));
	many_in_order();
	many_deleted();
	dead_behind_the_top();
	free(many);
	del_races_run();
	tap_ok(gr_after(INT64_MAX) == GR_FOREVER, "gr_after saturates");
	tap_ok(gr_after(INT64_MIN) != GR_NOW, "and never says GR_NOW");
	tap_ok(gr_sleep(GR_NOW) == 0 && gr_sleep(-5) == 0, "sleeping until the past is no sleep");
	mix_run(body);
	return tap_done();
}
