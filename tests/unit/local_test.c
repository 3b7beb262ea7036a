// SPDX-License-Identifier: MIT
/* local_test.c - goroutine-local values: who sees what, destructors, keys used again. */
#include "mix.h"

#define G 50

static unsigned int key, key2, keys[GR_KEYS_MAX];
static atomic_int wrong, destroyed, rounds;
static char trail[64];

static void check_own(void *arg)
{
	intptr_t n = (intptr_t)arg;

	wrong += gr_local_get(key) != NULL;
	for (intptr_t i = 1; i < 50; i++) {
		wrong += gr_local_set(key, (void *)(n * 1000 + i)) != 0;
		gr_yield();
		wrong += gr_local_get(key) != (void *)(n * 1000 + i);
	}
	wrong += gr_local_set(key, NULL) != 0 || gr_local_get(key) != NULL;
}

static void own(void)
{
	wrong = 0;
	for (int i = 1; i <= G; i++)
		mix_go(check_own, (void *)(intptr_t)i);
	mix_join();
	tap_ok(!wrong, "%s: each goroutine sees its own", mix.name);
}

static void destroy(void *value)
{
	/* the value is out of reach already, and a destructor may wait */
	wrong += gr_local_get(key2) != NULL;
	gr_sleep(gr_after(10 * GR_US));
	gr_yield();
	destroyed += (int)(intptr_t)value;
}

static void set_and_end(void *arg)
{
	gr_local_set(key2, arg);
}

static void destructors(void)
{
	wrong = destroyed = 0;
	gr_key_new(&key2, destroy);
	for (int i = 0; i < G; i++)
		mix_go(set_and_end, (void *)1);
	mix_go(set_and_end, NULL);
	mix_join();
	while (destroyed < G)
		gr_sleep(gr_after(100 * GR_US));
	tap_ok(destroyed == G && !wrong, "%s: values are destroyed at the end, once", mix.name);
	gr_key_delete(key2);
}

static void again(void *value)
{
	rounds++;
	gr_local_set(key2, value);
}

static int in_order_end;

static void note(void *value)
{
	size_t n = strlen(trail);

	trail[n] = *(char *)value;
}

static void note_last(void *value)
{
	note(value);
	in_order_end = 1;
}

static void three_values(void *arg)
{
	(void)arg;
	gr_local_set(keys[2], "c");
	gr_local_set(keys[0], "a");
	gr_local_set(keys[1], "b");
}

static void set_low(void *value)
{
	note(value);
	gr_local_set(keys[0], "x");
}

static void set_one(void *arg)
{
	(void)arg;
	gr_local_set(keys[1], "y");
}

static void order(void)
{
	memset(trail, 0, sizeof(trail));
	in_order_end = 0;
	gr_key_new(&keys[0], note);
	gr_key_new(&keys[1], note);
	gr_key_new(&keys[2], note_last);
	mix_go(three_values, NULL);
	mix_join();
	while (!in_order_end)
		gr_sleep(gr_after(100 * GR_US));
	tap_ok(keys[0] < keys[1] && keys[1] < keys[2] && !strcmp(trail, "abc"),
	       "%s: destructors run in the order of the keys", mix.name);
	for (int i = 0; i < 3; i++)
		gr_key_delete(keys[i]);

	memset(trail, 0, sizeof(trail));
	in_order_end = 0;
	gr_key_new(&keys[0], note_last);
	gr_key_new(&keys[1], set_low);
	mix_go(set_one, NULL);
	mix_join();
	while (!in_order_end)
		gr_sleep(gr_after(100 * GR_US));
	tap_ok(!strcmp(trail, "yx"), "%s: what a destructor sets is destroyed too", mix.name);
	gr_key_delete(keys[0]);
	gr_key_delete(keys[1]);

	rounds = 0;
	gr_key_new(&key2, again);
	mix_go(set_and_end, "z");
	mix_join();
	while (rounds < 4)
		gr_sleep(gr_after(100 * GR_US));
	gr_sleep(gr_after(2 * GR_MS));
	tap_ok(rounds == 4, "%s: but not for ever: %d rounds", mix.name, rounds);
	gr_key_delete(key2);
}

static int joined(int (*fn)(void *), void *arg)
{
	struct gr_task *t;
	int result = -1;

	if (gr_task_new(&t, fn, arg, NULL) || gr_task_join(t, &result, GR_FOREVER))
		return -1;
	gr_task_release(t);
	return result;
}

static int reuse_fn(void *arg)
{
	unsigned int first, second;

	(void)arg;
	destroyed = 0;
	gr_key_new(&first, destroy);
	gr_local_set(first, (void *)1);
	gr_key_delete(first);
	if (gr_local_get(first) || gr_local_set(first, &first) != -EINVAL)
		return 1;
	gr_key_new(&second, destroy);
	if (second != first)
		return 2;
	if (gr_local_get(second))
		return 3; /* of the key's last life */
	return 0;
}

static int grow_fn(void *arg)
{
	static unsigned int many[GR_KEYS_MAX];
	unsigned int n = 0, bad = 0;

	(void)arg;
	while (!gr_key_new(&many[n], NULL))
		n++;
	for (unsigned int i = 0; i < n; i++)
		bad += gr_local_set(many[i], &many[i]) != 0;
	for (unsigned int i = 0; i < n; i++)
		bad += gr_local_get(many[i]) != &many[i];
	for (unsigned int i = 0; i < n; i++)
		bad += gr_key_delete(many[i]) != 0;
	return bad || !n;
}

static void body(void)
{
	int ret;

	own();
	destructors();
	order();
	ret = joined(reuse_fn, NULL);
	tap_ok(ret == 0 && !destroyed, "%s: a key used again: old values are not seen, nor destroyed (%d)",
	       mix.name, ret);
	for (unsigned int i = 0; i < GR_KEYS_MAX; i++)
		gr_key_delete(i != key ? i : GR_KEYS_MAX);
	tap_ok(joined(grow_fn, NULL) == 0, "%s: all the keys there are", mix.name);
}

static int misuse(void *arg)
{
	unsigned int k;

	(void)arg;
	tap_ok(gr_local_set(GR_KEYS_MAX, "") == -EINVAL && gr_local_set(UINT32_MAX, "") == -EINVAL,
	       "no such key: set");
	tap_ok(!gr_local_get(GR_KEYS_MAX) && !gr_local_get(UINT32_MAX), "no such key: get");
	gr_key_new(&k, NULL);
	gr_key_delete(k);
	tap_ok(gr_local_set(k, "") == -EINVAL && !gr_local_get(k), "a key that was given back");
	return 0;
}

int main(void)
{
	unsigned int n = 0;

	tap_limit(LIMIT_S);
	tap_ok(gr_key_new(NULL, NULL) == -EINVAL, "NULL");
	while (n < GR_KEYS_MAX && !gr_key_new(&keys[n], NULL))
		n++;
	tap_ok(n == GR_KEYS_MAX && gr_key_new(&key, NULL) == -EAGAIN, "keys run out: -EAGAIN");
	tap_ok(!gr_key_delete(keys[5]) && !gr_key_new(&key, NULL) && key == keys[5],
	       "and one comes back");
	for (unsigned int i = 0; i < n; i++)
		gr_key_delete(keys[i]);
	tap_ok(gr_key_delete(keys[3]) == -EINVAL && gr_key_delete(GR_KEYS_MAX) == -EINVAL,
	       "given back twice, no such key");
	gr_key_new(&key, NULL);
	tap_ok(gr_local_set(key, "") == -EPERM && !gr_local_get(key), "a plain thread: -EPERM");
	tap_ok(!gr_run(misuse, NULL, NULL), "misuse");
	mix.body = body;
	mix_run_in("go1", 1, false);
	mix_run_in("go2", 2, false);
	mix_run_in("go4", 4, false);
	return tap_done();
}
