// SPDX-License-Identifier: MIT
/*
 * race_test.c - TSan knows goroutines: it reports a race between two of them, with both places,
 * and is silent when they use libgr to keep out of each other's way.
 *
 * Checks something only where it is built with TSan (make SAN=thread). Each case is a child of its
 * own.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gr.h"
#include "san.h"
#include "tap.h"

#define ROUNDS 2000

static long shared;
static struct gr_mutex mutex = GR_MUTEX_INIT;
static struct gr_wg wg;
static _Atomic int here;

/* both run at once, each on a thread of its own, and nothing orders them */
static void meet(void)
{
	atomic_fetch_add_explicit(&here, 1, memory_order_relaxed);
	while (atomic_load_explicit(&here, memory_order_relaxed) < 2)
		;
}

static __attribute__((noinline)) void touch_racy(void)
{
	shared++;
}

static void racy(void *unused)
{
	(void)unused;
	meet();
	for (int i = 0; i < ROUNDS; i++)
		touch_racy();
	gr_wg_done(&wg);
}

static void clean(void *unused)
{
	(void)unused;
	meet();
	for (int i = 0; i < ROUNDS; i++) {
		gr_mutex_lock(&mutex, GR_FOREVER);
		shared++;
		gr_mutex_unlock(&mutex);
		if (i % 16 == 0)
			gr_yield();
	}
	gr_wg_done(&wg);
}

/* a value's owner changes with it */
static struct gr_chan *chan;

static void producer(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		long *p = malloc(sizeof(*p));

		*p = i;
		gr_chan_send(chan, &p, GR_FOREVER);
	}
	gr_chan_close(chan);
	gr_wg_done(&wg);
}

static void consumer(void *unused)
{
	long *p;

	(void)unused;
	while (!gr_chan_recv(chan, &p, GR_FOREVER)) {
		*p += 1;
		free(p);
	}
	gr_wg_done(&wg);
}

static int two_of(void *fn)
{
	gr_wg_add(&wg, 2);
	gr_go((void (*)(void *))fn, NULL);
	gr_go((void (*)(void *))fn, NULL);
	return gr_wg_wait(&wg, GR_FOREVER);
}

static int hand_over(void *unused)
{
	(void)unused;
	gr_chan_new(&chan, sizeof(long *), 4);
	gr_wg_add(&wg, 2);
	gr_go(producer, NULL);
	gr_go(consumer, NULL);
	gr_wg_wait(&wg, GR_FOREVER);
	gr_chan_release(chan);
	return 0;
}

static char text[1 << 16];

/* the child's exit status; what it wrote is in text */
static int in_child(int (*fn)(void *), void *arg)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 3 };
	int fd = memfd_create("stderr", 0), status = 0;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(fd, 2);
		exit(gr_run(fn, arg, &opts)); /* not _exit(): TSan's verdict is the exit code */
	}
	waitpid(pid, &status, 0);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	close(fd);
	return status;
}

static void check_clean(const char *what, int status)
{
	bool ok = WIFEXITED(status) && !WEXITSTATUS(status) && !*text;

	tap_ok(ok, "%s: no report", what);
	if (!ok)
		printf("# status %x\n%s\n", status, text);
}

int main(void)
{
#ifndef GR_TSAN
	if (1) {
		tap_skip("races", "not built with TSan");
		return tap_done();
	}
#endif
	tap_limit(120);
	in_child(two_of, (void *)racy);
	tap_ok(strstr(text, "data race") && strstr(text, "touch_racy"),
	       "a race between two goroutines is reported, with its place");
	check_clean("mutex", in_child(two_of, (void *)clean));
	check_clean("channel", in_child(hand_over, NULL));
	return tap_done();
}
