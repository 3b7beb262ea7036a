// SPDX-License-Identifier: GPL-2.0
/*
 * trace.c - see trace.h.
 *
 * The events come in the order of the instance's clock (mono). The scheduler's event of a switch
 * stands before the notifiers are called, so gr:block follows its switch, on the same CPU. A
 * hand-off may be recorded after the switch that brings A back, but not after A has gone on:
 * both want the group's lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace.h"

#define INSTANCE "/sys/kernel/tracing/instances/gr_ways"
#define MAX_CPUS 64

enum kind { OTHER, WINDOW, WINDOW_END, OUT, IN, WAKEUP, B_WAKEUP, BLOCK, LOSE, UNBLOCK, WAIT, RUN };

struct event {
	enum kind kind;
	int window;
	char state;	/* of OUT */
	const char *line;
};

static struct {
	pid_t a, b;
	int slot, marker;
	char *text;
	struct event *events;
	size_t n;
} tr = { .marker = -1 };

static char why[256];

__attribute__((format(printf, 1, 2)))
static const char *because(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return why;
}

/* ---- recording ---- */

__attribute__((format(printf, 2, 3)))
static bool put(const char *file, const char *fmt, ...)
{
	char path[128], text[160];
	va_list ap;
	bool ok;
	int fd;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), INSTANCE "/%s", file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (!ok)
		because("%s to %s: %s", text, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

static pid_t opener;
static bool opened = true;

/* the tests are processes of their own, forked by the one that runs this */
__attribute__((constructor))
static void trace_open(void)
{
	opener = getpid();
	rmdir(INSTANCE);	/* of a program that was killed */
	if (mkdir(INSTANCE, 0700))
		because(INSTANCE ": %s", strerror(errno));
	else if (put("tracing_on", "0") && put("trace_clock", "mono") &&
		 put("buffer_size_kb", "2048") && put("events/sched/sched_switch/enable", "1") &&
		 put("events/sched/sched_wakeup/enable", "1") && put("events/gr/enable", "1"))
		return;
	opened = false;
}

__attribute__((destructor))
static void trace_close(void)
{
	if (opener == getpid())
		rmdir(INSTANCE);
}

const char *trace_begin(pid_t a, int a_slot, pid_t b)
{
	tr.a = a;
	tr.b = b;
	tr.slot = a_slot;
	if (!opened || !put("tracing_on", "0") || !put("trace", " ") ||
	    !put("events/sched/sched_switch/filter", "prev_pid==%d || next_pid==%d", a, a) ||
	    !put("events/sched/sched_wakeup/filter", "pid==%d || pid==%d", a, b) ||
	    !put("tracing_on", "1"))
		return why;
	tr.marker = open(INSTANCE "/trace_marker", O_WRONLY | O_CLOEXEC);
	return tr.marker < 0 ? because("trace_marker: %s", strerror(errno)) : NULL;
}

void trace_window(int n)
{
	dprintf(tr.marker, "window %d\n", n);
}

void trace_window_end(void)
{
	dprintf(tr.marker, "end of window\n");
}

/* a whole file of tracefs, which does not know its size */
static char *slurp(const char *file)
{
	size_t n = 0, room = 1 << 16;
	char *text = malloc(room);
	FILE *f = fopen(file, "re");

	while (f && text && !feof(f) && !ferror(f)) {
		if (n + 1 == room)
			text = realloc(text, room *= 2);
		n += fread(text + n, 1, room - n - 1, f);
	}
	if (f)
		fclose(f);
	text[n] = 0;
	return text;
}

/* events that did not fit would make the oracle lie */
static const char *lost_events(void)
{
	char path[128], *text, *at;
	const char *ret = NULL;

	for (int cpu = 0; cpu < MAX_CPUS && !ret; cpu++) {
		snprintf(path, sizeof(path), INSTANCE "/per_cpu/cpu%d/stats", cpu);
		if (access(path, R_OK))
			continue;
		text = slurp(path);
		at = strstr(text, "overrun: ");
		if (!at || atol(at + strlen("overrun: ")))
			ret = because("the trace of CPU %d overflowed", cpu);
		at = strstr(text, "dropped events: ");
		if (!at || atol(at + strlen("dropped events: ")))
			ret = because("events of CPU %d were dropped", cpu);
		free(text);
	}
	return ret;
}

/* ---- reading ---- */

/* the integer behind "name=", or a number that no field has */
static long field(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? atol(at + strlen(name)) : -1000;
}

static const char *body(const char *line, const char *event)
{
	char name[64];
	const char *at;

	snprintf(name, sizeof(name), ": %s: ", event);
	at = strstr(line, name);
	return at ? at + strlen(name) : NULL;
}

static void parse_switch(const char *at, struct event *e)
{
	const char *state = strstr(at, " prev_state=");

	if (field(at, " prev_pid=") == tr.a) {
		e->kind = OUT;
		e->state = state ? state[strlen(" prev_state=")] : '?';
	} else if (field(at, " next_pid=") == tr.a) {
		e->kind = IN;
	}
}

static void parse_gr(const char *line, struct event *e)
{
	static const struct {
		const char *name, *field;
		enum kind kind;
	} known[] = {
		{ "block", "slot=", BLOCK },	 { "handoff", "from=", LOSE },
		{ "unblock", "slot=", UNBLOCK }, { "return_wait", "slot=", WAIT },
		{ "return_run", "slot=", RUN },
	};
	const char *at;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		at = body(line, known[i].name);
		if (at && field(at, known[i].field) == tr.slot)
			e->kind = known[i].kind;
	}
}

static void parse_line(const char *line, struct event *e)
{
	const char *mark = body(line, "tracing_mark_write");
	const char *change = body(line, "sched_switch");
	const char *wakeup = body(line, "sched_wakeup");

	e->kind = OTHER;
	e->line = line;
	if (mark && !strncmp(mark, "window ", 7)) {
		e->kind = WINDOW;
		e->window = atoi(mark + 7);
	} else if (mark) {
		e->kind = WINDOW_END;
	} else if (change) {
		parse_switch(change, e);
	} else if (wakeup) {
		e->kind = field(wakeup, " pid=") == tr.a ? WAKEUP : B_WAKEUP;
	} else {
		parse_gr(line, e);
	}
}

const char *trace_end(void)
{
	const char *ret = NULL;
	size_t room = 1;
	char *save, *line;

	if (!put("tracing_on", "0"))
		ret = why;
	if (!ret)
		ret = lost_events();
	tr.text = slurp(INSTANCE "/trace");
	close(tr.marker);
	for (const char *c = tr.text; *c; c++)
		room += *c == '\n';
	tr.events = calloc(room, sizeof(*tr.events));
	for (line = strtok_r(tr.text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (line[0] != '#')
			parse_line(line, &tr.events[tr.n++]);
	return ret;
}

void trace_print(void)
{
	for (size_t i = 0; i < tr.n; i++)
		printf("# %s\n", tr.events[i].line);
}

/* ---- judging ---- */

struct life {
	bool inside, holds;
	bool out, slept, woken, blocked;	/* since the last switch away from A */
	bool held;				/* at that switch: in goroutine code with a P */
};

static void note_state(struct trace_sum *s, char state)
{
	size_t n = strlen(s->states);

	if (!strchr(s->states, state) && n + 1 < sizeof(s->states))
		s->states[n] = state;
}

static const char *step_out(struct life *a, const struct event *e, struct trace_sum *s)
{
	if (a->out)
		return "two switches away from A in a row";
	*a = (struct life){ .inside = a->inside, .holds = a->holds, .out = true };
	a->held = a->inside && a->holds;
	a->slept = e->state != 'R';
	if (a->held && !a->slept)
		s->runnable++;
	if (a->held && a->slept)
		note_state(s, e->state);
	return NULL;
}

static const char *step_in(struct life *a, struct trace_sum *s)
{
	bool real = a->slept && a->woken;

	a->out = false;
	if (real && a->held) {
		s->sleeps++;
		return a->blocked ? NULL : "A slept and there was no gr:block";
	}
	if (a->slept && a->held) {
		s->runnable++;
		s->stale++;
	}
	return a->blocked ? "gr:block, but A was only preempted" : NULL;
}

static const char *step_gr(struct life *a, enum kind kind, struct trace_sum *s)
{
	switch (kind) {
	case BLOCK:
		s->blocks++;
		if (!a->out || !a->slept || a->blocked || !a->held)
			return "gr:block that no sleep in goroutine code explains";
		a->blocked = true;
		return NULL;
	case LOSE:
		s->lost++;
		if (!a->holds || !a->blocked)
			return "A lost its P without a block";
		a->holds = false;
		return NULL;
	case UNBLOCK:
		s->unblocks++;
		if (a->holds || a->out)
			return "gr:unblock of a thread that has a P, or does not run";
		a->holds = true;
		return NULL;
	case WAIT:
		s->waits++;
		return a->holds ? "gr:return_wait of a thread that has a P" : NULL;
	default:
		return NULL;
	}
}

static const char *step(struct life *a, const struct event *e, struct trace_sum *s)
{
	switch (e->kind) {
	case WINDOW:
		*a = (struct life){ .inside = true, .holds = true };
		return NULL;
	case WINDOW_END:
		a->inside = false;
		return a->holds ? NULL : "A was in goroutine code without a P at the end";
	case OUT:
		return step_out(a, e, s);
	case IN:
		return step_in(a, s);
	case WAKEUP:
		a->woken |= a->out;
		return NULL;
	case B_WAKEUP:
		s->b_woken += a->inside;
		return NULL;
	default:
		return step_gr(a, e->kind, s);
	}
}

const char *trace_judge(int first, int last, struct trace_sum *sum)
{
	struct life a = {};
	const char *wrong;
	int windows = 0, n = -1;

	memset(sum, 0, sizeof(*sum));
	for (size_t i = 0; i < tr.n; i++) {
		const struct event *e = &tr.events[i];

		if (e->kind == WINDOW)
			n = e->window;
		if (n < first || n > last)
			continue;
		windows += e->kind == WINDOW;
		/* between two windows nothing of gr's may happen to A, and its sleeps are its own */
		wrong = step(&a, e, sum);
		if (wrong)
			return because("%s, at: %.180s", wrong, e->line);
	}
	return windows == last - first + 1 ? NULL : because("the trace shows %d windows", windows);
}
