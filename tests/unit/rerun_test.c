// SPDX-License-Identifier: MIT
/*
 * rerun_test.c - one runtime after the other: of two threads that call gr_run() one has its turn and
 * the other is refused; so is the next one while a thread of the last is still in a system call.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "gr.h"
#include "tap.h"

#define ROUNDS 50

static _Atomic bool in_read;
static _Atomic int refused;
static int hold[2];

static void pause_us(long us)
{
	struct timespec ts = { 0, us * 1000 };

	nanosleep(&ts, NULL);
}

static int answer(void *result)
{
	return *(int *)result;
}

/* returns how often gr_run() answered what it should not */
static int run_until_taken(int result, const struct gr_opts *opts)
{
	for (;;) {
		int ret = gr_run(answer, &result, opts);

		if (ret != -EBUSY)
			return ret != result;
		atomic_fetch_add(&refused, 1);
		pause_us(100);
	}
}

static void *rival(void *wrong)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 2 };

	for (int i = 0; i < ROUNDS; i++)
		*(int *)wrong += run_until_taken(1000 + i, &opts);
	return NULL;
}

static void two_threads(const struct gr_opts *opts)
{
	int wrong = 0, rivals_wrong = 0;
	pthread_t thread;

	if (pthread_create(&thread, NULL, rival, &rivals_wrong))
		exit(1);
	for (int i = 0; i < ROUNDS; i++)
		wrong += run_until_taken(i, opts);
	pthread_join(thread, NULL);
	tap_ok(!wrong && !rivals_wrong, "gr_run() by two threads: each its result (refused: %d)",
	       atomic_load(&refused));
}

static void stay(void *unused)
{
	char c;

	(void)unused;
	atomic_store(&in_read, true);
	while (read(hold[0], &c, 1) < 0)
		;
}

static int leave_one(void *unused)
{
	int ret = gr_go(stay, unused);

	while (!ret && !atomic_load(&in_read))
		gr_yield();
	return ret;
}

static void one_stays(const struct gr_opts *opts)
{
	struct sigaction quit;
	int seven = 7;

	if (pipe(hold))
		exit(1);
	tap_ok(!gr_run(leave_one, NULL, opts), "gr_run() returns while a thread is in read()");
	tap_ok(gr_run(answer, &seven, opts) == -EBUSY, "the next one is refused");
	tap_ok(write(hold[1], "", 1) == 1 && !run_until_taken(7, opts), "until read() has returned");
	tap_ok(!sigaction(SIGQUIT, NULL, &quit) && quit.sa_handler == SIG_DFL,
	       "then SIGQUIT is as it was");
}

int main(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 2 };

	tap_limit(60);
	signal(SIGQUIT, SIG_DFL); /* a shell's background job ignores it */
	two_threads(&opts);
	one_stays(&opts);
	return tap_done();
}
