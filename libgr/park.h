/* SPDX-License-Identifier: MIT */
/*
 * park.h - the parking backend: who holds which P, and threads that sleep for one.
 *
 * Two implementations of one protocol (include/uapi/gr.h): park_kmod.c asks /dev/gr,
 * park_futex.c does it in user space with a mutex, futexes and a monitor thread that guesses
 * from /proc which thread blocks. Both fill the same mirror and read the same hints.
 */
#ifndef GR_PARK_H
#define GR_PARK_H

#include "gr_int.h"

struct park_ops {
	const char *name;
	/*
	 * Set up for nr_procs and max_threads; fills park_tab, below. -ENODEV when
	 * this backend is not to be had here (a reason goes to *why).
	 */
	int (*setup)(int nr_procs, int max_threads, const char **why);
	void (*fini)(void);
	/* The calling thread joins: fills m->slot, hint, mirror. take: a P if one is idle. Returns
	 * the P or GR_NO_PROC, or -errno below GR_NO_PROC: -EAGAIN, -ENOMEM, -EBUSY. */
	int (*attach)(struct m *m, bool take);
	void (*detach)(struct m *m);
	/* Give up the P and sleep until given one; returns it and why (GR_WAKE_*), or -ETIMEDOUT,
	 * -ESHUTDOWN. Restarts after signals. */
	int (*park)(struct m *m, int64_t deadline, unsigned int *reason);
	/* Give up to n idle or lazy Ps a thread; returns how many threads were woken. */
	int (*unpark)(int n);
	/* The mirror showed no P to a goroutine that enters the runtime: look again with certainty.
	 * Returns the P or GR_NO_PROC. */
	int (*recheck)(struct m *m);
	/* A returner, or somebody preempted, waits: give it the P, sleep as a spare, return the next
	 * P. -EAGAIN: none waits. */
	int (*yield)(struct m *m, unsigned int *reason);
	/* The thread is about to sleep for long, outside park(): its P is free for others. NULL: the
	 * backend sees it sleep. */
	void (*leave)(struct m *m);
	/* The thread, awake without a P, has something to run: sleep until there is one for it.
	 * Returns it, or -ESHUTDOWN. */
	int (*acquire)(struct m *m);
	/* This thread left its poll with something to do: the monitor must not sleep on. */
	void (*busy)(void);
	/* Body of the monitor thread: wait until a spare is needed (kmod), or watch the threads and
	 * take Ps from blocked ones (futex). Returns when a thread should be created (1), or 0 when
	 * stop was asked for. */
	int (*monitor)(void);
	/* Make monitor() return 0 and every park() return -ESHUTDOWN from now on. */
	void (*stop)(void);
};

extern const struct park_ops park_kmod, park_futex;

/* the shared tables, in sched.c; written by setup() */
struct park_tables {
	const volatile struct gr_mirror *mirror;
	const volatile struct gr_mirror_proc *mprocs;
	const volatile struct gr_mirror_thread *mthreads;
	struct gr_hint *hint;
	struct gr_hint_proc *hprocs;
	struct gr_hint_thread *hthreads;
};
extern struct park_tables park_tab;

#endif /* GR_PARK_H */
