/* SPDX-License-Identifier: MIT */
/*
 * badinput.h - run one table of calls in three places: no runtime at all, a plain thread while one
 * runs, and a goroutine. What a call must say may differ from place to place.
 */
#ifndef BADINPUT_H
#define BADINPUT_H

#include "mix.h"

enum place { OUTSIDE, THREAD, GOROUTINE };

static const char *const place_name[] = { "no runtime", "thread", "goroutine" };
static enum place place;

/* the call must say exactly this */
#define IS(call, want)                                                                            \
	do {                                                                                      \
		long got_ = (long)(call), want_ = (want);                                         \
		tap_ok(got_ == want_, "%s: %s: %ld, want %ld", place_name[place], #call, got_,    \
		       want_);                                                                    \
	} while (0)

#define PAST gr_after(-GR_SEC) /* a deadline long gone, not GR_NOW */

__attribute__((unused)) static long by_place(long outside, long thread, long goroutine)
{
	return place == OUTSIDE ? outside : place == THREAD ? thread : goroutine;
}

static void bad_in(enum place where)
{
	place = where;
	mix.name = place_name[where];
	mix.body();
}

static void *bad_thread(void *done)
{
	bad_in(THREAD);
	atomic_store((atomic_int *)done, 1);
	return NULL;
}

static int bad_inside(void *arg)
{
	atomic_int done = 0;
	pthread_t t;

	(void)arg;
	pthread_create(&t, NULL, bad_thread, &done);
	while (!done)
		gr_sleep(gr_after(GR_MS));
	pthread_join(t, NULL);
	bad_in(GOROUTINE);
	return 0;
}

static int bad_run(void (*body)(void))
{
	int ret;

	tap_limit(LIMIT_S);
	mix.body = body;
	bad_in(OUTSIDE);
	ret = gr_run(bad_inside, NULL, NULL);
	if (ret == -ENOSYS)
		tap_skip("inside", "no io_uring here");
	else
		tap_ok(ret == 0, "the runtime has survived: %d", ret);
	return tap_done();
}

#endif /* BADINPUT_H */
