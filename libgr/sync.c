// SPDX-License-Identifier: MIT
/*
 * sync.c - what the synchronisation objects share; see sync.h.
 *
 * Callers: inside rt_enter(), but sync_caller(), which may be called from anywhere.
 */
#include <unistd.h>

#include "runq.h"
#include "sched.h"
#include "sync.h"

#define PAUSES 30 /* per round: Go's value, about a microsecond */

/* its address is the thread's number; goroutines have odd ones */
static __thread uint64_t thread_mark __attribute__((aligned(8)));

NOINLINE uint64_t sync_caller(void)
{
	uint64_t id = gr_id();

	return id ? id << 1 | 1 : (uint64_t)(uintptr_t)&thread_mark;
}

void lock_waiter_push(struct waitq *q, struct lock_waiter *lw)
{
	struct wnode *n = &lw->w.node;

	waiter_init(&lw->w);
	if (!lw->since) {
		lw->since = gr_now();
		waitq_push(q, n);
		return;
	}
	n->prev = NULL;
	n->next = q->head;
	n->queued = true;
	if (q->head)
		q->head->prev = n;
	else
		q->tail = n;
	q->head = n;
}

bool lock_waiter_starves(const struct waitq *q)
{
	return q->head && gr_now() - lock_waiter_of(q->head)->since > SYNC_STARVED;
}

void lock_waiter_woken(struct lock_waiter *lw)
{
	lw->awake = true;
	lw->starved = gr_now() - lw->since > SYNC_STARVED;
}

static bool many_cpus(void)
{
	static _Atomic long cpus;
	/* relaxed: whoever asks first; all get the same answer */
	long n = atomic_load_explicit(&cpus, memory_order_relaxed);

	if (!n) {
		n = sysconf(_SC_NPROCESSORS_ONLN);
		atomic_store_explicit(&cpus, n, memory_order_relaxed);
	}
	return n > 1;
}

bool sync_can_spin(const struct m *m)
{
	int idle, active = atomic_load_explicit(&sched.active_procs, memory_order_relaxed);

	if (!m)
		return many_cpus();
	if (!m->p || active == 1 || !many_cpus() || !runq_empty(m->p))
		return false;
	idle = (int)PEEK(park_tab.mirror->nr_idle) +
	       atomic_load_explicit(&sched.nr_polling, memory_order_relaxed) +
	       atomic_load_explicit(&sched.nr_spinning, memory_order_relaxed);
	return active > idle + 1;
}

void sync_spin(void)
{
	for (int i = 0; i < PAUSES; i++) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	}
}

int waitq_take_all(struct waitq *q, struct wnode **list)
{
	struct wnode **end = list, *n;
	int count = 0;

	*list = NULL;
	while ((n = waitq_pop(q))) {
		*end = n;
		end = &n->next;
		count++;
	}
	return count;
}

void wake_all(struct wnode *list)
{
	struct g *gs = NULL, **end = &gs, *g;
	struct wnode *next;
	int n = 0;

	for (; list; list = next) {
		next = list->next; /* *list is gone once it is awake */
		g = waiter_wake_later(list->w);
		if (!g)
			continue;
		g->next = NULL; /* parked and claimed: ours */
		*end = g;
		end = &g->next;
		n++;
	}
	if (n == 1)
		g_ready(gs); /* runnext: its turn is next */
	else
		g_ready_list(gs, n);
}
