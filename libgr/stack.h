/* SPDX-License-Identifier: MIT */
/* stack.h - memory of goroutines; see stack.c. */
#ifndef GR_STACK_H
#define GR_STACK_H

#include "gr_int.h"

#define STACK_MIN ((size_t)16 << 10)
#define STACK_MAX ((size_t)1 << 30)
#define STACK_DEFAULT ((size_t)256 << 10)

/* what lies below a stack, best last */
enum stack_guard { GUARD_CANARY, GUARD_MPROTECT, GUARD_MADVISE };
/* the best that may be used; tests lower it while no runtime runs */
extern enum stack_guard stack_guard_best;

/* A goroutine descriptor at the top of a stack of at least size bytes; NULL: no memory. Any
 * thread. The stack and the descriptor may be those of a dead goroutine. */
struct g *stack_get(size_t size);
/* Take it back; not the running stack. */
void stack_put(struct g *g);
/* the same for several of the default size, linked by next: up to max that were used before */
struct g *stack_get_list(int max, int *n);
void stack_put_list(struct g *list);
/* where the first frame goes */
void *stack_top(struct g *g);
/* end of the stack's memory, above the descriptor */
static inline char *stack_end(const struct g *g)
{
	return (char *)g->stack_base + g->stack_size;
}
/* the stack has no guard page and its lowest word was overwritten */
bool stack_overflowed(const struct g *g);
/* "madvise", "mprotect" or "canary": the weakest in use */
const char *stack_guard_name(void);
/* all memory back to the system; no goroutine is left */
void stack_fini(void);

/*
 * Look at every descriptor, in a signal handler too. Between begin and end no memory of a stack
 * is unmapped; goroutines come and go meanwhile. begin: false when there is no runtime (any
 * more). fn gets dead ones as well.
 */
bool stack_walk_begin(void);
void stack_walk(void (*fn)(struct g *, void *), void *arg);
void stack_walk_end(void);
/* until no walk is under way; none begins once sched.running is false */
void stack_walk_wait(void);

#endif /* GR_STACK_H */
