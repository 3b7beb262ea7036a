/* SPDX-License-Identifier: MIT */
/*
 * sync.h - what the synchronisation objects share: their fields, misuse, who calls, waking several,
 * and how one waits for a lock that newcomers may pass.
 *
 * Callers: mutex.c, rwmutex.c, cond.c, sem.c, wg.c, once.c, barrier.c, pool.c.
 */
#ifndef GR_SYNC_H
#define GR_SYNC_H

#include <errno.h>

#include "gr_int.h"

/*
 * struct lock and struct waitq lie in the public structs under plain names: lock_of(), and a
 * function of the given name, find them there.
 */
#define SYNC_HAS_LOCK(type)                                      \
	static inline struct lock *lock_of(struct type *obj)     \
	{                                                        \
		return (struct lock *)&obj->lock;                \
	}                                                        \
	_Static_assert(sizeof(struct lock) == sizeof(uint32_t) && \
		       offsetof(struct type, lock) % 4 == 0, #type ".lock is a struct lock")
#define SYNC_HAS_WAITQ(type, first, last, queue_of)                                    \
	static inline struct waitq *queue_of(struct type *obj)                         \
	{                                                                              \
		return (struct waitq *)&obj->first;                                    \
	}                                                                              \
	_Static_assert(offsetof(struct type, last) == offsetof(struct type, first) +   \
		       offsetof(struct waitq, tail), #type "." #first " is a waitq")

/*
 * An object's word, if it is from. Acquires and releases: which of its changes pair with which is
 * said at the head of the object's file.
 */
static inline bool sync_change(uint32_t *word, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* the same for a count */
static inline bool sync_change64(int64_t *count, int64_t from, int64_t to)
{
	return __atomic_compare_exchange_n(count, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static inline uint32_t sync_state(const uint32_t *word)
{
	/* relaxed: decides which change to try */
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

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
	bool awake;    /* the lock's woken bit speaks of this one */
	bool starved;  /* waited for longer than SYNC_STARVED when last woken */
};
/* lock_waiter.w.result of one that was woken */
enum { LW_COMPETE, LW_OWNER };

/* The bits of such a lock's word; waits and starving change only with the queue's lock held. */
struct lock_bits {
	uint32_t own;	   /* set by one of these waiters when it takes the lock */
	uint32_t held;	   /* any of them set: not free; own is among them */
	uint32_t waits;	   /* the queue is not empty */
	uint32_t woken;	   /* somebody is awake and competes, woken or spinning */
	uint32_t starving; /* the lock is handed over, newcomers do not spin for it */
};
/*
 * Lock it, after the first try failed: sync.c. q, which l protects, is the queue for it. After a
 * wait in vain give_up(obj, lw), without l, takes lw off q and clears what is no longer true. A
 * runtime section of its own. 0, -ETIMEDOUT, -ECANCELED.
 */
int lock_wait(uint32_t *word, struct lock *l, struct waitq *q, const struct lock_bits *b,
	      void (*give_up)(void *obj, struct lock_waiter *lw), void *obj, int64_t deadline,
	      enum wait_reason why);
/* The first in the queue has been starving; for a lock that is being handed over. */
bool lock_waiter_starves(const struct waitq *q);

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
/* Wake what was claimed and linked so, or by waitq_pop(), or nobody; without the owner's lock. */
void wake_all(struct wnode *list);

/* ---- mutex.c, for cond.c ---- */
/* -EPERM it is not locked, or, in a debug build, by somebody else: then it aborts */
int mutex_check_locked(struct gr_mutex *m, const char *who);
/* gr_mutex_unlock() that does not switch; inside rt_enter() */
int mutex_unlock_local(struct gr_mutex *m);

#endif /* GR_SYNC_H */
