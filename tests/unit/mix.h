/* SPDX-License-Identifier: MIT */
/*
 * mix.h - run one test body with every kind of caller: plain threads, goroutines on 1, 2 and 4
 * Ps, and both at once.
 *
 * The body is called once per mode; mix_go() starts a helper of the mode's kind (in "mixed"
 * every second one is a plain thread), mix_join() waits for all of them. A test that hangs is
 * killed after LIMIT_S seconds, which the runner counts as a failure.
 */
#ifndef MIX_H
#define MIX_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define LIMIT_S 300

static struct {
	const char *name;
	int nr_procs; /* 0: no runtime */
	bool mixed;
	void (*body)(void);
	atomic_int left, started;
} mix;

struct mix_job {
	void (*fn)(void *);
	void *arg;
};

static void mix_job_g(void *p)
{
	struct mix_job job = *(struct mix_job *)p;

	free(p);
	job.fn(job.arg);
	atomic_fetch_sub(&mix.left, 1);
}

static void *mix_job_thread(void *p)
{
	mix_job_g(p);
	return NULL;
}

static void mix_fatal(const char *what, int err)
{
	printf("Bail out! %s: %s: %d\n", mix.name, what, err);
	fflush(stdout);
	_exit(1);
}

static void mix_start_thread(struct mix_job *job)
{
	pthread_attr_t attr;
	pthread_t t;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	err = pthread_create(&t, &attr, mix_job_thread, job);
	pthread_attr_destroy(&attr);
	if (err)
		mix_fatal("pthread_create", err);
}

__attribute__((unused)) static void mix_go(void (*fn)(void *), void *arg)
{
	struct mix_job *job = malloc(sizeof(*job));
	int n = atomic_fetch_add(&mix.started, 1), ret;

	if (!job)
		mix_fatal("malloc", ENOMEM);
	*job = (struct mix_job){ fn, arg };
	atomic_fetch_add(&mix.left, 1);
	if (!mix.nr_procs || (mix.mixed && n % 2)) {
		mix_start_thread(job);
		return;
	}
	ret = gr_go(mix_job_g, job);
	if (ret)
		mix_fatal("gr_go", ret);
}

__attribute__((unused)) static void mix_join(void)
{
	while (atomic_load(&mix.left))
		gr_sleep(gr_after(200 * GR_US));
}

static int mix_main(void *arg)
{
	(void)arg;
	mix.body();
	mix_join();
	return 0;
}

/* on a machine that is busy elsewhere a thread of the last runtime may still be on its way */
__attribute__((unused)) static int mix_gr_run(int (*fn)(void *), void *arg, int nr_procs)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = nr_procs };
	int ret = gr_run(fn, arg, &opts);

	for (int i = 0; ret == -EBUSY && i < 100; i++) {
		usleep(50000);
		ret = gr_run(fn, arg, &opts);
	}
	return ret;
}

static void mix_run_in(const char *name, int nr_procs, bool mixed)
{
	int ret;

	mix.name = name;
	mix.nr_procs = nr_procs;
	mix.mixed = mixed;
	ret = nr_procs ? mix_gr_run(mix_main, NULL, nr_procs) : mix_main(NULL);
	if (ret == -ENOSYS)
		tap_skip(name, "no io_uring here");
	else if (ret)
		mix_fatal("gr_run", ret);
}

/* body() in every mode; its checks are named with mix.name */
__attribute__((unused)) static void mix_run(void (*body)(void))
{
	tap_limit(LIMIT_S);
	mix.body = body;
	mix_run_in("threads", 0, false);
	mix_run_in("go1", 1, false);
	mix_run_in("go2", 2, false);
	mix_run_in("go4", 4, false);
	mix_run_in("mixed", 2, true);
}

#endif /* MIX_H */
