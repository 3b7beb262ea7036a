/* SPDX-License-Identifier: MIT */
/*
 * backtrace.h - text and backtraces for reports, from signal handlers too: no allocation, no stdio.
 * backtrace.c; callers: dump.c, crash.c.
 */
#ifndef GR_BACKTRACE_H
#define GR_BACKTRACE_H

#include "gr_int.h"

/* ---- text: collected in buf, written by out_flush() or when it is full ---- */
struct out {
	int fd;
	unsigned int len;
	char buf[1024];
};
void out_str(struct out *o, const char *s);
void out_num(struct out *o, uint64_t n);
void out_hex(struct out *o, uint64_t n);
/* a time in ns, to three digits or so: 1.23 s, 45 ms, 7 us */
void out_time(struct out *o, int64_t ns);
/* a string of the program's, which may be gone: at most 63 bytes of it, "?" if not readable */
void out_foreign_str(struct out *o, const char *s);
/* "goroutine 7 (name)" */
void out_goroutine(struct out *o, const struct g *g);
void out_flush(struct out *o);

/* ---- backtraces ---- */
#define TRACE_MAX 48
struct trace {
	int n;
	bool more; /* it goes on */
	void *pc[TRACE_MAX];
	int times[TRACE_MAX]; /* in a row: recursion */
};
/* memory for trace_parked(): a copy of a stack */
struct trace_copy {
	char *mem;
	size_t bytes;
};
/* the unwinder's first use may allocate: not in a signal handler, please */
void trace_warm(void);
/* the caller's own; in a signal handler, from pc, where the signal came; NULL: from here */
void trace_self(struct trace *t, const void *pc);
bool trace_copy_new(struct trace_copy *c);
void trace_copy_free(struct trace_copy *c);
/* of a goroutine that does not run; false: it did run meanwhile */
bool trace_parked(struct trace *t, const struct g *g, struct trace_copy *c);
/* one line per frame */
void out_trace(struct out *o, const struct trace *t);
/* "function+0x12 (file+0x3456)" */
void out_symbol(struct out *o, void *pc);

/* dump.c: gr_dump() in a handler of a signal that came at pc */
int dump_from(int fd, const void *pc);

#endif /* GR_BACKTRACE_H */
