// SPDX-License-Identifier: MIT
/*
 * timer.c - the timers of a P: a 4-ary heap, earliest deadline on top.
 *
 * Job: many sleepers, one deadline for the wait in the P's ring. Not here: who waits for it
 * (idle.c, procs.c, netpoll_uring.c), what a timer means (fire(), wait.c, ticker.c).
 * Callers: inside rt_enter(). add: the holder of a P. add_to: a plain thread too (ticker.c). del:
 * the one who added, from any thread. run: the holder and thieves. next: anybody.
 * Invariants:
 *   I1 heap[(i - 1) / 4].when <= heap[i].when. The heap has deadlines and slot numbers, not
 *      timers: those lie on stacks that nobody has touched for long, and sifting would touch ten.
 *      slots[t->slot].t == t while t is armed, else t->slot is -1.
 *   I2 An entry does not know where it is in the heap: to keep that up would cost a write to a
 *      cold line for each level that one moves. So timer_del() only clears the slot, and its
 *      entry is dead. purge() looks for such entries, at PURGE for each timer that is deleted:
 *      it has been everywhere when a quarter as many were deleted as there are entries. So about
 *      half can be dead, and more only while nearly all are being deleted; nobody has to clean
 *      up all at once.
 *   I3 p->timer_next is the top's deadline, INT64_MAX (or 0, in a fresh P) when there is none.
 *      The top is not dead, but where more than DROP lay dead beneath the last one: then it is
 *      too early, and who comes for it drops some more. p->q->pending and nr_timers count every
 *      armed timer. All written under p->timer_lock.
 *   I4 fire() runs under p->timer_lock after its timer has left the heap; the timer is not
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
#define PURGE 4	      /* I2 */
#define DROP 64	      /* I3 */
/* heap[1] begins a cache line, and so does every group of four children */
#define HEAP_PAD (CACHELINE - sizeof(struct timer_at))

static bool dead(struct p *p, int i)
{
	return !p->slots[p->heap[i].slot].t;
}

static void sift_up(struct p *p, int i)
{
	struct timer_at at = p->heap[i];

	while (i > 0 && at.when < p->heap[(i - 1) / 4].when) {
		p->heap[i] = p->heap[(i - 1) / 4];
		i = (i - 1) / 4;
	}
	p->heap[i] = at;
}

/* The grandchildren of i are four lines in a row, and one of them is needed next. */
static inline void prefetch_below(struct p *p, int i)
{
	struct timer_at *at = p->heap + 4 * (4 * (size_t)i + 1) + 1;

	for (int line = 0; line < 4; line++)
		prefetch(at + 4 * line);
}

/* index of i's earliest child, all four are there; no branches: nobody could predict them */
static inline int first_of_four(struct p *p, int i)
{
	struct timer_at *c = p->heap + 4 * i + 1;
	int left = c[1].when < c[0].when, right = 2 + (c[3].when < c[2].when);

	return 4 * i + 1 + (c[right].when < c[left].when ? right : left);
}

/* Fill the hole at i with the earliest from below, level by level; where the hole is then. */
static int sink_hole(struct p *p, int i)
{
	int c, best;

	while (4 * i + 4 < p->nr_heap) {
		prefetch_below(p, i);
		c = first_of_four(p, i);
		p->heap[i] = p->heap[c];
		i = c;
	}
	best = 4 * i + 1;
	if (best >= p->nr_heap)
		return i;
	for (c = best + 1; c < p->nr_heap; c++)
		if (p->heap[c].when < p->heap[best].when)
			best = c;
	p->heap[i] = p->heap[best];
	return best;
}

static void publish(struct p *p)
{
	int64_t next = p->nr_heap ? p->heap[0].when : INT64_MAX;

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
		p->slot_free = (int32_t)p->slots[slot].next;
	else
		slot = p->nr_slots++;
	p->slots[slot].t = t;
	return slot;
}

static void put_slot(struct p *p, int32_t slot)
{
	p->slots[slot].next = p->slot_free;
	p->slot_free = slot + 1;
}

/* pending is shared with the kernel and with thieves; relaxed: a hint, its reader re-checks */
static void count_pending(struct p *p, int n)
{
	__atomic_fetch_add(&p->q->pending, (uint32_t)n, __ATOMIC_RELAXED);
}

/*
 * The entry at i goes, its slot stays. The last one takes its place: it belongs near the bottom, so
 * the hole goes there without a look at it.
 */
static void remove_at(struct p *p, int i)
{
	struct timer_at last = p->heap[--p->nr_heap];

	if (i == p->nr_heap)
		return;
	i = sink_hole(p, i);
	p->heap[i] = last;
	sift_up(p, i);
}

static void take_out(struct p *p, int i)
{
	uint32_t slot = p->heap[i].slot;

	remove_at(p, i);
	put_slot(p, (int32_t)slot);
}

/* The few entries before the cursor; it goes round. I2 */
static void purge(struct p *p)
{
	for (int n = 0; n < PURGE && p->nr_heap > p->nr_timers; n++) {
		if (p->purge_at <= 0 || p->purge_at > p->nr_heap)
			p->purge_at = p->nr_heap;
		if (dead(p, --p->purge_at))
			take_out(p, p->purge_at);
	}
}

/* Some timers are armed no more: the top shall be one that is. I3 */
static void settle(struct p *p)
{
	if (!p->nr_timers) {
		p->nr_heap = p->nr_slots = p->slot_free = 0;
		return;
	}
	for (int n = 0; n < DROP && dead(p, 0); n++)
		take_out(p, 0);
}

/* t will not fire. Its entry goes at once if it is the last one, as that of a short wait is. */
static void forget(struct p *p, struct timer *t)
{
	p->slots[t->slot].t = NULL;
	p->nr_timers--;
	if (p->heap[p->nr_heap - 1].slot == (uint32_t)t->slot)
		take_out(p, p->nr_heap - 1);
	else
		purge(p);
	t->slot = -1;
	settle(p);
}

void timer_add_to(struct p *p, struct timer *t, int64_t when)
{
	uint32_t slot;
	bool first;

	if (when < 1)
		when = 1; /* 0 would read as "none" in timer_next */
	lock_acquire(&p->timer_lock);
	GR_CHECK(t->slot == -1);
	if (p->nr_heap == p->cap_timers)
		grow(p);
	t->when = when;
	/* relaxed: read by timer_del(), which the owner calls, and he synchronised with us */
	atomic_store_explicit(&t->p, p, memory_order_relaxed);
	t->slot = get_slot(p, t);
	slot = (uint32_t)t->slot;
	p->heap[p->nr_heap] = (struct timer_at){ when, slot };
	sift_up(p, p->nr_heap++);
	p->nr_timers++;
	first = p->heap[0].slot == slot;
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
		forget(p, t);
		count_pending(p, -1);
		publish(p);
	}
	lock_release(&p->timer_lock);
	return armed;
}

/*
 * Those that are due leave the heap, into due[]. The memory they lie on has been cold for long. It
 * is asked for in a loop of its own: the CPU waits for many lines at once, if not much else is done
 * between.
 */
static int take_due(struct p *p, int64_t now, struct timer **due)
{
	uint32_t slots[TIMER_BATCH];
	int n = 0, nr = 0;

	while (p->nr_heap && p->heap[0].when <= now && n < TIMER_BATCH) {
		slots[n++] = p->heap[0].slot;
		remove_at(p, 0);
	}
	for (int i = 0; i < n; i++) {
		struct timer *t = p->slots[slots[i]].t;

		put_slot(p, (int32_t)slots[i]);
		if (!t)
			continue;
		prefetch(t);
		prefetch((char *)t - CACHELINE); /* what fire() needs, as a rule */
		due[nr++] = t;
	}
	p->nr_timers -= nr;
	for (int i = 0; i < nr; i += PURGE)
		purge(p);
	settle(p);
	return nr;
}

static struct g *chain(struct g **gs, int n)
{
	g_prefetch_all(gs, n);
	for (int i = 0; i < n; i++)
		gs[i]->next = i + 1 < n ? gs[i + 1] : NULL; /* parked and claimed: ours */
	return gs[0];
}

int timers_run(struct p *p, int64_t now)
{
	struct timer *posts = NULL, **post_end = &posts, *due[TIMER_BATCH];
	struct g *ready[TIMER_BATCH], *g;
	int fired, nr_ready = 0;

	if (timers_next(p) > now)
		return 0;
	lock_acquire(&p->timer_lock);
	/* the rest when these have run: who fires thousands has lost the first ones from the cache */
	fired = take_due(p, now, due);
	for (int i = 0; i < fired; i++) {
		struct timer *t = due[i];

		t->slot = -1;
		g = t->fire(t);
		if (g) {
			ready[nr_ready++] = g;
		} else if (t->post) { /* *t stays until post() has run, I4 */
			t->post_next = NULL;
			*post_end = t;
			post_end = &t->post_next;
		}
	}
	count_pending(p, -fired);
	publish(p);
	lock_release(&p->timer_lock);
	atomic_fetch_add_explicit(&p->nr_fired, fired, memory_order_relaxed);
	if (nr_ready)
		g_ready_list(chain(ready, nr_ready), nr_ready);
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
	for (int i = 0; i < p->nr_heap; i++) {
		struct timer *t = p->slots[p->heap[i].slot].t;

		if (!t)
			continue;
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
	p->nr_timers = p->nr_heap = p->cap_timers = p->nr_slots = p->slot_free = 0;
	publish(p);
}
