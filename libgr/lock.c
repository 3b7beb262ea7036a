// SPDX-License-Identifier: MIT
/*
 * lock.c - the runtime's own lock: three states in one futex word.
 *
 * Job: short sections of the runtime; no recursion, no fairness, no owner (what a goroutine
 * acquired before g_park() is released on whatever stack is switched to). Not here: gr_mutex
 * (mutex.c).
 * Callers: any thread, inside rt_enter(): the holder then keeps its P while it sleeps here or
 * inside its section, so a thread that waits for the lock never waits for a P as well.
 * Invariants:
 *   I1 0 free; 1 held, nobody sleeps; 2 held, somebody may sleep.
 *   I2 whoever has slept, or is going to, takes the lock with 2: it cannot know who else sleeps.
 * Order:
 *   A1 acquire (every successful exchange)  pairs with  R1 release in lock_release()
 *   (the fast paths of both are in gr_int.h)
 * Limits: after R1 the lock may be gone (see futex_wake()).
 */
#include "futex.h"

#define SPINS 60

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

NOINLINE void lock_acquire_slow(struct lock *l)
{
	for (int i = 0; i < SPINS; i++) {
		/* relaxed: only a hint that lock_try() is worth its cache line */
		if (!atomic_load_explicit(&l->word, memory_order_relaxed) && lock_try(l))
			return;
		cpu_relax();
	}
	/* A1: pairs with R1; I2 */
	while (atomic_exchange_explicit(&l->word, 2, memory_order_acquire))
		futex_wait(&l->word, 2, GR_FOREVER);
}

NOINLINE void lock_wake(struct lock *l)
{
	futex_wake(&l->word);
}
