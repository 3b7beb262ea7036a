// SPDX-License-Identifier: MIT
/*
 * mutex_test.c - gr_mutex: exclusion, order, nobody starves, deadlines, cancellation, misuse, free
 * after unlock. After Go's TestMutex, TestMutexFairness and TestMutexMisuse.
 */
#include "cancelled.h"

#define WORKERS 6
#define ROUNDS 5000

static struct gr_mutex mu = GR_MUTEX_INIT;
static long plain;
static atomic_long taken, timed_out, inside, wrong;

static void critical(void)
{
	wrong += atomic_fetch_add(&inside, 1) != 0;
	plain++;
	if (plain % 64 == 0)
		gr_sleep(gr_after(20 * GR_US)); /* sleeps with the mutex held */
	atomic_fetch_sub(&inside, 1);
}

static void count_up(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t until = GR_FOREVER;
		int ret;

		rnd = rnd * 1664525 + 1013904223;
		if (rnd >> 30 == 0)
			until = gr_after((rnd >> 16) % 50 * GR_US);
		else if (rnd >> 30 == 1)
			until = GR_NOW;
		ret = gr_mutex_lock(&mu, until);
		if (ret) {
			wrong += ret != (until == GR_NOW ? -EAGAIN : -ETIMEDOUT);
			wrong += until == GR_FOREVER;
			timed_out++;
			continue;
		}
		critical();
		taken++;
		wrong += gr_mutex_unlock(&mu) != 0;
	}
}

static void storm(void)
{
	plain = 0;
	taken = timed_out = wrong = 0;
	for (int i = 0; i < WORKERS; i++)
		mix_go(count_up, (void *)(uintptr_t)(i + 1));
	mix_join();
	tap_ok(taken + timed_out == WORKERS * ROUNDS, "%s: every call returned", mix.name);
	tap_ok(plain == taken, "%s: one at a time: %ld of %ld", mix.name, plain, taken);
	tap_ok(!wrong, "%s: no wrong result", mix.name);
	tap_ok(gr_mutex_unlock(&mu) == -EPERM && !mu.head && !mu.lock, "%s: free in the end",
	       mix.name);
}

/* ---- FIFO ---- */

static int order[8];
static atomic_int next;

static void queue_up(void *arg)
{
	gr_mutex_lock(&mu, GR_FOREVER);
	order[next++] = (int)(intptr_t)arg;
	gr_mutex_unlock(&mu);
}

static int queued(void)
{
	return queue_len(&mu.lock, &mu.head);
}

static void fifo(void)
{
	bool sorted = true;

	next = 0;
	gr_mutex_lock(&mu, GR_FOREVER);
	for (int i = 0; i < 8; i++) {
		mix_go(queue_up, (void *)(intptr_t)i);
		while (queued() != i + 1)
			gr_sleep(gr_after(50 * GR_US));
	}
	tap_ok(gr_mutex_lock(&mu, GR_NOW) == -EAGAIN, "%s: GR_NOW does not wait", mix.name);
	tap_ok(gr_mutex_lock(&mu, gr_after(GR_MS)) == -ETIMEDOUT, "%s: deadline", mix.name);
	gr_mutex_unlock(&mu);
	mix_join();
	for (int i = 0; i < 8; i++)
		sorted &= order[i] == i;
	tap_ok(sorted && next == 8, "%s: woken in the order of arrival", mix.name);
}

/* ---- nobody starves ---- */

#define STARVING 8

static atomic_int has_it, let_go;

static void take_and_hold(void *arg)
{
	(void)arg;
	gr_mutex_lock(&mu, GR_FOREVER);
	has_it = 1;
	while (!let_go)
		gr_sleep(gr_after(50 * GR_US));
	gr_mutex_unlock(&mu);
}

static bool starving(void)
{
	return __atomic_load_n(&mu.state, __ATOMIC_RELAXED) & STARVING;
}

/* One that has waited for over 1 ms, woke, and was passed once more: the mutex is its next. */
static void handed_over(void)
{
	int passed = 0, stolen = 0;

	for (int i = 0; i < 500 && passed < 3; i++) {
		has_it = let_go = 0;
		gr_mutex_lock(&mu, GR_FOREVER);
		mix_go(take_and_hold, NULL);
		while (!queued())
			gr_sleep(gr_after(50 * GR_US));
		gr_sleep(gr_after(2 * GR_MS));
		gr_mutex_unlock(&mu);
		if (!gr_mutex_lock(&mu, GR_NOW)) {
			passed++;
			while (!starving())
				gr_sleep(gr_after(50 * GR_US));
			gr_mutex_unlock(&mu);
			stolen += !gr_mutex_lock(&mu, GR_NOW);
		}
		let_go = 1;
		mix_join();
	}
	if (!passed) {
		tap_skip("who starves is handed it", "the waiter was always faster here");
		return;
	}
	tap_ok(!stolen && !starving(), "%s: who starves is handed it", mix.name);
}

static void lock_once(void *arg)
{
	(void)arg;
	gr_mutex_lock(&mu, GR_FOREVER);
	has_it = 1;
	gr_mutex_unlock(&mu);
}

/* The owner locks and unlocks and does nothing else, on the only P maybe. */
static void hammered(void)
{
	has_it = 0;
	gr_mutex_lock(&mu, GR_FOREVER);
	for (int i = 0; i < 3; i++)
		mix_go(lock_once, NULL);
	while (queued() != 3)
		gr_sleep(gr_after(50 * GR_US));
	while (!has_it) {
		gr_mutex_unlock(&mu);
		gr_mutex_lock(&mu, GR_FOREVER);
	}
	gr_mutex_unlock(&mu);
	mix_join();
	tap_ok(1, "%s: who waits gets it from one who never stops", mix.name);
}

static void hold_long(void *arg)
{
	(void)arg;
	while (!let_go) {
		gr_mutex_lock(&mu, GR_FOREVER);
		gr_sleep(gr_after(100 * GR_US));
		gr_mutex_unlock(&mu);
	}
}

/* Go's TestMutexFairness */
static void fair(void)
{
	int got = 0;

	let_go = 0;
	mix_go(hold_long, NULL);
	for (int i = 0; i < 10; i++) {
		gr_sleep(gr_after(100 * GR_US));
		got += !gr_mutex_lock(&mu, GR_FOREVER);
		gr_mutex_unlock(&mu);
	}
	let_go = 1;
	mix_join();
	tap_ok(got == 10, "%s: fair to one who comes seldom", mix.name);
}

/* ---- unlock while the only waiter has timed out, and still stands in the queue ---- */

static atomic_int late;

static void lock_late(void *deadline)
{
	late = gr_mutex_lock(&mu, *(int64_t *)deadline);
	if (!late)
		gr_mutex_unlock(&mu);
}

static bool is_queued(void)
{
	return queued();
}

static void timed_out_late(void)
{
	int ret = 0;

	for (int i = 0; i < 5 && !ret; i++) {
		gr_mutex_lock(&mu, GR_FOREVER);
		time_out(lock_late, is_queued);
		gr_mutex_unlock(&mu);
		mix_join();
		/* it may have been woken, or not even have come to the lock in time */
		ret = late && late != -ETIMEDOUT ? late : gr_mutex_lock(&mu, GR_NOW);
		if (!ret)
			gr_mutex_unlock(&mu);
	}
	tap_ok(!ret && !mu.state && !mu.head, "%s: unlocked to one that has timed out", mix.name);
}

/* ---- cancellation ---- */

static int lock_it(void *arg)
{
	return gr_mutex_lock(arg, GR_FOREVER);
}

static int lock_free_one(void *arg)
{
	while (!gr_cancelled())
		gr_yield();
	return gr_mutex_lock(arg, GR_FOREVER) ? 1 : gr_mutex_unlock(arg);
}

static void cancelled(void)
{
	gr_mutex_lock(&mu, GR_FOREVER);
	check_cancel("lock", lock_it, &mu);
	tap_ok(mu.state == 1 && !mu.head, "%s: who gave up left no trace", mix.name);
	gr_mutex_unlock(&mu);
	if (mix.nr_procs)
		tap_ok(cancel_after(0, lock_free_one, &mu) == 0,
		       "%s: a free one is locked by the cancelled, too", mix.name);
}

/* ---- the last owner frees the mutex ---- */

#define BOXES 300

static struct box {
	struct gr_mutex mu;
	int refs; /* protected by mu */
} boxes[BOXES];

static void drop(void *arg)
{
	struct box *b = arg;
	int left;

	gr_mutex_lock(&b->mu, GR_FOREVER);
	left = --b->refs;
	if (left == 1)
		gr_sleep(gr_after(10 * GR_US)); /* the last one queues */
	gr_mutex_unlock(&b->mu);
	if (!left)
		memset(b, 0xee, sizeof(*b)); /* as free() may do */
}

static void gone_with_last_owner(void)
{
	static struct box gone;
	int touched = 0;

	memset(&gone, 0xee, sizeof(gone));
	memset(boxes, 0, sizeof(boxes));
	for (int i = 0; i < BOXES; i++) {
		boxes[i].refs = 3;
		mix_go(drop, &boxes[i]);
		mix_go(drop, &boxes[i]);
		drop(&boxes[i]);
	}
	mix_join();
	for (int i = 0; i < BOXES; i++)
		touched += memcmp(&boxes[i], &gone, sizeof(gone)) != 0;
	tap_ok(!touched, "%s: nobody writes to a mutex its last owner gave back", mix.name);
}

static void body(void)
{
	storm();
	fifo();
	handed_over();
	hammered();
	fair();
	timed_out_late();
	cancelled();
	gone_with_last_owner();
}

int main(void)
{
	struct gr_mutex m = GR_MUTEX_INIT;

	tap_ok(gr_mutex_lock(NULL, GR_FOREVER) == -EINVAL && gr_mutex_unlock(NULL) == -EINVAL,
	       "NULL");
	tap_ok(gr_mutex_unlock(&m) == -EPERM, "unlock of a free mutex");
	tap_ok(gr_mutex_lock(&m, GR_NOW) == 0, "free: GR_NOW takes it");
	tap_ok(gr_mutex_lock(&m, GR_NOW) == -EAGAIN, "not recursive");
	tap_ok(gr_mutex_lock(&m, 1) == -ETIMEDOUT, "a deadline long ago");
	tap_ok(m.state == 1 && !m.head, "who timed out left no trace: unlock is fast again");
	tap_ok(gr_mutex_unlock(&m) == 0 && gr_mutex_unlock(&m) == -EPERM, "unlocked once");
	mix_run(body);
	return tap_done();
}
