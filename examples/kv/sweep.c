// SPDX-License-Identifier: MIT
/*
 * sweep.c - removes what has expired and is never asked for.
 *
 * A task that looks at some buckets of each shard, ten times a second. A removal is logged, as
 * every other: a replay takes no notice of the clock.
 */
#include "kv.h"

#define BUCKETS 256 /* of a shard in one look */

static void look(void *arg, struct item *i)
{
	struct call *c = arg;

	if (i->expire && i->expire <= c->now)
		call_remove(c, i); /* not when the log refuses: later then */
}

static void sweep_shard(struct shard *s, struct call *c)
{
	size_t n = s->table.mask + 1;

	if (s->table.nr_expire)
		table_walk(&s->table, n < BUCKETS ? n : BUCKETS, look, c);
	if (c->logged)
		s->pos = c->pos;
}

int sweep(void *arg)
{
	unsigned int i;

	(void)arg;
	while (!gr_sleep(gr_after(SWEEP_PERIOD))) {
		gr_shield_begin(); /* it holds locks */
		for (i = 0; i < NR_SHARDS; i++) {
			struct call c = {.now = now_ms()};

			store_lock(1ULL << i);
			sweep_shard(&shards[i], &c);
			store_unlock(1ULL << i);
		}
		gr_shield_end();
	}
	return 0;
}
