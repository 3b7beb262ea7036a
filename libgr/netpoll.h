/* SPDX-License-Identifier: MIT */
/*
 * netpoll.h - what the scheduler asks of the I/O back end (netpoll_uring.c): one ring per P.
 *
 * Who may call. submit, prep: the thread that holds the P, inside rt_enter(). harvest: any M in
 * a runtime section (consumer side under a try-lock, so thieves may). wait: the M that idles on
 * the P; it may lose the P while it waits. wake: any thread.
 */
#ifndef GR_NETPOLL_H
#define GR_NETPOLL_H

#include "gr_int.h"

/* Once per process; -ENOSYS with one sentence on stderr when io_uring is switched off. */
int netpoll_probe(void);
/* p->np: a ring. -errno. fini cancels and reaps what is still in flight before the stacks go. */
int netpoll_init(struct p *p);
void netpoll_fini(struct p *p);

/* Hand queued requests to the kernel; cheap when there are none. */
void netpoll_submit(struct p *p);
/* Requests queued and not yet submitted. */
unsigned int netpoll_queued(struct p *p);
/*
 * Take completions off p's ring without waiting: chain the goroutines they make ready into
 * *list (by g->next, appended) and return how many. 0 when another thread is at it.
 */
int netpoll_harvest(struct p *p, struct g **list);
/* True when completions are waiting; a plain memory read, for thieves. */
bool netpoll_ready(struct p *p);
/*
 * Wait in p's ring until a completion, a wake or the deadline. Touches nothing but the kernel
 * call itself: the caller may no longer hold p when this returns. Does not harvest.
 */
void netpoll_wait(struct p *p, int64_t deadline);
/*
 * Make the M that waits (or is about to wait) in p's ring come out of netpoll_wait(): a
 * completion without a goroutine on p's ring (IORING_OP_MSG_RING from the caller's own P's
 * ring, or from a shared one under a lock when the caller holds no P). target is told to
 * sched_wake_harvested() by whoever harvests that completion.
 */
void netpoll_wake(struct p *p, struct m *target);

/* idle.c: a wake completion aimed at target was taken off a ring by the calling thread */
void sched_wake_harvested(struct m *target);

#endif /* GR_NETPOLL_H */
