// SPDX-License-Identifier: MIT
/*
 * block_to_run - how long from the instant a goroutine blocks its thread until another one runs.
 *
 * One P that is always busy: goroutine B does nothing but yield. A arms a word, notes the time
 * and calls nanosleep(20 ms), of which libgr is not told. B notes when it finds the word armed:
 * with one P that cannot be before A's thread gave it up. Should A come back first, B runs when A
 * waits for it, and the value says so by being longer than the sleep. The clock is read by a
 * system call, as the Go twin has to (tests/bench/go/block_to_run.go).
 *
 * Prints one line of JSON: median and 99th percentile in microseconds.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"

#define BLOCK_MS 20

static atomic_int armed; /* A stores 1, B stores 0 after ran: release/acquire pair */
static int64_t ran;
static int nr_rounds = 100;

static int64_t now(void)
{
	struct timespec ts;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * GR_SEC + ts.tv_nsec;
}

static void spinner(void *arg)
{
	(void)arg;
	for (;;) {
		if (atomic_load(&armed)) {
			ran = now();
			atomic_store(&armed, 0);
		}
		gr_yield();
	}
}

static int64_t one_round(void)
{
	struct timespec ts = {.tv_nsec = BLOCK_MS * GR_MS};
	int64_t t0;

	atomic_store(&armed, 1);
	t0 = now();
	nanosleep(&ts, NULL);
	while (atomic_load(&armed))
		gr_yield();
	return ran - t0;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void print(int64_t *d)
{
	struct gr_info info = {.size = sizeof(info)};

	gr_info(&info);
	qsort(d, nr_rounds, sizeof(*d), by_value);
	printf("{\"bench\":\"block_to_run\",\"impl\":\"%s\",\"procs\":%d,\"unit\":\"us\","
	       "\"median\":%.1f,\"p99\":%.1f,\"n\":%d}\n",
	       info.backend, info.nr_procs, d[nr_rounds / 2] / 1e3, d[nr_rounds * 99 / 100] / 1e3,
	       nr_rounds);
	fflush(stdout);
}

static int bench(void *arg)
{
	int64_t *d = arg;
	int i, k, ret = gr_go(spinner, NULL);

	if (ret) {
		fprintf(stderr, "block_to_run: gr_go: %s\n", strerror(-ret));
		return 1;
	}
	for (i = 0; i < 10; i++)
		one_round();
	for (i = 0; i < nr_rounds; i++) {
		d[i] = one_round();
		for (k = 0; k < 100; k++)
			gr_yield();
	}
	print(d);
	return 0;
}

int main(int argc, char **argv)
{
	struct gr_opts opts = {.size = sizeof(opts), .nr_procs = 1};
	int64_t *d;

	if (argc > 2 || (argc == 2 && (nr_rounds = atoi(argv[1])) < 1)) {
		fputs("usage: block_to_run [ROUNDS]\n", stderr);
		return 1;
	}
	d = calloc(nr_rounds, sizeof(*d));
	if (!d || gr_run(bench, d, &opts))
		return 1;
	free(d);
	return 0;
}
