// SPDX-License-Identifier: MIT
/*
 * trace.c - GR_TRACE=sched=MS: what the scheduler has to do, a line every MS milliseconds; io=MS:
 * the same about input and output, a line for each P.
 *
 *	SCHED 1004ms: procs=4 idle=1 threads=6 spinning=0 spares=1 runqueue=2 [3 0 0 1]
 *		goroutines=40 handoffs=12 blocks=300		(one line)
 *	IO 1004ms: uring p=0 requests=120 completions=118 enters=60 pending=2 at_once=300 stolen=5
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
#include "netpoll.h"
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

static void print_sched(int64_t now)
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

static unsigned long long count(_Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed); /* statistics */
}

static void print_io(int64_t now)
{
	for (int i = 0; i < sched.nr_procs; i++) {
		struct p *p = &sched.procs[i];
		unsigned long long ended = count(&p->nr_io_ended), begun = count(&p->nr_io_begun);
		struct line l = { .n = 0 };

		add(&l, "IO %lldms: %s p=%d requests=%llu completions=%llu enters=%llu ",
		    (long long)((now - trace.began) / GR_MS), netpoll->name, i, begun,
		    count(&p->nr_io_results), count(&p->nr_enters));
		/* an end may be seen before its begin */
		add(&l, "pending=%llu at_once=%llu stolen=%llu\n", begun > ended ? begun - ended : 0,
		    count(&p->nr_io_at_once), count(&p->nr_io_stolen));
		fwrite(l.text, 1, l.n, stderr);
	}
}

/* the lines of one word of GR_TRACE */
struct beat {
	int ms; /* 0: not asked for */
	void (*print)(int64_t now);
	int64_t next;
};

/* When it is due next. */
static int64_t beat(struct beat *b, int64_t now)
{
	int64_t period = b->ms * GR_MS;

	if (!b->ms)
		return INT64_MAX;
	if (!b->next)
		b->next = trace.began + period;
	if (b->next <= now) {
		b->print(now);
		/* beats that were missed are not made up for */
		b->next = b->next + period > now ? b->next + period : now + period;
	}
	return b->next;
}

static void *trace_main(void *unused)
{
	struct beat of_sched = { debug.sched_ms, print_sched, 0 };
	struct beat of_io = { debug.io_ms, print_io, 0 };

	while (!atomic_load(&trace.stop)) {
		int64_t now = gr_now(), next = beat(&of_sched, now), io = beat(&of_io, now);

		futex_wait(&trace.stop, 0, io < next ? io : next);
	}
	return unused;
}

int trace_start(void)
{
	if (!trace_on())
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
