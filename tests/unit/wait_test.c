// SPDX-License-Identifier: MIT
/*
 * wait_test.c - struct waiter: every sleep ends exactly once, by its waker or by its deadline,
 * and the two agree about who it was.
 */
#include "gr_int.h"
#include "mix.h"

#define SLEEPERS 6
#define ROUNDS 3000

static struct lock lock;
static struct waitq queue;
static atomic_long granted, woken, timed_out, wrong;
static atomic_int sleepers_left;

/* sleep for a random very short time, so that wake and deadline meet often */
static void sleeper(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u + 1;

	for (int i = 0; i < ROUNDS; i++) {
		struct waiter w;
		int ret;

		rnd = rnd * 1664525 + 1013904223;
		rt_enter();
		waiter_init(&w);
		lock_acquire(&lock);
		waitq_push(&queue, &w.node);
		ret = waiter_wait(&w, &lock, gr_after((rnd >> 16) % 60 * GR_US), WAIT_SLEEP);
		if (ret) {
			lock_acquire(&lock);
			waitq_remove(&queue, &w.node);
			lock_release(&lock);
			atomic_fetch_add(&timed_out, 1);
			wrong += ret != -ETIMEDOUT || w.result != 0;
		} else {
			atomic_fetch_add(&woken, 1);
			wrong += w.result != 42;
		}
		rt_exit();
	}
	atomic_fetch_sub(&sleepers_left, 1);
}

static void waker(void *arg)
{
	(void)arg;
	while (atomic_load(&sleepers_left)) {
		struct wnode *w;

		rt_enter();
		lock_acquire(&lock);
		w = waitq_pop(&queue);
		lock_release(&lock);
		if (w) {
			w->w->result = 42;
			atomic_fetch_add(&granted, 1);
			waiter_wake(w->w);
		}
		rt_exit();
		gr_sleep(gr_after(10 * GR_US));
	}
}

static void body(void)
{
	granted = woken = timed_out = wrong = 0;
	atomic_store(&sleepers_left, SLEEPERS);
	for (int i = 0; i < SLEEPERS; i++)
		mix_go(sleeper, (void *)(uintptr_t)(i + 1));
	mix_go(waker, NULL);
	mix_go(waker, NULL);
	mix_join();
	tap_ok(woken + timed_out == SLEEPERS * ROUNDS, "%s: every sleep ended once", mix.name);
	tap_ok(granted == woken, "%s: %ld wakes granted, %ld had", mix.name, granted, woken);
	tap_ok(wrong == 0, "%s: results belong to the outcome", mix.name);
	tap_ok(!queue.head && !queue.tail, "%s: queue is empty", mix.name);
}

static void queue_order(void)
{
	struct waitq q = { 0 };
	struct waiter a, b, c;

	waiter_init(&a);
	waiter_init(&b);
	waiter_init(&c);
	waitq_push(&q, &a.node);
	waitq_push(&q, &b.node);
	waitq_push(&q, &c.node);
	tap_ok(waiter_claim(&b) && !waiter_claim(&b), "a waiter is claimed once");
	tap_ok(waitq_pop(&q) == &a.node && waitq_pop(&q) == &c.node, "pop skips one who cannot be claimed");
	tap_ok(!waitq_pop(&q) && q.head == &b.node && q.tail == &b.node, "and leaves it on the queue");
	waitq_remove(&q, &b.node);
	tap_ok(!q.head && !q.tail, "until it takes itself off");
}

/* a plain thread must not run on between claim and wake, even when its deadline passes */
static void *claimed_thread(void *arg)
{
	struct waiter *w = arg;
	int ret = waiter_wait(w, NULL, gr_after(5 * GR_MS), WAIT_SLEEP);

	return (void *)(intptr_t)(ret ? ret : w->result);
}

static void claim_holds_sleeper(void)
{
	struct waiter w;
	pthread_t t;
	void *ret;

	waiter_init(&w);
	tap_ok(waiter_claim(&w), "claimed before the deadline");
	pthread_create(&t, NULL, claimed_thread, &w);
	gr_sleep(gr_after(30 * GR_MS));
	w.result = 7;
	waiter_wake(&w);
	pthread_join(t, &ret);
	tap_ok((intptr_t)ret == 7, "claimed: waits for its result past the deadline");
}

int main(void)
{
	queue_order();
	claim_holds_sleeper();
	mix_run(body);
	return tap_done();
}
