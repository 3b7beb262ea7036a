// SPDX-License-Identifier: MIT
/*
 * tsc.c - print the rate of this machine's time stamp counter, in kHz.
 *
 * A guest counts with the same counter. Without ACPI it has only the PIT to measure its rate
 * against, and on a busy machine it gets that wrong by a factor; every time limit with it. The
 * best of some tries counts: one in which the two clocks were read closest together.
 * Compiled and called by run.sh.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct reading {
	uint64_t tsc;
	int64_t ns;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct reading read_both(void)
{
	struct reading best = { 0 };
	uint64_t before, after, least = UINT64_MAX;
	int64_t ns;

	for (int i = 0; i < 100; i++) {
		before = __rdtsc();
		ns = now_ns();
		after = __rdtsc();
		if (after - before < least) {
			least = after - before;
			best = (struct reading){ before + least / 2, ns };
		}
	}
	return best;
}

int main(void)
{
	struct reading from = read_both(), to;

	nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	to = read_both();
	printf("%.0f\n", (to.tsc - from.tsc) * 1e6 / (to.ns - from.ns));
	return 0;
}
