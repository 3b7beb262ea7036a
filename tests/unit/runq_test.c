// SPDX-License-Identifier: MIT
/*
 * runq_test.c - the run queues alone, without a runtime: threads that put, get and steal at
 * random on a P each. Whatever was put comes out once; what nobody stole comes in its order.
 *
 * runq.c only passes pointers on, so items stand for goroutines.
 */
#include "park.h"
#include "runq.h"

#include "mix.h"

#define PS 3
#define STEPS 200000
#define BURST 40
#define ITEMS (1 << 14) /* of each thread; used again when they came out */

struct item {
	_Atomic int queued; /* 1 while it is in a queue */
	uint32_t number;
};

static struct p *procs[PS];
static struct gr_hint_proc hints[PS];
static struct gr_hint hint;
static struct item items[PS][ITEMS];
static _Atomic long put, got, doubled;
static _Atomic bool disorder, stop;

static void set_up(void)
{
	park_tab.hint = &hint;
	for (int i = 0; i < PS; i++) {
		if (!procs[i])
			procs[i] = aligned_alloc(CACHELINE, sizeof(struct p));
		memset(procs[i], 0, sizeof(struct p));
		memset(&hints[i], 0, sizeof(hints[i]));
		procs[i]->q = &hints[i];
	}
	atomic_store(&put, 0);
	atomic_store(&got, 0);
	atomic_store(&doubled, 0);
	atomic_store(&disorder, false);
	atomic_store(&stop, false);
}

static void take(struct g *g)
{
	struct item *it = (struct item *)g;

	if (!g)
		return;
	if (atomic_exchange(&it->queued, 0) != 1)
		atomic_fetch_add(&doubled, 1);
	atomic_fetch_add(&got, 1);
}

static void put_one(struct p *p, struct item *it, bool next)
{
	atomic_store(&it->queued, 1);
	atomic_fetch_add(&put, 1);
	runq_put_local(p, (struct g *)it, next);
}

static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

static struct g *get_one(struct p *p)
{
	bool inherit;

	return runq_get_local(p, &inherit);
}

/* ---- everything at once ---- */

static void step(struct p *p, int me, uint32_t *used, uint32_t *rng)
{
	uint32_t r = next_random(rng), n = r / 64 % BURST;
	struct p *victim = procs[r / 8192 % PS];

	switch (r % 16) {
	case 0: /* more than fits, now and then */
		for (struct item *it; n; n--) {
			it = &items[me][(*used)++ % ITEMS];
			if (!atomic_load(&it->queued))
				put_one(p, it, n % 4 == 0);
		}
		break;
	case 1:
	case 2:
		if (victim != p)
			take(runq_steal(p, victim));
		break;
	case 3:
		if (victim != p && n == 0)
			take(runq_steal_next(victim));
		break;
	case 4:
		runq_demote_next_local(p);
		break;
	case 5:
		if (runq_len(p) < RUNQ_SIZE / 2)
			take(globq_get_local(p, 32));
		break;
	default:
		take(get_one(p));
	}
}

static void *mixed(void *arg)
{
	int me = (int)(intptr_t)arg;
	uint32_t rng = 2463534242u + (uint32_t)me, used = 0;

	for (int i = 0; i < STEPS; i++)
		step(procs[me], me, &used, &rng);
	return NULL;
}

static void all_calls(void)
{
	pthread_t threads[PS];
	struct g *g;

	set_up();
	for (int i = 0; i < PS; i++)
		if (pthread_create(&threads[i], NULL, mixed, (void *)(intptr_t)i))
			exit(1);
	for (int i = 0; i < PS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < PS; i++)
		while ((g = get_one(procs[i])))
			take(g);
	while ((g = globq_get_local(procs[0], 1)))
		take(g);
	tap_ok(!atomic_load(&doubled), "nothing came twice");
	tap_ok(put > PS * STEPS / 2 && put == got, "all of %ld came", (long)put);
	tap_ok(!globq_len() && runq_empty(procs[0]) && runq_empty(procs[1]) &&
	       runq_empty(procs[2]), "nothing is left");
}

/* ---- order ---- */

/* steals from P 0 and looks whether what it got rises: all but the last of a batch */
static void *thief(void *arg)
{
	struct p *p = procs[1];
	struct g *g;

	(void)arg;
	while (!atomic_load(&stop)) {
		uint32_t last = 0;

		take(runq_steal(p, procs[0]));
		while ((g = get_one(p))) {
			struct item *it = (struct item *)g;

			if (it->number <= last)
				atomic_store(&disorder, true);
			last = it->number;
			take(g);
		}
	}
	return NULL;
}

static void in_order(void)
{
	uint32_t last = 0, n = 0, rng = 88172645;
	pthread_t thread;
	struct g *g;

	set_up();
	if (pthread_create(&thread, NULL, thief, NULL))
		exit(1);
	while (n < STEPS) {
		for (uint32_t i = next_random(&rng) % BURST; i && n < STEPS; i--) {
			struct item *it = &items[0][n++ % ITEMS];

			it->number = n;
			put_one(procs[0], it, false);
		}
		for (uint32_t i = next_random(&rng) % BURST; i && (g = get_one(procs[0])); i--) {
			struct item *it = (struct item *)g;

			if (it->number <= last)
				atomic_store(&disorder, true);
			last = it->number;
			take(g);
		}
		while (runq_len(procs[0]) > RUNQ_SIZE - BURST)
			take(get_one(procs[0])); /* what overflows loses its place */
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	while ((g = get_one(procs[0])))
		take(g);
	tap_ok(!atomic_load(&disorder), "in order for the owner, and for a thief");
	tap_ok(put == STEPS && got == STEPS && !doubled && !globq_len(),
	       "each of %d came once", STEPS);
}

/* ---- the borders ---- */

static void borders(void)
{
	struct p *p = procs[0];
	bool inherit;

	set_up();
	tap_ok(!get_one(p) && !runq_steal(procs[1], p) && !runq_steal_next(p) && runq_empty(p),
	       "empty");
	hints[0].head = hints[0].tail = UINT32_MAX - RUNQ_SIZE / 2;
	for (int i = 0; i < RUNQ_SIZE; i++)
		put_one(p, &items[0][i], false);
	tap_ok(runq_len(p) == RUNQ_SIZE && !globq_len(), "full, past the end of its counters");
	put_one(p, &items[0][RUNQ_SIZE], false);
	tap_ok(runq_len(p) == RUNQ_SIZE / 2 && globq_len() == RUNQ_SIZE / 2 + 1,
	       "one more: half of it and that one overflow");
	put_one(p, &items[0][RUNQ_SIZE + 1], true);
	put_one(p, &items[0][RUNQ_SIZE + 2], true);
	tap_ok(runq_get_local(p, &inherit) == (struct g *)&items[0][RUNQ_SIZE + 2] && inherit &&
	       runq_len(p) == RUNQ_SIZE / 2 + 1, "runnext: the last one, the one before queues");
	tap_ok(runq_get_local(p, &inherit) == (struct g *)&items[0][RUNQ_SIZE / 2] && !inherit,
	       "then the ring, from its head");
	tap_ok(runq_steal(procs[1], p) != NULL && runq_len(procs[1]) == RUNQ_SIZE / 4 - 1 &&
	       runq_len(p) == RUNQ_SIZE / 4, "a thief takes half");
	while (globq_get_local(p, 1))
		;
}

int main(void)
{
	tap_limit(120);
	set_up();
	borders();
	for (int i = 0; i < 3; i++)
		all_calls();
	in_order();
	return tap_done();
}
