// SPDX-License-Identifier: MIT
/*
 * timer.c - the timers of a P: a 4-ary heap, earliest deadline on top.
 *
 * Job: many sleepers, one deadline for the wait in the P's ring. Not here: who waits for it
 * (idle.c, procs.c, netpoll_uring.c), what a timer means (fire(), wait.c, ticker.c).
 * Callers: inside rt_enter(). add: the holder of a P. add_to: a plain thread too (ticker.c). del:
 * the one who added, from any thread. run: the holder and thieves. next: anybody.
 * Invariants:
 *   I1 heap[(i - 1) / 4].when <= heap[i].when, slots[heap[i].slot].index == i, and t->slot is its
 *      timer's slot; slot -1: not in a heap. The heap has deadlines and slot numbers, not timers:
 *      those lie on stacks that nobody has touched for long, and sifting would touch ten.
 *   I2 p->timer_next is the top's deadline, INT64_MAX (or 0, in a fresh P) when there is none;
 *      p->q->pending counts every armed timer. Both written under p->timer_lock.
 *   I3 fire() runs under p->timer_lock after its timer has left the heap; the timer is not
 *      touched afterwards, goroutines are made ready after the lock was released. So when
 *      timer_del() returns the memory of the timer is the caller's again. The exception is a
 *      timer with post() whose fire() returned NULL: it must stay until post() has run (ticker.c,
 *      I2).
 * Order:
 *   F1 publish() stores timer_next, then timer_add_to() loads p->poller: both seq_cst. The M
 *      that is going to poll does it the other way round (poller_set(), then timers_next(), in
 *      idle.c and procs.c). One of them sees the other: a new deadline is not slept over.
 * Memory: by mmap, never malloc: a thread held back by the kernel inside malloc() keeps the
 * allocator's lock and needs a P to go on, which we, in a runtime section, would not give.
 */
#include <sys/mman.h>

#include "gr_int.h"

#define FIRST_CAP 256 /* two pages */
#define BATCH 32      /* timers that one look fires at most */
/* heap[1] begins a cache line, and so does every group of four children */
#define HEAP_PAD (CACHELINE - sizeof(struct timer_at))

static void place(struct p *p, int i, struct timer_at at)
{
	p->heap[i] = at;
	p->slots[at.slot].index = i;
}

static void sift_up(struct p *p, int i)
{
	struct timer_at at = p->heap[i];

	while (i > 0 && at.when < p->heap[(i - 1) / 4].when) {
		place(p, i, p->heap[(i - 1) / 4]);
		i = (i - 1) / 4;
	}
	place(p, i, at);
}

/* index of i's earliest child, or -1 */
static int first_child(struct p *p, int i)
{
	int lo = 4 * i + 1, best = lo;

	if (lo >= p->nr_timers)
		return -1;
	for (int c = lo + 1; c < lo + 4 && c < p->nr_timers; c++)
		if (p->heap[c].when < p->heap[best].when)
			best = c;
	return best;
}

static void sift_down(struct p *p, int i)
{
	struct timer_at at = p->heap[i];
	int c;

	while ((c = first_child(p, i)) >= 0 && p->heap[c].when < at.when) {
		place(p, i, p->heap[c]);
		i = c;
	}
	place(p, i, at);
}

static void publish(struct p *p)
{
	int64_t next = p->nr_timers ? p->heap[0].when : INT64_MAX;

	/* relaxed: only holders of timer_lock write it */
	if (atomic_load_explicit(&p->timer_next, memory_order_relaxed) != next)
		atomic_store_explicit(&p->timer_next, next, memory_order_seq_cst); /* F1 */
}

static void *bigger(void *mem, size_t old, size_t new)
{
	/* mremap() sets errno when it fails; then we do not return */
	if (old)
		mem = mremap(mem, old, new, MREMAP_MAYMOVE);
	else
		mem = mmap(NULL, new, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		gr_throw("no memory for timers, %zu bytes", new);
	return mem;
}

static size_t heap_bytes(int cap)
{
	return cap ? HEAP_PAD + (size_t)cap * sizeof(struct timer_at) : 0;
}

static void grow(struct p *p)
{
	int cap = p->cap_timers ? 2 * p->cap_timers : FIRST_CAP;
	char *heap = p->heap ? (char *)p->heap - HEAP_PAD : NULL;

	heap = bigger(heap, heap_bytes(p->cap_timers), heap_bytes(cap));
	p->heap = (struct timer_at *)(heap + HEAP_PAD);
	p->slots = bigger(p->slots, (size_t)p->cap_timers * sizeof(*p->slots),
			  (size_t)cap * sizeof(*p->slots));
	p->cap_timers = cap;
}

static int32_t get_slot(struct p *p, struct timer *t)
{
	int32_t slot = p->slot_free - 1;

	if (slot >= 0)
		p->slot_free = p->slots[slot].index;
	else
		slot = p->nr_slots++;
	p->slots[slot].t = t;
	return slot;
}

static void put_slot(struct p *p, int32_t slot)
{
	p->slots[slot].index = p->slot_free;
	p->slot_free = slot + 1;
}

/* pending is shared with the kernel and with thieves; relaxed: a hint, its reader re-checks */
static void count_pending(struct p *p, int n)
{
	__atomic_fetch_add(&p->q->pending, (uint32_t)n, __ATOMIC_RELAXED);
}

static void take_out(struct p *p, struct timer *t)
{
	int i = p->slots[t->slot].index;
	struct timer_at last;

	p->nr_timers--;
	last = p->heap[p->nr_timers];
	put_slot(p, t->slot);
	t->slot = -1;
	if (i == p->nr_timers)
		return;
	place(p, i, last);
	sift_down(p, i);
	sift_up(p, p->slots[last.slot].index);
}

void timer_add_to(struct p *p, struct timer *t, int64_t when)
{
	bool first;

	if (when < 1)
		when = 1; /* 0 would read as "none" in timer_next */
	lock_acquire(&p->timer_lock);
	GR_CHECK(t->slot == -1);
	if (p->nr_timers == p->cap_timers)
		grow(p);
	t->when = when;
	/* relaxed: read by timer_del(), which the owner calls, and he synchronised with us */
	atomic_store_explicit(&t->p, p, memory_order_relaxed);
	t->slot = get_slot(p, t);
	place(p, p->nr_timers, (struct timer_at){ when, (uint32_t)t->slot });
	p->nr_timers++;
	sift_up(p, p->nr_timers - 1);
	first = p->slots[t->slot].index == 0;
	count_pending(p, 1);
	publish(p);
	lock_release(&p->timer_lock);
	/* *t may be gone from here; F1: pairs with the exchange in poller_set() */
	if (first && atomic_load_explicit(&p->poller, memory_order_seq_cst))
		sched_timer_earlier(p, when);
}

void timer_add(struct timer *t, int64_t when)
{
	struct m *m = m_self();

	GR_CHECK(m && m->p);
	timer_add_to(m->p, t, when);
}

bool timer_del(struct timer *t)
{
	struct p *p = atomic_load_explicit(&t->p, memory_order_relaxed);
	bool armed;

	if (!p)
		return false;
	lock_acquire(&p->timer_lock);
	armed = t->slot >= 0;
	if (armed) {
		take_out(p, t);
		count_pending(p, -1);
		publish(p);
	}
	lock_release(&p->timer_lock);
	return armed;
}

int timers_run(struct p *p, int64_t now)
{
	struct timer *posts = NULL, **post_end = &posts;
	struct g *list = NULL, **end = &list, *g;
	int fired = 0, ready = 0;

	if (timers_next(p) > now)
		return 0;
	lock_acquire(&p->timer_lock);
	/* the rest when these have run: who fires thousands has lost the first ones from the cache */
	while (p->nr_timers && p->heap[0].when <= now && fired < BATCH) {
		struct timer *t = p->slots[p->heap[0].slot].t;

		take_out(p, t);
		if (p->nr_timers) /* it lies on a stack that has been cold for long */
			__builtin_prefetch(p->slots[p->heap[0].slot].t);
		fired++;
		g = t->fire(t);
		if (t->post && !g) { /* *t stays until post() has run, I3 */
			t->post_next = NULL;
			*post_end = t;
			post_end = &t->post_next;
		}
		if (!g)
			continue;
		g->next = NULL; /* parked and claimed: ours */
		*end = g;
		end = &g->next;
		ready++;
	}
	count_pending(p, -fired);
	publish(p);
	lock_release(&p->timer_lock);
	atomic_fetch_add_explicit(&p->nr_fired, fired, memory_order_relaxed);
	if (ready)
		g_ready_list(list, ready);
	while (posts) {
		struct timer *t = posts;

		posts = t->post_next;
		t->post(t);
	}
	return fired;
}

int64_t timers_next(struct p *p)
{
	int64_t next = atomic_load_explicit(&p->timer_next, memory_order_seq_cst); /* F1 */

	return next ? next : INT64_MAX;
}

/*
 * Nobody runs any more: what is still armed belongs to goroutines that end with the runtime
 * (their stacks are still there), or is a gr_timer, which may be released later.
 */
void timers_fini(struct p *p)
{
	for (int i = 0; i < p->nr_timers; i++) {
		struct timer *t = p->slots[p->heap[i].slot].t;

		t->slot = -1;
		atomic_store_explicit(&t->p, NULL, memory_order_relaxed);
	}
	count_pending(p, -p->nr_timers);
	if (p->heap) {
		munmap((char *)p->heap - HEAP_PAD, heap_bytes(p->cap_timers));
		munmap(p->slots, (size_t)p->cap_timers * sizeof(*p->slots));
	}
	p->heap = NULL;
	p->slots = NULL;
	p->nr_timers = p->cap_timers = p->nr_slots = p->slot_free = 0;
	publish(p);
}
