// SPDX-License-Identifier: MIT
/*
 * time.c - the deadlines' clock, and sleeping.
 *
 * Callers: any thread. gr_now() is a vDSO call: no system call, no runtime section.
 */
#include <errno.h>
#include <time.h>

#include "gr_int.h"

int64_t gr_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * GR_SEC + ts.tv_nsec;
}

int64_t gr_after(int64_t ns)
{
	int64_t when;

	if (__builtin_add_overflow(gr_now(), ns, &when))
		return GR_FOREVER;
	/* long ago, but never GR_NOW, which means "do not wait" */
	return when > GR_NOW ? when : GR_NOW + 1;
}

int gr_sleep(int64_t deadline)
{
	struct waiter w;
	int ret;

	if (deadline <= gr_now())
		return deadline == GR_NOW ? 0 : gr_cancelled();
	rt_enter();
	waiter_init(&w);
	/* on nobody's queue: only the deadline, or who cancels us, ends it */
	ret = waiter_wait(&w, NULL, deadline, WAIT_SLEEP);
	rt_exit();
	return ret == -ETIMEDOUT ? 0 : ret;
}
