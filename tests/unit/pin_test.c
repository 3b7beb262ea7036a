// SPDX-License-Identifier: MIT
/*
 * pin_test.c - gr_pin(): a goroutine keeps its thread, and the thread runs nothing else.
 *
 * What Go's tests ask of LockOSThread: the pair survives every kind of wait, a blocked pinned
 * goroutine stops nobody, its end sets the thread free. On 1, 2 and 4 Ps, both back ends.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define PINNED 6
#define ROUNDS 300

static int procs;
static struct gr_wg wg;
static _Atomic long wrong, others;
static struct gr_chan *chan;
static int pipe_fd[2];

/* thread-local state of a C library that lives across libgr calls */
static __thread long mine;

static int in_runtime(int (*fn)(void *))
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs };

	return gr_run(fn, NULL, &opts);
}

static __attribute__((noinline)) long *tls(void)
{
	long *p = &mine;

	__asm__ volatile("" : "+r"(p));
	return p;
}

static __attribute__((noinline)) int tid(void)
{
	return (int)syscall(SYS_gettid);
}

static void wait_somehow(int i, long me)
{
	struct timespec ts = { 0, 200000 };

	switch (i % 4) {
	case 0:
		gr_yield();
		break;
	case 1:
		gr_chan_send(chan, &me, GR_FOREVER);
		break;
	case 2:
		gr_sleep(gr_after(20 * GR_US));
		break;
	default:
		if (i % 40 == 3)
			nanosleep(&ts, NULL);
	}
}

static void pinned_one(void *arg)
{
	long me = (long)arg;
	int thread;

	if (gr_pin() || gr_pin() || gr_unpin()) /* it nests */
		atomic_fetch_add(&wrong, 1);
	thread = tid();
	*tls() = me;
	for (int i = 0; i < ROUNDS; i++) {
		wait_somehow(i, me);
		if (tid() != thread || *tls() != me)
			atomic_fetch_add(&wrong, 1);
	}
	*tls() = 0;
	if (me % 2 && gr_unpin()) /* the others end pinned */
		atomic_fetch_add(&wrong, 1);
	gr_wg_done(&wg);
}

/* must never run on a thread that somebody is pinned to */
static void free_one(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		if (*tls())
			atomic_fetch_add(&wrong, 1);
		atomic_fetch_add(&others, 1);
		gr_yield();
	}
	gr_wg_done(&wg);
}

static int many(void *unused)
{
	int ret;

	(void)unused;
	gr_chan_new(&chan, sizeof(long), 1);
	gr_wg_add(&wg, PINNED + 4);
	for (long i = 1; i <= PINNED; i++)
		gr_go(pinned_one, (void *)i);
	for (int i = 0; i < 4; i++)
		gr_go(free_one, NULL);
	for (int i = 0; i < PINNED * ROUNDS / 4; i++)
		gr_chan_recv(chan, NULL, GR_FOREVER);
	ret = gr_wg_wait(&wg, gr_after(60 * GR_SEC));
	gr_chan_release(chan);
	return ret;
}

static void test_many(void)
{
	atomic_store(&wrong, 0);
	atomic_store(&others, 0);
	tap_ok(in_runtime(many) == 0 && !atomic_load(&wrong) && atomic_load(&others) == 4 * ROUNDS,
	       "procs=%d: %d pinned goroutines keep their threads to themselves", procs, PINNED);
}

/* ---- it blocks in a system call, and only the goroutine behind it can end that ---- */

static void writer(void *unused)
{
	(void)unused;
	if (write(pipe_fd[1], "x", 1) != 1)
		atomic_fetch_add(&wrong, 1);
	gr_wg_done(&wg);
}

static int blocked(void *unused)
{
	char c = 0;
	int thread;

	(void)unused;
	if (pipe(pipe_fd) || gr_pin())
		return -1;
	thread = tid();
	gr_wg_add(&wg, 1);
	gr_go(writer, NULL);
	if (read(pipe_fd[0], &c, 1) != 1 || c != 'x' || tid() != thread)
		return -1;
	gr_wg_wait(&wg, GR_FOREVER);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	return tid() == thread ? gr_unpin() : -1;
}

/* ---- yield lets the others run, also where there is one P ---- */

static void mark(void *flag)
{
	atomic_store((_Atomic bool *)flag, true);
}

static int yields(void *unused)
{
	static _Atomic bool ran;
	int64_t until = gr_after(20 * GR_SEC);

	(void)unused;
	atomic_store(&ran, false);
	if (gr_pin())
		return -1;
	gr_go(mark, &ran);
	while (!atomic_load(&ran) && gr_now() < until)
		gr_yield();
	return atomic_load(&ran) ? 0 : -1; /* the first goroutine may end pinned, too */
}

/* ---- the end of a pinned goroutine frees its thread ---- */

static void pin_and_end(void *unused)
{
	(void)unused;
	if (gr_pin())
		atomic_fetch_add(&wrong, 1);
	gr_wg_done(&wg);
}

static int ends(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };

	(void)unused;
	for (int i = 0; i < 200; i++) {
		gr_wg_add(&wg, 1);
		gr_go(pin_and_end, NULL);
		if (gr_wg_wait(&wg, gr_after(20 * GR_SEC)))
			return -1;
	}
	gr_info(&info);
	return info.nr_threads < 100 ? 0 : -1;
}

/* ---- the runtime ends while pinned goroutines wait ---- */

static void pin_for_ever(void *unused)
{
	(void)unused;
	gr_pin();
	gr_wg_done(&wg);
	gr_sleep(GR_FOREVER);
}

static int stop_them(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, PINNED);
	for (int i = 0; i < PINNED; i++)
		gr_go(pin_for_ever, NULL);
	return gr_wg_wait(&wg, gr_after(20 * GR_SEC));
}

/* ---- the last thread is not to be had ---- */

static void pin_all(void *unused)
{
	int ret = gr_pin();

	(void)unused;
	if (ret == -EAGAIN)
		atomic_fetch_add(&others, 1);
	else if (ret)
		atomic_fetch_add(&wrong, 1);
	gr_wg_done(&wg);
	if (!ret)
		gr_sleep(GR_FOREVER);
}

static int limit(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, 10);
	for (int i = 0; i < 10; i++)
		gr_go(pin_all, NULL);
	return gr_wg_wait(&wg, gr_after(20 * GR_SEC));
}

static int pin_only_thread(void *unused)
{
	(void)unused;
	return gr_pin();
}

static void test_limit(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 2, .max_threads = 4 };

	atomic_store(&wrong, 0);
	atomic_store(&others, 0);
	tap_ok(gr_run(limit, NULL, &opts) == 0 && !atomic_load(&wrong) && atomic_load(&others) == 7,
	       "with 4 threads at most 3 goroutines can be pinned, then EAGAIN");
	opts = (struct gr_opts){ .size = sizeof(opts), .nr_procs = 1, .max_procs = 2,
				 .max_threads = 1 };
	tap_ok(gr_run(pin_only_thread, NULL, &opts) == -EAGAIN,
	       "the one beside a thread that keeps a P out of use is not to be had");
}

static int misuse(void *unused)
{
	(void)unused;
	return gr_unpin() == -EPERM && !gr_pin() && !gr_unpin() && gr_unpin() == -EPERM ? 0 : -1;
}

int main(void)
{
	static const int sizes[] = { 1, 2, 4 };

	tap_limit(240);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		procs = sizes[i];
		test_many();
		tap_ok(in_runtime(blocked) == 0, "procs=%d: one in read() stops nobody", procs);
		tap_ok(in_runtime(yields) == 0, "procs=%d: its gr_yield() lets others run", procs);
		tap_ok(in_runtime(ends) == 0, "procs=%d: its end sets the thread free", procs);
		tap_ok(in_runtime(stop_them) == 0, "procs=%d: the runtime ends under it", procs);
	}
	test_limit();
	tap_ok(gr_pin() == -EPERM && gr_unpin() == -EPERM, "outside a goroutine: EPERM");
	tap_ok(in_runtime(misuse) == 0, "more unpins than pins: EPERM");
	return tap_done();
}
