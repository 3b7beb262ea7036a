// SPDX-License-Identifier: MIT
/*
 * start_test.c - goroutines that were started and have not had a turn yet: they hold no stack, and
 * that there will be one for each of them is promised by gr_go(), which else says -ENOMEM.
 */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gr.h"
#include "san.h"
#include "tap.h"

#if defined(GR_ASAN) || defined(GR_TSAN)
#define SANITIZER true
#define MANY 5000
#define FEWER 5000
#else
#define SANITIZER false
#define MANY 1000000
#define FEWER 100000 /* where memory is short: in a guest */
#endif
#define SLAB_STACKS 64 /* the first slabs, stack.c */
#define SLAB_BYTES ((size_t)SLAB_STACKS * (272 << 10))
/* of addresses: some hundred stacks, of 272 KiB or 1040, and some left for queues and timers */
#define ROOM (((size_t)256 << 20) + (700 << 10))
#define CACHED 64 /* dead ones that a P keeps for itself */

static struct gr_wg here, gone;
static struct gr_chan *gate;
static _Atomic long ran;
static long many;

/* the n-th number of /proc/self/statm, in KiB */
static long statm_kb(int n)
{
	long pages[2] = { 0, 0 };
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld %ld", &pages[0], &pages[1]) != 2)
		exit(1);
	fclose(f);
	return pages[n] * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- what they hold ---- */

static void count(void *unused)
{
	(void)unused;
	atomic_fetch_add_explicit(&ran, 1, memory_order_relaxed);
	gr_wg_done(&gone);
}

static int queue_many(void *unused)
{
	long before = statm_kb(1), kb;

	(void)unused;
	gr_wg_add(&gone, many);
	for (long i = 0; i < many; i++)
		if (gr_go(count, NULL))
			return -1;
	kb = statm_kb(1) - before;
	if (SANITIZER)
		tap_skip("they hold less than a page", "a sanitizer's own memory hides it");
	else
		tap_ok(kb * 1024 < many * 512, "%ld queued goroutines hold %ld bytes each", many,
		       kb * 1024 / many);
	gr_wg_wait(&gone, GR_FOREVER);
	tap_ok(atomic_load(&ran) == many, "all of them run");
	kb = statm_kb(1) - before;
	if (SANITIZER)
		tap_skip("one after the other, they share stacks", "as above");
	else
		tap_ok(kb * 1024 < many * 512, "one after the other, they share stacks");
	return 0;
}

/* ---- no memory ---- */

static void stay(void *unused)
{
	(void)unused;
	gr_wg_done(&here);
	gr_chan_recv(gate, NULL, GR_FOREVER);
	gr_wg_done(&gone);
}

/* Start goroutines until there is no memory, then let them all be there at once. How many. */
static long fill(const struct gr_attr *attr)
{
	long n = 0;
	int ret;

	gr_chan_new(&gate, 0, 0);
	do {
		gr_wg_add(&here, 1);
		gr_wg_add(&gone, 1);
		ret = gr_go_with(stay, NULL, attr);
		n += !ret;
	} while (!ret);
	gr_wg_done(&here);
	gr_wg_done(&gone);
	if (ret != -ENOMEM || gr_wg_wait(&here, gr_after(60 * GR_SEC)))
		return -1;
	gr_chan_close(gate);
	gr_wg_wait(&gone, GR_FOREVER);
	gr_chan_release(gate);
	return n;
}

static int fill_twice(void *attr)
{
	struct gr_wg *wg = &gone;
	long first, again;

	for (int i = 0; i < 100; i++) { /* threads and what they need are there */
		gr_wg_add(wg, 1);
		if (gr_go(count, NULL))
			return 1;
	}
	gr_wg_wait(wg, GR_FOREVER);
	setrlimit(RLIMIT_AS, &(struct rlimit){ (rlim_t)statm_kb(0) * 1024 + ROOM, RLIM_INFINITY });
	first = fill(attr);
	again = fill(attr);
	return first > 200 && again >= first - 3 * CACHED ? 0 : 2;
}

/* There is room for no further slab of stacks: those of the slabs that are there are all given out. */
static int fill_slabs(void *attr)
{
	long n;

	setrlimit(RLIMIT_AS, &(struct rlimit){ (rlim_t)statm_kb(0) * 1024 + SLAB_BYTES / 2,
					       RLIM_INFINITY });
	n = fill(attr);
	return n > 0 && (n + 1) % SLAB_STACKS == 0 ? 0 : 3; /* one runs this */
}

static void test_no_memory(int procs, int (*fn)(void *), struct gr_attr *attr, const char *what)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs };
	int status = 0;
	pid_t pid;

	if (SANITIZER) {
		tap_skip(what, "a sanitizer needs its addresses");
		return;
	}
	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		mallopt(M_ARENA_MAX, 1); /* each takes 128 MiB of addresses, at any time */
		alarm(100);
		_exit(gr_run(fn, attr, &opts));
	}
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	       "%s: -ENOMEM, and all that were started run: %#x", what, status);
}

int main(void)
{
	struct gr_opts one = { .size = sizeof(one), .nr_procs = 1 };
	struct gr_attr odd = { .size = sizeof(odd), .stack_size = 1 << 20 };

	tap_limit(120);
	many = sysconf(_SC_AVPHYS_PAGES) / 1024 * sysconf(_SC_PAGESIZE) / 1024 > 1500 ? MANY : FEWER;
	test_no_memory(1, fill_twice, NULL, "no addresses left, one P");
	test_no_memory(3, fill_twice, NULL, "no addresses left, three Ps");
	test_no_memory(2, fill_twice, &odd, "no addresses left for stacks of 1 MiB");
	test_no_memory(1, fill_slabs, NULL, "no addresses for more stacks");
	tap_ok(gr_run(queue_many, NULL, &one) == 0, "many are queued");
	return tap_done();
}
