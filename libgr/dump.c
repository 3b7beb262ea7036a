// SPDX-License-Identifier: MIT
/*
 * dump.c - gr_dump(): every goroutine, its state, and its backtrace.
 *
 * Callers: any thread, at any time; crash.c from the handler of SIGQUIT. So no lock, no
 * allocation but one mmap(), no stdio. All that is read here may change meanwhile, and is
 * read without synchronisation on purpose: each goroutine is shown as it was at some instant,
 * not all of them at the same one. What keeps the memory there: desc_walk() for descriptors
 * and stacks, and free_all() waits for walkers before it frees Ms.
 *
 * A goroutine that runs cannot be unwound from another thread. Its thread is named instead, and
 * when /proc says that the thread sleeps in a system call, so is that.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "desc.h"
#include "sched.h"
#include "backtrace.h"

static const char *const reasons[] = {
	[WAIT_NONE] = "waiting for a processor",
	[WAIT_SLEEP] = "sleep",
	[WAIT_CHAN_SEND] = "channel send",
	[WAIT_CHAN_RECV] = "channel receive",
	[WAIT_SELECT] = "select",
	[WAIT_MUTEX] = "mutex",
	[WAIT_RLOCK] = "rwmutex, to read",
	[WAIT_WLOCK] = "rwmutex, to write",
	[WAIT_COND] = "condition variable",
	[WAIT_SEM] = "semaphore",
	[WAIT_WG] = "wait group",
	[WAIT_ONCE] = "once",
	[WAIT_BARRIER] = "barrier",
	[WAIT_TIMER] = "timer",
	[WAIT_JOIN] = "join of a task",
	[WAIT_SCOPE] = "end of a scope",
	[WAIT_IO] = "input or output",
};
_Static_assert(sizeof(reasons) / sizeof(reasons[0]) == NR_WAIT_REASONS, "a reason has no text");

struct dump {
	struct out out;
	struct trace trace;
	struct trace_copy copy;
	const struct g *self;
	const void *pc; /* where it was interrupted, or NULL */
	int64_t now;
};

NO_SAN static const char *reason(const struct g *g)
{
	uint32_t why = g->wait_reason;

	return why < NR_WAIT_REASONS && reasons[why] ? reasons[why] : "?";
}

/* ---- the thread of a running goroutine ---- */

/* the text of /proc/self/task/TID/syscall; false: not readable */
static bool read_syscall(int tid, char *buf, size_t size)
{
	struct out path = { .fd = -1 };
	ssize_t n;
	int fd;

	out_str(&path, "/proc/self/task/");
	out_num(&path, (uint64_t)tid);
	out_str(&path, "/syscall");
	path.buf[path.len] = 0;
	fd = open(path.buf, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	buf[n] = 0;
	return true;
}

static bool parse_hex(const char *s, uint64_t *n)
{
	if (!s || s[0] != '0' || s[1] != 'x')
		return false;
	*n = 0;
	for (s += 2;; s++) {
		if (*s >= '0' && *s <= '9')
			*n = *n * 16 + (uint64_t)(*s - '0');
		else if (*s >= 'a' && *s <= 'f')
			*n = *n * 16 + (uint64_t)(*s - 'a' + 10);
		else
			return true;
	}
}

/* "NR ARGS... SP PC": where the thread sleeps; "running", "-1 SP PC": not in a system call */
NO_SAN static void say_thread(struct dump *d, const struct g *g)
{
	const struct m *m = g->m;
	int tid = m ? m->tid : 0;
	char buf[256], *last;
	uint64_t pc, nr = 0;

	if (!tid || !read_syscall(tid, buf, sizeof(buf)) || buf[0] < '0' || buf[0] > '9') {
		out_str(&d->out, "running");
	} else {
		for (const char *s = buf; *s >= '0' && *s <= '9'; s++)
			nr = nr * 10 + (uint64_t)(*s - '0');
		out_str(&d->out, "in system call ");
		out_num(&d->out, nr);
		last = strrchr(buf, ' ');
		if (last && parse_hex(last + 1, &pc)) {
			out_str(&d->out, " at ");
			out_symbol(&d->out, (void *)(uintptr_t)pc);
		}
	}
	if (tid) {
		out_str(&d->out, ", thread ");
		out_num(&d->out, (uint64_t)tid);
	}
}

/* ---- one goroutine ---- */

NO_SAN static void say_state(struct dump *d, const struct g *g, uint32_t status)
{
	int64_t since = g->wait_since;

	out_str(&d->out, " [");
	if (g == d->self) {
		out_str(&d->out, "running, makes this list");
	} else if (status == G_RUNNING) {
		say_thread(d, g);
	} else if (!g->started) {
		out_str(&d->out, "runnable, not started");
	} else if (status == G_RUNNABLE) {
		out_str(&d->out, "runnable");
	} else {
		out_str(&d->out, reason(g));
		if (since) {
			out_str(&d->out, ", ");
			out_time(&d->out, d->now - since);
		}
	}
	if (g->pins)
		out_str(&d->out, ", pinned");
	if (atomic_load_explicit(&g->cancelled, memory_order_relaxed))
		out_str(&d->out, ", cancelled");
	out_str(&d->out, "]\n");
}

NO_SAN static void dump_one(struct g *g, void *arg)
{
	uint32_t status = atomic_load_explicit(&g->status, memory_order_acquire);
	struct dump *d = arg;

	if (status == G_DEAD)
		return;
	out_goroutine(&d->out, g);
	say_state(d, g, status);
	if (g == d->self) {
		trace_self(&d->trace, d->pc);
		out_trace(&d->out, &d->trace);
	} else if (status != G_RUNNING && g->started) {
		if (trace_parked(&d->trace, g, &d->copy))
			out_trace(&d->out, &d->trace);
		else
			out_str(&d->out, "\t(it ran on meanwhile)\n");
	}
	out_str(&d->out, "\n");
	out_flush(&d->out);
}

int dump_from(int fd, const void *pc)
{
	struct dump d = { .out.fd = fd, .self = g_self(), .pc = pc, .now = gr_now() };
	int saved = errno;

	if (!desc_walk_begin())
		return -ENXIO;
	if (!trace_copy_new(&d.copy)) {
		desc_walk_end();
		errno = saved;
		return -ENOMEM;
	}
	out_str(&d.out, "gr: ");
	out_num(&d.out, (uint64_t)g_count());
	out_str(&d.out, " goroutines, ");
	out_num(&d.out, (uint64_t)sched.nr_procs);
	out_str(&d.out, " processors, ");
	out_num(&d.out, (uint64_t)atomic_load(&sched.nr_ms));
	out_str(&d.out, " threads\n\n");
	desc_walk(dump_one, &d);
	out_flush(&d.out);
	trace_copy_free(&d.copy);
	desc_walk_end();
	errno = saved;
	return 0;
}

NOINLINE int gr_dump(int fd)
{
	return dump_from(fd, __builtin_return_address(0));
}
