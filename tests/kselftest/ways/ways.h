/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ways.h - ways to block, one struct each, and what the parties of a test share.
 *
 *   A      goroutine code on the group's only P: does sleep()
 *   B      a spare; given the P it keeps it, in odd rounds until A waits for it
 *   other  one more thread, not attached: makes A sleep, and wakes it once B has the P
 *
 * Order of a round: A prepare(); other() starts and calls ways_ready(); A goes into goroutine
 * code, sleep(), leaves it again; other() has returned. setup() and teardown() come once each,
 * before the first round and after the last, in A, in runtime code.
 */
#ifndef GR_WAYS_H
#define GR_WAYS_H

#include <sys/resource.h>

#include "../gr_dev.h"

/* one page, shared with the processes that ways fork */
struct ways {
	pid_t pid, a, b;
	int a_slot, b_slot;
	int rounds;			/* B's, when this round of A began */
	_Atomic int b_rounds;		/* how often B was given the P */
	_Atomic int b_handoffs;		/* ... because A blocked */
	_Atomic int b_waited;		/* ... and kept it until A waited for it */
	_Atomic int a_ran;		/* ... and saw A in user mode meanwhile */
	_Atomic bool hold;
	_Atomic bool ready, go, over;
	_Atomic unsigned long beat;	/* grows while A is in user mode */
	char why[160];			/* why a way cannot be, or what went wrong */
};

/* what must come of a round besides as many gr:block as sleeps */
enum ways_handoff {
	EACH_ROUND,	/* A sleeps until B has the P: B gets it every time */
	SOME_ROUND,	/* how long A sleeps is the disk's business: now and then */
	MAYBE,		/* B is stopped as well, and may be too late */
	NEVER,		/* A does not sleep at all */
};

enum { WAYS_OK, WAYS_SKIP, WAYS_FAIL };

struct way {
	int (*setup)(struct ways *w);
	int (*prepare)(struct ways *w);		/* these two: 0, else w->why says what */
	int (*sleep)(struct ways *w);
	int (*other)(struct ways *w);
	void (*teardown)(struct ways *w);
	enum ways_handoff handoff;
	const char *states;	/* how the scheduler may call the sleep; NULL: S or D */
};

/* sleep.c */
extern const struct way way_pipe_read, way_unix_recv, way_poll, way_epoll_wait, way_nanosleep;
extern const struct way way_futex_wait, way_pthread_mutex, way_flock, way_wait4, way_vfork;
/* disk.c */
extern const struct way way_cold_read, way_cold_fault, way_fsync, way_sync_write, way_msync;
extern const struct way way_frozen_fs;
/* memory.c */
extern const struct way way_userfault, way_process_vm_readv, way_mmap_lock;
/* stop.c */
extern const struct way way_sigstop, way_ptrace, way_freezer, way_cpu_max;

/* other() is where it can let A go to sleep */
static inline void ways_ready(struct ways *w)
{
	atomic_store(&w->ready, true);
}

/* for other(), and for processes it forks: A has lost its P and B has it; false: not in time */
static inline bool ways_b_has_p(struct ways *w)
{
	int64_t until = now_ns() + 10000000000LL;

	while (atomic_load(&w->b_rounds) == w->rounds && now_ns() < until)
		sleep_us(500);
	return atomic_load(&w->b_rounds) != w->rounds;
}

/* A, in user mode, has something to show */
static inline void ways_beat(struct ways *w)
{
	atomic_fetch_add_explicit(&w->beat, 1, memory_order_relaxed);
}

static inline int ways_no(struct ways *w, int ret, const char *what)
{
	snprintf(w->why, sizeof(w->why), "%s: %s", what, strerror(errno));
	return ret;
}

/* how often the calling thread was switched out: by its own will, or not */
static inline long ways_switches(bool own_will)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return own_will ? u.ru_nvcsw : u.ru_nivcsw;
}

#endif /* GR_WAYS_H */
