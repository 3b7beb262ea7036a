/* SPDX-License-Identifier: MIT */
/*
 * tap.h - the whole test framework: Test Anything Protocol on stdout.
 *
 *	int main(void) { tap_ok(1 + 1 == 2, "adds %d", 1); return tap_done(); }
 *
 * Any thread may report: number and line are made under stdout's own lock. Exit codes are those
 * of kselftest: 0 passed, 1 failed, 4 everything was skipped.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int tap_count, tap_failed, tap_skipped;

__attribute__((format(printf, 2, 3), unused)) static void tap_ok(int cond, const char *fmt, ...)
{
	va_list ap;

	flockfile(stdout);
	tap_failed += !cond;
	printf("%s %d - ", cond ? "ok" : "not ok", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	funlockfile(stdout);
}

__attribute__((unused)) static void tap_skip(const char *name, const char *why)
{
	flockfile(stdout);
	tap_skipped++;
	printf("ok %d - %s # SKIP %s\n", ++tap_count, name, why);
	fflush(stdout);
	funlockfile(stdout);
}

/* Ends a test that hangs, by SIGALRM; GR_TEST_SLOW=N: where everything takes N times as long. */
__attribute__((unused)) static void tap_limit(unsigned int seconds)
{
	const char *slow = getenv("GR_TEST_SLOW");

	alarm(slow && atoi(slow) > 0 ? seconds * (unsigned int)atoi(slow) : seconds);
}

/* Prints the plan; the value is main()'s. A test that checked nothing has failed. */
__attribute__((unused)) static int tap_done(void)
{
	printf("1..%d\n", tap_count);
	if (!tap_count || tap_failed)
		return 1;
	return tap_skipped == tap_count ? 4 : 0;
}

#endif /* TAP_H */
