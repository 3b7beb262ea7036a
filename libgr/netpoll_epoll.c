// SPDX-License-Identifier: MIT
/*
 * netpoll_epoll.c - the epoll set of a P, for systems where io_uring is switched off.
 *
 * Job: who waits for which descriptor, what is ready, wake-ups of threads that wait. It knows one
 * kind of request: IORING_OP_POLL_ADD, once; another ends with -EOPNOTSUPP. Not here: the input and
 * output itself; a goroutine does that by system calls, and comes here when it has to wait
 * (op_call.c). So nothing here ever blocks on a descriptor.
 *
 * The set has one entry for each descriptor, the table a request for each goroutine: readers and
 * writers, any number. The requests are linked by a hash of the descriptor, first come first, and
 * live on their goroutines' stacks: waiting allocates nothing. An entry is armed for what all of
 * them want, and once (EPOLLONESHOT). When it fires, the first who wants an event gets it, the
 * others are armed for again: what the first one leaves fires for the next. An error or a hang-up
 * is for all.
 *
 * Descriptors are the program's, and may be closed, duplicated and used again at any time. Nothing
 * depends on an entry's fate:
 *   I1 each arming has a number, which its requests and the event's data bear. An event of another
 *      number is of an entry that nobody waits for any more; it is dropped, and cannot fire again.
 *   I2 entries are changed, and added if there is none. None where there should be one means that
 *      the descriptor is another file now: those who waited for the old one get -EBADF.
 *   I3 entries are never removed: the kernel does it with the file.
 *
 * Overlap. queue, sqe: the holder of the P. All else: under lock; a harvest only tries it,
 * and returns 0 if somebody submits, cancels or harvests. A request that is over is handed to its
 * owner by a harvest (or his own cancel), not before its goroutine has parked: it is submitted
 * after that.
 *
 * Waiting, without a lost wake-up. A thread sleeps in ppoll(2) on the set, which takes no event
 * out of it, and on the P's bell, an eventfd(2). So it comes out while an event is in the set; one
 * that is taken out by a thief makes the thief wake whoever is needed (idle.c). A wake-up is for
 * one thread, and nobody else can use it up:
 *
 *	waker					thread m
 *	  R1 m->poll_woken = true		  m->poll_p = p, waiters of p + 1
 *	  R2 read m->poll_p			  A1 poll_woken? come out
 *	  ring the bell of that P		  A2 ppoll()
 *
 * all seq_cst, or behind a fence (F2 in idle_poll(), and the same in hold_once()). Forbidden
 * outcome: the waker reads an old P and m reads false; then R1 would come after A1, so R2 after
 * poll_p. The bell is silenced by the last thread that comes out of its P, which reads waiters once
 * more afterwards and rings again if it finds one (R3): whoever came in before that is woken, and
 * whoever comes later reads poll_woken after all that the silenced rings had to say (A3).
 *
 * Limits: a look at the set is a system call, so it is taken when the P's queue is empty, else each
 * LOOK_CYCLES; netpoll_due() goes by that. One who comes out of ppoll() because of the set has it
 * looked at even if nobody waits for anything (fired): else he would come out at once the next
 * time, too.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "netpoll.h"
#include "op.h"
#include "runq.h"

#define EVENTS 64
#define LOOK_CYCLES 60000 /* some 20 us */
#define TABLE_MIN 512 /* a page */
#define ALWAYS_READY (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM) /* files, as poll(2) has it */

enum { REQ_QUEUED, REQ_WATCHED, REQ_OVER }; /* req->state */

struct epset {
	int epfd, bell;
	/* the holder of the P */
	struct io_uring_sqe sqe;
	struct req *queue, **queue_end;
	unsigned int nr_queued;
	/* lock */
	struct lock lock;
	struct req **table;
	unsigned int size; /* of table: a power of two */
	uint32_t seq;	   /* I1 */
	struct req *over, **over_end; /* ended, and not handed out */
	/* written under lock, read by anybody */
	_Atomic unsigned int nr_watched;
	_Atomic bool any_over;
	/* by anybody */
	_Atomic bool fired;	    /* somebody saw something in the set: take it out */
	_Atomic uint64_t looked_at; /* cpu_cycles() */
	_Atomic int waiters;
};

/* ---- setting up ---- */

/*
 * All zero, or NULL. Never malloc() in a runtime section: a thread that was held back inside
 * malloc() has the allocator's lock and needs a P, which we would not give up.
 */
static struct req **new_table(unsigned int size)
{
	int saved = errno;
	void *mem = mmap(NULL, size * sizeof(struct req *), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	errno = saved;
	return mem == MAP_FAILED ? NULL : mem;
}

static void free_table(struct req **table, unsigned int size)
{
	munmap(table, size * sizeof(struct req *));
}

static void epoll_fini(struct p *p)
{
	struct epset *np = p->np;

	if (!np)
		return;
	if (np->epfd >= 0)
		close(np->epfd);
	if (np->bell >= 0)
		close(np->bell);
	if (np->table)
		free_table(np->table, np->size);
	free(np);
	p->np = NULL;
}

static int epoll_init(struct p *p)
{
	struct epset *np = aligned_alloc(CACHELINE, (sizeof(*np) + 63) & ~(size_t)63);
	int ret;

	if (!np)
		return -ENOMEM;
	memset(np, 0, sizeof(*np));
	p->np = np;
	np->queue_end = &np->queue;
	np->over_end = &np->over;
	np->size = TABLE_MIN;
	np->bell = -1;
	np->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (np->epfd >= 0)
		np->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = np->bell < 0 ? -errno : 0;
	np->table = new_table(np->size);
	if (!ret && !np->table)
		ret = -ENOMEM;
	if (ret)
		epoll_fini(p);
	return ret;
}

/* ---- the table; with the lock ---- */

static struct req **bucket(struct epset *np, int fd)
{
	return &np->table[(unsigned int)fd & (np->size - 1)];
}

static void append(struct epset *np, struct req *req)
{
	struct req **at = bucket(np, req->fd);

	while (*at)
		at = &(*at)->next;
	req->next = NULL;
	*at = req;
}

/* twice as large; without memory for that the lists get longer */
static void grow(struct epset *np)
{
	unsigned int old_size = np->size;
	struct req **old = np->table, **table = new_table(2 * old_size);

	if (!table)
		return;
	np->table = table;
	np->size = 2 * old_size;
	for (unsigned int i = 0; i < old_size; i++) {
		struct req *next;

		for (struct req *req = old[i]; req; req = next) {
			next = req->next;
			append(np, req);
		}
	}
	free_table(old, old_size);
}

static void remove_at(struct epset *np, struct req **at)
{
	*at = (*at)->next;
	atomic_fetch_sub_explicit(&np->nr_watched, 1, memory_order_relaxed);
}

/* a request that is in no list: the next harvest hands it out */
static void end_with(struct epset *np, struct req *req, int res)
{
	req->state = REQ_OVER;
	req->res = res;
	req->next = NULL;
	*np->over_end = req;
	np->over_end = &req->next;
	atomic_store_explicit(&np->any_over, true, memory_order_relaxed);
}

/* all that wait for fd, but one, which may be NULL */
static void end_all(struct epset *np, int fd, int res, const struct req *but)
{
	struct req **at = bucket(np, fd), *req;

	while ((req = *at)) {
		if (req->fd == fd && req != but) {
			remove_at(np, at);
			end_with(np, req, res);
		} else {
			at = &req->next;
		}
	}
}

/* ---- arming; with the lock ---- */

static int control(struct p *p, int op, int fd, struct epoll_event *ev)
{
	struct epset *np = p->np;
	int saved = errno, ret;

	netpoll_count_enter(p);
	ret = epoll_ctl(np->epfd, op, fd, ev) ? -errno : 0;
	errno = saved;
	return ret;
}

/* Arm fd for all that wait for it; fresh: the request that is new, or NULL. */
static void watch(struct p *p, int fd, struct req *fresh)
{
	struct epset *np = p->np;
	uint32_t seq = ++np->seq;
	struct epoll_event ev = {
		.events = EPOLLONESHOT,
		.data.u64 = (uint64_t)seq << 32 | (uint32_t)fd,
	};
	int ret;

	for (struct req *req = *bucket(np, fd); req; req = req->next) {
		if (req->fd != fd)
			continue;
		req->seq = seq;
		ev.events |= req->events;
	}
	ret = control(p, EPOLL_CTL_MOD, fd, &ev);
	if (fresh && (ret == -ENOENT || ret == -EPERM)) {
		end_all(np, fd, -EBADF, fresh); /* I2 */
		ev.events = EPOLLONESHOT | fresh->events;
		if (ret == -ENOENT)
			ret = control(p, EPOLL_CTL_ADD, fd, &ev);
		if (ret == -EEXIST) /* it was another file for a moment */
			ret = control(p, EPOLL_CTL_MOD, fd, &ev);
	}
	if (ret == -EPERM && fresh && fresh->events & ALWAYS_READY)
		ret = fresh->events & ALWAYS_READY; /* a file, or the like */
	if (ret)
		end_all(np, fd, ret == -ENOENT ? -EBADF : ret, NULL);
}

/* ---- requests ---- */

static unsigned int epoll_queued(struct p *p)
{
	struct epset *np = p->np;

	return np->nr_queued;
}

static void epoll_reserve(struct p *p, unsigned int n)
{
	(void)p; /* the queue is a list of requests */
	(void)n;
}

static struct io_uring_sqe *epoll_sqe(struct p *p)
{
	struct epset *np = p->np;

	return &np->sqe;
}

static void epoll_begin(struct p *p, struct io_uring_sqe *sqe, struct req *req,
			struct g *(*done)(struct req *, int res))
{
	struct epset *np = p->np;
	bool known = sqe->opcode == IORING_OP_POLL_ADD && !sqe->len && !sqe->flags;

	/* relaxed: the lock comes between this and who calls it */
	atomic_store_explicit(&req->done, done, memory_order_relaxed);
	req->fd = sqe->fd;
	req->events = sqe->poll32_events & 0xffff;
	req->res = known ? 0 : -EOPNOTSUPP;
	req->state = REQ_QUEUED;
	req->next = NULL;
	*np->queue_end = req;
	np->queue_end = &req->next;
	np->nr_queued++;
	netpoll_pending_add(p, 1);
}

static void submit_one(struct p *p, struct req *req)
{
	struct epset *np = p->np;

	if (req->res) {
		end_with(np, req, req->res);
		return;
	}
	if (atomic_fetch_add_explicit(&np->nr_watched, 1, memory_order_relaxed) >= np->size)
		grow(np);
	req->state = REQ_WATCHED;
	append(np, req);
	watch(p, req->fd, req);
}

static void epoll_submit(struct p *p)
{
	struct epset *np = p->np;
	struct req *next;

	if (!np->nr_queued)
		return;
	lock_acquire(&np->lock);
	/* who is over on the way stays until the lock is released */
	for (struct req *req = np->queue; req; req = next) {
		next = req->next;
		submit_one(p, req);
	}
	lock_release(&np->lock);
	np->queue = NULL;
	np->queue_end = &np->queue;
	np->nr_queued = 0;
}

/* In a section, with the lock: tell the owner, who is not woken by *req any more. */
static struct g *tell(struct p *p, struct req *req, int res)
{
	netpoll_pending_add(p, -1);
	netpoll_count_taken(p, 1);
	netpoll_count(&p->nr_io_ended, 1);
	return atomic_load_explicit(&req->done, memory_order_relaxed)(req, res);
}

static int epoll_cancel(struct p *p, struct req *req)
{
	struct epset *np = p->np;
	struct req **at;
	int ret = -ENOENT;

	rt_enter();
	lock_acquire(&np->lock);
	if (req->state == REQ_WATCHED) {
		at = bucket(np, req->fd);
		while (*at != req)
			at = &(*at)->next;
		remove_at(np, at);
		req->state = REQ_OVER;
		tell(p, req, -ECANCELED); /* it is ours: it makes nobody ready */
		ret = 0;
	}
	lock_release(&np->lock);
	rt_exit();
	return ret;
}

/* ---- completion ---- */

/* with the lock */
static void take_event(struct p *p, int fd, uint32_t seq, uint32_t events)
{
	uint32_t always = POLLERR | POLLHUP, left = events;
	struct epset *np = p->np;
	struct req **at = bucket(np, fd), *req;
	bool others = false;

	while ((req = *at)) {
		bool mine = req->fd == fd && req->seq == seq; /* I1 */

		if (mine && (events & always || req->events & left)) {
			left &= ~req->events;
			remove_at(np, at);
			end_with(np, req, (int)(events & (req->events | always)));
			continue;
		}
		others |= mine;
		at = &req->next;
	}
	if (others)
		watch(p, fd, NULL);
}

static void take_events(struct p *p)
{
	struct epset *np = p->np;
	struct epoll_event ev[EVENTS];
	int saved = errno, n;

	netpoll_count_enter(p);
	n = epoll_wait(np->epfd, ev, EVENTS, 0);
	errno = saved;
	/* relaxed: hints; there may be more than EVENTS */
	atomic_store_explicit(&np->looked_at, cpu_cycles(), memory_order_relaxed);
	atomic_store_explicit(&np->fired, n == EVENTS, memory_order_relaxed);
	for (int i = 0; i < n; i++)
		take_event(p, (int)(uint32_t)ev[i].data.u64, (uint32_t)(ev[i].data.u64 >> 32),
			   ev[i].events);
}

/* with the lock: append the goroutines that are ready */
static int hand_out(struct p *p, struct g **end)
{
	struct epset *np = p->np;
	struct req *next;
	int n = 0;

	while (*end)
		end = &(*end)->next;
	for (struct req *req = np->over; req; req = next) {
		struct g *g;

		next = req->next; /* *req is gone when its owner knows */
		g = tell(p, req, req->res);
		if (!g)
			continue;
		g->next = NULL;
		*end = g;
		end = &g->next;
		n++;
	}
	np->over = NULL;
	np->over_end = &np->over;
	atomic_store_explicit(&np->any_over, false, memory_order_relaxed);
	return n;
}

static bool any_watched(struct epset *np)
{
	return atomic_load_explicit(&np->nr_watched, memory_order_relaxed);
}

static bool has_fired(struct epset *np)
{
	return atomic_load_explicit(&np->fired, memory_order_relaxed);
}

static uint64_t looked_at(struct epset *np)
{
	return atomic_load_explicit(&np->looked_at, memory_order_relaxed);
}

static bool epoll_ready(struct p *p)
{
	struct epset *np = p->np;

	return atomic_load_explicit(&np->any_over, memory_order_relaxed);
}

static bool epoll_due(struct p *p)
{
	struct epset *np = p->np;

	if (epoll_ready(p) || has_fired(np))
		return true;
	return any_watched(np) && cpu_cycles() - looked_at(np) > LOOK_CYCLES;
}

static int epoll_harvest(struct p *p, struct g **list)
{
	struct epset *np = p->np;
	int n;

	if (!epoll_due(p) && !(any_watched(np) && runq_empty(p)))
		return 0;
	if (!lock_try(&np->lock))
		return 0;
	if (any_watched(np) || has_fired(np))
		take_events(p);
	n = hand_out(p, list);
	lock_release(&np->lock);
	return n;
}

/* ---- waiting and waking: see the head of this file ---- */

static void ring(struct epset *np)
{
	uint64_t one = 1;

	/* cannot fail but for a count of 2^64 */
	while (write(np->bell, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void silence(struct epset *np)
{
	uint64_t n;

	if (read(np->bell, &n, sizeof(n)) > 0 && atomic_load(&np->waiters)) /* R3: pairs with A3 */
		ring(np);
}

static void epoll_wait_in(struct p *p, int64_t deadline)
{
	struct epset *np = p->np;
	struct m *m = m_self();
	struct pollfd fds[2] = { { np->epfd, POLLIN, 0 }, { np->bell, POLLIN, POLLIN } };
	struct timespec ts, *limit = NULL;
	int saved = errno;

	if (deadline != INT64_MAX) {
		int64_t left = deadline - gr_now();

		if (left <= 0)
			return;
		ts = (struct timespec){ left / GR_SEC, left % GR_SEC };
		limit = &ts;
	}
	atomic_fetch_add(&np->waiters, 1); /* A3: pairs with R3 */
	if (!atomic_exchange(&m->poll_woken, false)) { /* A1: pairs with R1 */
		netpoll_count_enter(p);
		ppoll(fds, 2, limit, NULL); /* A2: pairs with R2 */
		atomic_exchange(&m->poll_woken, false); /* what a waker did is seen from here on */
		if (fds[0].revents)
			atomic_store_explicit(&np->fired, true, memory_order_relaxed);
	}
	if (atomic_fetch_sub(&np->waiters, 1) == 1 && fds[1].revents)
		silence(np);
	errno = saved;
}

static void epoll_wake(struct p *p, struct m *target)
{
	int saved = errno;

	(void)p; /* it may wait elsewhere by now */
	if (!atomic_exchange(&target->poll_woken, true)) /* R1: pairs with A1 */
		ring(atomic_load(&target->poll_p)->np);	 /* R2: pairs with A2 */
	errno = saved;
}

const struct netpoll_ops netpoll_epoll = {
	.name = "epoll",
	.uses = "oneshot eventfd",
	.polls_only = true,
	.init = epoll_init,
	.fini = epoll_fini,
	.submit = epoll_submit,
	.queued = epoll_queued,
	.harvest = epoll_harvest,
	.ready = epoll_ready,
	.due = epoll_due,
	.wait = epoll_wait_in,
	.wake = epoll_wake,
	.reserve = epoll_reserve,
	.sqe = epoll_sqe,
	.begin = epoll_begin,
	.cancel = epoll_cancel,
};
