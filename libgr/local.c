// SPDX-License-Identifier: MIT
/*
 * local.c - goroutine-local values: keys for all, a small table for each goroutine that sets one.
 *
 * Callers: keys: any thread. set, get: the goroutine. locals_end(): the goroutine at its end.
 * Invariants: keys[] changes under keys_lock (a pthread mutex: no runtime section is held); a
 * key's generation moves with every new and delete and is odd while the key is in use, so a value
 * that was set under an earlier owner of the number is never seen. Tables grow by realloc(), in
 * user code, where a thread may be held back inside malloc() without harm.
 * Source: pthread_key_create(), with its order: values first become NULL, then destroy() runs,
 * again while destructors set new ones, ROUNDS times at most.
 */
#include <errno.h>
#include <pthread.h>

#include "scope.h"

#define ROUNDS 4

struct local {
	void *value;
	uint32_t gen; /* of the key, when it was set */
};

static pthread_mutex_t keys_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	_Atomic uint32_t gen; /* odd: in use */
	void (*_Atomic destroy)(void *);
} keys[GR_KEYS_MAX];

static uint32_t gen_of(unsigned int key)
{
	/* acquire: pairs with the release in gr_key_new(), destroy is that of this generation */
	return key < GR_KEYS_MAX ? atomic_load_explicit(&keys[key].gen, memory_order_acquire) : 0;
}

int gr_key_new(unsigned int *out, void (*destroy)(void *))
{
	unsigned int key;

	if (!out)
		return -EINVAL;
	pthread_mutex_lock(&keys_lock);
	for (key = 0; key < GR_KEYS_MAX && gen_of(key) % 2; key++)
		;
	if (key < GR_KEYS_MAX) {
		/* R1: pairs with A1 */
		atomic_store_explicit(&keys[key].destroy, destroy, memory_order_release);
		atomic_fetch_add_explicit(&keys[key].gen, 1, memory_order_release);
		*out = key;
	}
	pthread_mutex_unlock(&keys_lock);
	return key < GR_KEYS_MAX ? 0 : -EAGAIN;
}

int gr_key_delete(unsigned int key)
{
	int ret = -EINVAL;

	pthread_mutex_lock(&keys_lock);
	if (gen_of(key) % 2) {
		atomic_fetch_add_explicit(&keys[key].gen, 1, memory_order_release);
		ret = 0;
	}
	pthread_mutex_unlock(&keys_lock);
	return ret;
}

int gr_local_set(unsigned int key, void *value)
{
	struct g *g = g_self();
	uint32_t gen = gen_of(key);

	if (!(gen % 2))
		return -EINVAL;
	if (!g)
		return -EPERM;
	if (key >= g->nr_locals) {
		uint32_t n = key + 8 < GR_KEYS_MAX ? key + 8 : GR_KEYS_MAX;
		struct local *l;

		if (!value)
			return 0;
		l = realloc(g->locals, n * sizeof(*l));
		if (!l)
			return -ENOMEM;
		for (uint32_t i = g->nr_locals; i < n; i++)
			l[i] = (struct local){ NULL, 0 };
		g->locals = l;
		g->nr_locals = n;
	}
	g->locals[key] = (struct local){ value, gen };
	return 0;
}

void *gr_local_get(unsigned int key)
{
	struct g *g = g_self();

	if (!g || key >= g->nr_locals || g->locals[key].gen != gen_of(key))
		return NULL;
	return g->locals[key].value;
}

/* one round; false: nothing was left */
static bool destroy_all(struct g *g)
{
	bool any = false;

	for (uint32_t key = 0; key < g->nr_locals; key++) {
		struct local l = g->locals[key];
		/* A1: pairs with R1: a later owner's function comes with a later generation */
		void (*destroy)(void *) =
			atomic_load_explicit(&keys[key].destroy, memory_order_acquire);

		g->locals[key].value = NULL;
		if (!l.value || l.gen != gen_of(key) || !destroy)
			continue;
		destroy(l.value);
		any = true;
	}
	return any;
}

void locals_end(struct g *g)
{
	for (int i = 0; i < ROUNDS && destroy_all(g); i++)
		;
	free(g->locals);
	g->locals = NULL;
	g->nr_locals = 0;
}
