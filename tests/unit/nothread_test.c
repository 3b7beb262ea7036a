// SPDX-License-Identifier: MIT
/*
 * nothread_test.c - no thread to be had when the runtime starts: gr_run() returns -EAGAIN, has not
 * called its function, says why, and can be called again.
 *
 * pthread_create() here stands before the C library's, and refuses some of the calls by number:
 * 1 is the monitor's, then come the trace's if there is one, and the threads that run goroutines.
 * Of these the monitor may make one in the place of gr_run(): where only some calls fail, the
 * function was called or gr_run() failed, never both and never neither.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

static _Atomic int calls, called;
static int refuse_from, refuse_to;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	int n = atomic_fetch_add(&calls, 1) + 1;

	if (n >= refuse_from && n <= refuse_to)
		return EAGAIN;
	*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(thread, attr, fn, arg);
}

static int answer(void *unused)
{
	(void)unused;
	atomic_fetch_add(&called, 1);
	return 42;
}

/* gr_run() with calls from..to refused; what it says on stderr goes to said */
static int run(int from, int to, int max_procs, char *said, size_t size)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 1, .max_procs = max_procs };
	int fd = memfd_create("stderr", 0), saved = dup(2), ret;
	ssize_t n;

	refuse_from = from;
	refuse_to = to;
	atomic_store(&calls, 0);
	atomic_store(&called, 0);
	dup2(fd, 2);
	ret = gr_run(answer, NULL, &opts);
	dup2(saved, 2);
	close(saved);
	n = pread(fd, said, size - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(fd);
	return ret;
}

static void works_again(void)
{
	char said[512];

	tap_ok(run(0, 0, 1, said, sizeof(said)) == 42 && called == 1, "... and then it works");
}

static void none(int from, int max_procs, const char *what)
{
	char said[4096];
	int ret = run(from, INT_MAX, max_procs, said, sizeof(said));

	tap_ok(ret == -EAGAIN && !called, "%s: EAGAIN, and nothing was called (%d, %d)", what, ret,
	       called);
	tap_ok(strstr(said, "gr: gr_run: ") != NULL, "... and a sentence says so");
	works_again();
}

static void some(int from, int to, int max_procs)
{
	char said[4096];
	int ret = run(from, to, max_procs, said, sizeof(said));

	tap_ok((ret == 42 && called == 1) || (ret == -EAGAIN && !called),
	       "calls %d to %d of %d processors' threads fail: all or nothing (%d, %d)", from, to,
	       max_procs, ret, called);
	works_again();
}

int main(void)
{
	none(1, 1, "no monitor");
	none(2, 1, "no thread for goroutines");
	none(2, 3, "no thread for any of three processors");
	setenv("GR_TRACE", "sched=100000", 1);
	none(2, 1, "no thread for the trace");
	unsetenv("GR_TRACE");
	for (int i = 0; i < 20; i++)
		some(2, 2, 1);
	for (int to = 2; to < 5; to++) {
		some(2, to, 3);
		some(3, to, 3);
	}
	some(3, INT_MAX, 3);
	return tap_done();
}
