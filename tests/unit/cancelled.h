/* SPDX-License-Identifier: MIT */
/*
 * cancelled.h - what a call does in a goroutine that is cancelled, before it and while it waits;
 * and waiters that have timed out but not yet noticed.
 */
#ifndef CANCELLED_H
#define CANCELLED_H

#include "gr_int.h"
#include "mix.h"

/* how many stand in an object's queue, which its lock protects */
__attribute__((unused)) static int queue_len(uint32_t *lock, void **head)
{
	int n = 0;

	rt_enter();
	lock_acquire((struct lock *)lock);
	for (struct wnode *w = *head; w; w = w->next)
		n++;
	lock_release((struct lock *)lock);
	rt_exit();
	return n;
}

/* fn(arg) in a task that is cancelled after us; what it returned */
static int cancel_after(int64_t us, int (*fn)(void *), void *arg)
{
	struct gr_task *t;
	int result = 0, ret = gr_task_new(&t, fn, arg, NULL);

	if (ret)
		mix_fatal("gr_task_new", ret);
	if (us)
		gr_sleep(gr_after(us * GR_US));
	gr_task_cancel(t);
	ret = gr_task_join(t, &result, GR_FOREVER);
	gr_task_release(t);
	return ret ? ret : result;
}

/* fn(arg), which waits for ever, returns -ECANCELED however late it is cancelled */
__attribute__((unused)) static void check_cancel(const char *what, int (*fn)(void *), void *arg)
{
	static const int64_t late[] = { 0, 20, 200, 2000 };
	int wrong = 0;

	if (!mix.nr_procs)
		return; /* plain threads are not cancelled */
	for (int i = 0; i < 4; i++)
		wrong += cancel_after(late[i], fn, arg) != -ECANCELED;
	tap_ok(!wrong, "%s: %s: cancelled", mix.name, what);
}

/*
 * fn(deadline) waits, until queued() is true and then until its deadline. Back when that has
 * passed; and on one P before fn goes on: its timer fires in the yield, behind the caller.
 */
__attribute__((unused)) static void time_out(void (*fn)(void *), bool (*queued)(void))
{
	static int64_t deadline;

	deadline = gr_after(5 * GR_MS);
	mix_go(fn, &deadline);
	while (!queued() && gr_now() < deadline)
		gr_sleep(gr_after(20 * GR_US));
	while (gr_now() < deadline + 100 * GR_US)
		;
	gr_yield();
}

#endif /* CANCELLED_H */
