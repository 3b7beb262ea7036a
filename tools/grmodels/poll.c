// SPDX-License-Identifier: MIT
/*
 * poll.c - goroutines that wait for a descriptor or a time, for models 2, 4 and 5: one epoll set,
 * one heap of timers, and one thread at a time that looks, as in Go.
 *
 * Order. A sleeper claims the right (F1: seq_cst), then looks at its queues, then waits. Who made
 * work first queues it (F2: seq_cst), then looks whether somebody waits and writes the eventfd.
 * Forbidden: the sleeper sees no work and the other one no sleeper. The eventfd is still readable
 * when the wait begins later.
 *
 * A timer that is set while another thread waits with a later deadline kicks it, too.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cell.h"
#include "co.h"

#define EVENTS 64

enum { FREE, LOOKING, WAITING };

struct timed {
	int64_t when;
	struct gor *g;
};

static struct {
	int epoll, kick;
	_Atomic int claim; /* who waits: FREE, LOOKING, WAITING */
	struct lock lock;
	struct timed *heap; /* earliest first; lock */
	long n, room;
	int64_t deadline; /* of the one who waits; lock */
} p;

static int must(int fd)
{
	if (fd < 0)
		cell_fail("epoll or eventfd: errno %d", errno);
	return fd;
}

void poll_init(void)
{
	struct epoll_event e = { .events = EPOLLIN };

	p.epoll = must(epoll_create1(EPOLL_CLOEXEC));
	p.kick = must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	must(epoll_ctl(p.epoll, EPOLL_CTL_ADD, p.kick, &e));
}

/* ---- the heap ---- */

static void swap(long i, long j)
{
	struct timed t = p.heap[i];

	p.heap[i] = p.heap[j];
	p.heap[j] = t;
}

static bool add_locked(int64_t when, struct gor *g)
{
	if (p.n == p.room) {
		long room = p.room ? 2 * p.room : 64;
		struct timed *heap = realloc(p.heap, room * sizeof(*heap));

		if (!heap)
			return false;
		p.heap = heap;
		p.room = room;
	}
	p.heap[p.n] = (struct timed){ when, g };
	for (long i = p.n++; i && p.heap[i].when < p.heap[(i - 1) / 2].when; i = (i - 1) / 2)
		swap(i, (i - 1) / 2);
	return true;
}

static struct gor *pop_locked(void)
{
	struct gor *g = p.heap[0].g;

	p.heap[0] = p.heap[--p.n];
	for (long i = 0, child; (child = 2 * i + 1) < p.n; i = child) {
		if (child + 1 < p.n && p.heap[child + 1].when < p.heap[child].when)
			child++;
		if (p.heap[i].when <= p.heap[child].when)
			break;
		swap(i, child);
	}
	return g;
}

/* ---- goroutines that wait ---- */

void poll_until(int64_t when)
{
	lock_acquire(&p.lock);
	if (!add_locked(when, gor_self()))
		cell_fail("no memory for a timer");
	if (when < p.deadline)
		poll_kick();
	kern.block(&p.lock, WHY_TIMER);
}

/* an event is not looked at before p.lock is released, and that is after the switch */
void poll_readable(int fd)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT, .data.ptr = gor_self() };

	lock_acquire(&p.lock);
	if (epoll_ctl(p.epoll, EPOLL_CTL_MOD, fd, &e))
		must(epoll_ctl(p.epoll, EPOLL_CTL_ADD, fd, &e));
	kern.block(&p.lock, WHY_NET);
}

/* ---- the thread that looks ---- */

bool poll_claim(bool sleep)
{
	int old = FREE;

	/* F1 */
	return atomic_compare_exchange_strong(&p.claim, &old, sleep ? WAITING : LOOKING);
}

void poll_unclaim(void)
{
	atomic_store(&p.claim, FREE);
}

bool poll_kick(void)
{
	uint64_t one = 1;

	/* F2 */
	return atomic_load(&p.claim) == WAITING && write(p.kick, &one, sizeof(one)) > 0;
}

/* in ms, rounded up; p.deadline says until when */
static int timeout_locked(bool sleep)
{
	int64_t now = gr_now(), until = p.n ? p.heap[0].when : GR_FOREVER;

	p.deadline = sleep ? until : 0;
	if (!sleep || until <= now)
		return 0;
	return until == GR_FOREVER ? -1 : (int)((until - now + GR_MS - 1) / GR_MS);
}

static void add(struct g **list, struct gor *g)
{
	g->g.next = *list;
	*list = &g->g;
}

struct g *poll_wait(bool sleep)
{
	struct epoll_event events[EVENTS];
	struct g *list = NULL;
	uint64_t count;
	int64_t now;
	int timeout, n;

	lock_acquire(&p.lock);
	timeout = timeout_locked(sleep);
	lock_release(&p.lock);
	n = epoll_wait(p.epoll, events, EVENTS, timeout);
	lock_acquire(&p.lock);
	p.deadline = 0;
	for (int i = 0; i < n; i++) {
		struct gor *g = events[i].data.ptr;

		if (g)
			add(&list, g);
		else if (read(p.kick, &count, sizeof(count)) < 0)
			continue; /* another claim's kick, taken already */
	}
	for (now = gr_now(); p.n && p.heap[0].when <= now;)
		add(&list, pop_locked());
	lock_release(&p.lock);
	for (struct g *g = list; g; g = g->next)
		gor_state(gor_of(g), ST_RUNNABLE, WHY_NONE);
	poll_unclaim();
	return list;
}
