// SPDX-License-Identifier: MIT
/*
 * workers.c - a few workers, many jobs: jobs come through a channel, results go back through
 * another, and closing the first one sends the workers home.
 */
#include <errno.h>
#include <stdio.h>

#include "gr.h"

#define WORKERS 4
#define JOBS 1000

struct job {
	int n;
	int steps; /* out: until 1, by Collatz's rule */
};

static struct gr_chan *jobs, *results;

static int work(void *arg)
{
	struct job j;
	int ret;

	(void)arg;
	while (!(ret = gr_chan_recv(jobs, &j, GR_FOREVER))) {
		for (long n = j.n; n != 1; n = n % 2 ? 3 * n + 1 : n / 2)
			j.steps++;
		ret = gr_chan_send(results, &j, GR_FOREVER);
		if (ret)
			return ret;
	}
	return ret == -ENODATA ? 0 : ret;
}

static int hand_out(void *arg)
{
	(void)arg;
	for (int n = 1; n <= JOBS; n++) {
		struct job j = { n, 0 };
		int ret = gr_chan_send(jobs, &j, GR_FOREVER);

		if (ret)
			return ret;
	}
	return gr_chan_close(jobs);
}

static int start(void *arg)
{
	struct job j, longest = { 0 };
	struct gr_scope s;
	int ret;

	(void)arg;
	if (gr_chan_new(&jobs, sizeof(j), WORKERS) || gr_chan_new(&results, sizeof(j), WORKERS))
		return 1;
	gr_scope_init(&s, 0);
	for (int i = 0; i < WORKERS; i++)
		gr_scope_go(&s, work, NULL);
	gr_scope_go(&s, hand_out, NULL);
	for (int i = 0; i < JOBS; i++)
		if (!gr_chan_recv(results, &j, GR_FOREVER) && j.steps > longest.steps)
			longest = j;
	ret = gr_scope_wait(&s, GR_FOREVER);
	printf("up to %d, %d takes the most steps: %d\n", JOBS, longest.n, longest.steps);
	gr_chan_release(jobs);
	gr_chan_release(results);
	return ret || longest.n != 871;
}

int main(void)
{
	return gr_run(start, NULL, NULL) ? 1 : 0;
}
