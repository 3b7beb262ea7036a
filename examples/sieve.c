// SPDX-License-Identifier: MIT
/* sieve.c [n] - the first n primes, by a chain of goroutines that each filter one prime out. */
#include <stdio.h>
#include <stdlib.h>

#include "gr.h"

struct filter {
	struct gr_chan *in, *out;
	int prime;
};

static void count(void *out)
{
	for (int n = 2; !gr_chan_send(out, &n, GR_FOREVER); n++)
		;
	gr_chan_release(out);
}

/* Closing the last channel takes the chain down from behind: a send that fails closes in. */
static void filter(void *arg)
{
	struct filter *f = arg;
	int n;

	while (!gr_chan_recv(f->in, &n, GR_FOREVER))
		if (n % f->prime && gr_chan_send(f->out, &n, GR_FOREVER))
			break;
	gr_chan_close(f->in);
	gr_chan_release(f->in);
	gr_chan_release(f->out);
	free(f);
}

static struct gr_chan *add_filter(struct gr_chan *in, int prime)
{
	struct filter *f = malloc(sizeof(*f));

	if (!f || gr_chan_new(&f->out, sizeof(int), 8))
		exit(1);
	f->in = in; /* our reference goes with it */
	f->prime = prime;
	in = gr_chan_retain(f->out);
	if (gr_go(filter, f))
		exit(1);
	return in;
}

static int sieve(void *arg)
{
	int primes = *(int *)arg, prime = 0;
	struct gr_chan *c;

	if (gr_chan_new(&c, sizeof(int), 8) || gr_go(count, gr_chan_retain(c)))
		return 1;
	for (int i = 0; i < primes; i++) {
		if (gr_chan_recv(c, &prime, GR_FOREVER))
			return 1;
		c = add_filter(c, prime);
	}
	printf("prime %d is %d\n", primes, prime);
	gr_chan_close(c);
	gr_chan_release(c);
	return 0;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 500;

	if (n < 1) {
		fprintf(stderr, "usage: sieve [n]\n");
		return 2;
	}
	return gr_run(sieve, &n, NULL) ? 1 : 0;
}
