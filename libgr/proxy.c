// SPDX-License-Identifier: MIT
/*
 * proxy.c - a goroutine does for a plain thread what needs a P, while the thread waits.
 *
 * Callers: select.c, for descriptors: a plain thread has no ring. proxy_fini(): run.c, when no
 * thread of the runtime is left.
 * Invariant, under proxies.lock: a struct proxy, on its thread's stack, is on the list until
 * somebody has woken its thread: the goroutine, or proxy_fini().
 */
#include <errno.h>

#include "proxy.h"
#include "sched.h"

struct proxy {
	struct proxy *next;
	int (*fn)(void *);
	void *arg;
	int ret;
	struct waiter w;
};

static struct {
	struct lock lock;
	struct proxy *list;
} proxies;

/* with the lock; if x is not on the list any more, *x is gone */
static void end_locked(struct proxy *x, int ret)
{
	struct proxy **at = &proxies.list;

	while (*at && *at != x)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = x->next;
	x->ret = ret;
	waiter_claim(&x->w);
	waiter_wake(&x->w);
}

static void proxy_main(void *arg)
{
	struct proxy *x = arg;
	int ret = x->fn(x->arg);

	rt_enter();
	lock_acquire(&proxies.lock);
	end_locked(x, ret);
	lock_release(&proxies.lock);
	rt_exit();
}

void proxy_fini(void)
{
	lock_acquire(&proxies.lock);
	while (proxies.list)
		end_locked(proxies.list, -ENXIO);
	lock_release(&proxies.lock);
}

int proxy_do(int (*fn)(void *), void *arg)
{
	struct proxy x = { .fn = fn, .arg = arg };
	int ret;

	waiter_init(&x.w);
	lock_acquire(&proxies.lock);
	x.next = proxies.list;
	proxies.list = &x;
	ret = gr_go(proxy_main, &x);
	if (ret)
		proxies.list = x.next;
	lock_release(&proxies.lock);
	if (ret)
		return ret;
	waiter_wait(&x.w, NULL, GR_FOREVER, WAIT_SELECT);
	return x.ret;
}
