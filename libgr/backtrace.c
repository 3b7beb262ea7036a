// SPDX-License-Identifier: MIT
/*
 * backtrace.c - backtraces of goroutines, and text for reports, without allocation.
 *
 * Callers: dump.c, crash.c, in signal handlers too. Symbol names come from dladdr(), which takes
 * the dynamic linker's lock: a report made while another thread sits in dlopen() for
 * ever would wait with it.
 *
 * A parked goroutine may be made to run at any instant while we look, and an unwinder that
 * follows changing memory crashes. So its stack is copied first. A copy is good if a
 * second look finds the same words, stack, stack pointer, goroutine and state. Words that point
 * into the stack (saved frame pointers among them) are moved along with it; then libgcc's
 * unwinder walks the copy, starting from gr_switch()'s frame (gr_call_parked()).
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

#include "stack.h"
#include "switch.h"
#include "backtrace.h"

#define COPY_MAX ((size_t)256 << 10) /* of a deep stack its newest frames */
#define COPY_SLACK ((size_t)4096)    /* zeros behind: ends every walk */
#define TRIES 3
#define TIMES_MAX 100000

/* ---- text ---- */

void out_flush(struct out *o)
{
	unsigned int at = 0;
	ssize_t n;

	while (at < o->len) {
		n = write(o->fd, o->buf + at, o->len - at);
		if (n > 0)
			at += (unsigned int)n;
		else if (n == 0 || errno != EINTR)
			break; /* nobody to tell */
	}
	o->len = 0;
}

void out_str(struct out *o, const char *s)
{
	for (; *s; s++) {
		if (o->len == sizeof(o->buf))
			out_flush(o);
		o->buf[o->len++] = *s;
	}
}

static void out_base(struct out *o, uint64_t n, unsigned int base)
{
	char digits[24];
	int at = sizeof(digits) - 1;

	digits[at] = 0;
	do {
		digits[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	out_str(o, digits + at);
}

void out_num(struct out *o, uint64_t n)
{
	out_base(o, n, 10);
}

void out_hex(struct out *o, uint64_t n)
{
	out_str(o, "0x");
	out_base(o, n, 16);
}

void out_time(struct out *o, int64_t ns)
{
	if (ns < 0)
		ns = 0;
	if (ns < GR_MS) {
		out_num(o, (uint64_t)ns / 1000);
		out_str(o, " us");
	} else if (ns < GR_SEC) {
		out_num(o, (uint64_t)(ns / GR_MS));
		out_str(o, " ms");
	} else {
		out_num(o, (uint64_t)(ns / GR_SEC));
		out_str(o, ".");
		out_num(o, (uint64_t)(ns % GR_SEC / (100 * GR_MS)));
		out_str(o, " s");
	}
}

/* memory that may not be there: up to the end of its page */
static size_t read_foreign(char *to, const char *from, size_t max)
{
	size_t to_page_end = 4096 - ((uintptr_t)from & 4095);
	struct iovec local = { to, max < to_page_end ? max : to_page_end };
	struct iovec remote = { (void *)from, local.iov_len };
	ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	return n > 0 ? (size_t)n : 0;
}

void out_foreign_str(struct out *o, const char *s)
{
	char buf[64];
	size_t n = read_foreign(buf, s, sizeof(buf) - 1);

	if (n && n < sizeof(buf) - 1 && !memchr(buf, 0, n))
		n += read_foreign(buf + n, s + n, sizeof(buf) - 1 - n);
	buf[n] = 0;
	out_str(o, n ? buf : "?");
}

NO_SAN void out_goroutine(struct out *o, const struct g *g)
{
	const char *name = g->name;

	out_str(o, "goroutine ");
	out_num(o, g->id);
	if (name) {
		out_str(o, " (");
		out_foreign_str(o, name);
		out_str(o, ")");
	}
}

/* ---- symbols ---- */

void out_symbol(struct out *o, void *pc)
{
	const char *file;
	Dl_info info;

	if (!dladdr(pc, &info) || !info.dli_fname) {
		out_hex(o, (uintptr_t)pc);
		return;
	}
	if (info.dli_sname) {
		out_str(o, info.dli_sname);
		out_str(o, "+");
		out_hex(o, (uintptr_t)pc - (uintptr_t)info.dli_saddr);
	} else {
		out_hex(o, (uintptr_t)pc);
	}
	file = strrchr(info.dli_fname, '/');
	out_str(o, " (");
	out_str(o, file ? file + 1 : info.dli_fname);
	out_str(o, "+");
	out_hex(o, (uintptr_t)pc - (uintptr_t)info.dli_fbase);
	out_str(o, ")");
}

void out_trace(struct out *o, const struct trace *t)
{
	for (int i = 0; i < t->n; i++) {
		out_str(o, "\t");
		out_symbol(o, t->pc[i]);
		if (t->times[i] > 1) {
			out_str(o, ", ");
			out_num(o, (uint64_t)t->times[i]);
			out_str(o, " times");
		}
		out_str(o, "\n");
	}
	if (t->more)
		out_str(o, "\t...\n");
}

/* ---- unwinding ---- */

struct walk {
	struct trace *t;
	bool on;	  /* past our own frames */
	uintptr_t start;  /* begin here; 0: above gr_call_parked() */
	uintptr_t lo, hi; /* where frames may be; hi 0: anywhere */
};

static bool in_call_parked(uintptr_t ip)
{
	return ip > (uintptr_t)gr_call_parked && ip < (uintptr_t)gr_call_parked_end;
}

static _Unwind_Reason_Code step(struct _Unwind_Context *ctx, void *arg)
{
	uintptr_t ip = _Unwind_GetIP(ctx), cfa = _Unwind_GetCFA(ctx);
	struct walk *w = arg;
	int n = w->t->n;

	if (!w->on) {
		w->on = w->start ? ip == w->start : in_call_parked(ip);
		if (!w->on || !w->start)
			return _URC_NO_REASON;
	}
	if (!ip || (w->hi && (cfa < w->lo || cfa > w->hi)))
		return _URC_END_OF_STACK;
	if (n && w->t->pc[n - 1] == (void *)ip && w->t->times[n - 1] < TIMES_MAX) {
		w->t->times[n - 1]++;
		return _URC_NO_REASON;
	}
	if (n == TRACE_MAX) {
		w->t->more = true;
		return _URC_END_OF_STACK;
	}
	w->t->pc[n] = (void *)ip;
	w->t->times[n] = 1;
	w->t->n++;
	return _URC_NO_REASON;
}

static void walk_here(void *w)
{
	_Unwind_Backtrace(step, w);
}

NOINLINE void trace_self(struct trace *t, const void *pc)
{
	struct walk w = { .t = t, .on = !pc, .start = (uintptr_t)pc };

	t->n = 0;
	t->more = false;
	walk_here(&w);
	if (pc && !t->n) /* a handler that is called later than the signal came, as TSan does */
		trace_self(t, NULL);
}

void trace_warm(void)
{
	struct trace t;

	trace_self(&t, NULL);
}

/* ---- copies of stacks ---- */

bool trace_copy_new(struct trace_copy *c)
{
	c->bytes = COPY_MAX + COPY_SLACK;
	c->mem = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return c->mem != MAP_FAILED;
}

void trace_copy_free(struct trace_copy *c)
{
	munmap(c->mem, c->bytes);
}

/* n words from sp, pointers into them moved along; ours is far from any sanitizer's business */
NO_SAN static void copy(uintptr_t *to, const volatile uintptr_t *sp, size_t n)
{
	uintptr_t lo = (uintptr_t)sp, hi = lo + n * sizeof(*sp);

	for (size_t i = 0; i < n; i++) {
		uintptr_t word = sp[i];

		to[i] = word >= lo && word < hi ? word - lo + (uintptr_t)to : word;
	}
}

NO_SAN static bool same(const uintptr_t *to, const volatile uintptr_t *sp, size_t n)
{
	uintptr_t lo = (uintptr_t)sp, hi = lo + n * sizeof(*sp);

	for (size_t i = 0; i < n; i++) {
		uintptr_t word = sp[i];

		if (to[i] != (word >= lo && word < hi ? word - lo + (uintptr_t)to : word))
			return false;
	}
	return true;
}

NO_SAN static size_t copy_stack(const struct g *g, struct trace_copy *c)
{
	uint32_t status = atomic_load(&g->status);
	uintptr_t sp = (uintptr_t)*(void *const volatile *)&g->sp;
	/* stays mapped, desc.c; maybe another goroutine's by now */
	const struct stack *s = *(struct stack *const volatile *)&g->stack;
	uint64_t id = *(const volatile uint64_t *)&g->id;
	size_t n;

	if (!s || (status != G_WAITING && status != G_RUNNABLE))
		return 0;
	/* NULL while it runs, take_turn() */
	if (sp < (uintptr_t)s->lo || sp >= (uintptr_t)s || sp % sizeof(sp))
		return 0;
	n = (uintptr_t)s - sp < COPY_MAX ? (uintptr_t)s - sp : COPY_MAX;
	n /= sizeof(sp);
	copy((uintptr_t *)c->mem, (const volatile uintptr_t *)sp, n);
	memset(c->mem + n * sizeof(sp), 0, COPY_SLACK);
	atomic_thread_fence(memory_order_seq_cst);
	if (!same((uintptr_t *)c->mem, (const volatile uintptr_t *)sp, n) ||
	    sp != (uintptr_t)*(void *const volatile *)&g->sp ||
	    s != *(struct stack *const volatile *)&g->stack ||
	    id != *(const volatile uint64_t *)&g->id || status != atomic_load(&g->status))
		return 0;
	return n * sizeof(sp);
}

bool trace_parked(struct trace *t, const struct g *g, struct trace_copy *c)
{
	struct walk w = { .t = t };
	size_t n = 0;

	t->n = 0;
	t->more = false;
	for (int i = 0; i < TRIES && !n; i++)
		n = copy_stack(g, c);
	if (!n)
		return false;
	w.lo = (uintptr_t)c->mem;
	w.hi = w.lo + n;
	gr_call_parked(c->mem, walk_here, &w);
	return true;
}
