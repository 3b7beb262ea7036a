// SPDX-License-Identifier: MIT
/*
 * n_to_one.c - model 2: all goroutines on one thread, one list of those that are ready. A switch
 * costs no more than some registers, nothing needs a lock - and a system call that blocks, or a
 * goroutine that computes, stops all of them.
 */
#include "cell.h"
#include "co.h"

#define POLL_EVERY 61

static struct glist list;
static unsigned int turns;

static void put(struct gor *g, bool back)
{
	(void)back;
	glist_push(&list, g);
}

static void poll_now(bool sleep)
{
	poll_claim(sleep); /* nobody else could have it */
	for (struct g *g = poll_wait(sleep), *next; g; g = next) {
		next = g->next;
		glist_push(&list, gor_of(g));
	}
}

static struct gor *next(struct worker *w)
{
	(void)w;
	if (!(++turns % POLL_EVERY))
		poll_now(false);
	while (!list.head)
		poll_now(true);
	return glist_pop(&list);
}

static void start(void (*fn)(void *), void *arg)
{
	static const struct queue queue = { .put = put, .next = next };
	static struct worker worker;

	co_set_queue(&queue);
	if (co_spawn(fn, arg))
		cell_fail("no memory");
	co_loop(&worker);
}

static void count(struct counters *c)
{
	*c = (struct counters){ .threads = 1 };
}

const struct model n_to_one = {
	.name = "N:1",
	.title = "one thread",
	.start = start,
	.spawn = co_spawn,
	.call = plain_call,
	.count = count,
	CO_OPS,
	SYNC_OPS,
};
