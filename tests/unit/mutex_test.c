// SPDX-License-Identifier: MIT
/* mutex_test.c - gr_mutex: exclusion, FIFO hand-over, deadlines, misuse, free after unlock. */
#include "gr_int.h"
#include "mix.h"

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
	int n = 0;

	rt_enter();
	lock_acquire((struct lock *)&mu.lock);
	for (struct wnode *w = mu.head; w; w = w->next)
		n++;
	lock_release((struct lock *)&mu.lock);
	rt_exit();
	return n;
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
	tap_ok(sorted && next == 8, "%s: handed over in the order of arrival", mix.name);
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
	gone_with_last_owner();
}

int main(void)
{
	struct gr_mutex m = GR_MUTEX_INIT;

	tap_ok(gr_mutex_unlock(&m) == -EPERM, "unlock of a free mutex");
	tap_ok(gr_mutex_lock(&m, GR_NOW) == 0, "free: GR_NOW takes it");
	tap_ok(gr_mutex_lock(&m, GR_NOW) == -EAGAIN, "not recursive");
	tap_ok(gr_mutex_lock(&m, 1) == -ETIMEDOUT, "a deadline long ago");
	tap_ok(m.state == 1 && !m.head, "who timed out left no trace: unlock is fast again");
	tap_ok(gr_mutex_unlock(&m) == 0 && gr_mutex_unlock(&m) == -EPERM, "unlocked once");
	mix_run(body);
	return tap_done();
}
