// SPDX-License-Identifier: MIT
/*
 * cond_test.c - gr_cond: one wake-up for one signal, in order, none lost, none for nothing; the
 * mutex is always locked again. After Go's tests of sync.Cond.
 */
#include "cancelled.h"

static struct gr_mutex mu = GR_MUTEX_INIT;
static struct gr_cond cond = GR_COND_INIT;
/* protected by mu */
static int waiting, awake, who, round_no;
static bool quit;
static atomic_int wrong, stop;

static void lock(void)
{
	gr_mutex_lock(&mu, GR_FOREVER);
}

static void unlock(void)
{
	wrong += gr_mutex_unlock(&mu) != 0;
}

/* until *what, protected by mu, is value */
static void pause_until(int *what, int value)
{
	lock();
	while (*what != value) {
		unlock();
		gr_sleep(gr_after(20 * GR_US));
		lock();
	}
	unlock();
}

static void wait_once(void *arg)
{
	lock();
	waiting++;
	wrong += gr_cond_wait(&cond, &mu, GR_FOREVER) != 0;
	awake++;
	who = (int)(intptr_t)arg;
	unlock();
}

static void one_by_one(void)
{
	waiting = awake = wrong = 0;
	for (int i = 0; i < 5; i++)
		mix_go(wait_once, NULL);
	pause_until(&waiting, 5);
	for (int i = 1; i <= 5; i++) {
		lock();
		wrong += awake != i - 1 || gr_cond_signal(&cond) != 1;
		unlock();
		pause_until(&awake, i);
	}
	tap_ok(!wrong && gr_cond_signal(&cond) == 0, "%s: a signal wakes one", mix.name);
	mix_join();
}

static void generations(void)
{
	int early = 0;

	waiting = awake = wrong = 0;
	who = -1;
	for (int i = 0; i < 100; i++) {
		mix_go(wait_once, (void *)(intptr_t)i);
		if (i) {
			pause_until(&awake, i);
			early += who != i - 1;
		}
		pause_until(&waiting, i + 1);
		lock();
		gr_cond_signal(&cond);
		unlock();
	}
	mix_join();
	tap_ok(!early && !wrong, "%s: a signal is not for one that comes later", mix.name);
}

static void wait_rounds(void *arg)
{
	int seen;

	(void)arg;
	lock();
	while (!quit) {
		waiting++;
		seen = round_no;
		wrong += gr_cond_wait(&cond, &mu, GR_FOREVER) != 0;
		wrong += round_no != seen + 1;
		awake++;
	}
	unlock();
}

static void broadcast(void)
{
	const int n = 30;

	waiting = awake = round_no = wrong = 0;
	quit = false;
	for (int i = 0; i < n; i++)
		mix_go(wait_rounds, NULL);
	for (int r = 1; r <= n; r++) {
		pause_until(&waiting, n);
		lock();
		waiting = awake = 0;
		round_no = r;
		quit = r == n;
		wrong += gr_cond_broadcast(&cond) != n;
		unlock();
		if (r == n)
			pause_until(&awake, n);
	}
	mix_join();
	tap_ok(!wrong && gr_cond_broadcast(&cond) == 0, "%s: a broadcast wakes all, once",
	       mix.name);
}

/* ---- Go's TestRace ---- */

static int x;

static void race_one(void *arg)
{
	(void)arg;
	lock();
	x = 1;
	gr_cond_wait(&cond, &mu, GR_FOREVER);
	wrong += x != 2;
	x = 3;
	gr_cond_signal(&cond);
	unlock();
}

static void race_two(void *arg)
{
	(void)arg;
	pause_until(&x, 1);
	lock();
	x = 2;
	gr_cond_signal(&cond);
	unlock();
}

static void race_three(void *arg)
{
	(void)arg;
	for (;;) {
		lock();
		if (x == 2) {
			gr_cond_wait(&cond, &mu, GR_FOREVER);
			wrong += x != 3;
		}
		if (x == 3)
			break;
		unlock();
		gr_sleep(gr_after(GR_US));
	}
	unlock();
}

static void race(void)
{
	wrong = 0;
	for (int i = 0; i < 50; i++) {
		x = 0;
		mix_go(race_one, NULL);
		mix_go(race_two, NULL);
		mix_go(race_three, NULL);
		mix_join();
	}
	tap_ok(!wrong, "%s: three that wake each other", mix.name);
}

/* ---- Go's TestCondSignalStealing ---- */

static void call_broadcast(void *arg)
{
	(void)arg;
	gr_cond_broadcast(&cond);
}

static void wait_for_quit(void *arg)
{
	(void)arg;
	lock();
	while (!quit)
		gr_cond_wait(&cond, &mu, GR_FOREVER);
	unlock();
}

static void stealing(void)
{
	wrong = 0;
	for (int i = 0; i < 100; i++) {
		waiting = awake = 0;
		quit = false;
		mix_go(wait_once, NULL);
		pause_until(&waiting, 1);
		mix_go(call_broadcast, NULL);
		mix_go(wait_for_quit, NULL);
		pause_until(&awake, 1); /* for ever, if the other stole the wake-up */
		lock();
		quit = true;
		unlock();
		while (mix.left)
			gr_cond_broadcast(&cond), gr_sleep(gr_after(20 * GR_US));
	}
	tap_ok(!wrong, "%s: a newcomer does not steal a wake-up", mix.name);
}

/* ---- deadlines ---- */

static atomic_long signals, woken, timed_out, inside;

static void wait_short(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;

	for (int i = 0; i < 400; i++) {
		int ret;

		rnd = rnd * 1664525 + 1013904223;
		lock();
		ret = gr_cond_wait(&cond, &mu, gr_after((rnd >> 16) % 100 * GR_US));
		wrong += atomic_fetch_add(&inside, 1) != 0; /* locked again */
		if (!ret)
			woken++;
		else if (ret == -ETIMEDOUT)
			timed_out++;
		else
			wrong++;
		atomic_fetch_sub(&inside, 1);
		unlock();
	}
	stop++;
}

static void deadlines(void)
{
	signals = woken = timed_out = inside = wrong = stop = 0;
	for (int i = 0; i < 4; i++)
		mix_go(wait_short, (void *)(uintptr_t)(i + 1));
	while (stop < 4) {
		signals += gr_cond_signal(&cond);
		gr_sleep(gr_after(15 * GR_US));
	}
	mix_join();
	tap_ok(woken == signals && woken + timed_out == 4 * 400,
	       "%s: %ld woke for %ld signals, the others timed out", mix.name, woken, signals);
	tap_ok(!wrong && !cond.head && !cond.lock, "%s: always with the mutex", mix.name);
}

/* ---- cancellation ---- */

static int wait_cancelled(void *arg)
{
	int ret;

	(void)arg;
	if (gr_mutex_lock(&mu, GR_FOREVER))
		return -ECANCELED; /* before it had the mutex: nothing to see */
	ret = gr_cond_wait(&cond, &mu, GR_FOREVER);
	return gr_mutex_unlock(&mu) ? -EPERM : ret; /* locked again, though cancelled */
}

static atomic_int locked_again;

static int wait_and_tell(void *arg)
{
	int ret;

	(void)arg;
	lock();
	waiting++;
	ret = gr_cond_wait(&cond, &mu, GR_FOREVER);
	locked_again = 1;
	wrong += gr_mutex_unlock(&mu) != 0;
	return ret;
}

/* cancelled while another one has the mutex: it waits for it all the same */
static void cancelled_without_mutex(void)
{
	struct gr_task *t;
	int result = 0;

	waiting = locked_again = 0;
	gr_task_new(&t, wait_and_tell, NULL, NULL);
	pause_until(&waiting, 1);
	lock();
	gr_task_cancel(t);
	tap_ok(gr_task_join(t, &result, gr_after(2 * GR_MS)) == -ETIMEDOUT && !locked_again,
	       "%s: a cancelled wait ends with the mutex only", mix.name);
	tap_ok(gr_cond_signal(&cond) == 0, "%s: ... and takes no signal", mix.name);
	unlock();
	gr_task_join(t, &result, GR_FOREVER);
	gr_task_release(t);
	tap_ok(result == -ECANCELED && locked_again && !wrong, "%s: ... and then it does", mix.name);
}

static void body(void)
{
	one_by_one();
	generations();
	broadcast();
	race();
	stealing();
	deadlines();
	check_cancel("wait", wait_cancelled, NULL);
	if (mix.nr_procs)
		cancelled_without_mutex();
}

int main(void)
{
	struct gr_mutex m = GR_MUTEX_INIT;
	struct gr_cond c = GR_COND_INIT;

	tap_ok(gr_cond_wait(NULL, &m, GR_NOW) == -EINVAL && gr_cond_wait(&c, NULL, GR_NOW) ==
	       -EINVAL && gr_cond_signal(NULL) == -EINVAL && gr_cond_broadcast(NULL) == -EINVAL,
	       "NULL");
	tap_ok(gr_cond_wait(&c, &m, GR_FOREVER) == -EPERM && !c.head, "without the mutex");
	gr_mutex_lock(&m, GR_NOW);
	tap_ok(gr_cond_wait(&c, &m, GR_NOW) == -EAGAIN && m.state == 1, "GR_NOW does not wait");
	tap_ok(gr_cond_wait(&c, &m, 1) == -ETIMEDOUT && m.state == 1, "a deadline long ago");
	tap_ok(gr_cond_signal(&c) == 0 && gr_cond_broadcast(&c) == 0, "nobody waits");
	gr_mutex_unlock(&m);
	mix_run(body);
	return tap_done();
}
