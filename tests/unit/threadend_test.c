// SPDX-License-Identifier: MIT
/*
 * threadend_test.c - when gr_run() returns, the threads that ran goroutines have ended: what a
 * library keeps for each of them has been destroyed, and nothing of that library runs any more. But
 * for one that still sits in a system call.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "gr.h"
#include "tap.h"

#define ROUNDS 20

static pthread_key_t key;
static _Atomic int made, destroyed;
static _Atomic bool in_read;
static struct gr_chan *late;

/* slow, as one that gives memory back to a pool under a lock; and it may call libgr */
static void destroy(void *value)
{
	/* longer than gr_run() waits for one that stays */
	struct timespec ms = { 0, atomic_load(&in_read) ? 300000000 : 2000000 };

	nanosleep(&ms, NULL);
	gr_chan_send(late, value, GR_NOW);
	atomic_fetch_add(&destroyed, 1);
}

static int use_library(void *unused)
{
	static char state;

	(void)unused;
	if (!pthread_getspecific(key)) {
		pthread_setspecific(key, &state);
		atomic_fetch_add(&made, 1);
	}
	return 0;
}

static int program(void *unused)
{
	struct gr_scope s;

	(void)unused;
	gr_scope_init(&s, 0);
	for (int i = 0; i < 50; i++)
		gr_scope_go(&s, use_library, NULL);
	return gr_scope_wait(&s, GR_FOREVER);
}

/* ---- one that stays in a system call: the others have ended all the same ---- */

static int hold[2];

static void stay(void *unused)
{
	char c;

	(void)unused;
	atomic_store(&in_read, true);
	if (read(hold[0], &c, 1) != 1)
		abort();
}

static int leave_one(void *unused)
{
	int ret = gr_go(stay, NULL);

	while (!ret && !atomic_load(&in_read))
		gr_yield();
	return ret ? ret : program(unused);
}

static void one_stays(const struct gr_opts *opts)
{
	int ret, before = atomic_load(&made);

	if (pipe(hold))
		exit(1);
	ret = gr_run(leave_one, NULL, opts);
	tap_ok(!ret && atomic_load(&made) > before && atomic_load(&made) == atomic_load(&destroyed),
	       "so had the others while one stayed in a system call (%d of %d)", destroyed, made);
	tap_ok(write(hold[1], "", 1) == 1, "that is over");
}

int main(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 2 };
	int failed = 0, missing = 0;

	tap_limit(60);
	if (pthread_key_create(&key, destroy) || gr_chan_new(&late, 1, 1))
		return 1;
	for (int i = 0; i < ROUNDS; i++) {
		failed += gr_run(program, NULL, &opts) != 0;
		missing += atomic_load(&made) != atomic_load(&destroyed);
	}
	tap_ok(!failed && atomic_load(&made) >= ROUNDS, "%d threads used a library", made);
	tap_ok(!missing, "all of them had ended each time gr_run() returned (%d did not)", missing);
	one_stays(&opts);
	atomic_store(&in_read, false);
	while (gr_run(program, NULL, &opts) == -EBUSY)
		usleep(20000);
	gr_chan_release(late);
	return tap_done();
}
