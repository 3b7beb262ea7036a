// SPDX-License-Identifier: MIT
/* kv_table_test.c - the hash table of examples/kv against an array, and its hash. */
#include <string.h>

#include "../../examples/kv/hash.c"
#include "../../examples/kv/table.c"
#include "tap.h"

#define KEYS 2000
#define STEPS 40000

static struct table t;
static uint64_t seed = 1;

static unsigned int rnd(unsigned int n)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (seed >> 33) % n;
}

static struct arg name(unsigned int k, char text[16])
{
	return (struct arg){.data = text, .len = snprintf(text, 16, "key%c%u", 0, k)};
}

/* a bad one, so that chains are long */
static uint64_t hash_of(unsigned int k)
{
	return k % 500;
}

static struct item *find(unsigned int k)
{
	char text[16];
	struct arg a = name(k, text);

	return table_find(&t, a.data, a.len, hash_of(k));
}

static bool put(unsigned int k, unsigned int value)
{
	char text[16];
	struct arg a = name(k, text);
	struct item *i = item_new(&a, &value, sizeof(value), hash_of(k));

	if (!i || table_reserve(&t))
		return false;
	table_put(&t, i);
	return true;
}

/* one random change, made in both; false: the table cannot */
static bool change(unsigned int *values, int64_t *expires)
{
	unsigned int k = rnd(KEYS), what = rnd(4);
	struct item *i = find(k);

	if (what < 2) {
		values[k] = 1 + rnd(1000);
		expires[k] = 0;
		return put(k, values[k]);
	}
	if (i && what == 2) {
		values[k] = 0;
		expires[k] = 0;
		table_remove(&t, i);
	} else if (i) {
		expires[k] = rnd(2);
		table_expire(&t, i, expires[k]);
	}
	return true;
}

static unsigned int differences(const unsigned int *values, const int64_t *expires)
{
	unsigned int k, v, bad = 0, nr = 0, nr_expire = 0;

	for (k = 0; k < KEYS; k++) {
		struct item *i = find(k);

		v = 0;
		if (i)
			memcpy(&v, item_value(i), sizeof(v));
		bad += v != values[k] || (i && i->expire != expires[k]);
		nr += values[k] != 0;
		nr_expire += expires[k] != 0;
	}
	return bad + (nr != t.nr) + (nr_expire != t.nr_expire);
}

static void against_array(void)
{
	static unsigned int values[KEYS];
	static int64_t expires[KEYS];
	unsigned int bad = 0;

	for (int i = 0; i < STEPS; i++)
		bad += !change(values, expires);
	tap_ok(!bad, "%d changes", STEPS);
	tap_ok(!differences(values, expires), "the table holds what the array holds");
	tap_ok(t.mask + 1 >= t.nr / 2, "it has grown");
}

static void remove_odd(void *arg, struct item *i)
{
	unsigned int v;

	memcpy(&v, item_value(i), sizeof(v));
	++*(size_t *)arg;
	if (v % 2)
		table_remove(&t, i);
}

static void walk(void)
{
	size_t seen = 0, nr = t.nr, left = 0, n;

	for (n = 0; n <= t.mask; n++)
		table_walk(&t, 1, remove_odd, &seen);
	tap_ok(seen == nr, "a walk in steps sees each item once");
	table_walk(&t, t.mask + 1, remove_odd, &left);
	tap_ok(left == t.nr && left < nr, "and may remove it");
}

static void hash(void)
{
	/* the example of the paper that describes it */
	uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	unsigned char data[15];

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = i;
	tap_ok(hash_bytes(key, data, sizeof(data)) == 0xa129ca6149be45e5, "SipHash-2-4");
}

int main(void)
{
	tap_ok(!find(1), "an empty table has no item");
	against_array();
	walk();
	table_clear(&t);
	tap_ok(!t.nr && !find(1), "cleared");
	table_clear(&t);
	tap_ok(put(7, 1) && find(7), "and used again");
	table_clear(&t);
	hash();
	return tap_done();
}
