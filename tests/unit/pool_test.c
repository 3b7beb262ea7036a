// SPDX-License-Identifier: MIT
/*
 * pool_test.c - gr_pool: an object has one user, none is lost, what is given back comes again.
 * After Go's TestPool, TestPoolNew and TestPoolStress.
 */
#include "cancelled.h"

struct obj {
	atomic_int users;
};

static struct gr_pool *pool;
static atomic_int created, destroyed, wrong;

static void *create(void *arg)
{
	created++;
	wrong += arg != &created;
	return calloc(1, sizeof(struct obj));
}

static void destroy(void *o)
{
	destroyed++;
	wrong += ((struct obj *)o)->users != 0;
	free(o);
}

static void fresh(void)
{
	created = destroyed = wrong = 0;
	if (gr_pool_new(&pool, create, destroy, &created))
		mix_fatal("gr_pool_new", ENOMEM);
}

static void *get(void)
{
	struct obj *o = gr_pool_get(pool);

	wrong += atomic_fetch_add(&o->users, 1) != 0;
	return o;
}

static void put(void *p)
{
	struct obj *o = p;

	wrong += atomic_fetch_sub(&o->users, 1) != 1;
	gr_pool_put(pool, o);
}

static void again(void)
{
	void *o;

	fresh();
	o = get();
	put(o);
	/* a goroutine on several Ps may have changed the P */
	if (mix.nr_procs < 2)
		tap_ok(get() == o && created == 1, "%s: what was given back comes again", mix.name);
	else
		o = get();
	put(o);
	gr_pool_release(pool);
	tap_ok(created == destroyed && !wrong, "%s: all destroyed in the end", mix.name);
}

/* ---- storm ---- */

static void use(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;
	void *objs[80];
	int n = 0;

	for (int i = 0; i < 4000; i++) {
		rnd = rnd * 1664525 + 1013904223;
		if (n && (n == 80 || rnd >> 31))
			put(objs[--n]);
		else
			objs[n++] = get();
		if (i % 500 == 0)
			gr_sleep(gr_after(20 * GR_US));
		if (i % 1000 == 999)
			while (n)
				put(objs[--n]);
	}
	while (n)
		put(objs[--n]);
}

static void storm(void)
{
	fresh();
	for (int i = 0; i < 8; i++)
		mix_go(use, (void *)(uintptr_t)(i + 1));
	mix_join();
	tap_ok(!wrong && created < 8 * 4000 / 4, "%s: %d objects did for all", mix.name, created);
	gr_pool_release(pool);
	tap_ok(created == destroyed && !wrong, "%s: each with one user, each destroyed once",
	       mix.name);
}

/* ---- got here, given back there ---- */

static struct gr_chan *chan;

static void give_back(void *arg)
{
	void *o;

	(void)arg;
	while (!gr_chan_recv(chan, &o, GR_FOREVER))
		put(o);
}

static void across(void)
{
	const int n = 3000;

	fresh();
	gr_chan_new(&chan, sizeof(void *), 8);
	mix_go(give_back, NULL);
	for (int i = 0; i < n; i++) {
		void *o = get();

		gr_chan_send(chan, &o, GR_FOREVER);
	}
	gr_chan_close(chan);
	mix_join();
	gr_chan_release(chan);
	tap_ok(!wrong && created < n / 2, "%s: %d objects travelled %d times", mix.name, created,
	       n);
	gr_pool_release(pool);
	tap_ok(created == destroyed && !wrong, "%s: none is lost on the way", mix.name);
}

/* ---- too many ---- */

#define MANY 6000 /* more than a pool keeps */

static void too_many(void)
{
	static void *objs[MANY];
	int kept;

	fresh();
	for (int i = 0; i < MANY; i++)
		objs[i] = get();
	for (int i = 0; i < MANY; i++)
		put(objs[i]);
	kept = MANY - destroyed;
	tap_ok(destroyed > 0 && kept >= 1000, "%s: too many are destroyed, %d kept", mix.name,
	       kept);
	gr_pool_release(pool);
	tap_ok(created == MANY && destroyed == MANY && !wrong, "%s: and the others later",
	       mix.name);
}

static void *nothing(void *arg)
{
	*(int *)arg += 1;
	return NULL;
}

static void no_create(void)
{
	int asked = 0, one;
	struct gr_pool *p;

	gr_pool_new(&p, nothing, NULL, &asked);
	tap_ok(!gr_pool_get(p) && asked == 1, "create that fails");
	gr_pool_release(p);
	gr_pool_new(&p, NULL, NULL, NULL);
	gr_pool_put(p, NULL);
	tap_ok(!gr_pool_get(p), "no create, nothing there");
	gr_pool_put(p, &one);
	tap_ok(gr_pool_get(p) == &one && !gr_pool_get(p), "no create, one there");
	gr_pool_put(p, &one);
	gr_pool_release(p);
}

static void body(void)
{
	again();
	storm();
	across();
	too_many();
}

int main(void)
{
	tap_ok(gr_pool_new(NULL, create, destroy, NULL) == -EINVAL && !gr_pool_get(NULL), "NULL");
	gr_pool_put(NULL, &pool);
	gr_pool_release(NULL);
	no_create();
	mix_run(body);
	return tap_done();
}
