// SPDX-License-Identifier: MIT
/* pipeline.c - numbers -> four squarers -> sum: stages joined by channels, ended by close. */
#include <stdio.h>

#include "gr.h"

#define NUMBERS 100000
#define SQUARERS 4

static struct gr_chan *numbers, *squares;
static struct gr_wg squarers = GR_WG_INIT;

static void generate(void *arg)
{
	(void)arg;
	for (long n = 1; n <= NUMBERS; n++)
		gr_chan_send(numbers, &n, GR_FOREVER);
	gr_chan_close(numbers);
}

static void square(void *arg)
{
	long n;

	(void)arg;
	while (!gr_chan_recv(numbers, &n, GR_FOREVER)) {
		n *= n;
		gr_chan_send(squares, &n, GR_FOREVER);
	}
	gr_wg_done(&squarers);
}

/* the last squarer closes the door */
static void close_squares(void *arg)
{
	(void)arg;
	gr_wg_wait(&squarers, GR_FOREVER);
	gr_chan_close(squares);
}

static int pipeline(void *arg)
{
	long n, sum = 0, want = 0;

	(void)arg;
	if (gr_chan_new(&numbers, sizeof(long), 16) || gr_chan_new(&squares, sizeof(long), 16))
		return 1;
	gr_wg_add(&squarers, SQUARERS);
	for (int i = 0; i < SQUARERS; i++)
		if (gr_go(square, NULL))
			return 1;
	if (gr_go(generate, NULL) || gr_go(close_squares, NULL))
		return 1;
	while (!gr_chan_recv(squares, &n, GR_FOREVER))
		sum += n;
	for (n = 1; n <= NUMBERS; n++)
		want += n * n;
	printf("sum of the squares up to %d: %ld\n", NUMBERS, sum);
	gr_chan_release(numbers);
	gr_chan_release(squares);
	return sum != want;
}

int main(void)
{
	return gr_run(pipeline, NULL, NULL) ? 1 : 0;
}
