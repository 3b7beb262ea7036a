// SPDX-License-Identifier: MIT
/*
 * block.c - what this project is about: goroutines that call plain blocking functions of the C
 * library, on one P, while another one keeps its beat. With a runtime that cannot see a thread
 * block, the ticker would stand still for as long as a call lasts.
 */
#include <netdb.h>
#include <stdio.h>
#include <time.h>

#include "gr.h"

#define BLOCKERS 8
#define BEAT (5 * GR_MS)

static struct gr_wg blockers = GR_WG_INIT;

static void block(void *arg)
{
	static const struct timespec quarter = { .tv_nsec = 250000000 };
	struct addrinfo *list;

	if (arg) {
		nanosleep(&quarter, NULL); /* the thread sleeps, not only the goroutine */
	} else if (!getaddrinfo("localhost", "http", NULL, &list)) {
		freeaddrinfo(list); /* reads files, asks servers: who knows how long */
	}
	gr_wg_done(&blockers);
}

static int ticker(void *arg)
{
	struct gr_info info = { .size = sizeof(info) };
	int64_t start = gr_now(), next = start + BEAT, late, worst = 0;
	long beats = 0;

	(void)arg;
	gr_wg_add(&blockers, BLOCKERS);
	for (long i = 0; i < BLOCKERS; i++)
		if (gr_go(block, i % 4 ? &blockers : NULL))
			return 1;
	while (gr_wg_wait(&blockers, next)) {
		late = gr_now() - next;
		worst = late > worst ? late : worst;
		beats++;
		next += BEAT;
	}
	gr_info(&info);
	printf("backend %s, %d P, %d threads\n", info.backend, info.nr_procs, info.nr_threads);
	printf("%d blocking calls took %lld ms together\n", BLOCKERS,
	       (long long)((gr_now() - start) / GR_MS));
	printf("meanwhile %ld beats, the latest %lld us late\n", beats,
	       (long long)(worst / GR_US));
	printf("%llu Ps taken from blocked threads\n", (unsigned long long)info.handoffs);
	return beats == 0;
}

int main(void)
{
	struct gr_opts one = { .size = sizeof(one), .nr_procs = 1 };

	return gr_run(ticker, NULL, &one) ? 1 : 0;
}
