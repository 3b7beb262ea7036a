/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trace.h - the oracle: what the scheduler itself says about one thread, beside what gr says.
 *
 * The program has an instance of tracefs of its own, from before its first test to after its last
 * one: each change of an event patches the kernel's text. Between trace_begin() and trace_end() it
 * records, on one clock, the switches and wake-ups of thread A, the wake-ups of thread B and all gr
 * events. A writes its own marks into it around each stretch of goroutine code ("window").
 * trace_judge() walks A's life:
 *
 *   a switch with a prev_state other than R, that a wake-up ended, is a sleep; inside a window,
 *   while A holds a P, it must have exactly one gr:block, and nothing else may have one;
 *   a P is lost only behind a block, by gr:handoff, and comes back only by gr:unblock.
 *
 * The wake-up is asked for because prev_state alone can lie: a thread that set its state and was
 * found to have a signal pending stays runnable, and the event shows the state from before.
 *
 * Callers: ways_test.c. Functions return NULL, or what went wrong. One trace at a time.
 */
#ifndef GR_WAYS_TRACE_H
#define GR_WAYS_TRACE_H

#include <stdbool.h>
#include <sys/types.h>

/* what happened to A in the windows from first to last */
struct trace_sum {
	int sleeps;	/* real ones, while it held a P in goroutine code */
	int runnable;	/* switched out without sleeping: preempted, throttled */
	int stale;	/* of these: the state said asleep, but nobody had to wake it */
	int blocks;	/* gr:block */
	int lost;	/* gr:handoff away from A */
	int unblocks;	/* gr:unblock */
	int waits;	/* gr:return_wait */
	int b_woken;	/* wake-ups of B */
	char states[8];	/* the different states it slept in */
};

const char *trace_begin(pid_t a, int a_slot, pid_t b);
/* called by A; goroutine code begins after the first, ends before the second */
void trace_window(int n);
void trace_window_end(void);
const char *trace_end(void);
const char *trace_judge(int first, int last, struct trace_sum *sum);
/* all of it, as comments of a test's output */
void trace_print(void);

#endif /* GR_WAYS_TRACE_H */
