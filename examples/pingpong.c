// SPDX-License-Identifier: MIT
/* pingpong.c [rounds] - two goroutines and two unbuffered channels: the price of a hand-over. */
#include <stdio.h>
#include <stdlib.h>

#include "gr.h"

struct table {
	struct gr_chan *ping, *pong;
	long rounds;
};

static void player(void *arg)
{
	struct table *t = arg;
	long ball;

	while (!gr_chan_recv(t->ping, &ball, GR_FOREVER)) {
		ball++;
		gr_chan_send(t->pong, &ball, GR_FOREVER);
	}
	gr_chan_close(t->pong);
}

static int play(void *arg)
{
	struct table *t = arg;
	int64_t from;
	long ball = 0;

	if (gr_chan_new(&t->ping, sizeof(long), 0) || gr_chan_new(&t->pong, sizeof(long), 0) ||
	    gr_go(player, t))
		return 1;
	from = gr_now();
	for (long i = 0; i < t->rounds; i++) {
		gr_chan_send(t->ping, &ball, GR_FOREVER);
		gr_chan_recv(t->pong, &ball, GR_FOREVER);
	}
	printf("%ld rounds, %lld ns each\n", ball, (long long)(gr_now() - from) / t->rounds);
	gr_chan_close(t->ping);
	gr_chan_recv(t->pong, NULL, GR_FOREVER); /* the player has left the table */
	gr_chan_release(t->ping);
	gr_chan_release(t->pong);
	return ball != t->rounds;
}

int main(int argc, char **argv)
{
	struct table t = { .rounds = argc > 1 ? atol(argv[1]) : 200000 };

	if (t.rounds < 1) {
		fprintf(stderr, "usage: pingpong [rounds]\n");
		return 2;
	}
	return gr_run(play, &t, NULL) ? 1 : 0;
}
