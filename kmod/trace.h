/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trace.h - tracepoints gr:*, for perf, trace-cmd, bpftrace and tracefs.
 *
 * Integer fields only: the same text compiles on every kernel. Several fire under group->lock
 * or the runqueue lock, so no user-stack triggers on them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM gr

#if !defined(GR_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define GR_TRACE_H

#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(gr_thread,
	TP_PROTO(int slot),
	TP_ARGS(slot),
	TP_STRUCT__entry(__field(int, slot)),
	TP_fast_assign(__entry->slot = slot;),
	TP_printk("slot=%d", __entry->slot)
);

DECLARE_EVENT_CLASS(gr_thread_proc,
	TP_PROTO(int slot, int proc),
	TP_ARGS(slot, proc),
	TP_STRUCT__entry(__field(int, slot) __field(int, proc)),
	TP_fast_assign(__entry->slot = slot; __entry->proc = proc;),
	TP_printk("slot=%d proc=%d", __entry->slot, __entry->proc)
);

/* a thread joined; proc -1: without a P */
DEFINE_EVENT(gr_thread_proc, attach, TP_PROTO(int slot, int proc), TP_ARGS(slot, proc));
/* a thread left */
DEFINE_EVENT(gr_thread_proc, detach, TP_PROTO(int slot, int proc), TP_ARGS(slot, proc));
/* a thread goes to sleep as a spare */
DEFINE_EVENT(gr_thread, park, TP_PROTO(int slot), TP_ARGS(slot));
/* a spare was given an idle or lazy P by UNPARK */
DEFINE_EVENT(gr_thread_proc, unpark, TP_PROTO(int slot, int proc), TP_ARGS(slot, proc));
/* a thread that had lost its P has one again, and continues in user mode */
DEFINE_EVENT(gr_thread_proc, unblock, TP_PROTO(int slot, int proc), TP_ARGS(slot, proc));
/* no P is free: the thread waits at its return to user mode */
DEFINE_EVENT(gr_thread, return_wait, TP_PROTO(int slot), TP_ARGS(slot));
/* ... and was handed one */
DEFINE_EVENT(gr_thread_proc, return_run, TP_PROTO(int slot, int proc), TP_ARGS(slot, proc));

/* a group records a wish for a spare, a stall or a late returner (GR_EV_*) */
TRACE_EVENT(report,
	TP_PROTO(int type, int slot, int proc, unsigned int value),
	TP_ARGS(type, slot, proc, value),
	TP_STRUCT__entry(__field(int, type) __field(int, slot) __field(int, proc)
			 __field(unsigned int, value)),
	TP_fast_assign(__entry->type = type; __entry->slot = slot; __entry->proc = proc;
		       __entry->value = value;),
	TP_printk("type=%d slot=%d proc=%d value=%u", __entry->type, __entry->slot,
		  __entry->proc, __entry->value)
);

/* goroutine code fell asleep; handoff: its P is wanted elsewhere */
TRACE_EVENT(block,
	TP_PROTO(int slot, int proc, int handoff),
	TP_ARGS(slot, proc, handoff),
	TP_STRUCT__entry(__field(int, slot) __field(int, proc) __field(int, handoff)),
	TP_fast_assign(__entry->slot = slot; __entry->proc = proc; __entry->handoff = handoff;),
	TP_printk("slot=%d proc=%d handoff=%d", __entry->slot, __entry->proc, __entry->handoff)
);

DECLARE_EVENT_CLASS(gr_from_to,
	TP_PROTO(int from, int to, int proc),
	TP_ARGS(from, to, proc),
	TP_STRUCT__entry(__field(int, from) __field(int, to) __field(int, proc)),
	TP_fast_assign(__entry->from = from; __entry->to = to; __entry->proc = proc;),
	TP_printk("from=%d to=%d proc=%d", __entry->from, __entry->to, __entry->proc)
);

/* a sleeper's P goes to another thread: a spare or returner, or one that came to take it */
DEFINE_EVENT(gr_from_to, handoff, TP_PROTO(int from, int to, int proc), TP_ARGS(from, to, proc));
/* a thread gives its P to a named one and parks */
DEFINE_EVENT(gr_from_to, switch_to, TP_PROTO(int from, int to, int proc),
	     TP_ARGS(from, to, proc));
/* a computing thread's slice is over: its P goes to another one */
DEFINE_EVENT(gr_from_to, preempt, TP_PROTO(int from, int to, int proc), TP_ARGS(from, to, proc));

#endif /* GR_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
