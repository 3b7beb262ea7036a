// SPDX-License-Identifier: MIT
/*
 * table.c - the hash table of one shard: buckets of chained items.
 *
 * Callers hold the shard's lock. It doubles when there is more than one item per bucket, at once: a
 * shard is a 64th of everything. Without memory to grow, chains become longer, and nothing fails.
 * A walk takes buckets in turn; one that moves while the table doubles is seen in the next turn.
 * Invariants: I1 nr and nr_expire count the items, and those of them with expire != 0.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

#define MIN_BUCKETS 16

struct item *item_new(const struct arg *key, const void *value, size_t len, uint64_t hash)
{
	struct item *i = malloc(sizeof(*i) + key->len + len);

	if (!i)
		return NULL;
	i->next = NULL;
	i->hash = hash;
	i->expire = 0;
	i->key_len = key->len;
	i->len = len;
	memcpy(i->data, key->data, key->len);
	memcpy(i->data + key->len, value, len);
	return i;
}

const char *item_value(const struct item *i)
{
	return i->data + i->key_len;
}

struct item *table_find(const struct table *t, const void *key, size_t len, uint64_t hash)
{
	struct item *i = t->buckets ? t->buckets[hash & t->mask] : NULL;

	while (i && (i->hash != hash || i->key_len != len || memcmp(i->data, key, len)))
		i = i->next;
	return i;
}

static void grow(struct table *t, size_t nr)
{
	struct item **buckets = calloc(nr, sizeof(*buckets)), *i, *next;
	size_t b;

	if (!buckets)
		return;
	for (b = 0; t->buckets && b <= t->mask; b++) {
		for (i = t->buckets[b]; i; i = next) {
			next = i->next;
			i->next = buckets[i->hash & (nr - 1)];
			buckets[i->hash & (nr - 1)] = i;
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->mask = nr - 1;
}

int table_reserve(struct table *t)
{
	if (!t->buckets)
		grow(t, MIN_BUCKETS);
	else if (t->nr > t->mask)
		grow(t, 2 * (t->mask + 1));
	return t->buckets ? 0 : -ENOMEM;
}

void table_put(struct table *t, struct item *i)
{
	struct item *old = table_find(t, i->data, i->key_len, i->hash);
	struct item **bucket = &t->buckets[i->hash & t->mask];

	if (old)
		table_remove(t, old);
	i->next = *bucket;
	*bucket = i;
	t->nr++;
	t->nr_expire += i->expire != 0;
}

void table_remove(struct table *t, struct item *i)
{
	struct item **at = &t->buckets[i->hash & t->mask];

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	t->nr--;
	t->nr_expire -= i->expire != 0;
	free(i);
}

void table_expire(struct table *t, struct item *i, int64_t when)
{
	t->nr_expire += (when != 0) - (i->expire != 0);
	i->expire = when;
}

void table_walk(struct table *t, size_t n, void (*fn)(void *arg, struct item *i), void *arg)
{
	struct item *i, *next;

	for (; t->buckets && n; n--) {
		for (i = t->buckets[t->cursor++ & t->mask]; i; i = next) {
			next = i->next;
			fn(arg, i);
		}
	}
}

static void drop(void *arg, struct item *i)
{
	(void)arg;
	free(i);
}

void table_clear(struct table *t)
{
	table_walk(t, t->mask + 1, drop, NULL);
	free(t->buckets);
	*t = (struct table){0};
}
