// SPDX-License-Identifier: MIT
/*
 * one_to_one.c - model 1: every goroutine is a kernel thread. The kernel schedules; each may block
 * as it likes. What it costs is the thread: a kernel stack, a pid, a page of stack, a system
 * call to start it and two context switches through the kernel to wait for another one.
 */
#include <errno.h>

#include "cell.h"
#include "gor.h"

static _Atomic long started;

static void *body(void *g)
{
	thread_run(g);
	gor_thread_end();
	return NULL;
}

static int spawn(void (*fn)(void *), void *arg)
{
	struct gor *g = gor_new(fn, arg, false);
	int ret;

	if (!g)
		return -ENOMEM;
	ret = thread_start(body, g);
	if (ret)
		gor_free(g);
	else
		atomic_fetch_add(&started, 1);
	return ret;
}

static void start(void (*fn)(void *), void *arg)
{
	struct gor *g = gor_new(fn, arg, false);

	if (!g)
		cell_fail("no memory");
	kern = thread_kern;
	thread_run(g);
}

static void count(struct counters *c)
{
	*c = (struct counters){ .threads = atomic_load(&started) + 1 };
}

const struct model one_to_one = {
	.name = "1:1",
	.title = "a thread each",
	.start = start,
	.spawn = spawn,
	.count = count,
	THREAD_OPS,
	SYNC_OPS,
};
