// SPDX-License-Identifier: MIT
/*
 * stack_test.c - what a goroutine costs in memory, and what happens below its stack.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gr.h"
#include "san.h"
#include "tap.h"

#define MANY 100000 /* more than guard pages fit into the default vm.max_map_count */
#define FEWER 50000 /* so are these, where memory is short: in a guest */

static long resident_kb(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		pages = -1;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void wait_here(void *c)
{
	gr_chan_recv(c, NULL, GR_FOREVER);
}

static int many;
static struct gr_chan *c; /* goroutines may still be in it at the end */

static int park_many(void *kb)
{
	long before = resident_kb();

	gr_chan_new(&c, 0, 0);
	for (int i = 0; i < many; i++)
		if (gr_go(wait_here, c))
			return -1;
	for (int i = 0; i < 10; i++)
		gr_yield();
	*(long *)kb = resident_kb() - before;
	gr_chan_close(c);
	return 0;
}

/* ---- a child that overflows its stack must not live on ---- */

static int depth;

static __attribute__((noinline)) int dive(volatile char *above)
{
	volatile char here[1024];

	here[0] = above[0];
	depth++;
	return depth < 1 << 20 ? dive(here) + here[0] : 0;
}

static void overflow(void *unused)
{
	char c = 0;

	(void)unused;
	dive(&c);
}

static int overflow_main(void *unused)
{
	struct gr_attr attr = { .size = sizeof(attr), .stack_size = 64 << 10 };

	(void)unused;
	gr_go_with(overflow, NULL, &attr);
	gr_sleep(gr_after(20 * GR_SEC));
	return 0;
}

static int child_status(void)
{
	struct rlimit none = { 0, 0 };
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		_exit(gr_run(overflow_main, NULL, NULL));
	}
	waitpid(pid, &status, 0);
	return status;
}

int main(void)
{
	struct gr_opts one = { .size = sizeof(one), .nr_procs = 1 };
	int status = child_status();
	long kb = 0;

	many = sysconf(_SC_AVPHYS_PAGES) / 1024 * sysconf(_SC_PAGESIZE) / 1024 > 1500 ? MANY : FEWER;
	tap_ok(WIFSIGNALED(status) || WEXITSTATUS(status) != 0,
	       "an overflow of the stack ends the process");
	tap_ok(gr_run(park_many, &kb, &one) == 0, "%d parked goroutines", many);
	/* one page and its share of page tables; twice that would be two pages each */
#if defined(GR_ASAN) || defined(GR_TSAN)
	tap_skip("they hold a page each", "a sanitizer's own memory hides it");
#else
	tap_ok(kb > 0 && kb < many * 7L, "they hold %ld bytes each", kb * 1024 / many);
#endif
	return tap_done();
}
