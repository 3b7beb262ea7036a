// SPDX-License-Identifier: MIT
/*
 * iocount_test.c - what gr_info() and gr_proc_info() tell about input and output: the means,
 * requests and their results, calls that needed none, and results that another P had to fetch.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define ROUNDS 10

static int sock[2], fds[2];
static _Atomic bool over, stop;
static struct gr_wg wg;

/* of all Ps */
static struct gr_proc_info sum(void)
{
	struct gr_proc_info all = { .size = sizeof(all) }, one = all;

	for (int i = 0; !gr_proc_info(i, &one); i++) {
		all.io_requests += one.io_requests;
		all.io_completions += one.io_completions;
		all.io_stolen += one.io_stolen;
		all.io_at_once += one.io_at_once;
	}
	return all;
}

static void reader(void *unused)
{
	char c;

	(void)unused;
	for (int i = 0; i < ROUNDS; i++)
		gr_read(sock[0], &c, 1, GR_FOREVER);
	gr_wg_done(&wg);
}

static int counts(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };
	struct gr_proc_info before = sum(), after;

	(void)unused;
	if (gr_info(&info))
		return 1;
	tap_ok(*info.netpoll_uses, "by %s: %s", info.netpoll, info.netpoll_uses);
	gr_wg_add(&wg, 1);
	gr_go(reader, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		gr_sleep(gr_after(GR_MS)); /* mostly it waits by then */
		gr_write(sock[1], "x", 1, GR_FOREVER);
	}
	gr_wg_wait(&wg, GR_FOREVER);
	after = sum();
	tap_ok(after.io_requests - before.io_requests ==
	       after.io_completions - before.io_completions, "every request has its result");
	/* each call is one or the other; what was asked for in vain can be both, by epoll */
	tap_ok(after.io_requests - before.io_requests + after.io_at_once - before.io_at_once >=
	       2 * ROUNDS, "%d requests, and %d calls that needed none",
	       (int)(after.io_requests - before.io_requests),
	       (int)(after.io_at_once - before.io_at_once));
	tap_ok(after.io_at_once - before.io_at_once >= ROUNDS, "no write has to wait");
	return 0;
}

/* keeps the other P awake: one that sleeps does not look into the rings of others */
static void ticks(void *unused)
{
	(void)unused;
	while (!atomic_load(&stop))
		gr_sleep(gr_after(100 * GR_US));
	gr_wg_done(&wg);
}

static void waits(void *unused)
{
	char c;

	(void)unused;
	gr_read(fds[0], &c, 1, GR_FOREVER);
	atomic_store(&over, true);
	gr_wg_done(&wg);
}

/*
 * If its P's ring has what the other one waits for, this goroutine does not let go of the P. In which
 * ring it is, and who looks there, is chance: until it has happened.
 */
static int steals(void *unused)
{
	struct gr_proc_info now = sum();

	(void)unused;
	gr_wg_add(&wg, 1);
	gr_go(ticks, NULL);
	while (!now.io_stolen) {
		int64_t until;

		atomic_store(&over, false);
		gr_wg_add(&wg, 1);
		gr_go(waits, NULL);
		gr_sleep(gr_after(GR_MS));
		if (write(fds[1], "x", 1) != 1)
			return 1;
		until = gr_after(20 * GR_MS);
		while (!atomic_load(&over) && gr_now() < until)
			;
		while (!atomic_load(&over))
			gr_yield();
		now = sum();
	}
	atomic_store(&stop, true);
	gr_wg_wait(&wg, GR_FOREVER);
	tap_ok(1, "a P that computes: others take its results: %d", (int)now.io_stolen);
	return 0;
}

static int run(int (*fn)(void *), int procs)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs };

	return gr_run(fn, NULL, &opts);
}

int main(void)
{
	struct gr_proc_info info = { .size = sizeof(info) - 1 };

	tap_limit(60);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) || pipe(fds))
		return 1;
	tap_ok(gr_proc_info(0, &info) < 0, "a struct of another size: refused");
	tap_ok(!run(counts, 1), "one P");
	tap_ok(!run(steals, 2), "two");
	return tap_done();
}
