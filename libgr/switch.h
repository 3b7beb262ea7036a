/* SPDX-License-Identifier: MIT */
/*
 * switch.h - the context switch, written by hand for each architecture (switch_ARCH.S).
 *
 * gr_switch() saves the callee-saved registers on the running stack, stores its stack pointer
 * to *save and goes on with load. There pass is returned, by the call that saved it, or is fn's
 * second argument. It is never inlined, so the compiler treats it as any call:
 * caller-saved registers are dead, and no thread-local address survives it if it was taken
 * through a NOINLINE function.
 */
#ifndef GR_SWITCH_H
#define GR_SWITCH_H

void *gr_switch(void **save, void *load, void *pass);
/* the same for who never comes back: saves nothing */
void gr_switch_last(void *load, void *pass);
/* first address of a new stack: calls fn(arg, pass), which must not return */
void gr_switch_start(void);
/* fn(arg), as if the goroutine whose saved stack pointer is sp had called it; for backtraces */
void gr_call_parked(void *sp, void (*fn)(void *), void *arg);
extern const char gr_call_parked_end[];

/* A stack that gr_switch() can go to: runs fn(arg, pass) at the top of it. Returns its pointer. */
static inline void *gr_switch_init(void *top, void (*fn)(void *, void *), void *arg)
{
	void **sp = (void **)((unsigned long)top & ~15UL);

	*--sp = 0;			    /* two words: the call in gr_switch_start finds the */
	*--sp = 0;			    /* stack pointer 16-byte aligned, as the ABI says */
	*--sp = (void *)gr_switch_start;    /* ret goes here */
	*--sp = 0;			    /* rbp: ends the chain of frames */
	sp -= 2;			    /* rbx: any value */
	sp[0] = (void *)fn;		    /* r12 */
	*--sp = arg;			    /* r13 */
	sp -= 3;			    /* r14, r15: any values */
	sp[0] = (void *)0x037f00001f80UL;   /* x87 control word, mxcsr: the ABI's defaults */
	return sp;
}

#endif /* GR_SWITCH_H */
