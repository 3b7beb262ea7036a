/* SPDX-License-Identifier: MIT */
/*
 * sync.h - what the synchronisation objects share: misuse, who calls, waking several, spinning.
 *
 * Callers: mutex.c, rwmutex.c, cond.c, sem.c, wg.c, once.c, barrier.c, pool.c.
 */
#ifndef GR_SYNC_H
#define GR_SYNC_H

#include <errno.h>

#include "gr_int.h"

/* struct lock and struct waitq lie in the public structs under plain names */
#define SYNC_HAS_LOCK(type)                                      \
	_Static_assert(sizeof(struct lock) == sizeof(uint32_t) && \
		       offsetof(struct type, lock) % 4 == 0, #type ".lock is a struct lock")
#define SYNC_HAS_WAITQ(type, first, last)                                              \
	_Static_assert(offsetof(struct type, last) == offsetof(struct type, first) +   \
		       offsetof(struct waitq, tail), #type "." #first " is a waitq")

/* Misuse: a named abort in a debug build, else the documented error. */
#ifdef GR_DEBUG
#define SYNC_MISUSE(err, ...) (gr_throw(__VA_ARGS__), (err))
#else
#define SYNC_MISUSE(err, ...) (err)
#endif

/* Who calls: a number that no other goroutine or thread has now, never 0. */
uint64_t sync_caller(void);

/*
 * How long a lock may have been waited for before it is handed over: Go's value. It bounds what
 * newcomers that pass can do to one who waits, and is long beside a switch.
 */
#define SYNC_STARVED GR_MS

/* A waiter for a lock that newcomers may pass. */
struct lock_waiter {
	struct waiter w;
	int64_t since; /* ns; 0: has not waited yet */
	bool awake;    /* the lock's WOKEN bit speaks of this one */
	bool starved;  /* waited for longer than SYNC_STARVED when last woken */
};
/* lock_waiter.w.result of one that was woken */
enum { LW_COMPETE, LW_OWNER };

static inline struct lock_waiter *lock_waiter_of(struct wnode *n)
{
	return container_of(n->w, struct lock_waiter, w);
}
/* Queue it: in front if it has waited before. With the queue's lock held. */
void lock_waiter_push(struct waitq *q, struct lock_waiter *lw);
/* The first in the queue has been starving; for a lock that is being handed over. */
bool lock_waiter_starves(const struct waitq *q);
/* w was woken: has it been starving? */
void lock_waiter_woken(struct lock_waiter *lw);

#define SYNC_SPINS 4
/*
 * May the caller spin for a lock for a moment? Only if its holder can be running now, on another
 * processor, and this P has nothing better to do. m: rt_enter()'s.
 */
bool sync_can_spin(const struct m *m);
/* one round of it */
void sync_spin(void);

/* Claim all of q that can be claimed, oldest first, linked by next; how many. */
int waitq_take_all(struct waitq *q, struct wnode **list);
/* Wake what was claimed and linked so; without the owner's lock. */
void wake_all(struct wnode *list);

/* ---- mutex.c, for cond.c ---- */
/* -EPERM it is not locked, or, in a debug build, by somebody else: then it aborts */
int mutex_check_locked(struct gr_mutex *m, const char *who);
/* gr_mutex_unlock() that does not switch; inside rt_enter() */
int mutex_unlock_local(struct gr_mutex *m);

#endif /* GR_SYNC_H */
