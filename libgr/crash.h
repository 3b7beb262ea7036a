/* SPDX-License-Identifier: MIT */
/* crash.h - signals of the runtime's own, and the report of a stack overflow; see crash.c. */
#ifndef GR_CRASH_H
#define GR_CRASH_H

#include "gr_int.h"

/* gr_run(): handlers for SIGSEGV and SIGQUIT where the program has none, and back */
void crash_begin(void);
void crash_end(void);
/* first and last in a thread of the runtime: a stack to report an overflow on */
void crash_thread_begin(struct m *m);
void crash_thread_end(struct m *m);
/* the report, and abort(); pc: where it faulted, NULL: here */
_Noreturn void crash_overflow(const struct g *g, const void *sp, const void *pc);

#endif /* GR_CRASH_H */
