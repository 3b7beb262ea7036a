/* SPDX-License-Identifier: MIT */
/* stack.h - memory of stacks; see stack.c. */
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

/* At the top of the memory it describes: the first frame goes right below. */
struct stack {
	char *base; /* of the mapping, guard included */
	char *lo;   /* lowest usable byte */
	size_t size;
	struct stack *next; /* link in a list; owner: that list */
	bool odd;	    /* not of the default size: a mapping of its own */
	bool canary;	    /* no guard page: the lowest word is zero, or it overflowed */
	struct san_stack san;
};

/* end of the stack's memory, above its description */
static inline char *stack_end(const struct stack *s)
{
	return s->base + s->size;
}
/* the stack has no guard page and its lowest word was overwritten */
static inline bool stack_overflowed(const struct stack *s)
{
	return s->canary && *(const volatile unsigned long *)s->lo != 0;
}

/*
 * Up to max more stacks of the default size can be had at any time, as many as returned: whoever has
 * the promise takes one with stack_get(), which does not fail. It is for good; what has been given
 * back may be taken again. 0: no memory. Any thread.
 */
int stack_promise(int max);
/* one of the default size; promised */
struct stack *stack_get(void);
/* Take them back, linked by next; not the running stack. */
void stack_put_list(struct stack *list);
/* one of another size; NULL: no memory */
struct stack *stack_get_odd(size_t size);
/* Unmap it when nobody walks; no g->stack is it any more. */
void stack_put_odd(struct stack *s);
/* at once, if it is one of another size; nobody walks */
void stack_unmap_odd(struct stack *s);
/* "madvise", "mprotect" or "canary": the weakest in use */
const char *stack_guard_name(void);
/* all memory back to the system; no goroutine is left */
void stack_fini(void);

#endif /* GR_STACK_H */
