/* SPDX-License-Identifier: MIT */
/*
 * park_futex.h - what the backend without the module (park_futex.c) and its monitor
 * (park_monitor.c) share.
 */
#ifndef GR_PARK_FUTEX_H
#define GR_PARK_FUTEX_H

#include <linux/futex.h>

#include "park.h"

struct park_futex_state {
	struct lock lock;
	char *mem;
	size_t bytes;
	struct gr_mirror *mirror;
	struct gr_mirror_proc *procs;
	struct gr_mirror_thread *threads;
	struct m **holder; /* of each P */
	uint32_t *seen;	   /* monitor only: tick at the last look */
	struct m *spares;
	struct m *waiters, **waiters_end; /* threads that must have a P: first come, first served */
	int next_slot;
	uint32_t permits;
	_Atomic bool stopping;
	_Atomic uint32_t mon_word; /* futex: 1 while the monitor sleeps because all is idle */
	_Atomic bool need_thread;
};
extern struct park_futex_state pf;

/* plain fields that other threads read without the lock; with pf.lock */
#define MIRROR_ADD(field, n) __atomic_store_n(&pf.mirror->field, pf.mirror->field + (n), __ATOMIC_RELAXED)

/* ---- park_futex.c ---- */
long pf_futex(_Atomic uint32_t *word, int op, uint32_t val, const struct timespec *ts);
/* P i, its own queue or a shared one, has something to run; a hint without the lock */
bool pf_work_for(int i);
/* with pf.lock: m blocks in goroutine code and P i, which was m's, goes to another thread */
void pf_hand_off(struct m *m, int i);

/* ---- park_monitor.c ---- */
/* park_ops.monitor */
int pf_monitor(void);
/* After what says that not all is idle any more; with pf.lock or without. */
void pf_wake_monitor(void);
/* with pf.lock: there is work for a P and no spare */
void pf_need_thread(void);

#endif /* GR_PARK_FUTEX_H */
