// SPDX-License-Identifier: MIT
/* ticker.c - a ticker, a timer that calls a function, and one that is stopped in time. */
#include <stdio.h>

#include "gr.h"

static struct gr_wg rang = GR_WG_INIT;

static void ring(void *arg)
{
	printf("%s\n", (char *)arg);
	gr_wg_done(&rang);
}

static int start(void *arg)
{
	struct gr_timer *ticker, *alarm_clock, *too_late;
	int ticks = 0, n;

	(void)arg;
	if (gr_timer_new(&ticker) || gr_timer_func(&alarm_clock, ring, "good morning") ||
	    gr_timer_func(&too_late, ring, "never printed"))
		return 1;
	gr_wg_add(&rang, 1);
	gr_timer_set(alarm_clock, gr_after(7 * GR_MS), 0);
	gr_timer_set(too_late, gr_after(60 * GR_SEC), 0);
	gr_timer_set(ticker, gr_after(2 * GR_MS), 2 * GR_MS);
	while (ticks < 5) {
		n = gr_timer_wait(ticker, GR_FOREVER); /* more than 1: we were late */
		if (n < 0)
			return 1;
		ticks += n;
		printf("tick%s\n", n > 1 ? ", and some before" : "");
	}
	gr_wg_wait(&rang, GR_FOREVER);
	n = gr_timer_stop(too_late);
	printf("the other one was %s\n", n == 1 ? "stopped in time" : "lost");
	gr_timer_release(ticker);
	gr_timer_release(alarm_clock);
	gr_timer_release(too_late);
	return n != 1;
}

int main(void)
{
	return gr_run(start, NULL, NULL) ? 1 : 0;
}
