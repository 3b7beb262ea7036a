// SPDX-License-Identifier: MIT
/*
 * store.c - the shards, and the locks of those that a command needs.
 *
 * A command names its shards in a mask and holds all of their locks while it runs, taken by rising
 * number: so MSET, MGET and DEL of several keys happen at one instant.
 */
#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "kv.h"

struct shard shards[NR_SHARDS];
static uint64_t hash_key[2];

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int store_init(void)
{
	return getrandom(hash_key, sizeof(hash_key), 0) == sizeof(hash_key) ? 0 : -EIO;
}

uint64_t store_hash(const struct arg *key)
{
	return hash_bytes(hash_key, key->data, key->len);
}

void store_lock(uint64_t mask)
{
	for (; mask; mask &= mask - 1)
		gr_mutex_lock(&shards[__builtin_ctzll(mask)].lock, GR_FOREVER);
}

void store_unlock(uint64_t mask)
{
	for (; mask; mask &= mask - 1)
		gr_mutex_unlock(&shards[__builtin_ctzll(mask)].lock);
}
