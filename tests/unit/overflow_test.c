// SPDX-License-Identifier: MIT
/*
 * overflow_test.c - a stack overflow is reported with the goroutine's number, name and stack, for
 * each kind of guard, and ends the process; other faults keep their default action.
 *
 * Each case runs in a child of its own, whose stderr is read.
 */
#include <alloca.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gr.h"
#include "stack.h"
#include "tap.h"

#ifdef GR_ASAN
#define REPORTER "ASan" /* has handlers of its own */
#elif defined(GR_TSAN)
#define REPORTER "TSan"
#endif

static const char *want_guard;

static __attribute__((noinline)) int dive(volatile char *above, int left)
{
	volatile char here[1024];

	memset((char *)here, 1, sizeof(here));
	here[0] = above[0];
	return left ? dive(here, left - 1) + here[0] : 0;
}

static void check_guard(void)
{
	struct gr_info info = { .size = sizeof(info) };

	if (gr_info(&info) || strcmp(info.guard, want_guard))
		fprintf(stderr, "guard is %s\n", info.guard);
}

/* 64 KiB and what lies below: a stack of the default size, so that it is one of a slab */
static void deep(void *unused)
{
	char c = 1;

	(void)unused;
	gr_set_name("diver");
	check_guard();
	dive(&c, 1 << 20);
}

static __attribute__((noinline)) void fill(void)
{
	size_t room = (size_t)((char *)__builtin_frame_address(0) - g_self()->stack->lo);
	volatile char *all = alloca(room);

	for (size_t i = 0; i < room; i++)
		all[i] = 1;
}

/* just onto the canary and back, then it parks */
static void deep_once(void *unused)
{
	(void)unused;
	gr_set_name("diver");
	check_guard();
	fill();
	gr_yield();
}

/* the same, but it ends instead */
static void deep_end(void *unused)
{
	(void)unused;
	gr_set_name("diver");
	check_guard();
	fill();
}

/* an array that is larger than a page, used from its low end */
static __attribute__((noinline)) void big_frame(volatile char *above, int left)
{
	volatile char here[12 << 10];

	here[0] = above[0];
	if (left)
		big_frame(here, left - 1);
	here[1] = above[1];
}

static void deep_steps(void *unused)
{
	char c[2] = { 1, 1 };

	(void)unused;
	gr_set_name("diver");
	check_guard();
	big_frame(c, 1 << 20);
}

static volatile int *volatile nowhere = (volatile int *)8;

static void wild(void *unused)
{
	(void)unused;
	*nowhere = 1;
}

static void sent(void *unused)
{
	(void)unused;
	raise(SIGSEGV);
}

static int child_main(void *fn)
{
	gr_go((void (*)(void *))fn, NULL);
	gr_sleep(gr_after(20 * GR_SEC));
	return 0;
}

struct outcome {
	int status;
	char text[8192];
};

static void run_child(struct outcome *o, void (*fn)(void *), enum stack_guard best)
{
	struct gr_opts opts = { .size = sizeof(opts), .stack_size = 64 << 10, .nr_procs = 1 };
	size_t len = 0;
	ssize_t n;
	pid_t pid;
	int p[2];

	if (pipe(p))
		exit(1);
	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		dup2(p[1], 2);
		close(p[0]);
		stack_guard_best = best;
		_exit(gr_run(child_main, (void *)fn, &opts));
	}
	close(p[1]);
	while (len < sizeof(o->text) - 1 &&
	       (n = read(p[0], o->text + len, sizeof(o->text) - 1 - len)) > 0)
		len += (size_t)n;
	o->text[len] = 0;
	close(p[0]);
	waitpid(pid, &o->status, 0);
}

static void comment(const char *text)
{
	for (const char *c = text; *c; c++) {
		if (c == text || c[-1] == '\n')
			printf("# ");
		putchar(*c);
	}
}

static void check_report(const struct outcome *o, void (*fn)(void *), const char *what)
{
	unsigned long lo, hi, sp = 0, id = 0;
	unsigned int kib = 0;
	int n = sscanf(o->text,
		       "gr: goroutine %lu (diver): stack overflow, %u KiB at %lx..%lx, sp %lx", &id,
		       &kib, &lo, &hi, &sp);

	tap_ok(n == 5 && id > 0 && kib >= 64 && hi - lo == kib * 1024UL,
	       "%s: the report names goroutine, size and place", what);
	tap_ok(WIFSIGNALED(o->status) && WTERMSIG(o->status) == SIGABRT, "%s: and it aborts", what);
	tap_ok(strstr(o->text, "\n\t") && strstr(o->text, "overflow_test+"),
	       "%s: with a backtrace", what);
	if (fn == deep)
		tap_ok(strstr(o->text, " times\n") != NULL, "%s: recursion in one line", what);
	if (n != 5)
		comment(o->text);
}

/* does the kernel offer it? */
static bool have(enum stack_guard kind, const char *name)
{
	struct outcome o;

	want_guard = name;
	run_child(&o, kind == GUARD_CANARY ? deep_once : deep, kind);
	return !strstr(o.text, "guard is ");
}

static void test_kind(enum stack_guard kind, const char *name, void (*fn)(void *), const char *what)
{
	static struct outcome o;

	want_guard = name;
	if (kind == GUARD_MADVISE && !have(kind, name)) {
		tap_skip(what, "this kernel has no MADV_GUARD_INSTALL");
		return;
	}
	run_child(&o, fn, kind);
	tap_ok(!strstr(o.text, "guard is "), "%s: gr_info() calls it %s", what, name);
	check_report(&o, fn, what);
}

static void test_other_faults(void)
{
	static struct outcome o;

	run_child(&o, wild, GUARD_MADVISE);
	tap_ok(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGSEGV && !*o.text,
	       "a wild pointer has its default action, without a word");
	run_child(&o, sent, GUARD_MADVISE);
	tap_ok(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGSEGV && !*o.text,
	       "so has a signal that was sent");
}

/* ---- the program's own handler stays ---- */

static void on_segv(int nr)
{
	(void)nr;
	_exit(42);
}

static int own_handler(void *unused)
{
	(void)unused;
	*nowhere = 1;
	return 0;
}

static int nothing(void *unused)
{
	(void)unused;
	return 0;
}

static void test_own_handler(void)
{
	struct sigaction is;
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, on_segv);
		_exit(gr_run(own_handler, NULL, NULL));
	}
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 42, "a handler of the program's stays");
	gr_run(nothing, NULL, NULL);
	sigaction(SIGSEGV, NULL, &is);
	tap_ok(is.sa_handler == SIG_DFL, "ours is gone when gr_run() returns");
}

int main(void)
{
#ifdef REPORTER
	tap_skip("overflow report", REPORTER " has handlers of its own");
	return tap_done();
#endif
	tap_limit(120);
	test_kind(GUARD_MADVISE, "madvise", deep, "MADV_GUARD_INSTALL");
	test_kind(GUARD_MPROTECT, "mprotect", deep, "mprotect()");
	test_kind(GUARD_MPROTECT, "mprotect", deep_steps, "mprotect(), frames of 12 KiB");
	test_kind(GUARD_CANARY, "canary", deep_once, "canary");
	test_kind(GUARD_CANARY, "canary", deep_end, "canary, at the end");
	test_other_faults();
	test_own_handler();
	return tap_done();
}
