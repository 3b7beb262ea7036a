// SPDX-License-Identifier: MIT
/*
 * crash.c - SIGSEGV on a goroutine's guard: say which goroutine, and abort; SIGQUIT: list them.
 *
 * Job: two signal handlers, installed by gr_run() only where the program has none, and taken away
 * when it returns; a signal stack for each thread of the runtime, for the goroutine's has no
 * room left. Not here: what a report looks like (dump.c, backtrace.c).
 *
 * A fault that is not on the guard of the goroutine that runs here is none of ours: the default
 * action is restored, and the instruction faults again, with its registers as they were.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "crash.h"
#include "stack.h"
#include "backtrace.h"

#define ALT_BYTES ((size_t)64 << 10) /* the unwinder, dladdr() and a frame with all registers */

_Noreturn void crash_overflow(const struct g *g, const void *sp, const void *pc)
{
	struct out o = { .fd = STDERR_FILENO };
	const struct stack *s = g->stack;
	struct trace t;

	out_str(&o, "gr: ");
	out_goroutine(&o, g);
	out_str(&o, ": stack overflow, ");
	out_num(&o, (uint64_t)(stack_end(s) - s->lo) / 1024);
	out_str(&o, " KiB at ");
	out_hex(&o, (uintptr_t)s->lo);
	out_str(&o, "..");
	out_hex(&o, (uintptr_t)stack_end(s));
	out_str(&o, ", sp ");
	out_hex(&o, (uintptr_t)sp);
	out_str(&o, "\n");
	out_flush(&o); /* before anything can go wrong */
	trace_self(&t, pc);
	out_trace(&o, &t);
	out_flush(&o);
	abort();
}

static void *sp_of(const ucontext_t *uc)
{
#if defined(__x86_64__)
	return (void *)uc->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	return (void *)uc->uc_mcontext.sp;
#endif
}

static void *pc_of(const ucontext_t *uc)
{
#if defined(__x86_64__)
	return (void *)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (void *)uc->uc_mcontext.pc;
#endif
}

static void on_segv(int nr, siginfo_t *info, void *uc)
{
	const struct g *g = g_self();
	const char *at = info->si_addr;

	if (info->si_code > 0 && g && at >= g->stack->base && at < g->stack->lo)
		crash_overflow(g, sp_of(uc), pc_of(uc));
	signal(nr, SIG_DFL);
	if (info->si_code <= 0) /* somebody sent it: nothing will fault again */
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), nr);
}

static void on_quit(int nr, siginfo_t *info, void *uc)
{
	(void)nr;
	(void)info;
	dump_from(STDERR_FILENO, pc_of(uc));
}

static struct {
	int nr;
	void (*handler)(int, siginfo_t *, void *);
	bool ours;
} signals[] = {
	{ .nr = SIGSEGV, .handler = on_segv },
	{ .nr = SIGQUIT, .handler = on_quit },
};
#define NR_SIGNALS (sizeof(signals) / sizeof(signals[0]))

void crash_begin(void)
{
	trace_warm();
	for (size_t i = 0; i < NR_SIGNALS; i++) {
		struct sigaction is, act = { .sa_sigaction = signals[i].handler,
					     .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

		signals[i].ours = !sigaction(signals[i].nr, NULL, &is) &&
				  !(is.sa_flags & SA_SIGINFO) && is.sa_handler == SIG_DFL &&
				  !sigaction(signals[i].nr, &act, NULL);
	}
}

void crash_end(void)
{
	for (size_t i = 0; i < NR_SIGNALS; i++) {
		struct sigaction is;

		if (signals[i].ours && !sigaction(signals[i].nr, NULL, &is) &&
		    (is.sa_flags & SA_SIGINFO) && is.sa_sigaction == signals[i].handler)
			signal(signals[i].nr, SIG_DFL);
	}
}

void crash_thread_begin(struct m *m)
{
	stack_t is, alt = { .ss_size = ALT_BYTES };

	m->alt_stack = NULL;
	if (sigaltstack(NULL, &is) || !(is.ss_flags & SS_DISABLE))
		return; /* a sanitizer gave it one */
	alt.ss_sp = mmap(NULL, ALT_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (alt.ss_sp == MAP_FAILED)
		return; /* an overflow will end the process without a word */
	sigaltstack(&alt, NULL);
	m->alt_stack = alt.ss_sp;
}

void crash_thread_end(struct m *m)
{
	stack_t off = { .ss_flags = SS_DISABLE };

	if (!m->alt_stack)
		return;
	sigaltstack(&off, NULL);
	munmap(m->alt_stack, ALT_BYTES);
}
