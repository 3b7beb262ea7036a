/* SPDX-License-Identifier: MIT */
/*
 * debug.h - what GR_DEBUG and GR_TRACE switch on; see debug.c, trace.c.
 *
 * Off, it costs one branch on a global in g_ready().
 */
#ifndef GR_DEBUG_H
#define GR_DEBUG_H

#include "gr_int.h"

struct debug {
	bool shuffle;
	bool migrate; /* always lose the turn, to another thread */
	uint32_t seed;
	int sched_ms; /* GR_TRACE=sched=: 0 off */
	int io_ms;    /* GR_TRACE=io= */
};
extern struct debug debug; /* fixed while the runtime runs */

/* Read both variables. -EINVAL: a word that is not known, and a sentence said so. */
int debug_read(void);

/* ---- debug.shuffle ---- */
/* the start of the n-th P's random numbers */
uint32_t shuffle_seed(int n);
/* Shall the goroutine that enters the library let others run first? */
bool shuffle_lose_turn(struct p *p);
/* Does what is made ready go into runnext? */
bool shuffle_next(struct p *p);

/* ---- debug.sched_ms, debug.io_ms ---- */
/* Is there a thread that prints? */
static inline bool trace_on(void)
{
	return debug.sched_ms || debug.io_ms;
}
int trace_start(void);
void trace_stop(void);

#endif /* GR_DEBUG_H */
