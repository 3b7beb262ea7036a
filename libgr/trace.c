// SPDX-License-Identifier: MIT
/*
 * trace.c - GR_TRACE=sched=MS: what the scheduler has to do, a line every MS milliseconds.
 *
 *	SCHED 1004ms: procs=4 idle=1 threads=6 spinning=0 spares=1 runqueue=2 [3 0 0 1]
 *		goroutines=40 handoffs=12 blocks=300		(one line)
 *
 * A thread of its own, which exists only then; no runtime section: it reads what anybody may
 * read, so the numbers of a line need not belong to one instant.
 * Callers: gr_run().
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#include "debug.h"
#include "futex.h"
#include "runq.h"
#include "sched.h"

#define LINE 4096

static struct {
	pthread_t thread;
	bool started;
	_Atomic uint32_t stop; /* futex */
	int64_t began;
} trace;

struct line {
	char text[LINE];
	size_t n;
};

static __attribute__((format(printf, 2, 3))) void add(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->n, sizeof(l->text) - l->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->n += (size_t)n < sizeof(l->text) - l->n ? (size_t)n : 0;
}

static void print_line(int64_t now)
{
	const volatile struct gr_mirror *mirror = park_tab.mirror;
	struct line l = { .n = 0 };

	add(&l, "SCHED %lldms: procs=%d idle=%u threads=%d spinning=%d spares=%u runqueue=%u [",
	    (long long)((now - trace.began) / GR_MS), atomic_load(&sched.active_procs),
	    mirror->nr_idle,
	    atomic_load(&sched.nr_ms), atomic_load(&sched.nr_spinning), mirror->nr_spares,
	    globq_len());
	for (int i = 0; i < sched.nr_procs; i++)
		add(&l, i ? " %u" : "%u", runq_len(&sched.procs[i]));
	add(&l, "] goroutines=%d handoffs=%llu blocks=%llu\n", g_count(),
	    (unsigned long long)mirror->handoffs, (unsigned long long)mirror->blocks);
	fwrite(l.text, 1, l.n, stderr);
}

static void *trace_main(void *unused)
{
	int64_t next = trace.began;

	while (!atomic_load(&trace.stop)) {
		next += debug.sched_ms * GR_MS;
		if (next < gr_now())
			next = gr_now(); /* beats that were missed are not made up for */
		while (!atomic_load(&trace.stop) && gr_now() < next)
			futex_wait(&trace.stop, 0, next);
		if (!atomic_load(&trace.stop))
			print_line(gr_now());
	}
	return unused;
}

int trace_start(void)
{
	if (!debug.sched_ms)
		return 0;
	atomic_store(&trace.stop, 0);
	trace.began = gr_now();
	trace.started = !pthread_create(&trace.thread, NULL, trace_main, NULL);
	return trace.started ? 0 : -EAGAIN;
}

void trace_stop(void)
{
	if (!trace.started)
		return;
	atomic_store(&trace.stop, 1);
	futex_wake(&trace.stop);
	pthread_join(trace.thread, NULL);
	trace.started = false;
}
