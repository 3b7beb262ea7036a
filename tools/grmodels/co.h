/* SPDX-License-Identifier: MIT */
/*
 * co.h - goroutines with a stack of their own on few threads: what models 2, 4 and 5 share. How a
 * thread switches to one and back (co.c), and who waits for a descriptor or a time (poll.c). Which
 * goroutine is next, and on which thread, is what the models differ in: struct queue.
 */
#ifndef GRMODELS_CO_H
#define GRMODELS_CO_H

#include "gor.h"

/* a thread that runs goroutines */
struct worker {
	void *sp;	     /* where it goes on when the goroutine stops */
	struct lock *unlock; /* the goroutine blocked: to be released after the switch; NULL: it
				yielded */
	bool ended;
};

struct queue {
	/* g is ready; by any thread. back: it yielded, it is this thread's. */
	void (*put)(struct gor *g, bool back);
	/* the next one for this thread; sleeps until there is one */
	struct gor *(*next)(struct worker *w);
};

extern const struct kern co_kern;
void co_set_queue(const struct queue *q);
/* the loop of a thread */
_Noreturn void co_loop(struct worker *w);
/* the calling thread's */
struct worker *co_worker(void);
/* a goroutine that is not queued yet; NULL: no memory */
struct gor *co_new(void (*fn)(void *), void *arg);
/* for struct model */
int co_spawn(void (*fn)(void *), void *arg);
void co_yield (void);
void co_sleep(int64_t ns);
ssize_t co_read(int fd, void *buf, size_t n);
#define CO_OPS .yield = co_yield, .sleep = co_sleep, .read = co_read

/* ---- poll.c: one thread at a time waits for descriptors and timers ---- */
void poll_init(void);
/* Goroutine only: until fd can be read, until then. */
void poll_readable(int fd);
void poll_until(int64_t when);
/*
 * The right to wait. False: another thread has it. A model that is about to sleep claims it, then
 * looks at its queues once more (order: poll.c), then waits; poll_kick() ends the wait.
 */
bool poll_claim(bool sleep);
/* what has become ready, linked by g.next; gives the claim back */
struct g *poll_wait(bool sleep);
void poll_unclaim(void);
/* true: a thread waited, and does not any more */
bool poll_kick(void);

#endif /* GRMODELS_CO_H */
