// SPDX-License-Identifier: MIT
/*
 * sem_test.c - gr_sem: never more than there are, first come first served, hand-over, deadlines,
 * cancellation, bad input, free after acquire. After Go's TestSemaHandoff.
 */
#include "cancelled.h"

static struct gr_sem sem = GR_SEM_INIT(0);
static atomic_int order, served, wrong;
static atomic_long in, taken, gave_up;

/* ---- storm ---- */

#define WORKERS 6
#define ROUNDS 2000
#define MOST 5

static void take_some(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t n, deadline = GR_FOREVER;
		int ret;

		rnd = rnd * 1664525 + 1013904223;
		n = (rnd >> 8) % MOST + 1;
		if (rnd >> 30 == 0)
			deadline = gr_after((rnd >> 16) % 50 * GR_US);
		else if (rnd >> 30 == 1)
			deadline = GR_NOW;
		ret = gr_sem_acquire(&sem, n, deadline);
		if (ret) {
			wrong += deadline == GR_FOREVER;
			wrong += ret != (deadline == GR_NOW ? -EAGAIN : -ETIMEDOUT);
			gave_up++;
			continue;
		}
		taken++;
		wrong += atomic_fetch_add(&in, n) + n > MOST;
		if (i % 64 == 0)
			gr_sleep(gr_after(20 * GR_US));
		atomic_fetch_sub(&in, n);
		wrong += gr_sem_release(&sem, n) != 0;
	}
}

static void storm(void)
{
	wrong = 0;
	in = taken = gave_up = 0;
	gr_sem_release(&sem, MOST);
	for (int i = 0; i < WORKERS; i++)
		mix_go(take_some, (void *)(uintptr_t)(i + 1));
	mix_join();
	tap_ok(taken + gave_up == WORKERS * ROUNDS && !wrong, "%s: never more than there are",
	       mix.name);
	tap_ok(sem.count == MOST && !sem.head && !sem.lock, "%s: all back in the end", mix.name);
	gr_sem_acquire(&sem, MOST, GR_NOW);
}

/* ---- order ---- */

struct want {
	int64_t n;
	int64_t deadline;
	atomic_int ret; /* 1: it has not returned */
	int order;
};

static void acquire(void *arg)
{
	struct want *w = arg;

	w->ret = gr_sem_acquire(&sem, w->n, w->deadline);
	w->order = ++order;
	served++;
}

static int queued(void)
{
	return queue_len(&sem.lock, &sem.head);
}

/* start it, and come back when it queues, or is back already on a machine that was busy */
static bool queue(struct want *w)
{
	int before = queued();

	w->ret = 1;
	mix_go(acquire, w);
	while (queued() == before && w->ret == 1)
		gr_sleep(gr_after(50 * GR_US));
	return w->ret == 1;
}

static void big_first(void)
{
	struct want big = { .n = 5, .deadline = GR_FOREVER };
	struct want small = { .n = 1, .deadline = GR_FOREVER };

	order = served = 0;
	queue(&big);
	queue(&small);
	for (int i = 0; i < 4; i++)
		gr_sem_release(&sem, 1);
	tap_ok(gr_sem_acquire(&sem, 1, GR_NOW) == -EAGAIN, "%s: a newcomer does not pass",
	       mix.name);
	gr_sleep(gr_after(GR_MS));
	tap_ok(!order, "%s: nor does a small one behind a big one", mix.name);
	gr_sem_release(&sem, 1);
	while (!served)
		gr_sleep(gr_after(50 * GR_US));
	tap_ok(big.order == 1 && !big.ret, "%s: the big one first", mix.name);
	gr_sem_release(&sem, 1);
	mix_join();
	tap_ok(small.order == 2 && !small.ret && !sem.count, "%s: then the small one", mix.name);
}

static void big_gives_up(void)
{
	struct want small = { .n = 1, .deadline = GR_FOREVER };
	struct want big = { .n = 5 };
	int64_t patience = 20 * GR_MS;

	order = 0;
	gr_sem_release(&sem, 2);
	do {
		mix_join();
		big.deadline = gr_after(patience);
		patience *= 4;
	} while (!queue(&big));
	queue(&small);
	mix_join();
	tap_ok(big.ret == -ETIMEDOUT && !small.ret && sem.count == 1,
	       "%s: a big one that gives up lets the small one through", mix.name);
	gr_sem_acquire(&sem, 1, GR_NOW);
}

/* ---- hand-over, and the memory afterwards ---- */

#define GONE 500

static struct gr_sem gone[GONE];

static void release_one(void *arg)
{
	gr_sem_release(arg, 1);
}

static void handoff(void)
{
	struct want w = { .n = 1, .deadline = GR_FOREVER };
	int stolen = 0, touched = 0;
	struct gr_sem ee;

	for (int i = 0; i < 100; i++) {
		queue(&w);
		gr_sem_release(&sem, 1);
		stolen += !gr_sem_acquire(&sem, 1, GR_NOW);
		mix_join();
	}
	tap_ok(!stolen, "%s: what is released to a waiter is the waiter's", mix.name);
	memset(&ee, 0xee, sizeof(ee));
	memset(gone, 0, sizeof(gone));
	for (int i = 0; i < GONE; i++) {
		mix_go(release_one, &gone[i]);
		gr_sem_acquire(&gone[i], 1, GR_FOREVER);
		memset(&gone[i], 0xee, sizeof(gone[i]));
	}
	mix_join();
	for (int i = 0; i < GONE; i++)
		touched += memcmp(&gone[i], &ee, sizeof(ee)) != 0;
	tap_ok(!touched, "%s: release does not touch it after it was acquired", mix.name);
}

/* ---- release while the only waiter has timed out, and still stands in the queue ---- */

static atomic_int late;

static void acquire_late(void *deadline)
{
	late = gr_sem_acquire(&sem, 1, *(int64_t *)deadline);
}

static bool is_queued(void)
{
	return queued();
}

static void timed_out_late(void)
{
	wrong = 0;
	for (int i = 0; i < 5; i++) {
		time_out(acquire_late, is_queued);
		gr_sem_release(&sem, 1);
		mix_join();
		wrong += late && late != -ETIMEDOUT;
		wrong += gr_sem_acquire(&sem, 1, GR_NOW) != (late ? 0 : -EAGAIN);
		wrong += sem.count || sem.head;
	}
	tap_ok(!wrong, "%s: released to one that has timed out", mix.name);
}

/* ---- cancellation ---- */

static int acquire_it(void *arg)
{
	return gr_sem_acquire(arg, 1, GR_FOREVER);
}

static int acquire_big(void *arg)
{
	return gr_sem_acquire(arg, 3, GR_FOREVER);
}

static void cancelled(void)
{
	check_cancel("acquire", acquire_it, &sem);
	tap_ok(!sem.count && !sem.head, "%s: who gave up left no trace", mix.name);
	gr_sem_release(&sem, 1);
	check_cancel("acquire 3 of 1", acquire_big, &sem);
	tap_ok(gr_sem_acquire(&sem, 1, GR_NOW) == 0, "%s: ... and took nothing", mix.name);
}

static void body(void)
{
	storm();
	big_first();
	big_gives_up();
	handoff();
	timed_out_late();
	cancelled();
}

int main(void)
{
	struct gr_sem s = GR_SEM_INIT(2);

	tap_ok(gr_sem_acquire(NULL, 1, GR_NOW) == -EINVAL && gr_sem_release(NULL, 1) == -EINVAL,
	       "NULL");
	tap_ok(gr_sem_acquire(&s, 0, GR_NOW) == -EINVAL && gr_sem_acquire(&s, -1, GR_NOW) == -EINVAL,
	       "less than 1 is refused");
	tap_ok(gr_sem_release(&s, 0) == -EINVAL && gr_sem_release(&s, INT64_MIN) == -EINVAL,
	       "by release, too");
	tap_ok(gr_sem_release(&s, INT64_MAX) == -EOVERFLOW && s.count == 2, "overflow is refused");
	tap_ok(gr_sem_acquire(&s, 2, GR_NOW) == 0 && gr_sem_acquire(&s, 1, GR_NOW) == -EAGAIN,
	       "GR_NOW takes what is there");
	tap_ok(gr_sem_acquire(&s, 1, 1) == -ETIMEDOUT && !s.head, "a deadline long ago");
	s = (struct gr_sem)GR_SEM_INIT(-1);
	tap_ok(gr_sem_acquire(&s, 1, GR_NOW) == -EINVAL && gr_sem_acquire(&s, 1, GR_FOREVER) ==
	       -EINVAL && gr_sem_release(&s, 1) == -EINVAL, "it cannot begin below 0");
	mix_run(body);
	return tap_done();
}
