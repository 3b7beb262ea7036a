// SPDX-License-Identifier: MIT
/*
 * preempt_test.c - goroutines that never stop computing do not starve the others.
 *
 * Eight goroutines do nothing but malloc(), free() and hash, without one call into the library,
 * on two Ps; a ticker goroutine wants to run every 10 ms. It ends the others after BEATS beats:
 * without preemption it would not run before they end, which is never. Only with the module.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define HASHERS 8
#define BEATS 200
#define BEAT (10 * GR_MS)

static _Atomic bool stop;
static _Atomic long rounds[HASHERS];
static int64_t late[BEATS];
static struct gr_wg wg;
static bool kmod;

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* what C code does: it holds malloc's locks and is anywhere when its slice ends */
static void hash(void *arg)
{
	_Atomic long *mine = arg;
	uint64_t h = 14695981039346656037ULL;
	unsigned char *block[16] = {};

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		int i = h % 16;
		size_t n = 16 + h % 4000;

		free(block[i]);
		block[i] = malloc(n);
		memset(block[i], (int)h, n);
		for (size_t k = 0; k < n; k++)
			h = (h ^ block[i][k]) * 1099511628211ULL;
		atomic_fetch_add_explicit(mine, 1, memory_order_relaxed);
	}
	for (int i = 0; i < 16; i++)
		free(block[i]);
	gr_wg_done(&wg);
}

static void tick(void *unused)
{
	(void)unused;
	for (int i = 0; i < BEATS; i++) {
		int64_t due = now() + BEAT;

		gr_sleep(due);
		late[i] = now() - due;
	}
	atomic_store(&stop, true);
	gr_wg_done(&wg);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int run(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };

	(void)unused;
	gr_info(&info);
	kmod = !strcmp(info.backend, "kmod");
	if (!kmod)
		return 0;
	gr_wg_add(&wg, HASHERS + 1);
	for (int i = 0; i < HASHERS; i++)
		gr_go(hash, (void *)&rounds[i]);
	gr_go(tick, NULL);
	return gr_wg_wait(&wg, GR_FOREVER);
}

int main(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 2 };
	long least = -1;
	int ret;

	tap_limit(120);
	ret = gr_run(run, NULL, &opts);
	if (!ret && !kmod) {
		tap_skip("a ticker beside goroutines that compute",
			 "the futex back end cannot preempt");
		return tap_done();
	}
	qsort(late, BEATS, sizeof(late[0]), by_value);
	printf("# late by: median %.1f ms, p90 %.1f ms, max %.1f ms\n", late[BEATS / 2] / 1e6,
	       late[BEATS * 9 / 10] / 1e6, late[BEATS - 1] / 1e6);
	tap_ok(ret == 0, "the ticker got its %d beats and all goroutines ended", BEATS);
	tap_ok(late[BEATS / 2] < 3 * BEAT, "it kept the beat: half of them less than 3 beats late");
	for (int i = 0; i < HASHERS; i++)
		if (least < 0 || rounds[i] < least)
			least = rounds[i];
	tap_ok(least > 0, "every goroutine got its turns, the least %ld", least);
	return tap_done();
}
