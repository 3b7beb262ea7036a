// SPDX-License-Identifier: GPL-2.0
/*
 * slice_test.c - preemption: a thread that computes gives its P up after a slice, if the P has
 * something else to do, and not otherwise.
 *
 * "Goroutine code" here is a loop that makes no call at all. Nothing is timed: loops end when
 * what they wait for has happened, an alarm ends those that would not.
 */
#include <signal.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define SLICE_US 2000

FIXTURE(slice)
{
	struct dev d;
};

FIXTURE_SETUP(slice)
{
	struct gr_setup s = gr_setup_arg(1, 8);

	alarm(60);
	s.slice_us = SLICE_US;
	s.features = GR_FEAT_PREEMPT;
	ASSERT_EQ(0, dev_open_arg(&self->d, s, O_CLOEXEC));
}

FIXTURE_TEARDOWN(slice)
{
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	dev_close(&self->d);
}

static _Atomic int in_user;  /* threads in goroutine code */
static _Atomic int too_many; /* ... when there were more than Ps */

struct runner {
	struct dev *d;
	pthread_t thread;
	_Atomic int slot;
	_Atomic unsigned long turns;
	_Atomic bool stop;
};

/* into goroutine code: with a P, or as a returner that waits for one */
static void enter(struct runner *r)
{
	int slot = dev_attach(r->d, GR_ATTACH_RUN, NULL);

	dev_user(r->d, slot);
	while (r->d->mthreads[slot].proc < 0)
		sleep_us(1000);
	atomic_store(&r->slot, slot);
}

/* computes for ever, without a call */
static void *compute(void *arg)
{
	struct runner *r = arg;

	enter(r);
	while (!atomic_load_explicit(&r->stop, memory_order_relaxed))
		atomic_fetch_add_explicit(&r->turns, 1, memory_order_relaxed);
	dev_runtime(r->d, r->slot);
	dev_detach(r->d, r->slot);
	return NULL;
}

static void start(struct runner *r, struct dev *d, void *(*fn)(void *))
{
	*r = (struct runner){ .d = d, .slot = -1 };
	pthread_create(&r->thread, NULL, fn, r);
}

static void stop(struct runner *r)
{
	atomic_store(&r->stop, true);
	pthread_join(r->thread, NULL);
}

/* three threads, one processor, no cooperation at all: each gets its turns again and again */
TEST_F(slice, computing_threads_take_turns)
{
	struct runner r[3];

	for (int i = 0; i < 3; i++)
		start(&r[i], &self->d, compute);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_threads == 3));
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 3; i++) {
			unsigned long turns = atomic_load(&r[i].turns);

			EXPECT_TRUE(wait_until(atomic_load(&r[i].turns) > turns + 1000));
		}
	EXPECT_LE(6, self->d.mirror->preempts);
	for (int i = 0; i < 3; i++)
		stop(&r[i]);
	EXPECT_EQ(1, self->d.mirror->nr_idle);
}

static void *as_spare(void *arg)
{
	struct runner *r = arg;

	atomic_store(&r->slot, dev_attach(r->d, 0, NULL));
	if (dev_park(r->d, r->slot, GR_NO_DEADLINE, NULL))
		return NULL;
	dev_user(r->d, r->slot);
	while (!atomic_load_explicit(&r->stop, memory_order_relaxed))
		atomic_fetch_add_explicit(&r->turns, 1, memory_order_relaxed);
	dev_runtime(r->d, r->slot);
	dev_detach(r->d, r->slot);
	return NULL;
}

/* a spare takes over when the hints show work; without work it stays asleep */
TEST_F(slice, only_for_work)
{
	struct runner r[2];
	uint64_t wakeups;

	start(&r[0], &self->d, compute);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_idle == 0 && atomic_load(&r[0].turns)));
	start(&r[1], &self->d, as_spare);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 1));
	wakeups = self->d.mirror->wakeups;
	sleep_us(20 * SLICE_US);
	EXPECT_EQ(0, self->d.mirror->preempts);
	EXPECT_EQ(wakeups, self->d.mirror->wakeups);
	EXPECT_EQ(0, atomic_load(&r[1].turns));
	self->d.hprocs[0].pending = 1;
	EXPECT_TRUE(wait_until(atomic_load(&r[1].turns) > 1000));
	EXPECT_LE(1, self->d.mirror->preempts);
	for (int i = 0; i < 2; i++)
		stop(&r[i]);
}

/* one goroutine after the other, each shorter than a slice: the count moves, nobody is stopped */
static void *schedule(void *arg)
{
	struct runner *r = arg;

	enter(r);
	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		r->d->hprocs[0].tick++;
		atomic_fetch_add_explicit(&r->turns, 1, memory_order_relaxed);
	}
	dev_runtime(r->d, r->slot);
	dev_detach(r->d, r->slot);
	return NULL;
}

/*
 * An emulated CPU may stand still for a slice, so not "never" but far less than the other kind,
 * and with slices that are long for that.
 */
TEST(not_between_short_goroutines)
{
	struct gr_setup s = gr_setup_arg(1, 8);
	uint64_t preempts[2];
	struct runner r[2];
	struct dev d;

	alarm(60);
	s.slice_us = 25 * SLICE_US;
	ASSERT_EQ(0, dev_open_arg(&d, s, O_CLOEXEC));
	for (int kind = 0; kind < 2; kind++) {
		uint64_t before = d.mirror->preempts;

		for (int i = 0; i < 2; i++)
			start(&r[i], &d, kind ? compute : schedule);
		ASSERT_TRUE(wait_until(d.mirror->nr_returners + d.mirror->nr_preempted == 1));
		sleep_us(30 * s.slice_us);
		preempts[kind] = d.mirror->preempts - before;
		for (int i = 0; i < 2; i++)
			atomic_store(&r[i].stop, true);
		for (int i = 0; i < 2; i++)
			stop(&r[i]);
	}
	EXPECT_LT(2 * preempts[0], preempts[1]);
	dev_close(&d);
}

/* a thread that is stopped is in no code of its own; exactly one P, so one at most is in there */
static void *exclusive(void *arg)
{
	struct runner *r = arg;

	enter(r);
	dev_runtime(r->d, r->slot);
	while (!atomic_load(&r->stop)) {
		/* runtime code is not preempted: in here nobody else has the P */
		if (atomic_fetch_add(&in_user, 1))
			atomic_fetch_add(&too_many, 1);
		for (volatile int i = 0; i < 20000; i++)
			;
		atomic_fetch_sub(&in_user, 1);
		dev_user(r->d, r->slot);
		for (volatile int i = 0; i < 200000; i++)
			;
		dev_runtime(r->d, r->slot);
		atomic_fetch_add(&r->turns, 1);
	}
	dev_detach(r->d, r->slot);
	return NULL;
}

TEST_F(slice, never_in_the_runtime)
{
	struct runner r[4];

	for (int i = 0; i < 4; i++)
		start(&r[i], &self->d, exclusive);
	EXPECT_TRUE(wait_until(self->d.mirror->preempts >= 40));
	for (int i = 0; i < 4; i++)
		EXPECT_TRUE(wait_until(atomic_load(&r[i].turns) > 5));
	for (int i = 0; i < 4; i++)
		stop(&r[i]);
	EXPECT_EQ(0, atomic_load(&too_many));
}

static _Atomic int signals;

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&signals, 1);
}

/* signals reach a thread that waits for its next slice, and it waits again */
TEST_F(slice, signals_while_stopped)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct runner r[2];

	sigaction(SIGUSR1, &sa, NULL);
	for (int i = 0; i < 2; i++)
		start(&r[i], &self->d, compute);
	ASSERT_TRUE(wait_until(self->d.mirror->preempts >= 2));
	for (int n = 1; n <= 50; n++) {
		pthread_kill(r[n & 1].thread, SIGUSR1);
		EXPECT_TRUE(wait_until(atomic_load(&signals) == n));
	}
	for (int i = 0; i < 2; i++) {
		unsigned long turns = atomic_load(&r[i].turns);

		EXPECT_TRUE(wait_until(atomic_load(&r[i].turns) > turns + 1000));
	}
	for (int i = 0; i < 2; i++)
		stop(&r[i]);
}

TEST_HARNESS_MAIN
