// SPDX-License-Identifier: MIT
/*
 * go_sieve_test.c - prime numbers by goroutines, after Go's test/chan/sieve1.go and sieve2.go.
 *
 * The first sieve is a chain of filters, one for each prime. The second merges the multiples of
 * the primes found so far, kept in a heap by their next value; primes reach it through a queue
 * without a limit, which is a goroutine with a select, or the two would wait for each other.
 */
#include "mix.h"

#define PRIMES 150

static int want[PRIMES];
static struct gr_scope scope;
static struct gr_chan *made[PRIMES * 2 + 8];
static int nr_made;

static void by_division(void)
{
	int n = 0;

	for (int i = 2; n < PRIMES; i++) {
		int k = 0;

		while (k < n && i % want[k])
			k++;
		if (k == n)
			want[n++] = i;
	}
}

/* only by the goroutine that finds the primes */
static struct gr_chan *chan(size_t cap)
{
	struct gr_chan *c;

	if (gr_chan_new(&c, sizeof(int), cap))
		mix_fatal("gr_chan_new", ENOMEM);
	made[nr_made++] = c;
	return c;
}

struct job {
	struct gr_chan *in, *in2, *out;
	int n;
};

static struct job jobs[PRIMES * 2 + 8];
static int nr_jobs;

static void go(int (*fn)(void *), struct job j)
{
	jobs[nr_jobs] = j;
	if (gr_scope_go(&scope, fn, &jobs[nr_jobs++]))
		mix_fatal("gr_scope_go", ENOMEM);
}

static int count_up(void *arg)
{
	struct job *j = arg;
	int ret = 0;

	for (int i = j->n; !ret; i++)
		ret = gr_chan_send(j->out, &i, GR_FOREVER);
	return ret;
}

static int filter(void *arg)
{
	struct job *j = arg;
	int i;

	while (!gr_chan_recv(j->in, &i, GR_FOREVER))
		if (i % j->n && gr_chan_send(j->out, &i, GR_FOREVER))
			break;
	return -ECANCELED;
}

static void begin(void)
{
	nr_made = nr_jobs = 0;
	gr_scope_init(&scope, 0);
}

static void end(const char *name, int bad)
{
	tap_ok(!bad, "%s: %s: %d primes", mix.name, name, PRIMES);
	gr_scope_cancel(&scope);
	tap_ok(!gr_scope_wait(&scope, GR_FOREVER), "%s: %s: %d goroutines are gone", mix.name, name,
	       nr_jobs);
	while (nr_made)
		gr_chan_release(made[--nr_made]);
}

static void chain(void)
{
	struct gr_chan *c = NULL, *next;
	int bad = 0, p = 0;

	begin();
	c = chan(0);
	go(count_up, (struct job){ .out = c, .n = 2 });
	for (int i = 0; i < PRIMES; i++) {
		bad += gr_chan_recv(c, &p, GR_FOREVER) || p != want[i];
		next = chan(0);
		go(filter, (struct job){ .in = c, .out = next, .n = p });
		c = next;
	}
	end("a chain of filters", bad);
}

/* ---- the second sieve ---- */

static int odds(void *arg)
{
	struct job *j = arg;
	int ret = 0;

	for (int i = 3; !ret; i += 2)
		ret = gr_chan_send(j->out, &i, GR_FOREVER);
	return ret;
}

/* a channel without a limit, from in to out */
static int unlimited(void *arg)
{
	struct job *j = arg;
	int queue[PRIMES + 1], first = 0, n = 0, in;

	for (;;) {
		struct gr_case cases[] = { GR_RECV(j->in, &in),
					   GR_SEND(n ? j->out : NULL, &queue[first]) };
		int i = gr_select(cases, 2, GR_FOREVER);

		if (i < 0 || cases[i].result)
			return -ECANCELED;
		if (i) {
			first++;
			n--;
		} else {
			queue[first + n++] = in;
		}
	}
}

struct multiples {
	int next, prime;
};

static void sift(struct multiples *h, int n)
{
	for (int i = 0, c; (c = 2 * i + 1) < n; i = c) {
		struct multiples t = h[i];

		if (c + 1 < n && h[c + 1].next < h[c].next)
			c++;
		if (t.next <= h[c].next)
			return;
		h[i] = h[c];
		h[c] = t;
	}
}

static void push(struct multiples *h, int n, struct multiples m)
{
	int i = n;

	for (; i && h[(i - 1) / 2].next > m.next; i = (i - 1) / 2)
		h[i] = h[(i - 1) / 2];
	h[i] = m;
}

/* odd composites in order, each once; primes come from in */
static int composites(void *arg)
{
	struct multiples heap[PRIMES + 1];
	struct job *j = arg;
	int n = 0, p = 1, last = 0;

	for (;;) {
		/* a prime's square is the first of its multiples that is news */
		while (!n || heap[0].next >= (p + 2) * (p + 2)) {
			if (gr_chan_recv(j->in, &p, GR_FOREVER))
				return -ECANCELED;
			push(heap, n++, (struct multiples){ p * p, p });
		}
		if (heap[0].next != last) {
			last = heap[0].next;
			if (gr_chan_send(j->out, &last, GR_FOREVER))
				return -ECANCELED;
		}
		heap[0].next += 2 * heap[0].prime;
		sift(heap, n);
	}
}

static void merge(void)
{
	struct gr_chan *candidates, *primes, *to_heap, *known;
	int bad = 0, c = 0, comp = 0, n = 1;

	begin();
	candidates = chan(0);
	primes = chan(0);
	to_heap = chan(0);
	known = chan(0);
	go(odds, (struct job){ .out = candidates });
	go(unlimited, (struct job){ .in = primes, .out = to_heap });
	go(composites, (struct job){ .in = to_heap, .out = known });
	while (n < PRIMES && !bad) {
		bad += gr_chan_recv(candidates, &c, GR_FOREVER) != 0;
		if (n > 1 && comp < c)
			bad += gr_chan_recv(known, &comp, GR_FOREVER) != 0;
		if (c == comp)
			continue;
		bad += c != want[n++];
		bad += gr_chan_send(primes, &c, GR_FOREVER) != 0;
	}
	end("merged multiples", bad);
}

static void body(void)
{
	chain();
	merge();
}

int main(void)
{
	tap_limit(LIMIT_S);
	by_division();
	mix.body = body;
	mix_run_in("go1", 1, false);
	mix_run_in("go2", 2, false);
	mix_run_in("go4", 4, false);
	return tap_done();
}
