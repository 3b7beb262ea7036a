// SPDX-License-Identifier: MIT
/*
 * sched_test.c - goroutines run, all of them, on all processors; blocked ones stop nobody.
 *
 * Each check runs on 1, 2 and 4 Ps and in a fresh runtime, so starting and stopping are tested
 * by the way. What the kernel module promises beyond the monitor is tested in the guest.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

static int procs;

static int in_runtime(int (*fn)(void *), void *arg)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs };

	return gr_run(fn, arg, &opts);
}

/* ---- every goroutine runs once ---- */

static _Atomic long ran;
static struct gr_wg wg;

static void count(void *unused)
{
	(void)unused;
	atomic_fetch_add(&ran, 1);
	gr_wg_done(&wg);
}

static int spawn_many(void *arg)
{
	long n = *(long *)arg;

	gr_wg_add(&wg, n);
	for (long i = 0; i < n; i++)
		if (gr_go(count, NULL))
			return -1;
	return gr_wg_wait(&wg, gr_after(60 * GR_SEC));
}

static void test_spawn(void)
{
	long n = 100000;

	atomic_store(&ran, 0);
	tap_ok(in_runtime(spawn_many, &n) == 0 && atomic_load(&ran) == n,
	       "procs=%d: %ld goroutines run once each", procs, n);
}

/* a tree: every goroutine makes two more */
static void tree(void *depth)
{
	long d = (long)depth;

	atomic_fetch_add(&ran, 1);
	if (d > 0) {
		gr_wg_add(&wg, 2);
		if (gr_go(tree, (void *)(d - 1)) || gr_go(tree, (void *)(d - 1)))
			abort();
	}
	gr_wg_done(&wg);
}

static int grow_tree(void *depth)
{
	gr_wg_add(&wg, 1);
	tree(depth);
	return gr_wg_wait(&wg, gr_after(60 * GR_SEC));
}

static void test_tree(void)
{
	atomic_store(&ran, 0);
	tap_ok(in_runtime(grow_tree, (void *)15L) == 0 && atomic_load(&ran) == (1 << 16) - 1,
	       "procs=%d: a tree of 65535 goroutines", procs);
}

/* ---- yield is fair ---- */

static void yielder(void *n)
{
	for (long i = 0; i < *(long *)n; i++) {
		atomic_fetch_add(&ran, 1);
		gr_yield();
	}
	gr_wg_done(&wg);
}

static int yield_all(void *n)
{
	gr_wg_add(&wg, 10);
	for (int i = 0; i < 10; i++)
		gr_go(yielder, n);
	return gr_wg_wait(&wg, gr_after(60 * GR_SEC));
}

static void test_yield(void)
{
	long n = 10000;

	atomic_store(&ran, 0);
	tap_ok(in_runtime(yield_all, &n) == 0 && atomic_load(&ran) == 10 * n,
	       "procs=%d: 10 goroutines yield %ld times each", procs, n);
}

/* ---- parallel: as many goroutines as Ps run at the same time ---- */

static _Atomic int here;

static void meet(void *unused)
{
	int64_t until = gr_after(20 * GR_SEC);

	(void)unused;
	atomic_fetch_add(&here, 1);
	/* never calls libgr: only another thread can bring the others */
	while (atomic_load(&here) < procs && gr_now() < until)
		;
	if (atomic_load(&here) >= procs)
		atomic_fetch_add(&ran, 1);
	gr_wg_done(&wg);
}

static int meet_all(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, procs);
	for (int i = 0; i < procs; i++)
		gr_go(meet, NULL);
	return gr_wg_wait(&wg, gr_after(60 * GR_SEC));
}

static void test_parallel(void)
{
	atomic_store(&ran, 0);
	atomic_store(&here, 0);
	tap_ok(in_runtime(meet_all, NULL) == 0 && atomic_load(&ran) == procs,
	       "procs=%d: all of them run goroutines at once", procs);
}

/* ---- a pair that hands the slice to and fro starves nobody ---- */

static struct gr_chan *ping, *pong;
static _Atomic bool enough;

static void hit_back(void *unused)
{
	(void)unused;
	while (!gr_chan_recv(ping, NULL, GR_FOREVER))
		gr_chan_send(pong, NULL, GR_FOREVER);
	gr_wg_done(&wg);
}

static void hit(void *unused)
{
	(void)unused;
	while (!atomic_load(&enough) && !gr_chan_send(ping, NULL, GR_FOREVER))
		gr_chan_recv(pong, NULL, GR_FOREVER);
	gr_chan_close(ping);
	gr_wg_done(&wg);
}

static void bystander(void *unused)
{
	(void)unused;
	for (int i = 0; i < 100; i++)
		gr_yield();
	atomic_store(&enough, true);
	gr_wg_done(&wg);
}

static int ping_pong(void *unused)
{
	(void)unused;
	atomic_store(&enough, false);
	gr_chan_new(&ping, 0, 0);
	gr_chan_new(&pong, 0, 0);
	gr_wg_add(&wg, 3);
	gr_go(hit_back, NULL);
	gr_go(hit, NULL);
	gr_go(bystander, NULL);
	int ret = gr_wg_wait(&wg, gr_after(20 * GR_SEC));

	gr_chan_release(ping);
	gr_chan_release(pong);
	return ret;
}

static void test_ping_pong(void)
{
	tap_ok(in_runtime(ping_pong, NULL) == 0, "procs=%d: a ping-pong pair starves nobody", procs);
}

/* ---- blocking calls ---- */

static atomic_int asleep, most_asleep;

static void blocker(void *unused)
{
	struct timespec ts = { 0, 50 * 1000000 };

	int n = atomic_fetch_add(&asleep, 1) + 1, most = atomic_load(&most_asleep);

	(void)unused;
	while (n > most && !atomic_compare_exchange_weak(&most_asleep, &most, n))
		;
	while (nanosleep(&ts, &ts))
		;
	atomic_fetch_sub(&asleep, 1);
	atomic_fetch_add(&ran, 1);
	gr_wg_done(&wg);
}

static int block_many(void *n)
{
	gr_wg_add(&wg, *(long *)n);
	for (long i = 0; i < *(long *)n; i++)
		gr_go(blocker, NULL);
	return gr_wg_wait(&wg, gr_after(60 * GR_SEC));
}

static void write_later(void *fd)
{
	if (write(*(int *)fd, "x", 1) != 1)
		abort();
}

/* one goroutine waits in read() for what another, queued behind it, writes */
static int pipe_pair(void *unused)
{
	int fd[2];
	char c = 0;

	(void)unused;
	if (pipe(fd))
		return -1;
	gr_go(write_later, &fd[1]);
	if (read(fd[0], &c, 1) != 1)
		return -1;
	close(fd[0]);
	close(fd[1]);
	return c == 'x' ? 0 : -1;
}

static sem_t held;
static _Atomic long waiting;

static void wait_held(void *unused)
{
	(void)unused;
	atomic_fetch_add(&waiting, 1);
	while (sem_wait(&held))
		;
	sem_post(&held);
	gr_wg_done(&wg);
}

/* All Ps may lose their threads at once, and each has work of its own; whoever holds the semaphore
 * only yields, which wakes nobody. */
static int hold_until_all_wait(void *unused)
{
	int64_t until = gr_after(20 * GR_SEC);
	long n = 3 * procs, seen;

	(void)unused;
	sem_init(&held, 0, 0);
	atomic_store(&waiting, 0);
	gr_wg_add(&wg, n);
	for (long i = 0; i < n; i++)
		gr_go(wait_held, NULL);
	while (atomic_load(&waiting) < n && gr_now() < until)
		gr_yield();
	seen = atomic_load(&waiting);
	sem_post(&held);
	return gr_wg_wait(&wg, gr_after(60 * GR_SEC)) || seen < n;
}

static void test_block(void)
{
	long n = 200;

	atomic_store(&ran, 0);
	atomic_store(&most_asleep, 0);
	tap_ok(in_runtime(block_many, &n) == 0 && atomic_load(&ran) == n,
	       "procs=%d: %ld goroutines in nanosleep()", procs, n);
	tap_ok(atomic_load(&most_asleep) > procs, "procs=%d: they slept side by side, %d at once",
	       procs, atomic_load(&most_asleep));
	tap_ok(in_runtime(pipe_pair, NULL) == 0,
	       "procs=%d: a goroutine blocked in read() does not stop its writer", procs);
	tap_ok(in_runtime(hold_until_all_wait, NULL) == 0,
	       "procs=%d: the holder of a semaphore that blocks all threads sees all of them", procs);
}

/* ---- wake-ups are not lost: storms with idle gaps, from goroutines and from a thread ---- */

static int storm(void *unused)
{
	(void)unused;
	for (int round = 0; round < 2000; round++) {
		int n = 1 + round % 7;

		gr_wg_add(&wg, n);
		for (int i = 0; i < n; i++)
			gr_go(count, NULL);
		if (gr_wg_wait(&wg, gr_after(20 * GR_SEC)))
			return -1;
		if (round % 10 == 0)
			gr_sleep(gr_after(100 * GR_US));
	}
	return 0;
}

static void test_storm(void)
{
	tap_ok(in_runtime(storm, NULL) == 0, "procs=%d: no wake-up lost in 2000 storms", procs);
}

/* ---- misuse ---- */

static int nested(void *unused)
{
	return gr_run(nested, unused, NULL);
}

static int attrs(void *unused)
{
	struct gr_attr bad = { .size = 1 }, small = { .size = sizeof(small), .stack_size = 1 };
	struct gr_attr big = { .size = sizeof(big), .stack_size = 1 << 20, .name = "big" };

	(void)unused;
	gr_wg_add(&wg, 1);
	return gr_go_with(count, NULL, &bad) == -EINVAL &&
	       gr_go_with(count, NULL, &small) == -EINVAL && gr_go(NULL, NULL) == -EINVAL &&
	       gr_go_with(count, NULL, &big) == 0 && gr_wg_wait(&wg, GR_FOREVER) == 0 ? 0 : -1;
}

static void test_misuse(void)
{
	struct gr_opts opts = { .size = 3 };
	struct gr_info info = { .size = sizeof(info) };

	tap_ok(gr_go(count, NULL) == -ENXIO, "gr_go() without a runtime: ENXIO");
	tap_ok(gr_yield() == -EPERM, "gr_yield() outside: EPERM");
	tap_ok(gr_run(NULL, NULL, NULL) == -EINVAL, "gr_run(NULL): EINVAL");
	tap_ok(gr_run(nested, NULL, &opts) == -EINVAL, "bad options: EINVAL");
	tap_ok(gr_run(nested, NULL, NULL) == -EINVAL, "gr_run() in a goroutine: EINVAL");
	tap_ok(gr_info(&info) == -ENXIO, "gr_info() without a runtime: ENXIO");
	procs = 2;
	tap_ok(in_runtime(attrs, NULL) == 0, "bad attributes: EINVAL, good ones work");
	setenv("GR_PROCS", "many", 1);
	tap_ok(gr_run(nested, NULL, NULL) == -EINVAL, "GR_PROCS=many: EINVAL");
	unsetenv("GR_PROCS");
	const char *backend = getenv("GR_BACKEND");
	char *saved = backend ? strdup(backend) : NULL;

	setenv("GR_BACKEND", "none", 1);
	tap_ok(gr_run(nested, NULL, NULL) == -EINVAL, "GR_BACKEND=none: EINVAL");
	if (access("/dev/gr", F_OK)) {
		setenv("GR_BACKEND", "kmod", 1);
		tap_ok(gr_run(nested, NULL, NULL) == -ENODEV, "GR_BACKEND=kmod, no device: ENODEV");
	}
	if (saved)
		setenv("GR_BACKEND", saved, 1);
	else
		unsetenv("GR_BACKEND");
	free(saved);
}

int main(void)
{
	static const int sizes[] = { 1, 2, 4 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		procs = sizes[i];
		test_spawn();
		test_tree();
		test_yield();
		test_parallel();
		test_ping_pong();
		test_block();
		test_storm();
	}
	test_misuse();
	return tap_done();
}
