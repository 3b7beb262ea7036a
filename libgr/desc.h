/* SPDX-License-Identifier: MIT */
/* desc.h - memory of goroutine descriptors, and walks over all of them; see desc.c. */
#ifndef GR_DESC_H
#define GR_DESC_H

#include "gr_int.h"

/*
 * Descriptors, linked by next: one at least, max at most, *n of them; each has a stack of the
 * default size promised. NULL: no memory. New ones are all zero, others as their goroutine left
 * them. Any thread.
 */
struct g *desc_get_list(int max, int *n);
/* take them back: a chain from first to last, of goroutines that have ended */
void desc_put_list(struct g *first, struct g *last);
/* all memory back to the system, before that of stacks; no thread of the runtime is left */
void desc_fini(void);

/*
 * Look at every descriptor, in a signal handler too. Between begin and end no descriptor and no
 * stack is unmapped; goroutines come and go meanwhile. begin: false when there is no runtime (any
 * more). fn gets dead ones as well.
 */
bool desc_walk_begin(void);
void desc_walk(void (*fn)(struct g *, void *), void *arg);
void desc_walk_end(void);
/* until no walk is under way; none begins once sched.running is false */
void desc_walk_wait(void);
/* stack.c, W2: somebody walks. What was unlinked before this call is not seen by later walks. */
bool desc_walked(void);

#endif /* GR_DESC_H */
