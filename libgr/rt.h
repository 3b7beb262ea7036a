/* SPDX-License-Identifier: MIT */
/*
 * rt.h - entering and leaving a runtime section without a call, for the hottest paths; what a
 * section is: gr_int.h. rt_enter() and rt_exit() are the same as functions.
 */
#ifndef GR_RT_H
#define GR_RT_H

#include "sched.h"

/* sched.c: the mirror shows another P than last time, or none, or turns are lost at random
 * (debug.c); m's goroutine may come back on another thread's M */
struct m *rt_enter_slow(struct m *m);

/* m: m_self(), not NULL */
static inline struct m *rt_enter_m(struct m *m)
{
	if (unlikely(m->depth)) {
		m->depth++;
		return m;
	}
	m->depth = 1;
	m_set_hint(m, GR_HF_RUNTIME);
	if (unlikely(PEEK(m->mirror->proc) != m->proc))
		return rt_enter_slow(m);
	return m;
}

/* m: m_self(), as it is now: not one that was read before a g_park() */
static inline void rt_exit_m(struct m *m)
{
	if (!--m->depth)
		m_set_hint(m, 0);
}

static inline struct m *rt_enter_inline(void)
{
	struct m *m = m_self();

	return likely(m) ? rt_enter_m(m) : NULL;
}

#endif /* GR_RT_H */
