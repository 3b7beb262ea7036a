// SPDX-License-Identifier: MIT
/*
 * main.c - libgr BENCH PROCS N: one round of one workload, results on stdout (bench.h).
 *
 * Exit 0 measured; 4 not in this build of the library, with the reason on stdout; 1 failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"

int procs;

static const struct {
	const char *name;
	void (*run)(long n);
} table[] = {
	{ "switch", bench_switch },	      { "yield", bench_yield },
	{ "spawn", bench_spawn },	      { "pingpong", bench_pingpong },
	{ "bufchan", bench_bufchan },	      { "ring", bench_ring },
	{ "skynet", bench_skynet },	      { "select", bench_select },
	{ "mutex", bench_mutex },	      { "timers_cpu", bench_timers_cpu },
	{ "timers_late", bench_timers_late }, { "parked", bench_parked },
	{ "sleep50us_err", bench_sleep50us_err },
	{ "wake", bench_wake },		      { "idle_ctxt", bench_idle },
	{ "file_randread", bench_file_randread },
	{ "file_randread_cached", bench_file_randread_cached },
};
static size_t chosen;
static long size;

void report(const char *bench, const char *unit, double value)
{
	printf("%s %s %.3f\n", bench, unit, value);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void report_late(const char *bench, int64_t *samples, long n)
{
	qsort(samples, n, sizeof(*samples), compare);
	printf("%s ns %.3f %.3f\n", bench, (double)samples[n / 2], (double)samples[n * 99 / 100]);
}

int64_t cpu_ns(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * GR_SEC +
	       (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * GR_US;
}

void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, strerror(-ret));
	exit(1);
}

void start(void (*fn)(void *), void *arg)
{
	must(gr_go(fn, arg), "gr_go");
}

struct gr_chan *chan(size_t elem, size_t cap)
{
	struct gr_chan *c = NULL;

	must(gr_chan_new(&c, elem, cap), "gr_chan_new");
	return c;
}

void per_op(const char *bench, void (*run)(long n), long n)
{
	int64_t t;

	run(n / 10 + 1);
	t = gr_now();
	run(n);
	report(bench, "ns", (double)(gr_now() - t) / n);
}

static int first(void *unused)
{
	(void)unused;
	table[chosen].run(size);
	return 0;
}

int main(int argc, char **argv)
{
	const size_t nr = sizeof(table) / sizeof(*table);
	struct gr_opts opts = { .size = sizeof(opts) };

	if (argc == 4)
		for (chosen = 0; chosen < nr && strcmp(table[chosen].name, argv[1]); chosen++)
			;
	if (argc != 4 || chosen == nr || (procs = atoi(argv[2])) < 1 || (size = atol(argv[3])) < 1) {
		fprintf(stderr, "usage: libgr BENCH PROCS N\n");
		return 1;
	}
	opts.nr_procs = procs;
	must(gr_run(first, NULL, &opts), "gr_run");
	fflush(stdout);
	return 0;
}
