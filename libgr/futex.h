/* SPDX-License-Identifier: MIT */
/*
 * futex.h - the two futex calls that lock.c and wait.c need; private futexes only.
 *
 * Both leave errno as it was (gr.h: "neither read nor set") and are never inlined: the address
 * of errno must not be kept by a caller that continues on another thread.
 */
#ifndef GR_FUTEX_H
#define GR_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gr_int.h"

/*
 * Sleep while *word is val, until deadline (absolute CLOCK_MONOTONIC ns). May return early for
 * any reason: the caller looks at the word, and at the clock, again.
 */
NOINLINE __attribute__((unused)) static void futex_wait(_Atomic uint32_t *word, uint32_t val,
							int64_t deadline)
{
	struct timespec ts = { .tv_sec = deadline / GR_SEC, .tv_nsec = deadline % GR_SEC };
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, val,
		deadline == GR_FOREVER ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
	errno = saved;
}

/*
 * Wake one sleeper. The word may be gone already, because the store before this call freed its
 * owner: then the kernel finds no sleeper there, or wakes a stranger that is able to cope with
 * an early return, as every futex user has to be. Accepted, as in every libc.
 */
NOINLINE __attribute__((unused)) static void futex_wake(_Atomic uint32_t *word)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}

#endif /* GR_FUTEX_H */
