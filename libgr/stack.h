/* SPDX-License-Identifier: MIT */
/* stack.h - memory of goroutines; see stack.c. */
#ifndef GR_STACK_H
#define GR_STACK_H

#include "gr_int.h"

#define STACK_MIN ((size_t)16 << 10)
#define STACK_MAX ((size_t)1 << 30)
#define STACK_DEFAULT ((size_t)256 << 10)

/* A goroutine descriptor at the top of a stack of at least size bytes; NULL: no memory. Any
 * thread. The stack and the descriptor may be those of a dead goroutine. */
struct g *stack_get(size_t size);
/* Take it back; not the running stack. */
void stack_put(struct g *g);
/* where the first frame goes */
void *stack_top(struct g *g);
/* the stack has no guard page and its lowest word was overwritten */
bool stack_overflowed(const struct g *g);
/* all memory back to the system; no goroutine is left */
void stack_fini(void);

#endif /* GR_STACK_H */
