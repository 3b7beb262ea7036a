// SPDX-License-Identifier: MIT
/*
 * sched.c - workloads of the bare scheduler: switch, yield, spawn.
 *
 * switch reaches into the library for gr_switch(): two stacks, no scheduler. Its floor, the same
 * by hand, is ../asm/switch.c.
 */
#include <stdlib.h>

#include "bench.h"
#include "switch.h"

/* ---- switch: there and back, two switches ---- */

static void *here, *there;

static void other(void *unused, void *passed)
{
	(void)unused;
	(void)passed;
	for (;;)
		gr_switch(&there, here, NULL);
}

static void switches(long n)
{
	for (long i = 0; i < n; i += 2)
		gr_switch(&here, there, NULL);
}

void bench_switch(long n)
{
	char *stack = malloc(65536);

	there = gr_switch_init(stack + 65536, other, NULL);
	per_op("switch", switches, n);
	free(stack);
}

/* ---- yield: two goroutines for each P ---- */

static struct gr_wg wg;
static long each;

static void yielder(void *unused)
{
	(void)unused;
	for (long i = 0; i < each; i++)
		gr_yield();
	gr_wg_done(&wg);
}

static void yields(long n)
{
	each = n / (2 * procs);
	gr_wg_add(&wg, 2 * procs);
	for (int i = 0; i < 2 * procs; i++)
		start(yielder, NULL);
	must(gr_wg_wait(&wg, GR_FOREVER), "gr_wg_wait");
}

void bench_yield(long n)
{
	per_op("yield", yields, n);
}

/* ---- spawn: start one and wait until it has ended ---- */

static void child(void *unused)
{
	(void)unused;
	gr_wg_done(&wg);
}

static void spawns(long n)
{
	for (long i = 0; i < n; i++) {
		gr_wg_add(&wg, 1);
		start(child, NULL);
		gr_wg_wait(&wg, GR_FOREVER);
	}
}

void bench_spawn(long n)
{
	per_op("spawn", spawns, n);
}
